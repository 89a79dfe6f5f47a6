"""Live work in a worker: the finals of utterances that have ended, and the partials of those that grow.

Owned by the engine, on the worker's main thread. A final has a pass of its own, or shares one; so do partials.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from gigastt.errors import InferenceError
from gigastt.ipc.messages import Failed, FinalMessage, PartialMessage, StreamId, ToGateway
from gigastt.log import get_logger
from gigastt.speech.recognizer import Attempt, Transcriber, transcribe_each
from gigastt.speech.tokens import Hypothesis, Window
from gigastt.transcript import Gap
from gigastt.workers.file_work import TouchFunction
from gigastt.workers.scheduler import Scheduler, Turn
from gigastt.workers.streams import LiveTrack, run_preview, take_offers

log = get_logger(__name__)

NotePass: TypeAlias = Callable[[Turn, Sequence[Window]], None]


@dataclass(slots=True, eq=False)
class LiveWork:
    """The passes of one worker's live tracks.

    Attributes:
        recognizer: transcribes windows.
        scheduler: says whose final is next, and how far apart partials are.
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
    _waiting: deque[LiveTrack] = field(default_factory=deque, init=False)  # for a final, as their utterances ended

    # -- finals

    @property
    def has_finals(self) -> bool:
        """Whether a track waits for its final, or must know now what that would be."""
        return bool(self._waiting)

    def line_up(self, track: LiveTrack) -> None:
        """Have a track wait for its final."""
        if track not in self._waiting:
            self._waiting.append(track)

    def run_final(self, now: float) -> list[LiveTrack]:
        """Give the next track what it waits for, and those that share its pass; return those that can go on."""
        first = self._take_first()
        if self._is_gone(first):
            return []
        if (window := _find_window(first)) is not None:
            batch = self._take_mates(first, window)
            self._run_pass(batch, now)
            return [track for track, _ in batch]
        self.touch([first.touch()])
        if first.looking:
            first.looking = False  # there is nothing to see yet
        elif first.utterance is not None:
            self._accept_final(first, first.utterance.hypothesis)  # only its voices were missing
        elif first.preview:
            self._run_preview(first)
        return [first]

    def accept_known(self, track: LiveTrack) -> bool:
        """Accept the waiting utterance if its words are known without a pass; return whether they were."""
        if track.utterance is None or track.utterance.hypothesis is None:
            return False
        if track.voices is not None and track.voices.needs_pass(track.utterance):
            return False
        self._accept_final(track, track.utterance.hypothesis)
        return True

    def _accept_final(self, track: LiveTrack, hypothesis: Hypothesis | None) -> None:
        """Take the words of the waiting utterance, None where it could not be recognised, and tell them."""
        utterance = track.utterance
        assert utterance is not None, "only a waiting utterance can be accepted"
        final = track.stream.accept_final(utterance, hypothesis)
        track.utterance = track.stream.next_final()
        if final is None:  # a checkpoint: it tells the stream where to cut, and the client nothing
            return
        if track.voices is not None:
            final = track.voices.complete(utterance, final)
        if final.drop:
            surest = max((word.confidence for word in final.dropped), default=0.0)
            span = {"start": final.start, "end": final.end}
            log.debug("utterance_dropped", stream=track.id, reason=final.drop, surest=surest, **span)
        track.told_consumed = track.stream.consumed
        # The last commit of a stream is at a whole block, which may lie beyond the last sample.
        track.told_committed = min(utterance.commit.offset, track.told_consumed)
        resume = utterance.commit.resume
        self.send(FinalMessage(track.id, final, track.told_consumed, track.told_committed, resume))
        track.failed = False

    def _is_gone(self, track: LiveTrack) -> bool:
        return self.live.get(track.id) is not track

    def _take_first(self) -> LiveTrack:
        """Take the first of those that wait, of those that keep up or of those that lag."""
        first = {track.lags: track for track in reversed(self._waiting)}
        track = first[self.scheduler.next_lags(keeping_up=False in first, lagging=True in first)]
        self._waiting.remove(track)
        return track

    def _take_mates(self, first: LiveTrack, window: Window) -> list[tuple[LiveTrack, Window]]:
        """Take those whose windows may share the pass of this one; return all of them."""
        sharing = self.recognizer.sharing
        waiting = [] if first.failed or not sharing.finals else self._waiting
        others = ((t, _find_window(t)) for t in waiting if not (t.failed or self._is_gone(t)))
        able = [(first, window), *((track, other) for track, other in others if other is not None)]
        batch = sharing.choose(able, lambda each: len(each[1].features))
        for track, _ in batch[1:]:
            self._waiting.remove(track)
        return batch

    def _run_pass(self, batch: Sequence[tuple[LiveTrack, Window]], now: float) -> None:
        windows = [window for _, window in batch]
        self.touch([track.touch(window) for track, window in batch])
        self.note_pass(Turn.FINAL, windows)
        for (track, window), attempt in zip(batch, transcribe_each(self.recognizer, windows), strict=True):
            if track.looking:
                track.looking = False
                self._accept_partial(track, window, attempt, now, is_exact=True)
            else:
                self._accept_attempt(track, attempt)

    def _accept_attempt(self, track: LiveTrack, attempt: Attempt) -> None:
        utterance = track.utterance
        assert utterance is not None, "it is what had the pass"
        if not isinstance(attempt, InferenceError):
            self._accept_final(track, attempt)
            return
        log.warning("final_failed", stream=track.id, cause=str(attempt))
        if not utterance.is_checkpoint:
            begin, end = map(track.stream.seconds, (utterance.first_frame, utterance.last_frame))
            self.send(Failed(track.id, Gap("inference_error", begin, end)))
        self._accept_final(track, None)

    def _run_preview(self, track: LiveTrack) -> None:
        message, windows = run_preview(self.recognizer, track)
        if message is not None:
            self.send(message)
        if windows:
            self.note_pass(Turn.FINAL, windows)

    # -- partials

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

    def due_partials(self, now: float) -> list[LiveTrack]:
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

    def run_partials(self, due: Sequence[LiveTrack], now: float) -> None:
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
            self._accept_partial(track, window, attempt, now, is_exact=is_exact)

    def _accept_partial(
        self, track: LiveTrack, window: Window, attempt: Attempt, now: float, *, is_exact: bool
    ) -> None:
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


def _find_window(track: LiveTrack) -> Window | None:
    """Return what a track waits to have transcribed; of one that looks ahead, what its final may be."""
    if track.looking:
        return track.take_offer()
    utterance = track.utterance
    return utterance.window if utterance is not None and utterance.hypothesis is None else None
