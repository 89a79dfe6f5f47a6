"""Routing: who gets a new track, and how the pool finds its balance again."""

from __future__ import annotations

from collections import deque
from itertools import count, pairwise
from typing import Literal, TypeAlias

from hypothesis import example, given
from hypothesis import strategies as st

from gigastt.gateway.pool.binding import Span, Track, TrackMessage
from gigastt.gateway.pool.routing import STAY_SAMPLES, WORTH_MOVING
from gigastt.gateway.pool.session import Session
from gigastt.gateway.pool.sources import LiveSource
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import Audio, Cancel, OpenStream, StreamId
from gigastt.transcript import Options
from tests.fakes.memory_pool import MemoryPool, MemoryWorker
from tests.fakes.scripted import POISON, speech
from tests.properties import tries


class Silent:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def receive(self, track: Track, news: TrackMessage | Span) -> None:
        if isinstance(news, Span):
            self.spans.append(news)


_names = count()


def open_track(pool: MemoryPool, sink: Silent | None = None) -> Track:
    track = Track(LiveSource(), Options(), f"id-{next(_names)}")
    pool.router.open(track, sink or Silent())
    return track


def push(pool: MemoryPool, track: Track, values: list[int]) -> None:
    track.push(speech(values).tobytes())
    pool.router.pump(track)


def loads(pool: MemoryPool) -> list[int]:
    return sorted(len(worker.recognizer.streams) for worker in pool.workers)


async def test_tracks_spread_over_the_workers() -> None:
    pool = MemoryPool(workers=3)
    for _ in range(7):
        open_track(pool)
    pool.run()
    assert loads(pool) == [2, 2, 3]


async def test_a_new_track_avoids_the_worker_that_lags() -> None:
    pool = MemoryPool(workers=2)
    busy = open_track(pool)
    open_track(pool)
    open_track(pool)  # two streams with the first track
    busy.push(bytes(2 * 3 * 16_000))
    pool.router.pump(busy)
    late = open_track(pool)
    lagging = next(w for w in pool.workers if any(isinstance(m, Audio) for m in w.sent))
    other = next(w for w in pool.workers if w is not lagging)
    assert isinstance(other.sent[-1], OpenStream)
    assert late.lag == 0


async def test_each_binding_has_a_fresh_stream_id() -> None:
    pool = MemoryPool(workers=1)
    open_track(pool)
    ids = []
    for _ in range(3):
        [opened] = [message for message in pool.workers[0].sent if isinstance(message, OpenStream)]
        ids.append(opened.stream)
        pool.kill(pool.workers[0])
    assert len(set(ids)) == 3


async def test_late_messages_of_an_old_binding_are_dropped() -> None:
    pool = MemoryPool(workers=2)
    session = Session(pool, Options())
    await session.send(0, speech([1, 0]).tobytes())
    dead = next(worker for worker in pool.workers if worker.inbox)
    late = [message for item in list(dead.inbox) for message in dead.recognizer.handle(item)]
    pool.kill(dead)
    for message in late:
        pool.router.receive(dead, message.stream, message)  # type: ignore[union-attr, arg-type]
    assert session.tracks[0].committed == 0
    session.cancel()


async def test_tracks_move_to_a_worker_that_came_back_when_they_have_little_to_replay() -> None:
    pool = MemoryPool(workers=1)
    tracks = [open_track(pool) for _ in range(4)]
    for track in tracks:
        push(pool, track, [1, 2])
    pool.run()
    pool.add_worker()
    pool.run()
    assert loads(pool) == [0, 4]  # all are amid an utterance
    for track in tracks:
        push(pool, track, [0, 0])
    pool.run()
    assert loads(pool) == [2, 2]
    assert any(isinstance(message, Cancel) for message in pool.workers[0].sent)


async def test_a_full_pipe_holds_audio_back_until_it_drains() -> None:
    pool = MemoryPool(workers=1)
    track = open_track(pool)
    worker = pool.workers[0]
    worker.writable = False
    push(pool, track, [1, 2, 3])
    assert not [message for message in worker.sent if isinstance(message, Audio)]
    worker.writable = True
    pool.router.writable(worker)
    assert [message for message in worker.sent if isinstance(message, Audio)]


async def test_kills_from_outside_convict_nobody_however_many_there_are() -> None:
    pool = MemoryPool(workers=1)
    sink = Silent()
    track = open_track(pool, sink)
    push(pool, track, [5, 5])
    for _ in range(50):
        pool.kill(pool.workers[0])
    pool.run()
    assert not sink.spans
    assert track.consumed == 2 * 640


async def test_a_crash_that_names_nobody_is_nobodys_fault() -> None:
    pool = MemoryPool(workers=1)
    sink = Silent()
    track = open_track(pool, sink)
    push(pool, track, [5, 5])
    for _ in range(10):
        pool.kill(pool.workers[0], [Touch(StreamId(10**6), 0, 10**6)])
    pool.run()
    assert not sink.spans
    assert track.consumed == 2 * 640


async def test_two_crashes_over_different_audio_of_a_track_are_no_evidence() -> None:
    pool = MemoryPool(workers=1)
    sink = Silent()
    track = open_track(pool, sink)
    push(pool, track, [5, 5, 5, 5])
    for start, end in ((0, 640), (1280, 1920), (640, 1280)):
        pool.kill(pool.workers[0], [Touch(stream_of(pool, track), start, end)])
    pool.run()
    assert not sink.spans


async def test_audio_over_which_two_workers_crash_is_skipped_up_to_the_end_of_what_both_saw() -> None:
    pool = MemoryPool(workers=1)
    sinks = [Silent(), Silent()]
    track, other = (open_track(pool, sink) for sink in sinks)
    for each in (track, other):
        push(pool, each, [5, 5, 5, 5])
    for end in (1920, 1280):
        streams = stream_of(pool, track), stream_of(pool, other)
        touched = [Touch(streams[0], 640, end)] + ([Touch(streams[1], 0, 640)] if end == 1920 else [])
        pool.kill(pool.workers[0], touched)
    assert [(span.start, span.end) for span in sinks[0].spans] == [(0, 1280)]
    pool.run()
    assert not sinks[1].spans
    assert track.consumed == other.consumed == 4 * 640


async def test_a_track_whose_audio_crashed_a_worker_shares_no_pass_until_it_commits() -> None:
    pool = MemoryPool(workers=1)
    track = open_track(pool)
    push(pool, track, [5, 5])
    pool.kill(pool.workers[0], [Touch(stream_of(pool, track), 0, 1280)])
    assert opened(pool)[-1].alone
    pool.run()
    push(pool, track, [0])
    pool.run()
    pool.kill(pool.workers[0])
    assert not opened(pool)[-1].alone


async def test_only_the_guilty_pays_for_a_crash() -> None:
    pool = MemoryPool(workers=1)
    sinks = [Silent() for _ in range(3)]
    tracks = [open_track(pool, sink) for sink in sinks]
    for number, track in enumerate(tracks):
        push(pool, track, [5, POISON if number == 1 else 6])
    pool.run()
    assert [len(sink.spans) for sink in sinks] == [0, 1, 0]
    assert tracks[0].consumed == tracks[2].consumed == 2 * 640


async def test_streams_that_lag_and_streams_that_do_not_are_weighed_alike() -> None:
    pool = MemoryPool(workers=1)
    quiet = [open_track(pool) for _ in range(6)]
    for track in quiet:
        push(pool, track, [0])
    pool.run()
    lagging = pool.add_worker()
    for _ in range(2):
        track = open_track(pool)
        track.push(bytes(2 * 2 * 16_000))
        pool.router.pump(track)
    held, lagging.inbox = lagging.inbox, deque()  # that worker is slow
    begun = len(opened_by(lagging))
    for _ in range(20):
        for track in quiet:
            push(pool, track, [0, 0])
        pool.run()
    assert len(opened_by(lagging)) == begun
    lagging.inbox = held


Step: TypeAlias = tuple[Literal["hear", "add", "leave"], int, int]


@tries(40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["hear", "hear", "add", "leave"]), st.integers(0, 5), st.integers(0, 125)),
        max_size=60,
    )
)
@example([("hear", 0, 1), ("add", 0, 0), *[("hear", 0, 125)] * 8, ("add", 0, 0), *[("leave", n, 0) for n in range(3)]])
def test_no_track_moves_back_and_forth_and_the_load_becomes_even(steps: list[Step]) -> None:
    pool = MemoryPool(workers=1)
    tracks = [open_track(pool) for _ in range(6)]
    left: set[Track] = set()
    for kind, number, blocks in steps:
        track = tracks[number]
        if kind == "add" and len(pool.workers) < 4:
            pool.add_worker()
        elif kind == "leave" and track not in left:
            left.add(track)
            pool.router.close(track)
        elif kind == "hear" and track not in left:
            push(pool, track, [0] * min(blocks, track.room // 640))
        pool.run()
    for track in tracks:
        starts = [m.start for m in opened(pool) if m.request_id == track.request_id]
        assert all(later - earlier >= STAY_SAMPLES for earlier, later in pairwise(sorted(starts)[1:]))
    for _ in range(35):  # a second of silence for each that is still there
        for track in tracks:
            if track not in left:
                push(pool, track, [0] * 25)
                pool.run()
    assert loads(pool)[-1] - loads(pool)[0] < WORTH_MOVING


async def test_a_track_leaves_its_worker_only_when_it_is_heard_of() -> None:
    pool = MemoryPool(workers=1)
    tracks = [open_track(pool) for _ in range(5)]
    pool.run()
    hanging = pool.workers[0]
    pool.add_worker()
    for track in tracks:
        push(pool, track, [0])
    for _ in range(3):
        pool.router.balance()
    assert len(opened_by(hanging)) == len(opened(pool)) == 5
    pool.step(hanging)
    assert [stream_of(pool, track) > 5 for track in tracks] == [True, False, False, False, False]


async def test_a_sink_that_closes_another_guilty_track_does_no_harm() -> None:
    pool = MemoryPool(workers=1)
    tracks: list[Track] = []

    class Closing(Silent):
        def receive(self, track: Track, news: TrackMessage | Span) -> None:
            super().receive(track, news)
            if isinstance(news, Span):
                for each in tracks:
                    pool.router.close(each)

    sinks = [Closing(), Closing()]
    tracks += [open_track(pool, sink) for sink in sinks]
    for track in tracks:
        push(pool, track, [5, 5])
    for _ in range(2):
        pool.kill(pool.workers[0], [Touch(stream_of(pool, track), 0, 640) for track in tracks])
    assert [len(sink.spans) for sink in sinks] == [1, 0]


def stream_of(pool: MemoryPool, track: Track) -> StreamId:
    """Return the stream under which a worker has a track now."""
    return next(message.stream for message in reversed(opened(pool)) if message.request_id == track.request_id)


def opened(pool: MemoryPool) -> list[OpenStream]:
    return [message for worker in pool.workers for message in opened_by(worker)]


def opened_by(worker: MemoryWorker) -> list[OpenStream]:
    return [message for message in worker.sent if isinstance(message, OpenStream)]
