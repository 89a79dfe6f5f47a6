"""Routing: who gets a new track, and how the pool finds its balance again."""

from __future__ import annotations

from gigastt.gateway.routing import TRIAL_SECONDS
from gigastt.gateway.session import Session, SessionOptions
from gigastt.gateway.sources import LiveSource
from gigastt.gateway.track import Span, Track, TrackMessage
from gigastt.ipc.messages import Audio, Cancel, OpenStream, StreamOptions
from tests.fakes.memory_pool import MemoryPool, MemoryWorker
from tests.fakes.scripted import POISON, speech


class Silent:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def receive(self, track: Track, news: TrackMessage | Span) -> None:
        if isinstance(news, Span):
            self.spans.append(news)


def open_track(pool: MemoryPool, sink: Silent | None = None) -> Track:
    track = Track(LiveSource(), StreamOptions(), "id")
    pool.open_track(track, sink or Silent())
    return track


def push(pool: MemoryPool, track: Track, values: list[int]) -> None:
    track.push(speech(values).tobytes())
    pool.pump_track(track)


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
    pool.pump_track(busy)
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
    session = Session(pool, SessionOptions())
    await session.send(0, speech([1, 0]).tobytes())
    dead = next(worker for worker in pool.workers if worker.inbox)
    late = [message for item in list(dead.inbox) for message in dead.recognizer.handle(item)]
    pool.kill(dead)
    for message in late:
        pool.router.receive(dead, message.stream, message, 0.0)  # type: ignore[union-attr, arg-type]
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


async def test_suspects_that_did_nothing_go_free() -> None:
    pool = MemoryPool(workers=1)
    sinks = [Silent() for _ in range(4)]
    tracks = [open_track(pool, sink) for sink in sinks]
    for track in tracks:
        push(pool, track, [5, 5])
    for _ in range(2):
        pool.kill(pool.workers[0], crashed=True)
    assert all(track.suspected for track in tracks)
    pool.run()
    assert not any(sink.spans for sink in sinks)
    assert all(track.consumed == 2 * 640 for track in tracks)


async def test_a_trial_ends_a_while_after_the_danger() -> None:
    pool = MemoryPool(workers=1)
    sink = Silent()
    first, second = open_track(pool, sink), open_track(pool)
    for track in (first, second):
        push(pool, track, [5, 5])
    for _ in range(2):
        pool.kill(pool.workers[0], crashed=True)
    [worker] = pool.workers
    while pool.step(worker):
        pass
    assert _opened(worker) == 1
    pool.router.tick(0.0)
    pool.router.tick(TRIAL_SECONDS - 0.1)
    assert _opened(worker) == 1
    pool.router.tick(TRIAL_SECONDS)
    assert _opened(worker) == 2


async def test_only_the_guilty_pays_for_a_crash_in_its_trial() -> None:
    pool = MemoryPool(workers=1)
    sinks = [Silent() for _ in range(3)]
    tracks = [open_track(pool, sink) for sink in sinks]
    for number, track in enumerate(tracks):
        push(pool, track, [5, POISON if number == 1 else 6])
    pool.run()
    assert [len(sink.spans) for sink in sinks] == [0, 1, 0]
    assert tracks[0].consumed == tracks[2].consumed == 2 * 640


def _opened(worker: MemoryWorker) -> int:
    return sum(isinstance(message, OpenStream) for message in worker.sent)
