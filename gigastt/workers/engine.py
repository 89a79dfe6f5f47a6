"""The engine: all streams of one worker and the passes they need.

A plain object: messages in by `handle`, at most one encoder pass by `step`, messages out of both. It owns the
streams and asks the scheduler whose turn it is. No socket, thread or clock: `main` brings messages, says what
time it is, and tells how long a pass took. Runs on the worker's main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.errors import ProtocolViolation
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import (
    AttachAudio,
    Audio,
    Cancel,
    Closed,
    Failed,
    Finish,
    OpenStream,
    PassRecord,
    Preview,
    Proceed,
    Recognise,
    StreamId,
    ToGateway,
    ToWorker,
)
from gigastt.log import get_logger
from gigastt.speech.recognizer import Transcriber
from gigastt.speech.stream import Stream
from gigastt.speech.tokens import FRAME_SAMPLES, Window
from gigastt.transcript import Gap, Options
from gigastt.workers.file_work import AttachFunction, FileWork, TouchFunction
from gigastt.workers.live_work import LiveWork
from gigastt.workers.scheduler import Scheduler, Turn
from gigastt.workers.streams import PROGRESS_STEP_SAMPLES, FileTrack, LiveTrack, StreamTrack
from gigastt.workers.voices import LoadVoices, VoiceTrace

log = get_logger(__name__)

OpenFunction = Callable[[Options, int, bytes], Stream]


class Engine:
    """Every stream of one worker.

    Args:
        recognizer: transcribes windows.
        open_stream: makes a stream from options, start and resume state.
        attach: maps the first samples of a named shared segment.
        touch: told which audio is looked at from now on, before it is; nothing, when that is over.
        min_confidence: of the surest word of an utterance of a file; `open_stream` has it for streams.
        load_voices: returns the model that tells voices apart, once a stream wants it.
    """

    def __init__(
        self,
        recognizer: Transcriber,
        open_stream: OpenFunction,
        attach: AttachFunction,
        touch: TouchFunction = lambda touches: None,
        min_confidence: float = 0.0,
        load_voices: LoadVoices = lambda: None,
    ) -> None:
        self._load_voices = load_voices
        self._recognizer = recognizer
        self._open_stream = open_stream
        self._attach = attach
        self._touch = touch
        self._scheduler = Scheduler()
        self._live: dict[StreamId, LiveTrack] = {}
        self._outbox: list[ToGateway] = []
        self._touched: dict[StreamId, StreamTrack] = {}  # that have made progress since messages were collected
        self._untold: dict[StreamId, StreamTrack] = {}  # that have made progress of which the gateway does not know
        self._record: tuple[Turn, Sequence[Window]] | None = None
        self._live_work = LiveWork(recognizer, self._scheduler, self._live, touch, self._put, self._note_pass)
        self._files = FileWork(
            recognizer,
            attach,
            touch,
            self._put,
            lambda windows: self._note_pass(Turn.FILE, windows),
            min_confidence,
            load_voices,
        )

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._live) + len(self._files)

    def handle(self, message: ToWorker) -> None:
        """Take one message. Streams that are not known, or not any more, are ignored.

        Raises:
            ProtocolViolation: the gateway sent half a sample.
        """
        match message:
            case OpenStream(stream=stream, start=start, resume=resume, options=options, alone=alone):
                opened = self._open(stream, start, resume, options)
                if opened is not None:
                    track = LiveTrack(stream, opened, told_consumed=start, told_committed=start)
                    track.partials, track.failed = options.partials, alone
                    if options.diarization and (voices := self._load_voices()) is not None:
                        track.voices = VoiceTrace(voices)
                    self._live[stream] = track
            case Audio(stream=stream, pcm=pcm):
                if len(pcm) % 2:
                    raise ProtocolViolation(f"Expected whole samples in Audio, but got {len(pcm)} bytes.")
                if (live := self._live.get(stream)) is not None:
                    live.preview = False
                    live.take_audio(np.frombuffer(pcm, dtype="<i2"))
                    self._feed_live(live)
            case Preview(stream=stream) | Finish(stream=stream):
                if (live := self._live.get(stream)) is not None:
                    live.preview, live.finishing = isinstance(message, Preview), isinstance(message, Finish)
                    self._feed_live(live)
            case AttachAudio():
                self._attach_file(message)
            case Proceed(stream=stream):
                self._files.proceed(stream)
            case Recognise():
                self._files.request(message)
            case Cancel(stream=stream):
                self._forget(stream)
        self._touch(())

    def wait_seconds(self, now: float) -> float | None:
        """Return how long there is nothing to do: 0 when there is work, None until the next message."""
        if self._live_work.has_finals or self._files.is_waiting:
            return 0.0
        if self._next_voice() is not None:
            return 0.0
        return self._live_work.wait_seconds(now)

    def collect(self) -> list[ToGateway]:
        """Return the messages that are ready to go, with the progress of every stream that has made some.

        One stream's progress takes that of the others along: the gateway wakes up once for many.
        """
        self._untold |= self._touched
        if self._outbox or any(track.untold >= PROGRESS_STEP_SAMPLES for track in self._touched.values()):
            for track in list(self._untold.values()):
                if track.untold >= PROGRESS_STEP_SAMPLES // 2:
                    self._outbox.append(track.take_progress())
                    del self._untold[track.id]
        self._touched.clear()
        messages, self._outbox = self._outbox, []
        return messages

    def step(self, now: float) -> list[ToGateway]:
        """Run at most one encoder pass, or analyse a few seconds of one file; return what came of it."""
        self._record = None
        partials = self._live_work.due_partials(now)
        turn = self._scheduler.next_turn(
            finals=self._live_work.has_finals, partials=bool(partials), files=self._files.is_waiting
        )
        if turn is Turn.FINAL:
            for going_on in self._live_work.run_final(now):
                self._feed_live(going_on)
            self._note_reading(self._files.read_ahead())
        elif turn is not Turn.FILE and (track := self._next_voice()) is not None:
            self._touch([track.touch()])
            track.look_for_voices()
        elif turn is Turn.PARTIAL:
            self._live_work.run_partials(partials, now)
            self._note_reading(self._files.read_ahead())
        elif turn is Turn.FILE:
            self._note_reading(self._files.step())
            if self._record is None:
                self._scheduler.record_reading()
        self._touch(())
        return self.collect()

    def account(self, seconds: float, cpu_seconds: float) -> PassRecord | None:
        """Say how long the last step took; return the record of its pass, if it ran one."""
        if self._record is None:
            return None
        turn, windows = self._record
        self._record = None
        if turn is Turn.PARTIAL:
            self._scheduler.record_partials(len(windows), seconds)
        frames = sum(len(window.features) for window in windows)
        return PassRecord(turn.value, len(windows), seconds, frames * FRAME_SAMPLES / SAMPLE_RATE, cpu_seconds)

    # -- streams

    def _open(self, stream: StreamId, start: int, resume: bytes, options: Options) -> Stream | None:
        self._touch([Touch(stream, start, start + 1)])
        try:
            return self._open_stream(options, start, resume)
        except ValueError as exc:
            self._refuse(stream, start, exc)
            return None

    def _attach_file(self, message: AttachAudio) -> None:
        try:
            samples = self._attach(message.segment, message.samples)
        except (OSError, ValueError) as exc:
            self._refuse(message.stream, message.start, exc)
            return
        opened = self._open(message.stream, message.start, message.resume, message.options)
        if opened is not None:
            start, ahead = message.start, message.ahead
            track = FileTrack(message.stream, opened, samples=samples, position=start, ahead=ahead, left=ahead)
            track.told_consumed = track.told_committed = start
            self._files.open(track)

    def _refuse(self, stream: StreamId, start: int, cause: Exception) -> None:
        log.error("stream_refused", stream=stream, cause=repr(cause))
        seconds = start / SAMPLE_RATE
        self._outbox += [Failed(stream, Gap("inference_error", seconds, seconds)), Closed(stream)]

    def _forget(self, stream: StreamId) -> None:
        self._live.pop(stream, None)
        self._files.forget(stream)
        self._touched.pop(stream, None)
        self._untold.pop(stream, None)

    def _note_reading(self, track: FileTrack | None) -> None:
        """Tell the gateway how far a file is that was read, in time."""
        if track is not None and not track.stream.done:
            self._touched[track.id] = track

    # -- live work

    def _feed_live(self, track: LiveTrack) -> None:
        """Give a track its audio as far as it goes without a pass; line up what needs one."""
        self._touch([track.touch()])
        while track.utterance is not None or track.feed():
            self._touched[track.id] = track
            if track.utterance is not None and not self._live_work.accept_known(track):
                self._live_work.line_up(track)
                return
        if track.looking or track.preview:
            self._live_work.line_up(track)
        self._close_if_done(track)

    def _next_voice(self) -> LiveTrack | None:
        """Return a track with a window in which voices can be looked for: behind all finals, ahead of partials."""
        return next((track for track in self._live.values() if track.voice_window is not None), None)

    def _close_if_done(self, track: LiveTrack) -> None:
        if track.stream.done and self._live.get(track.id) is track:
            self._outbox.append(Closed(track.id))
            self._forget(track.id)

    def _put(self, message: ToGateway) -> None:
        self._outbox.append(message)

    def _note_pass(self, turn: Turn, windows: Sequence[Window]) -> None:
        self._record = (turn, windows)
        self._scheduler.record_turn(turn)
