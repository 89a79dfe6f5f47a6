"""Tracks: what the engine keeps for each stream of the gateway.

A live track gets its audio in packets; a file track reads it from a shared segment, a few seconds at a time.
Both feed the same `Stream` and stop feeding it while an utterance waits for its pass: so memory stays bounded,
and `consumed`, by which the gateway grants credit, says how far the worker really is.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gigastt import transcript
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.errors import InferenceError
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import PartialMessage, Progress, StreamId
from gigastt.log import get_logger
from gigastt.speech.recognizer import Transcriber
from gigastt.speech.stream import Stream, Utterance
from gigastt.speech.tokens import FRAME_SAMPLES, Window
from gigastt.speech.voices import VoiceWindow
from gigastt.workers.voices import VoiceTrace

log = get_logger(__name__)

FILE_PIECE_SAMPLES = 2 * SAMPLE_RATE  # analysed between two looks at live work
PROGRESS_STEP_SAMPLES = SAMPLE_RATE // 2  # of credit, or of silence committed, that the gateway need not know of sooner
LAG_SAMPLES = 2 * SAMPLE_RATE  # that wait: more than one frame of any client that sends what it hears
LIVE_PIECE_SAMPLES = SAMPLE_RATE * 16 // 100  # 160 ms: shorter than what follows an utterance's tail up to its endpoint


@dataclass(slots=True, eq=False)
class StreamTrack:
    """The part that live and file tracks share.

    utterance: cut, and waiting for its pass.
    told_consumed, told_committed: what the gateway has heard of this stream.
    """

    id: StreamId
    stream: Stream
    utterance: Utterance | None = None
    told_consumed: int = 0
    told_committed: int = 0

    @property
    def untold(self) -> int:
        """Samples analysed, or committed, of which the gateway has not heard."""
        return max(self.stream.consumed - self.told_consumed, self.stream.commit_offset - self.told_committed)

    @property
    def coming(self) -> int:
        """Samples that the stream may be given next."""
        raise TypeError("Expected a live or a file track.")

    def touch(self, window: Window | None = None) -> Touch:
        """Name the samples under a window, or all that the stream holds and may be given next."""
        if window is None:
            return Touch(self.id, self.stream.commit_offset, self.stream.consumed + self.coming + 1)
        start = window.first_frame * FRAME_SAMPLES
        return Touch(self.id, start, start + len(window.features) * FRAME_SAMPLES)

    def take_progress(self) -> Progress:
        """Return the message that tells the gateway how far the stream is, and note that it knows."""
        resume = b""
        if self.stream.commit_offset > self.told_committed:
            commit = self.stream.commit
            self.told_committed, resume = commit.offset, commit.resume
        self.told_consumed = self.stream.consumed
        return Progress(self.id, self.told_consumed, self.told_committed, resume)

    def feed(self) -> bool:
        """Give the stream its next audio, if it may have any; return whether that changed anything."""
        raise TypeError("Expected a live or a file track.")


@dataclass(slots=True, eq=False)
class LiveTrack(StreamTrack):
    """A track whose audio comes in packets.

    partials: whether the client wants any.
    partial_at: when its last partial pass ran.
    heard: whether audio came since a partial window was last taken.
    speaking: whether there was a window then.
    offer: a partial window that waits for its pass; replaced by a longer one, never queued.
    ahead: the offer is the window that the final will have, if silence goes on.
    failed: a partial of this utterance has failed, or a worker before this one crashed over it.
    looking: its audio waits while the final that its silence promises is computed ahead.
    looked: that has been done for this silence.
    preview: no audio comes, and the gateway wants to know what the final would be.
    voices: of its utterances; None where nobody wants them.
    """

    partials: bool = True
    partial_at: float = -1e9
    heard: bool = False
    speaking: bool = False
    offer: Window | None = None
    ahead: bool = False
    failed: bool = False
    looking: bool = False
    looked: bool = False
    preview: bool = False
    backlog: deque[Samples] = field(default_factory=deque)
    backlog_samples: int = 0
    finishing: bool = False
    voices: VoiceTrace | None = None

    @property
    def voice_window(self) -> VoiceWindow | None:
        """A window of the open utterance in which voices can be looked for, if anybody wants them."""
        if self.voices is None or self.utterance is not None or (self.partials and self.stream.is_wordless):
            return None
        return self.voices.next_window(self.stream)

    def look_for_voices(self) -> None:
        """Look for voices in that window."""
        if self.voices is not None and (window := self.voice_window) is not None:
            self.voices.look_ahead(self.stream, window)

    @property
    def lags(self) -> bool:
        """Whether more audio waits than a microphone has given since the last pass: others are served first."""
        return self.backlog_samples > LAG_SAMPLES

    def take_audio(self, samples: Samples) -> None:
        """Add audio to what waits."""
        self.backlog.append(samples)
        self.backlog_samples += len(samples)

    @property
    def urgent(self) -> bool:
        """Whether its next pass may be its final one already, and so must not wait for the cadence of partials."""
        return self.stream.in_tail and (self.heard or (self.ahead and self.offer is not None))

    @property
    def coming(self) -> int:
        return sum(map(len, self.backlog))

    def feed(self) -> bool:
        """Give the stream what has come, up to the end of an utterance, or to a silence that may be one."""
        fed = False
        while self.utterance is None and (self.backlog or self.finishing) and not self._must_look():
            if self.backlog:
                self.stream.push(self._next_piece())
                self.heard = True
            else:
                self.finishing = False
                self.stream.finish()
            self.utterance = self.stream.next_final()
            fed = True
        if self.utterance is not None:
            self.offer, self.speaking = None, False
        return fed

    def _must_look(self) -> bool:
        """Tell whether the words are wanted before more audio: a client that sends much at once sees them, too."""
        if not self.stream.in_tail:
            self.looked = False
        elif self.partials and not self.looked:
            self.looked = self.looking = True
        return self.looking

    def _next_piece(self) -> Samples:
        samples = self.backlog.popleft()
        if len(samples) > LIVE_PIECE_SAMPLES:
            self.backlog.appendleft(samples[LIVE_PIECE_SAMPLES:])
        piece = samples[:LIVE_PIECE_SAMPLES]
        self.backlog_samples -= len(piece)
        return piece

    def take_offer(self) -> Window | None:
        """Return the newest partial window; None when there is nothing to transcribe."""
        if self.heard:
            self.heard = False
            window = self.stream.next_partial()
            if window is not None:
                self.offer, self.ahead = window, self.stream.in_tail
        self.speaking = self.offer is not None
        return self.offer


@dataclass(slots=True, eq=False)
class FileTrack(StreamTrack):
    """A track that reads a shared segment and finds its utterances; one that waits here is a checkpoint.

    samples: the whole file, int16 [samples]; a view of shared memory.
    ahead: how many utterances may be found and not be recognised.
    left: how many more may be found now.
    position: the next sample to read.
    """

    samples: Samples = field(kw_only=True)
    ahead: int = field(kw_only=True)
    left: int = field(kw_only=True)
    position: int = 0
    finished: bool = False

    @property
    def may_read(self) -> bool:
        """Whether it may go on."""
        return self.left > 0

    @property
    def is_urgent(self) -> bool:
        """Whether workers may soon have nothing of this file to recognise."""
        return 2 * self.left > self.ahead

    @property
    def coming(self) -> int:
        return FILE_PIECE_SAMPLES

    def feed(self) -> bool:
        """Give the stream the next seconds of the file, unless an utterance is waiting."""
        if self.utterance is not None or self.finished:
            return False
        if self.position < len(self.samples):
            piece = self.samples[self.position : self.position + FILE_PIECE_SAMPLES]
            self.position += len(piece)
            self.stream.push(piece)
        else:
            self.finished = True
            self.stream.finish()
        self.utterance = self.stream.next_final()
        return True


def take_offers(due: Sequence[LiveTrack], *, shares_finals: bool) -> Iterator[tuple[LiveTrack, Window]]:
    """Yield the windows of tracks that may share a pass; one that must be alone shares with nobody.

    Failures are not shared, nor windows that are to be finals, unless these have the same result in any company.
    """
    first_is_alone: bool | None = None
    for track in due:
        window = track.take_offer()
        is_alone = track.failed or (track.ahead and not shares_finals)
        if window is None or (first_is_alone is not None and is_alone):
            continue
        first_is_alone = is_alone if first_is_alone is None else first_is_alone
        yield track, window
        if first_is_alone:
            return


def run_preview(recognizer: Transcriber, track: LiveTrack) -> tuple[PartialMessage | None, list[Window]]:
    """Answer a track's `Preview`: what the final would be if the audio ended here.

    A copy of the stream is ended and transcribed, by the same functions as the stream itself will be; the stream
    notices nothing, so that nothing about when audio came can change what it finds.

    Returns:
        The message, None if a pass failed, and the windows that took a pass.
    """
    track.preview = False
    ended = copy.deepcopy(track.stream)
    ended.finish()
    words: list[transcript.Word] = []
    windows: list[Window] = []
    while (utterance := ended.next_final()) is not None:
        hypothesis = utterance.hypothesis
        if hypothesis is None:
            windows.append(utterance.window)
            try:
                hypothesis = recognizer.transcribe(utterance.window)
            except InferenceError as exc:
                log.warning("preview_failed", stream=track.id, cause=str(exc))
                return None, windows
        final = ended.accept_final(utterance, hypothesis)
        words += final.words if final is not None else ()
    track.heard, track.offer = False, None  # a partial of the same audio would only say less
    heard = transcript.Partial(" ".join(word.text for word in words), tuple(words), 0, as_final=True)
    return PartialMessage(track.id, heard), windows
