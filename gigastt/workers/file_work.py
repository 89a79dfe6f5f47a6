"""Files in a worker: streams that find the utterances of files, and utterances of any file that await their pass.

Owned by the engine, on the worker's main thread. A file's stream reads ahead of the passes, as far as the gateway lets
it; its utterances come back one by one, to this worker or to others. A checkpoint needs a pass of its own before the
stream can go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from gigastt.audio.pcm import Samples
from gigastt.errors import InferenceError
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import (
    Closed,
    Excerpt,
    Failed,
    FinalMessage,
    Found,
    Recognise,
    Recognised,
    StreamId,
    ToGateway,
)
from gigastt.log import get_logger
from gigastt.speech.excerpts import add_words, read_window
from gigastt.speech.recognizer import Attempt, Transcriber, transcribe_each
from gigastt.speech.tokens import FRAME_SAMPLES, Hypothesis, Window
from gigastt.speech.voices import VoiceWindow, voice_windows
from gigastt.transcript import Final, Gap, Voice
from gigastt.workers.streams import FileTrack
from gigastt.workers.voices import FindsVoices, LoadVoices, find_voices

log = get_logger(__name__)

READINGS_PER_PASS = 16  # half a minute of audio, read in some 20 ms

AttachFunction: TypeAlias = Callable[[str, int], Samples]
TouchFunction: TypeAlias = Callable[[Sequence[Touch]], None]


@dataclass(slots=True)
class _Listening:
    """An utterance whose words are known, and whose voices are being looked for."""

    stream: StreamId
    final: Final
    samples: Samples
    model: FindsVoices
    windows: deque[VoiceWindow]
    voices: list[Voice] = field(default_factory=list)


class FileWork:
    """The files of one worker, in turns.

    Args:
        recognizer: transcribes windows.
        attach: maps the first samples of a named shared segment.
        touch: told which audio is looked at from now on.
        send: takes messages to the gateway.
        note_pass: told of windows before their pass.
        min_confidence: of the surest word of an utterance.
        load_voices: returns the model that tells voices apart, once somebody wants it.
    """

    def __init__(
        self,
        recognizer: Transcriber,
        attach: AttachFunction,
        touch: TouchFunction,
        send: Callable[[ToGateway], None],
        note_pass: Callable[[Sequence[Window]], None],
        min_confidence: float,
        load_voices: LoadVoices,
    ) -> None:
        self._load_voices = load_voices
        self._listening: deque[_Listening] = deque()
        self._min_confidence = min_confidence
        self._recognizer = recognizer
        self._attach = attach
        self._touch = touch
        self._send = send
        self._note_pass = note_pass
        self._tracks: dict[StreamId, FileTrack] = {}
        self._requests: dict[StreamId, Recognise] = {}  # in the order in which they came
        self._readings = 0  # since an utterance was last recognised

    def __len__(self) -> int:
        """Count the streams, and the utterances that await their pass."""
        return len(self._tracks) + len(self._requests) + len(self._listening)

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._requests or self._listening) or any(track.may_read for track in self._tracks.values())

    def open(self, track: FileTrack) -> None:
        """Take a file's stream."""
        self._tracks[track.id] = track

    def proceed(self, stream: StreamId) -> None:
        """Let a stream find one more utterance."""
        if (track := self._tracks.get(stream)) is not None:
            track.left += 1

    def request(self, message: Recognise) -> None:
        """Take an utterance to recognise."""
        self._requests[message.stream] = message

    def forget(self, stream: StreamId) -> None:
        """Forget a stream or an utterance."""
        self._tracks.pop(stream, None)
        self._requests.pop(stream, None)
        self._listening = deque(work for work in self._listening if work.stream != stream)

    def read_ahead(self) -> FileTrack | None:
        """Read some of the next file beside a live pass, so that its own turn is not spent on reading."""
        track = next((track for track in self._tracks.values() if track.may_read), None)
        if track is not None:
            self._read(track)
        return track

    def step(self) -> FileTrack | None:
        """Run one pass, or read a few seconds of one file, which is returned.

        The voices of an utterance whose words are known come first; then files whose utterances may soon be used up,
        for so many turns; then utterances, then other files. Files take turns. An hour of silence is read for as long
        as nobody else waits.
        """
        if self._listening:
            self._listen(self._listening[0])
            return None
        tracks = [track for track in self._tracks.values() if track.may_read]
        track = next((track for track in tracks if track.is_urgent), None)
        if self._requests and (track is None or self._readings >= READINGS_PER_PASS):
            self._readings = 0
            self._recognise(self._take_requests())
            return None
        self._readings += 1
        track = track or next(iter(tracks), None)
        if track is not None:
            self._tracks[track.id] = self._tracks.pop(track.id)
            self._read(track)
            if track.utterance is not None and track.id in self._tracks:
                self._check(track)
        return track

    # -- finding

    def _read(self, track: FileTrack) -> None:
        """Analyse a file's next seconds, unless a checkpoint is waiting, and pass on what they complete."""
        self._touch([track.touch()])
        if track.utterance is None:
            track.feed()
        self._pass_on(track)

    def _check(self, track: FileTrack) -> None:
        """Run the pass of a checkpoint, which decides where the stream goes on."""
        checkpoint = track.utterance
        assert checkpoint is not None, "only a checkpoint waits"
        self._note_pass([checkpoint.window])
        self._touch([track.touch(checkpoint.window)])
        [attempt] = transcribe_each(self._recognizer, [checkpoint.window])
        track.stream.accept_final(checkpoint, self._words_of(track.id, attempt))
        track.utterance = track.stream.next_final()
        self._pass_on(track)

    def _pass_on(self, track: FileTrack) -> None:
        """Tell of the utterances that are complete; those without a sound in them are finals already."""
        stream = track.stream
        while (utterance := track.utterance) is not None and not utterance.is_checkpoint:
            final = stream.accept_final(utterance, utterance.hypothesis)
            assert final is not None, "it is no checkpoint"
            track.told_consumed = stream.consumed
            # The last commit of a stream is at a whole block, which may lie beyond the last sample.
            track.told_committed = min(utterance.commit.offset, track.told_consumed)
            told = track.told_consumed, track.told_committed, utterance.commit.resume
            if utterance.hypothesis is not None:
                self._send(FinalMessage(track.id, final, *told))
            else:
                window, first, last = utterance.window, utterance.first_frame, utterance.last_frame
                lead = first - window.first_frame
                padding = len(window.features) - lead - (last - first)
                self._send(Found(track.id, Excerpt(first, last, lead, padding, utterance.is_clear, final), *told))
                track.left -= 1
            track.utterance = stream.next_final()
        if stream.done:
            self._send(Closed(track.id))
            self.forget(track.id)

    # -- recognising

    def _take_requests(self) -> list[Recognise]:
        """Take the utterance that has waited longest, and those that may share its pass."""
        first, *others = self._requests.values()
        sharing = self._recognizer.sharing
        if first.alone or not sharing.finals:
            others = []
        batch = sharing.choose([first, *(each for each in others if not each.alone)], _count_frames)
        for request in batch:
            del self._requests[request.stream]
        return batch

    def _recognise(self, requests: Sequence[Recognise]) -> None:
        """Run the pass of some utterances, and tell of each."""
        self._touch([_touch_of(request) for request in requests])
        attached = [(request, samples) for request in requests if (samples := self._map(request)) is not None]
        windows = [_window_of(request, samples) for request, samples in attached]
        if windows:
            self._note_pass(windows)
        attempts = transcribe_each(self._recognizer, windows)
        for (request, samples), attempt in zip(attached, attempts, strict=True):
            self._tell(request, samples, self._words_of(request.stream, attempt))

    def _map(self, request: Recognise) -> Samples | None:
        """Map an utterance's file; tell that there are no words where it is gone."""
        try:
            return self._attach(request.segment, request.samples)
        except (OSError, ValueError) as exc:
            log.error("stream_refused", stream=request.stream, cause=repr(exc))
            self._tell(request, np.zeros(0, np.int16), None)
            return None

    def _tell(self, request: Recognise, samples: Samples, hypothesis: Hypothesis | None) -> None:
        """Tell of an utterance, at once or, if its voices are wanted, when they are known."""
        excerpt, stream = request.excerpt, request.stream
        if hypothesis is None:
            self._send(Failed(stream, Gap("inference_error", excerpt.final.start, excerpt.final.end)))
        final = add_words(
            excerpt.final,
            hypothesis,
            excerpt.first_frame,
            is_clear=excerpt.is_clear,
            min_confidence=self._min_confidence,
        )
        model = self._load_voices() if request.options.diarization and final.words else None
        if model is None:
            self._send(Recognised(stream, final))
            return
        windows = deque(voice_windows(excerpt.first_frame, excerpt.last_frame))
        self._listening.append(_Listening(stream, final, samples, model, windows))

    def _listen(self, work: _Listening) -> None:
        """Look for voices in one window of an utterance; tell of the utterance after its last one."""
        window = work.windows.popleft()
        first, last = window.context * FRAME_SAMPLES, window.end * FRAME_SAMPLES
        self._touch([Touch(work.stream, first, last)])
        work.voices += find_voices(work.model, work.samples[first:last], window)
        if not work.windows:
            self._listening.popleft()
            self._send(Recognised(work.stream, replace(work.final, voices=tuple(work.voices))))

    def _words_of(self, stream: StreamId, attempt: Attempt) -> Hypothesis | None:
        """Return what a pass gave; None, and a line in the log, where it failed."""
        if isinstance(attempt, InferenceError):
            log.warning("final_failed", stream=stream, cause=str(attempt))
            return None
        return attempt


def _count_frames(request: Recognise) -> int:
    """Return the length of an utterance's window before it is read."""
    excerpt = request.excerpt
    return excerpt.lead + excerpt.last_frame - excerpt.first_frame + excerpt.padding


def _touch_of(request: Recognise) -> Touch:
    excerpt = request.excerpt
    first, last = excerpt.first_frame - excerpt.lead, excerpt.last_frame + excerpt.padding
    return Touch(request.stream, first * FRAME_SAMPLES, last * FRAME_SAMPLES)


def _window_of(request: Recognise, samples: Samples) -> Window:
    excerpt = request.excerpt
    bounds = excerpt.first_frame, excerpt.last_frame, excerpt.lead, excerpt.padding
    return read_window(samples, *bounds, request.options)
