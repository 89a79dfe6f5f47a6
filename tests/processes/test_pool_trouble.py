"""The pool when it is in trouble itself: a task of it fails, no descriptor is free, several workers hang at once."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from gigastt.config import Settings
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.pool.session import Session
from gigastt.transcript import Options
from tests.fakes.scripted import speech
from tests.fakes.scripted_worker import SLEEP, SPIN
from tests.processes.test_pool import command, pool_of, restarts, texts_of
from tests.waiting import wait_until


class Breaking:
    """A worker command that fails at one of its calls."""

    def __init__(self, at: int) -> None:
        self._calls = count(1)
        self._at = at

    def __call__(self, descriptor: int) -> list[str]:
        if next(self._calls) == self._at:
            raise RuntimeError("no such worker")
        return [*command(), "--fd", str(descriptor)]


async def start_breaking_pool(at: int) -> Pool:
    pool = Pool(Settings(pool_size=1, model_dir=Path("none")), Metrics())
    await pool.start(Breaking(at))
    return pool


async def test_a_pool_that_fails_at_the_start_says_so_to_all_who_wait() -> None:
    pool = await start_breaking_pool(at=1)
    async with asyncio.timeout(20):
        for waiting in (pool.wait_ready(), pool.watch()):
            with pytest.raises(ExceptionGroup) as caught:
                await waiting
            assert caught.group_contains(RuntimeError, match="no such worker")
    await pool.close()


async def test_a_pool_that_fails_later_says_so_and_leaves_no_worker() -> None:
    pool = await start_breaking_pool(at=2)
    async with asyncio.timeout(20):
        await pool.wait_ready()
        watching = asyncio.create_task(pool.watch())
        [pid] = pool.pids
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ExceptionGroup) as caught:
            await watching
    assert caught.group_contains(RuntimeError, match="no such worker")
    assert pool.pids == []
    await pool.close()


async def test_whoever_watches_may_stop_without_stopping_the_pool() -> None:
    async with pool_of(1) as pool:
        watching = asyncio.create_task(pool.watch())
        await asyncio.wait({watching}, timeout=0)
        watching.cancel()
        await asyncio.wait({watching})
        session = Session(pool, Options())
        await session.send(0, speech([1]).tobytes())
        session.finish()
        assert await texts_of(session) == [["w1"]]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_workers_are_replaced_and_hangs_found_when_no_descriptor_is_free(loop: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.starved_pool", loop, "5"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "5\n", done.stderr[-2000:]
    assert "worker_spawn_failed" not in done.stderr


@pytest.mark.parametrize("value", [SPIN, SLEEP], ids=["spinning", "asleep"])
async def test_of_two_workers_that_hang_on_the_same_audio_only_that_audio_pays(value: int) -> None:
    async with pool_of(2) as pool:
        others = [Session(pool, Options()) for _ in range(4)]
        guilty = Session(pool, Options())
        for number, session in enumerate(others):
            await session.send(0, speech([number + 1]).tobytes())
        await guilty.send(0, speech([5, 0]).tobytes())
        await wait_until(lambda: guilty.tracks[0].committed == 2 * 640)
        await guilty.send(0, speech([value]).tobytes())
        await wait_until(lambda: restarts(pool, "stalled") == 2, timeout=60)
        await guilty.send(0, speech([6]).tobytes())
        for session in (*others, guilty):
            session.finish()
        assert [await texts_of(session) for session in others] == [[[f"w{n}"]] for n in (1, 2, 3, 4)]
        assert await texts_of(guilty) == [["w5"], ["w6"]]
        assert pool.metrics.registry.get_sample_value("gigastt_audio_samples_lost_total") == 640
        assert restarts(pool, "stalled") == 2


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_fresh_worker_that_spins_is_found_by_the_processor_time_it_has_used() -> None:
    async with pool_of(1) as pool:
        session = Session(pool, Options())
        [pid] = pool.pids
        at_start = processor_seconds(pid)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        await session.send(0, speech([SPIN]).tobytes())
        await wait_until(lambda: restarts(pool, "stalled") == 1, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        session.cancel()
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - at_start
    assert 1.3 < used < 2.0
