"""The pool over real child processes that run a scripted worker: deaths, hangs, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import uvloop

from gigastt.audio.shared import SharedSegment
from gigastt.config import Settings
from gigastt.errors import CapacityTimeout, WorkerBootFailed
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.pool.session import Session, transcribe_files
from gigastt.gateway.pool.sources import FileSource
from gigastt.transcript import Final, Gap, Options, Partial
from tests.fakes.scripted import POISON, speech, transcript
from tests.fakes.scripted_worker import COMPUTE, HANG_UP, RUBBISH, SLEEP, SPIN, WAIT
from tests.waiting import wait_until


def command(*extra: str) -> list[str]:
    return [sys.executable, "-m", "tests.fakes.scripted_worker", *extra]


@asynccontextmanager
async def pool_of(
    workers: int, *extra: str, max_sessions: int | None = None, worker_passes: int = 0
) -> AsyncIterator[Pool]:
    settings = Settings(
        pool_size=workers, max_sessions=max_sessions, worker_passes=worker_passes, model_dir=Path("none")
    )
    pool = Pool(settings, Metrics())
    await pool.start(lambda fd: [*command(*extra), "--fd", str(fd)])
    try:
        async with asyncio.timeout(120):
            await pool.wait_ready()
        yield pool
    finally:
        await pool.close()


async def texts_of(session: Session) -> list[list[str]]:
    async with asyncio.timeout(120):
        events = [event async for event in session.events()]
    session.cancel()
    return [event.text.split() for event in events if isinstance(event, Final) and event.text]


def restarts(pool: Pool, reason: str) -> float:
    return pool.metrics.registry.get_sample_value("gigastt_worker_restarts_total", {"reason": reason}) or 0.0


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_the_pool_is_ready_when_every_worker_is_and_says_what_fits() -> None:
    async with pool_of(2) as pool:
        assert (pool.state, pool.workers_ready) == ("ready", 2)
        await wait_until(
            lambda: pool.places.available == pool.places.capacity == pool.capacity.places(2) > 2
        )  # costs are still told
        assert pool.model is not None
        assert pool.model.encoder == "fake.onnx"
        pids = pool.pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_the_number_of_sessions_can_be_fixed() -> None:
    async with pool_of(1, max_sessions=1) as pool, pool.places.admit(1):
        with pytest.raises(CapacityTimeout):
            await pool.places.admit(0.01).__aenter__()


async def test_workers_that_never_get_ready_end_the_boot() -> None:
    with pytest.raises(WorkerBootFailed):
        async with pool_of(1, "--mode", "broken"):
            pass


async def test_streams_survive_kills_of_random_workers() -> None:
    rng = np.random.default_rng(7)
    scripts = [[int(v) for v in rng.integers(0, 9, 150)] for _ in range(8)]
    async with pool_of(3) as pool:
        sessions = [Session(pool, Options()) for _ in scripts]

        async def play(session: Session, script: list[int]) -> None:
            for at in range(0, len(script), 3):
                await session.send(0, speech(script[at : at + 3]).tobytes())
                await asyncio.sleep(0.01)
            session.finish()

        async def torture() -> set[int]:
            killed: set[int] = set()
            while len(killed) < 20 and not all(session.tracks[0].done for session in sessions):
                pids = pool.pids
                if pids:
                    victim = pids[int(rng.integers(len(pids)))]
                    with contextlib.suppress(ProcessLookupError):  # it is dead already, and not yet buried
                        os.kill(victim, signal.SIGKILL)
                        killed.add(victim)
                await asyncio.sleep(0.1)
            return killed

        playing = [play(session, script) for session, script in zip(sessions, scripts, strict=True)]
        killing = asyncio.create_task(torture())
        await asyncio.gather(*playing)
        killed = await killing
        for session, script in zip(sessions, scripts, strict=True):
            assert await texts_of(session) == transcript(script)
        assert len(killed) >= 2
        await wait_until(lambda: restarts(pool, "killed") >= len(killed) - 1)
        assert (pool.metrics.registry.get_sample_value("gigastt_replays_total") or 0) > 0
        assert pool.metrics.registry.get_sample_value("gigastt_audio_samples_lost_total") == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_only_worker_is_replaced_and_the_session_goes_on(loop: str) -> None:
    async def play() -> None:
        async with pool_of(1) as pool:
            session = Session(pool, Options())
            await session.send(0, speech([1, 2]).tobytes())
            [pid] = pool.pids
            os.kill(pid, signal.SIGKILL)
            await session.send(0, speech([3, 0]).tobytes())
            session.finish()
            assert await texts_of(session) == [["w1", "w2", "w3"]]
            assert pool.pids != [pid]

    if loop == "uvloop":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(play())
    else:
        asyncio.run(play())


@pytest.mark.parametrize(("value", "reason"), [(POISON, "crashed"), (HANG_UP, "crashed"), (RUBBISH, "violation")])
async def test_audio_that_kills_two_workers_is_skipped(value: int, reason: str) -> None:
    async with pool_of(2) as pool:
        session = Session(pool, Options())
        other = Session(pool, Options())
        await session.send(0, speech([1, 0]).tobytes())
        await other.send(0, speech([7]).tobytes())
        await wait_until(lambda: session.tracks[0].committed)
        await session.send(0, speech([value]).tobytes())
        await wait_until(lambda: restarts(pool, reason) == 2)
        await wait_until(lambda: session.tracks[0].committed >= 3 * 640)
        await session.send(0, speech([2, 0]).tobytes())
        await other.send(0, speech([8, 0]).tobytes())
        session.finish()
        other.finish()
        assert await texts_of(session) == [["w1"], ["w2"]]
        assert await texts_of(other) == [["w7", "w8"]]
        assert pool.metrics.registry.get_sample_value("gigastt_audio_samples_lost_total") == 640


@pytest.mark.parametrize("value", [SPIN, SLEEP], ids=["spinning", "asleep"])
async def test_a_worker_that_hangs_is_replaced_and_its_audio_skipped(value: int) -> None:
    async with pool_of(2) as pool:
        session = Session(pool, Options())
        await session.send(0, speech([value]).tobytes())
        await wait_until(lambda: restarts(pool, "stalled") == 2)
        await session.send(0, speech([2]).tobytes())
        session.finish()
        assert await texts_of(session) == [["w2"]]


@pytest.mark.parametrize("value", [COMPUTE, WAIT], ids=["computing", "waiting for an accelerator"])
async def test_a_slow_worker_gets_the_time_that_its_passes_need(value: int) -> None:
    async with pool_of(1, "--rate", "0.2") as pool:
        session = Session(pool, Options())
        await session.send(0, speech([1, value, 2]).tobytes())
        session.finish()
        assert await texts_of(session) == [["w1", f"w{value}", "w2"]]
        assert restarts(pool, "stalled") == 0


async def test_a_stopped_worker_is_noticed_and_nothing_is_lost() -> None:
    async with pool_of(1) as pool:
        session = Session(pool, Options())
        await session.send(0, speech([1]).tobytes())
        await wait_until(lambda: session.tracks[0].consumed)
        [pid] = pool.pids
        os.kill(pid, signal.SIGSTOP)
        await wait_until(lambda: restarts(pool, "stopped") == 1)
        session.finish()
        assert await texts_of(session) == [["w1"]]


async def test_a_crash_loop_is_told_while_the_others_serve() -> None:
    async with pool_of(2) as pool:
        victim = pool.pids[0]
        survivor = pool.pids[1]
        for _ in range(5):
            os.kill(victim, signal.SIGKILL)
            await wait_until(lambda dead=victim: dead not in pool.pids and len(pool.pids) == 2)  # type: ignore[misc]
            [victim] = [pid for pid in pool.pids if pid != survivor]
        assert pool.state == "crash_loop"
        session = Session(pool, Options())
        await session.send(0, speech([1]).tobytes())
        session.finish()
        assert await texts_of(session) == [["w1"]]
        await wait_until(lambda: pool.state == "ready")


async def test_an_upload_is_transcribed_and_survives_a_kill() -> None:
    script = [1, 2, 0, 3]
    async with pool_of(1) as pool:
        with SharedSegment.create() as segment:
            try:
                segment.append(speech(script))
                os.kill(pool.pids[0], signal.SIGKILL)
                events = transcribe_files(pool, [FileSource(segment.name, len(script) * 640)], Options())
                async with asyncio.timeout(120):
                    finals = [event async for event in events if isinstance(event, Final)]
            finally:
                segment.unlink()
    assert [final.text.split() for final in finals if final.text] == transcript(script)


async def test_closing_leaves_no_process_and_no_descriptor() -> None:
    async def life() -> None:
        async with pool_of(2) as pool:
            session = Session(pool, Options())
            await session.send(0, speech([1]).tobytes())
            async for event in session.events():
                assert isinstance(event, Partial | Gap)
                break
            session.cancel()

    await life()
    before = open_descriptors()
    await life()
    assert open_descriptors() <= before
