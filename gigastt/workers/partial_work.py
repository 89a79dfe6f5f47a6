"""Partials in a worker: whose is due, and the passes over windows that are not final yet.

Owned by the engine, on the worker's main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gigastt.errors import InferenceError
from gigastt.ipc.messages import PartialMessage, StreamId, ToGateway
from gigastt.log import get_logger
from gigastt.speech.recognizer import Transcriber
from gigastt.speech.tokens import Window
from gigastt.workers.file_work import TouchFunction
from gigastt.workers.passes import Attempt
from gigastt.workers.scheduler import Scheduler, Turn
from gigastt.workers.streams import LiveTrack, take_offers

log = get_logger(__name__)

NotePass: TypeAlias = Callable[[Turn, Sequence[Window]], None]


@dataclass(slots=True, eq=False)
class PartialWork:
    """The partials of one worker.

    Attributes:
        recognizer: transcribes windows.
        scheduler: says how far apart partials are.
        live: the live tracks, as they come and go.
        touch: told which audio is looked at from now on.
        send: takes messages to the gateway.
        note_pass: told of windows before their pass.
    """

    recognizer: Transcriber
    scheduler: Scheduler
    live: Mapping[StreamId, LiveTrack]
    touch: TouchFunction
    send: Callable[[ToGateway], None]
    note_pass: NotePass

    def _wanting(self) -> Iterator[LiveTrack]:
        """Yield the tracks that may have something new to show."""
        for track in self.live.values():
            if track.partials and track.utterance is None and (track.heard or track.offer is not None):
                yield track

    def _times(self, wanting: Sequence[LiveTrack]) -> dict[LiveTrack, float]:
        """Return when the next partial of each track is due, at the cadence that the load allows."""
        speaking = sum(track.speaking for track in self.live.values())
        often = self.scheduler.partial_interval(speaking, first=True)
        usual = self.scheduler.partial_interval(speaking)
        return {t: t.partial_at + (often if t.stream.is_wordless else usual) for t in wanting}

    def due(self, now: float) -> list[LiveTrack]:
        """Return the tracks whose partial is due: finals ahead, first words, then those that waited longest."""
        wanting = list(self._wanting())
        due = [track for track, at in self._times(wanting).items() if at <= now or track.urgent]
        return sorted(due, key=lambda track: (not track.urgent, not track.stream.is_wordless, track.partial_at))

    def wait_seconds(self, now: float) -> float | None:
        """Return how long until a partial is due: None when no track wants one."""
        wanting = list(self._wanting())
        if any(track.urgent for track in wanting):
            return 0.0
        return max(0.0, min(self._times(wanting).values()) - now) if wanting else None

    def run(self, due: Sequence[LiveTrack], now: float) -> None:
        """Run one pass over the windows of the first track that is due and of those that may share it."""
        sharing = self.recognizer.sharing
        offers = take_offers(due, shares_finals=sharing.finals)
        batch = sharing.choose(offers, lambda offer: len(offer[1].features))
        if not batch:
            return
        windows = [window for _, window in batch]
        self.touch([track.touch(window) for track, window in batch])
        self.note_pass(Turn.PARTIAL, windows)
        attempts = self._transcribe(windows)
        is_exact = len(batch) == 1 or sharing.finals
        for (track, window), attempt in zip(batch, attempts, strict=True):
            self.accept(track, window, attempt, now, is_exact=is_exact)

    def accept(self, track: LiveTrack, window: Window, attempt: Attempt, now: float, *, is_exact: bool) -> None:
        """Take what a pass over a track's offer gave, and tell what is new.

        Args:
            is_exact: it is what the window gives alone, and so may be the final's.
        """
        track.partial_at, track.offer = now, None
        if isinstance(attempt, InferenceError):
            log.warning("partial_failed", stream=track.id, cause=str(attempt))
            track.failed = True
            return
        result = track.stream.accept_partial(window, attempt, alone=is_exact)
        if result is not None:
            self.send(PartialMessage(track.id, result))

    def _transcribe(self, windows: list[Window]) -> Sequence[Attempt]:
        """Transcribe windows in one pass; where it fails, each of them counts as failed."""
        try:
            return self.recognizer.transcribe_batch(windows)
        except InferenceError as exc:
            return [exc] * len(windows)
