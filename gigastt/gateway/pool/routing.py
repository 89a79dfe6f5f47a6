"""Routing: which worker recognises which track, and what happens to tracks when a worker dies.

Owned by the pool, on the event loop; awaits nothing and has no clock. Sends through any object with `send` and
`writable`, so tests run it without processes.

A new track goes to the worker with the least load: its streams, and its lag in seconds. When a worker dies, its tracks
go to others at once and are replayed; audio that was the death of two of them is skipped. While the load is uneven by
the same measure (`balance`), tracks move at moments at which they have next to nothing to replay, so a pool that lost
workers finds its balance again; one that has moved stays for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.gateway.pool.binding import Span, Track, TrackMessage
from gigastt.gateway.pool.capacity import Talk
from gigastt.gateway.pool.dispatch import Dispatcher
from gigastt.gateway.pool.reading import FileReading
from gigastt.gateway.pool.sources import LiveSource
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import FinalMessage, Found, Progress, StreamId, ToWorker
from gigastt.log import get_logger

log = get_logger(__name__)

MOVE_SAMPLES = SAMPLE_RATE  # a track moves for balance only with less than this to replay ...
STAY_SAMPLES = 30 * SAMPLE_RATE  # ... and again only after this much audio
WORTH_MOVING = 2.0  # so much less load, so that a move of one stream leaves no reason to move another back ...
WORTH_MOVING_SHARE = 1 / 8  # ... and this part of it: the lag of many streams is never quite the same


class Carrier(Protocol):
    """A worker, as far as routing is concerned."""

    index: int
    writable: bool

    def send(self, message: ToWorker) -> None: ...


class Sink(Protocol):
    """A receiver of a track's results."""

    def receive(self, track: Track, news: TrackMessage | Span) -> None:
        """Take a message of the track, or the span that was skipped; there may be room for more audio now."""


@dataclass(slots=True, eq=False)
class _Desk:
    """One worker's tracks."""

    carrier: Carrier
    tracks: dict[StreamId, Track] = field(default_factory=dict)

    @property
    def load(self) -> float:
        """Streams, and seconds of lag of all of them: a second weighs as a stream."""
        return len(self.tracks) + sum(track.lag for track in self.tracks.values()) / SAMPLE_RATE


@dataclass(slots=True, eq=False)
class _Seat:
    """A track's place: who listens, and which worker has it under which stream id."""

    sink: Sink
    desk: _Desk | None = None
    stream: StreamId | None = None
    moved_at: int | None = None  # the commit at which it moved for balance last


class Router:
    """All tracks and all workers that can take them."""

    def __init__(self) -> None:
        self.replays = 0
        self._speech = 0.0  # seconds of live utterances that have got their finals,
        self._heard = 0  # and samples of live streams that were analysed
        self._ids = count(1)
        self._desks: dict[Carrier, _Desk] = {}
        self._seats: dict[Track, _Seat] = {}
        self._waiting: deque[Track] = deque()  # for any worker
        self._files = Dispatcher[Carrier](self._ids, self._is_spoken_to)
        self._busiest: _Desk | None = None  # both None while the load is even
        self._idlest: _Desk | None = None

    # -- tracks

    def open(self, track: Track, sink: Sink) -> None:
        """Bring a track to a worker, now or when there is one."""
        self._seats[track] = _Seat(sink)
        if isinstance(track, FileReading):
            self._files.open(track)
        self._place(track)

    def pump(self, track: Track) -> None:
        """Send what may be sent: audio was accepted, or the track was finished."""
        seat = self._seats.get(track)
        if seat is None or seat.desk is None:
            return
        carrier = seat.desk.carrier
        while carrier.writable and (message := track.outgoing()) is not None:
            carrier.send(message)

    def close(self, track: Track) -> None:
        """Forget a track, wherever it is."""
        seat = self._seats.get(track)
        if seat is None:
            return
        self._leave(track, seat)
        del self._seats[track]
        if track in self._waiting:
            self._waiting.remove(track)
        if isinstance(track, FileReading):
            self._files.close(track)

    def take_talk(self) -> Talk:
        """Return what came of the live streams since the last call."""
        talk = Talk(self._speech, self._heard / SAMPLE_RATE)
        self._speech, self._heard = 0.0, 0
        return talk

    @property
    def most_lag(self) -> int:
        """Samples not analysed, of the track furthest behind."""
        return max((track.lag for track in self._seats), default=0)

    @property
    def tracks(self) -> int:
        return len(self._seats)

    @property
    def live_tracks(self) -> int:
        """Tracks of those who speak now, not of uploads."""
        return sum(not isinstance(track, FileReading) for track in self._seats)

    # -- workers

    @property
    def width(self) -> int:
        """Windows of full length that passes of all workers hold together."""
        return self._files.width

    def add(self, carrier: Carrier, width: int = 1) -> None:
        """A worker is ready, whose passes hold so many windows of full length."""
        self._desks[carrier] = _Desk(carrier)
        self._files.add(carrier, width)
        waiting, self._waiting = self._waiting, deque()
        for track in waiting:
            self._place(track)

    def remove(self, carrier: Carrier, touches: Iterable[Touch] = ()) -> None:
        """A worker is gone: replay its tracks on others.

        Args:
            carrier: the worker.
            touches: the audio it was looking at when it crashed; none if it was killed from outside.
        """
        desk = self._desks.pop(carrier, None)
        if desk is None:
            return
        self._busiest = self._idlest = None
        touched = {touch.stream: Span(touch.start, touch.end) for touch in touches}
        # 1. Take every track away from it, and find out which audio is guilty.
        tracks = [track for track in desk.tracks.values() if not track.done]
        guilty: dict[Track, Span] = {}
        for track in tracks:
            seat = self._seats[track]
            span = track.lose(touched.get(seat.stream) if seat.stream is not None else None)
            seat.desk = seat.stream = None
            if span is not None:
                guilty[track] = span
        # 2. Skip that.
        for track, span in guilty.items():
            log.error("audio_skipped", request_id=track.request_id, start=span.start, end=span.end)
            self._tell(track, track.skip(span))
        for result in self._files.remove(carrier, touched):
            self._tell(result.reading, result.news)
        # 3. Go on elsewhere, with those tracks that nobody has closed meanwhile.
        for track in tracks:
            self.replays += 1
            if track in self._seats:
                self._place(track)
        self._files.dispatch()

    def writable(self, carrier: Carrier) -> None:
        """A worker's pipe takes messages again."""
        for track in self._tracks_of(carrier):
            self.pump(track)
        self._files.dispatch()

    def receive(self, carrier: Carrier, stream: StreamId, message: TrackMessage) -> None:
        """Take a message about a stream; those of old bindings are unknown and dropped.

        Raises:
            ProtocolViolation: it is impossible; the worker is not to be trusted any more.
        """
        desk = self._desks.get(carrier)
        track = desk.tracks.get(stream) if desk is not None else None
        if desk is None or track is None:
            self._receive_utterance(carrier, stream, message)
            return
        seat = self._seats[track]
        before = track.consumed
        news = track.receive(message)
        if isinstance(track.source, LiveSource):
            self._heard += max(0, track.consumed - before)  # less after a flush
            if isinstance(message, FinalMessage):
                self._speech += message.final.end - message.final.start
        if track.done:
            self._leave(track, seat)
        elif not track.is_bound:  # flushed
            self._leave(track, seat)
            self._place(track)
        else:
            if self._idlest is not None and desk is self._busiest and self._may_move(track, message):
                self._leave(track, seat)
                self._bind(track, self._idlest)
                seat.moved_at = track.committed
                self.balance()
            self.pump(track)
        self._tell(track, news)
        if isinstance(message, Found):
            self._files.dispatch()

    def _receive_utterance(self, carrier: Carrier, stream: StreamId, message: TrackMessage) -> None:
        result = self._files.receive(carrier, stream, message)
        if result is not None:
            self._files.dispatch()
            self.pump(result.reading)
            self._tell(result.reading, result.news)

    def _tell(self, track: Track, news: Sequence[TrackMessage | Span]) -> None:
        for item in news:
            if (seat := self._seats.get(track)) is not None:  # a sink that was told may have closed this or others
                seat.sink.receive(track, item)

    def balance(self) -> None:
        """Compare the workers' loads; call this a few times a second.

        While they are uneven, tracks of the busiest worker move to the idlest, each when it is heard of: a worker that
        hangs keeps the track over which it does. Weighing looks at every track, which is too much for every message.
        """
        self._files.dispatch()  # those who were spoken to may have become silent
        loads = {desk: desk.load for desk in self._desks.values()}
        self._busiest = max(loads, key=loads.__getitem__, default=None)
        self._idlest = min(loads, key=loads.__getitem__, default=None)
        if self._busiest is not None and self._idlest is not None:
            most, least = loads[self._busiest], loads[self._idlest]
            if most - least < max(WORTH_MOVING, WORTH_MOVING_SHARE * most):
                self._busiest = self._idlest = None

    # -- places

    def _place(self, track: Track) -> None:
        """Bind a track to the least loaded worker, or let it wait for one."""
        if self._desks:
            self._bind(track, min(self._desks.values(), key=lambda desk: desk.load))
        else:
            self._waiting.append(track)

    def _bind(self, track: Track, desk: _Desk) -> None:
        """Give a track to a worker."""
        seat = self._seats[track]
        stream = StreamId(next(self._ids))
        if isinstance(track, FileReading):
            track.ahead = self._files.ahead
        seat.desk, seat.stream = desk, stream
        desk.tracks[stream] = track
        desk.carrier.send(track.bind(stream))
        self.pump(track)

    def _leave(self, track: Track, seat: _Seat) -> None:
        """Take a track away from its worker."""
        desk, stream = seat.desk, seat.stream
        if desk is None or stream is None:
            return
        farewell = track.release()
        if farewell is not None:
            desk.carrier.send(farewell)
        del desk.tracks[stream]
        seat.desk = seat.stream = None

    def _may_move(self, track: Track, message: TrackMessage) -> bool:
        """Whether a track has next to nothing to replay behind this message, and has not moved for a while."""
        if (
            not isinstance(message, Progress | FinalMessage)
            or track.finishing
            or track.open_utterance
            or track.uncommitted > MOVE_SAMPLES
        ):
            return False
        moved_at = self._seats[track].moved_at
        return moved_at is None or track.committed - moved_at >= STAY_SAMPLES

    def _is_spoken_to(self, carrier: Carrier) -> bool:
        """Whether somebody speaks in a live track of a worker, or is not yet told what was said."""
        return any(
            track.open_utterance or track.uncommitted > MOVE_SAMPLES
            for track in self._tracks_of(carrier)
            if not isinstance(track, FileReading)
        )

    def _tracks_of(self, carrier: Carrier) -> list[Track]:
        desk = self._desks.get(carrier)
        return [] if desk is None else list(desk.tracks.values())
