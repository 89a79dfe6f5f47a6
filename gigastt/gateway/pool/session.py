"""Session: one client's recognition, of one channel or more, live or of one uploaded file.

On the event loop; owned by whoever shows it to a client. Between the tracks, which the pool carries through its
workers, and the events, which a shell turns into JSON.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from gigastt import transcript
from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.gateway.pool.binding import Span, Track, TrackMessage
from gigastt.gateway.pool.events import Checkpoint, EndReason, Event, ProgressEvent
from gigastt.gateway.pool.latency import Stopwatch
from gigastt.gateway.pool.ordering import Sequencer
from gigastt.gateway.pool.ports import TrackCarrier
from gigastt.gateway.pool.reading import FileReading
from gigastt.gateway.pool.sources import FileSource, LiveSource
from gigastt.ipc.messages import Closed, Failed, FinalMessage, Found, PartialMessage, Progress, Recognised
from gigastt.speakers import Book


class Session:
    """Audio in, events out. Call `cancel` at the end, whatever happened.

    Args:
        pool: carries its tracks.
        options: what its client chose.
        channels: how many there are, each with a track of its own.
        request_id: under which its traces are found in logs.
        files: the samples of an upload, of each channel; empty where they arrive.
        first_seq: the number of its first final.
        book: tells its speakers apart.
        on_settled: is told what is found of a file's channel, before and in another order than clients are.
        checkpoint: where another session left off, which this one continues; it says `first_seq`, too.
        keeps_checkpoints: whether `checkpoint_before` is of use.
        clock: seconds, of the loop's kind.
    """

    def __init__(
        self,
        pool: TrackCarrier,
        options: transcript.Options,
        *,
        channels: int = 1,
        request_id: str = "",
        files: Sequence[FileSource] = (),
        first_seq: int = 0,
        book: Book | None = None,
        on_settled: Callable[[int, FinalMessage | transcript.Gap], None] = lambda channel, news: None,
        checkpoint: Checkpoint | None = None,
        keeps_checkpoints: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._book = book
        self._clock = clock
        self._on_settled = on_settled
        self._is_file = bool(files)
        channels = len(files) or channels
        self._sequencer = Sequencer(channels, checkpoint.next_seq if checkpoint else first_seq, is_file=self._is_file)
        self._checkpoints: deque[Checkpoint] | None = deque() if keeps_checkpoints else None  # one for each number
        self._stopwatch = Stopwatch(pool.metrics, channels, options.endpoint_silence_ms, pool.capacity.note_final)
        self._queue: deque[Event] = deque()
        self._changed = asyncio.Event()  # the queue, or the room for audio
        self._room = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._finished = self._is_file
        self._cancelled = False
        pool.metrics.accepted_samples += sum(file.end - file.first_start for file in files)
        self.tracks: Sequence[Track] = [
            FileReading(file, options, request_id, channel) for channel, file in enumerate(files)
        ] or [
            Track(LiveSource(begin.committed if begin else 0), options, request_id, channel, begin)
            for channel, begin in enumerate(checkpoint.tracks if checkpoint else [None] * channels)
        ]
        for track in self.tracks:
            pool.router.open(track, self)
        if self._checkpoints is not None:
            self._keep_checkpoint(self._checkpoints)

    # -- audio in

    async def send(self, channel: int, pcm: bytes) -> None:
        """Accept PCM (PCM16, 16 kHz) of one channel; wait while too much is on its way. Nothing after `finish`."""
        while pcm := self.accept(channel, pcm):
            await self.wait_for_room()

    def accept(self, channel: int, pcm: bytes) -> bytes:
        """Accept what there is room for; return the rest, which is nothing where no audio matters any more."""
        track = self.tracks[channel]
        if self._finished or track.done:
            return b""
        room = track.room
        if room:
            self.push(channel, pcm[: 2 * room])
        return pcm[2 * room :]

    async def wait_for_room(self) -> None:
        """Wait until it is worth while to try again; the rest of a channel comes before anything behind it."""
        self._room.clear()
        await self._room.wait()

    def has_room(self, samples: int) -> bool:
        """Whether every channel may be given so many now."""
        return all(track.room >= samples for track in self.tracks)

    def push(self, channel: int, pcm: bytes) -> None:
        """Accept PCM of one channel, for which there is room."""
        track = self.tracks[channel]
        if not self._finished and not track.done:
            track.push(pcm)
            self._pool.metrics.accepted_samples += len(pcm) // 2
            self._stopwatch.heard(channel, track.source.end, self._clock())
            self._pool.router.pump(track)

    def flush(self) -> None:
        """End the utterance of every channel here; each is answered with a final, and audio goes on."""
        for track in self._live_tracks():
            track.flush()
            self._pool.router.pump(track)

    def preview(self) -> None:
        """Tell what the finals would be if no more audio came, as partials."""
        for track in self._live_tracks():
            track.preview()
            self._pool.router.pump(track)

    def _live_tracks(self) -> list[Track]:
        return [] if self._finished else [track for track in self.tracks if not track.done]

    def finish(self, reason: EndReason = "stop") -> None:
        """No more audio comes; the last final will say why."""
        if self._finished:
            return
        self._finished = True
        self._sequencer.end_reason = reason
        self._stopwatch.finished(self._clock())
        self._room.set()
        for track in self.tracks:
            track.finish()
            self._pool.router.pump(track)

    def cancel(self) -> None:
        """Forget everything; `events` ends."""
        self._cancelled = self._finished = True
        if self._timer is not None:
            self._timer.cancel()
        for track in self.tracks:
            self._pool.router.close(track)
        self._room.set()
        self._changed.set()

    @property
    def lag_seconds(self) -> float:
        """Audio accepted and not analysed, of the channel furthest behind."""
        return max(track.lag for track in self.tracks) / SAMPLE_RATE

    # -- events out

    async def events(self) -> AsyncIterator[Event]:
        """Yield what there is to tell; end after the last final, and the speakers of the whole where it tells them."""
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._sequencer.ended and self._book is not None and not self._cancelled:
                yield await asyncio.to_thread(self._book.settle)
            if self._sequencer.ended or self._cancelled:
                return
            self._changed.clear()
            await self._changed.wait()

    def receive(self, track: Track, news: TrackMessage | Span) -> None:
        """Take a track's news from the pool."""
        channel, now = track.channel, self._clock()
        match news:
            case PartialMessage():
                self._sequencer.partial(channel, news)
            case FinalMessage():
                self._sequencer.final(channel, news, now)
                if news.final.drop:
                    self._pool.metrics.utterances_dropped.labels(reason=news.final.drop).inc()
                if self._is_file:
                    self._on_settled(channel, news)
                    self._put(ProgressEvent(self._sequencer.decided))
            case Progress():
                self._sequencer.committed(channel, news.committed)
                if self._is_file:
                    self._put(ProgressEvent(self._sequencer.decided))
            case Failed():
                self._fail(replace(news.gap, channel=channel))
            case Span():
                self._fail(transcript.Gap("segment_failed", news.start / SAMPLE_RATE, news.end / SAMPLE_RATE, channel))
            case Found() | Recognised() | Closed():
                pass
        self._room.set()
        if self._sequencer.waits or not isinstance(news, Progress):
            self._release()
        elif self._checkpoints is not None:
            self._keep_checkpoint(self._checkpoints)

    def _fail(self, gap: transcript.Gap) -> None:
        """Declare a span without words, and count it as lost: the two always agree."""
        self._sequencer.failed(gap)
        self._on_settled(gap.channel, gap)
        self._pool.metrics.audio_samples_lost.inc(round((gap.end - gap.start) * SAMPLE_RATE))

    def _release(self) -> None:
        now = self._clock()
        for event in self._sequencer.release(now):
            if self._book is not None and isinstance(event, transcript.Final):
                event = self._book.label(event)
            if not self._is_file:
                self._stopwatch.told(event, now)
            self._put(event)
        if self._checkpoints is not None:
            self._keep_checkpoint(self._checkpoints)
        if self._sequencer.ended:
            self._changed.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (deadline := self._sequencer.deadline) is not None and not self._cancelled:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - now), self._release)

    @property
    def next_seq(self) -> int:
        """The number of the next final that `events` will be given."""
        return self._sequencer.next_seq

    def checkpoint_before(self, seq: int) -> Checkpoint | None:
        """Return the newest moment between the final before `seq` and that one; None where there was none."""
        kept = self._checkpoints
        while kept and kept[0].next_seq < seq:
            kept.popleft()
        return kept[0] if kept and kept[0].next_seq == seq else None

    def _keep_checkpoint(self, kept: deque[Checkpoint]) -> None:
        """Note this moment. While a final waits for its turn, or no more audio may come, none is a checkpoint."""
        if self._sequencer.waits or self._finished:
            return
        if kept and kept[-1].next_seq == self._sequencer.next_seq:
            kept.pop()
        kept.append(Checkpoint(tuple(track.checkpoint for track in self.tracks), self._sequencer.next_seq))

    def _put(self, event: Event) -> None:
        """Queue an event; a partial or a progress that was not read yet gives way to its successor."""
        if isinstance(event, transcript.Partial | ProgressEvent):
            for index in range(len(self._queue) - 1, -1, -1):
                earlier = self._queue[index]
                if type(earlier) is type(event) and (
                    isinstance(earlier, ProgressEvent) or earlier.channel == getattr(event, "channel", None)
                ):
                    del self._queue[index]
                    break
                if isinstance(earlier, transcript.Final):
                    break
        self._queue.append(event)
        self._changed.set()


async def transcribe_files(
    pool: TrackCarrier,
    files: Sequence[FileSource],
    options: transcript.Options,
    request_id: str = "",
    book: Book | None = None,
) -> AsyncIterator[Event]:
    """Transcribe shared segments, each a channel of one file; yield events up to the last final, or its speakers.

    The segments must live until the iterator ends or is closed.
    """
    session = Session(pool, options, request_id=request_id, files=files, book=book)
    try:
        async for event in session.events():
            yield event
    finally:
        session.cancel()
