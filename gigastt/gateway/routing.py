"""Routing: which worker recognises which track, and what happens to tracks when a worker dies.

Owned by the pool, on the event loop; awaits nothing and has no clock (`now` is an argument). Sends through any
object with `send` and `writable`, so tests run it without processes.

A new track goes to the worker with the least lag, then with the fewest streams. When a worker dies, its tracks
go to others at once and are replayed. When one comes back, tracks move to it at moments at which they have next
to nothing to replay, so a pool that lost workers finds its balance again.

Suspects. Several tracks may have become suspects by sharing two dying workers. If there is only one, it is
convicted. Otherwise each is tried: bound to a worker that tries nobody else, and if that worker crashes, it alone
is to blame. A trial ends when the track commits, or has been past the suspicious audio for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.gateway.track import Span, Track, TrackMessage
from gigastt.ipc.messages import Final, Progress, StreamId, ToWorker
from gigastt.log import get_logger

log = get_logger(__name__)

TRIAL_SECONDS = 1.5  # a pass over the suspicious audio has surely run by then
MOVE_SAMPLES = SAMPLE_RATE  # a track moves for balance only with less than this to replay


class Carrier(Protocol):
    """A worker, as far as routing is concerned."""

    index: int
    writable: bool

    def send(self, message: ToWorker) -> None: ...


class Sink(Protocol):
    """Whoever wants a track's results."""

    def receive(self, track: Track, news: TrackMessage | Span) -> None:
        """Take a message of the track, or the span that was skipped; there may be room for more audio now."""


@dataclass(slots=True, eq=False)
class _Desk:
    """One worker's tracks."""

    carrier: Carrier
    tracks: dict[StreamId, Track] = field(default_factory=dict)
    trial: Track | None = None
    trial_until: float | None = None

    @property
    def load(self) -> tuple[int, int]:
        """Seconds of lag of all its tracks, whole ones so that streams count among equals, and streams."""
        return sum(track.lag for track in self.tracks.values()) // SAMPLE_RATE, len(self.tracks)


@dataclass(slots=True, eq=False)
class _Seat:
    """A track's place: who listens, and which worker has it under which stream id."""

    sink: Sink
    desk: _Desk | None = None
    stream: StreamId | None = None


class Router:
    """All tracks and all workers that can take them."""

    def __init__(self) -> None:
        self.replays = 0
        self._ids = count(1)
        self._desks: dict[Carrier, _Desk] = {}
        self._seats: dict[Track, _Seat] = {}
        self._waiting: deque[Track] = deque()  # for any worker
        self._trials: deque[Track] = deque()  # for a worker that tries nobody

    # -- tracks

    def open(self, track: Track, sink: Sink) -> None:
        """Bring a track to a worker, now or when there is one."""
        self._seats[track] = _Seat(sink)
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
        for queue in (self._waiting, self._trials):
            if track in queue:
                queue.remove(track)
        self._begin_trials()

    @property
    def most_lag(self) -> int:
        """Samples not analysed, of the track furthest behind."""
        return max((track.lag for track in self._seats), default=0)

    @property
    def tracks(self) -> int:
        return len(self._seats)

    # -- workers

    def add(self, carrier: Carrier) -> None:
        """A worker is ready."""
        self._desks[carrier] = _Desk(carrier)
        waiting, self._waiting = self._waiting, deque()
        for track in waiting:
            self._place(track)
        self._begin_trials()

    def remove(self, carrier: Carrier, *, crashed: bool) -> None:
        """A worker is gone: replay its tracks on others, except those that keep killing workers."""
        desk = self._desks.pop(carrier, None)
        if desk is None:
            return
        tracks = [track for track in desk.tracks.values() if not track.done]
        suspects = []
        for track in tracks:
            seat = self._seats[track]
            seat.desk = seat.stream = None
            blamed = desk.trial is None or desk.trial is track
            if track.lose(crashed=crashed, blamed=blamed) and blamed:
                suspects.append(track)
        if len(suspects) == 1 and (crashed or desk.trial is None):
            self._convict(suspects.pop())
        self._trials.extend(suspects)
        for track in tracks:
            self.replays += 1
            if track not in suspects and track in self._seats:
                self._place(track)
        self._begin_trials()

    def writable(self, carrier: Carrier) -> None:
        """A worker's pipe takes messages again."""
        for track in self._tracks_of(carrier):
            self.pump(track)

    def receive(self, carrier: Carrier, stream: StreamId, message: TrackMessage, now: float) -> None:
        """Take a message about a stream; those of old bindings are unknown and dropped.

        Raises:
            ProtocolViolation: it is impossible; the worker is not to be trusted any more.
        """
        desk = self._desks.get(carrier)
        track = desk.tracks.get(stream) if desk is not None else None
        if desk is None or track is None:
            return
        seat = self._seats[track]
        committed = track.committed
        news = track.receive(message)
        if desk.trial is track and (track.committed > committed or track.done):
            self._end_trial(desk)
        if track.done:
            self._leave(track, seat)
        elif not track.is_bound:  # flushed
            self._leave(track, seat)
            self._place(track)
        else:
            if isinstance(message, Progress | Final) and self._should_move(track, desk):
                self._leave(track, seat)
                self._place(track)
            self.pump(track)
        for item in news:
            seat.sink.receive(track, item)

    def tick(self, now: float) -> None:
        """End the trials of those who have been past the suspicious audio for long enough."""
        for desk in list(self._desks.values()):
            if desk.trial is None or not desk.trial.past_danger:
                continue
            if desk.trial_until is None:
                desk.trial_until = now + TRIAL_SECONDS
            elif now >= desk.trial_until:
                desk.trial.parole()
                self._end_trial(desk)

    # -- places

    def _place(self, track: Track, among: Iterable[_Desk] | None = None) -> _Desk | None:
        """Bind a track to the least loaded worker, or let it wait for one."""
        desks = list(self._desks.values() if among is None else among)
        if not desks:
            self._waiting.append(track)
            return None
        desk = min(desks, key=lambda desk: desk.load)
        seat = self._seats[track]
        stream = StreamId(next(self._ids))
        seat.desk, seat.stream = desk, stream
        desk.tracks[stream] = track
        desk.carrier.send(track.bind(stream))
        self.pump(track)
        return desk

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
        if desk.trial is track:
            self._end_trial(desk)

    def _should_move(self, track: Track, desk: _Desk) -> bool:
        """Whether another worker has so much less to do that moving this track helps, and now is the moment."""
        if track.finishing or track.open_utterance or track.uncommitted > MOVE_SAMPLES or desk.trial is track:
            return False
        fewest = min(len(other.tracks) for other in self._desks.values())
        return len(desk.tracks) - fewest >= 2

    def _tracks_of(self, carrier: Carrier) -> list[Track]:
        desk = self._desks.get(carrier)
        return [] if desk is None else list(desk.tracks.values())

    # -- suspects

    def _convict(self, track: Track) -> None:
        span = track.skip()
        log.error("audio_skipped", request_id=track.request_id, start=span.start, end=span.end)
        self._seats[track].sink.receive(track, span)

    def _begin_trials(self) -> None:
        while self._trials:
            free = [desk for desk in self._desks.values() if desk.trial is None]
            if not free:
                return
            track = self._trials.popleft()
            desk = self._place(track, free)
            assert desk is not None
            desk.trial, desk.trial_until = track, None

    def _end_trial(self, desk: _Desk) -> None:
        desk.trial = desk.trial_until = None
        self._begin_trials()
