"""Partials in a worker: whose is due, and the passes over windows that are not final yet.

Owned by the engine, on the worker's main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from gigastt.errors import InferenceError
from gigastt.ipc.messages import PartialMessage, StreamId, ToGateway
from gigastt.log import get_logger
from gigastt.speech.recognizer import Transcriber
from gigastt.speech.tokens import Hypothesis, Window
from gigastt.workers.file_work import TouchFunction
from gigastt.workers.scheduler import Scheduler, Turn
from gigastt.workers.streams import LiveTrack, take_offers

log = get_logger(__name__)

NotePass: TypeAlias = Callable[[Turn, Sequence[Window]], None]


class PartialWork:
    """The partials of one worker.

    Args:
        recognizer: transcribes windows.
        scheduler: says how far apart partials are.
        live: the live tracks, as they come and go.
        touch: told which audio is looked at from now on.
        send: takes messages to the gateway.
        note_pass: told of windows before their pass.
    """

    def __init__(
        self,
        recognizer: Transcriber,
        scheduler: Scheduler,
        live: Mapping[StreamId, LiveTrack],
        touch: TouchFunction,
        send: Callable[[ToGateway], None],
        note_pass: NotePass,
    ) -> None:
        self._recognizer = recognizer
        self._scheduler = scheduler
        self._live = live
        self._touch = touch
        self._send = send
        self._note_pass = note_pass

    def _wanting(self) -> Iterator[LiveTrack]:
        """Yield the tracks that may have something new to show."""
        for track in self._live.values():
            if track.partials and track.utterance is None and (track.heard or track.offer is not None):
                yield track

    def _times(self, wanting: Sequence[LiveTrack]) -> dict[LiveTrack, float]:
        """Return when the next partial of each track is due, at the cadence that the load allows."""
        speaking = sum(track.speaking for track in self._live.values())
        often = self._scheduler.partial_interval(speaking, first=True)
        usual = self._scheduler.partial_interval(speaking)
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

    def look_ahead(self, track: LiveTrack, now: float) -> None:
        """Transcribe what is the whole utterance if its silence goes on; its final then needs no pass."""
        track.looking = False
        if (window := track.take_offer()) is not None:
            self._run_pass([(track, window)], now, Turn.FINAL)

    def run(self, due: Sequence[LiveTrack], now: float) -> None:
        """Run one pass over the windows of the first track that is due and of those that may share it."""
        sharing = self._recognizer.sharing
        offers = take_offers(due, shares_finals=sharing.finals)
        if batch := sharing.choose(offers, lambda offer: len(offer[1].features)):
            self._run_pass(batch, now, Turn.PARTIAL)

    def _run_pass(self, batch: Sequence[tuple[LiveTrack, Window]], now: float, turn: Turn) -> None:
        windows = [window for _, window in batch]
        self._touch([track.touch(window) for track, window in batch])
        hypotheses = self._transcribe(windows, turn)
        is_exact = len(batch) == 1 or self._recognizer.sharing.finals
        for number, (track, window) in enumerate(batch):
            track.partial_at, track.offer = now, None
            if hypotheses is None:
                track.failed = True
                continue
            result = track.stream.accept_partial(window, hypotheses[number], alone=is_exact)
            if result is not None:
                self._send(PartialMessage(track.id, result))

    def _transcribe(self, windows: list[Window], turn: Turn) -> list[Hypothesis] | None:
        self._note_pass(turn, windows)
        try:
            if len(windows) == 1:
                return [self._recognizer.transcribe(windows[0])]
            return self._recognizer.transcribe_batch(windows)
        except InferenceError as exc:
            log.warning("partial_failed", batch=len(windows), cause=str(exc))
            return None
