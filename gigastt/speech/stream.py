"""The streaming state of one session: samples in, windows to transcribe out, and their results back in.

Owned by the worker's main thread (or by `gigastt transcribe`). No model, no clock, no I/O: its owner
decides when a pass runs, and nothing about when or whether partial passes ran can change a final.

    push ─► features ─► activity levels ─► segmenter ─► utterances ────────► next_final   ─► accept_final
                                             └───────── the open utterance ─► next_partial ─► accept_partial
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.speech.activity import BLOCK_FRAMES, BLOCK_SAMPLES, ActivityDetector, Analysis
from gigastt.speech.commit import Commit, ResumeState
from gigastt.speech.draft import Draft
from gigastt.speech.excerpts import add_words, put_in_room
from gigastt.speech.segmenter import Cut, Reason, Segmenter
from gigastt.speech.tokens import FRAME_SAMPLES, Hypothesis, Window, begin_at
from gigastt.transcript import ENDPOINT_SILENCE_MS, Drop, Final, Options, Partial

PARTIAL_FRAMES = 480  # a partial pass sees about so much, unless it is the speculative final,
LONGEST_PARTIAL_FRAMES = 800  # and at most so much: passes may be so far apart that new audio alone is longer
CONTEXT_FRAMES = 200  # left context of a pass that does not begin with the utterance
EAGER_FRAMES = 200  # so long an utterance is searched for its first word with every block,
MAX_PATIENCE_FRAMES = 100  # then the next pass waits for a quarter of what came since, at most so long
_NOTHING = Hypothesis((), ())


@dataclass(frozen=True, slots=True)
class Utterance:
    """A cut utterance that waits for its pass, or a checkpoint within a long one.

    A checkpoint's pass decides whether anyone still speaks; its audio will be in an utterance's window too.

    hypothesis: already known (the speculative final, or nothing to transcribe): no pass is needed.
    is_clear: whether the detector had no doubt that this is speech.
    speech: how sure it was, 0 to 1.
    samples: from its first frame on, where voices are wanted.
    drop: `no_speech` where it needs no pass because the detector heard none.
    commit: what the stream may forget once this utterance's final has been delivered.
    """

    window: Window
    first_frame: int
    last_frame: int
    reason: Reason
    commit: Commit
    hypothesis: Hypothesis | None = None
    is_clear: bool = True
    drop: Drop = ""
    is_checkpoint: bool = False
    speech: float = 1.0
    samples: Samples | None = None


@dataclass(frozen=True, slots=True)
class _Offer:
    """The partial window that is out for its pass."""

    window: Window
    start: int
    end: int
    is_final: bool


class Stream:
    """One stream of 16 kHz mono audio.

    Args:
        options: how to segment it.
        detector_factory: makes a fresh activity detector.
        start: absolute sample that will be pushed first; a multiple of 640.
        resume: the bytes of the commit at `start`; empty begins anew there.
        min_confidence: utterances without a word so sure are left out.

    Raises:
        ValueError: an option is out of its range, or `start` and `resume` are not of one commit.
    """

    def __init__(
        self,
        options: Options,
        detector_factory: Callable[[], ActivityDetector],
        start: int = 0,
        resume: bytes = b"",
        min_confidence: float = 0.0,
    ) -> None:
        least, most = ENDPOINT_SILENCE_MS
        if not least <= (silence := options.endpoint_silence_ms) <= most:
            raise ValueError(f"Expected endpoint_silence_ms of {least} to {most}, but got {silence}.")
        if start < 0 or start % BLOCK_SAMPLES:
            raise ValueError(f"Expected a start at a multiple of {BLOCK_SAMPLES} samples, but got {start}.")
        block = start // BLOCK_SAMPLES
        detector = detector_factory()
        self._options = options
        self._min_confidence = min_confidence
        self._segmenter = Segmenter(options.endpoint_silence_ms, block)
        self._levels = bytearray()  # of blocks that the segmenter has not taken
        if resume:
            block = self._continue(start, ResumeState.unpack(resume), detector)
        self._analysis = Analysis(detector, start, block, keeps_samples=options.diarization)
        self._waiting: deque[Utterance] = deque()
        self._draft: Draft | None = None
        self._offer: _Offer | None = None
        self._speculative: tuple[int, int, Hypothesis] | None = None
        self._last_offered = -1
        self._is_checking = False
        self._finished = False
        self._commit = self._snapshot()

    @property
    def consumed(self) -> int:
        """Absolute samples taken in and analysed."""
        return self._analysis.extracted

    @property
    def commit(self) -> Commit:
        """The commit of this moment: finals up to here have been accepted, nothing before is needed again."""
        if self._commit.offset != self.commit_offset:
            self._commit = self._snapshot()
        return self._commit

    @property
    def commit_offset(self) -> int:
        """The offset of that commit, which costs nothing; its state has to be packed."""
        return self._commit.offset if self._waiting else self._segmenter.needed_from * BLOCK_SAMPLES

    def seconds(self, frame: int) -> float:
        """Return when a frame begins; of one behind the end of the audio, when that was, rounded down."""
        return min(frame * FRAME_SAMPLES, self.consumed) * 100 // SAMPLE_RATE / 100

    @property
    def done(self) -> bool:
        """Whether the stream was finished and every final accepted."""
        return self._finished and not self._waiting

    @property
    def is_wordless(self) -> bool:
        """Whether the open utterance has shown no word yet."""
        return self._draft is None or self._draft.is_wordless

    @property
    def in_tail(self) -> bool:
        """Whether the open utterance may be over: its next partial window is then the one its final will have."""
        return self._segmenter.tail_end is not None and self._segmenter.activity.is_clear

    @property
    def open_frames(self) -> tuple[int, int] | None:
        """The open utterance's first frame, and how far it is known: to its end, if silence goes on, once `in_tail`."""
        segmenter = self._segmenter
        if self._finished or not segmenter.activity.is_clear:
            return None
        end = (segmenter.tail_end or segmenter.position) * BLOCK_FRAMES
        return segmenter.needed_from * BLOCK_FRAMES, min(end, self._analysis.features.end)

    def read_samples(self, first: int, end: int) -> Samples:
        """Return the samples of frames that are still needed, where voices are wanted."""
        return self._analysis.read_samples(first, end)

    def push(self, samples: Samples) -> None:
        """Take the next samples, any number of them."""
        if self._analysis.is_finished:
            raise RuntimeError("Expected no samples after finish.")
        if self._analysis.push(samples):
            self._proceed()

    def finish(self) -> None:
        """End the audio: the last utterance, perhaps empty, is cut with reason `stop`."""
        if not self._analysis.is_finished:
            self._analysis.finish()
            self._proceed()

    def next_final(self) -> Utterance | None:
        """Return the oldest cut utterance, or the checkpoint, whose result has not been accepted."""
        return self._waiting[0] if self._waiting else None

    def accept_final(self, utterance: Utterance, hypothesis: Hypothesis | None) -> Final | None:
        """Take the result of the oldest waiting pass; None says that it failed.

        Returns:
            The final; None after a checkpoint, which has nothing to tell.
        """
        if not self._waiting or utterance is not self._waiting[0]:
            raise ValueError("Expected the result of the oldest waiting utterance.")
        self._waiting.popleft()
        if utterance.is_checkpoint:
            self._accept_check(utterance, hypothesis)
            return None
        self._commit = utterance.commit
        start, end = self.seconds(utterance.first_frame), self.seconds(utterance.last_frame)
        speech = round(utterance.speech, 4)
        wordless = Final("", (), start, end, 0.0, utterance.reason, speech=speech, drop=utterance.drop)
        return add_words(
            wordless,
            hypothesis,
            utterance.first_frame,
            is_clear=utterance.is_clear,
            min_confidence=self._min_confidence,
        )

    def next_partial(self) -> Window | None:
        """Return the growing utterance as far as it may be transcribed now; None when nothing is new."""
        segmenter = self._segmenter
        if not self._options.partials or not segmenter.activity.is_clear or self._finished:
            return None
        start = segmenter.needed_from * BLOCK_FRAMES
        tail = segmenter.tail_end
        end = (tail or segmenter.position) * BLOCK_FRAMES
        if end > self._analysis.features.end:  # a resumed stream waits for its audio
            return None
        if self._draft is None:
            self._draft = Draft(start)
        quiet = max(0, end - start - EAGER_FRAMES) if self._draft.is_wordless else 0
        patience = min(MAX_PATIENCE_FRAMES, quiet // 4)
        if end - self._last_offered <= patience:
            return None
        self._last_offered = end
        window = self._growing(start, end) if tail is None else self._final(start, end, segmenter.lead)
        self._offer = _Offer(window, start, end, is_final=tail is not None)
        return window

    def accept_partial(self, window: Window, hypothesis: Hypothesis, alone: bool) -> Partial | None:
        """Take the result of a partial pass; return what it says if it is current and new.

        Args:
            window: as `next_partial` returned it.
            hypothesis: its result.
            alone: whether it was encoded alone; only then can it serve as the final.
        """
        offer = self._offer
        if offer is None or offer.window is not window or self._draft is None:
            return None
        self._offer = None
        hypothesis = begin_at(hypothesis, offer.start)
        if offer.is_final and alone:
            self._speculative = (offer.start, offer.end, hypothesis)
        return self._draft.update(hypothesis, offer.end, silent=offer.is_final)

    def _proceed(self) -> None:
        """Analyse and cut as far as the audio goes, or to a checkpoint: what follows depends on its answer."""
        while self._segment():
            levels = self._analysis.next_levels()
            if not levels:
                break
            self._levels += levels
        if self._analysis.is_finished and not self._is_checking and not self._finished:
            self._finished = True
            self._add_last()

    def _segment(self) -> bool:
        """Give the segmenter the levels that wait; False when it stopped at a checkpoint."""
        while self._levels and not self._is_checking:
            cut = self._segmenter.push(self._levels.pop(0))
            if cut is not None:
                self._add(cut)
            elif (check_from := self._segmenter.check_from) is not None:
                self._add_check(check_from)
        self._analysis.drop_before(self._segmenter.needed_from * BLOCK_FRAMES)
        return not self._is_checking

    def _add_check(self, check_from: int) -> None:
        first, last = check_from * BLOCK_FRAMES, self._segmenter.position * BLOCK_FRAMES
        window = self._whole(first, last)
        self._waiting.append(Utterance(window, first, last, "silence", self._commit, is_checkpoint=True))
        self._is_checking = True

    def _accept_check(self, checkpoint: Utterance, hypothesis: Hypothesis | None) -> None:
        """Go on from a checkpoint; a pass that failed says that someone speaks."""
        last_word: int | None = checkpoint.last_frame // BLOCK_FRAMES
        if hypothesis is not None:
            spoken = [token.frame for token in hypothesis.tokens if any(map(str.isalnum, token.piece))]
            last_word = spoken[-1] // BLOCK_FRAMES + 1 if spoken else None
        self._is_checking = False
        cut = self._segmenter.accept_check(last_word)
        if cut is not None:
            self._add(cut)
        self._proceed()

    def _add(self, cut: Cut) -> None:
        first, last = cut.first * BLOCK_FRAMES, cut.last * BLOCK_FRAMES
        known = self._speculative
        hypothesis = known[2] if known is not None and known[:2] == (first, last) and not cut.padding else None
        drop: Drop = ""
        if not cut.activity.is_speech:
            hypothesis = _NOTHING
            drop = "no_speech" if first < last else ""
        window, activity = self._final(first, last, cut.lead, cut.padding), cut.activity
        commit = self._snapshot()
        samples = self.read_samples(first, last) if self._options.diarization else None
        told = cut.reason, commit, hypothesis, activity.is_clear, drop
        self._waiting.append(Utterance(window, first, last, *told, speech=activity.mean, samples=samples))
        self._draft, self._offer, self._speculative = None, None, None
        self._last_offered = last

    def _add_last(self) -> None:
        """Add the utterance that ends the stream.

        A cut in the last block, which silence filled up, is that one: nothing follows it, and it commits more than
        there is. Every commit before is at a block that a stream can begin with.
        """
        if self._waiting and self._waiting[-1].commit.offset > self._analysis.extracted:
            self._waiting[-1] = replace(self._waiting[-1], reason="stop")
        else:
            self._add(self._segmenter.finish())

    def _whole(self, first: int, end: int, lead: int = 0, padding: int = 0) -> Window:
        features = self._analysis.features.read(first, end)
        return Window(put_in_room(features, lead * BLOCK_FRAMES, padding * BLOCK_FRAMES), first - lead * BLOCK_FRAMES)

    def _final(self, first: int, end: int, lead: int, padding: int = 0) -> Window:
        return replace(self._whole(first, end, lead, padding), options=self._options)

    def _growing(self, start: int, end: int) -> Window:
        """Return a window over the open utterance that costs at most `PARTIAL_FRAMES`, if passes are not too rare."""
        draft = self._draft
        assert draft is not None
        first = start
        if end - start > PARTIAL_FRAMES:
            searched = CONTEXT_FRAMES if draft.is_wordless else PARTIAL_FRAMES - CONTEXT_FRAMES
            settled = min(end - searched, draft.complete_to)
            draft.settle_before(max(settled, end - LONGEST_PARTIAL_FRAMES + CONTEXT_FRAMES))
            first = max(start, draft.searched_to - CONTEXT_FRAMES)
        window = self._whole(first, end, self._segmenter.lead if first == start else 0)
        skip = draft.searched_to - window.first_frame if draft.searched_to > start else 0
        return replace(window, skip=skip // BLOCK_FRAMES, state=draft.state)

    def _snapshot(self) -> Commit:
        analysis = self._analysis
        resume = ResumeState(
            analysis.position, bytes(self._levels), analysis.get_detector_state(), self._segmenter.get_state()
        )
        return Commit(self._segmenter.needed_from * BLOCK_SAMPLES, resume.pack())

    def _continue(self, start: int, state: ResumeState, detector: ActivityDetector) -> int:
        detector.set_state(state.detector)
        self._segmenter.set_state(state.segmenter)
        self._levels += state.levels
        if (
            self._segmenter.position + len(state.levels) != state.analysed
            or self._segmenter.needed_from * BLOCK_SAMPLES != start
        ):
            raise ValueError("Expected the resume bytes of the commit at this start.")
        return state.analysed
