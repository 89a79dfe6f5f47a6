"""Workers that are replaced while sessions go on."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from gigastt.errors import WorkerBootFailed
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.pool.session import Session
from gigastt.transcript import Options
from tests.fakes.scripted import speech
from tests.processes.test_pool import command, pool_of, restarts, texts_of
from tests.waiting import wait_until


def encoder_of(pool: Pool) -> str:
    assert pool.model is not None
    return pool.model.encoder


async def test_every_worker_is_replaced_and_the_sessions_go_on() -> None:
    async with pool_of(2) as pool:
        sessions = [Session(pool, Options()) for _ in range(4)]
        for session in sessions:
            await session.send(0, speech([1, 2]).tobytes())
        before = pool.pids

        await pool.replace_workers(lambda fd: [*command("--encoder", "new.onnx"), "--fd", str(fd)])

        assert (pool.workers_ready, encoder_of(pool), pool.state) == (2, "new.onnx", "ready")
        assert not set(before) & set(pool.pids)
        for session in sessions:
            await session.send(0, speech([3, 0]).tobytes())
            session.finish()
        assert [await texts_of(session) for session in sessions] == [[["w1", "w2", "w3"]]] * 4
        assert pool.metrics.registry.get_sample_value("gigastt_worker_replacements_total") == 2
        assert pool.metrics.registry.get_sample_value("gigastt_audio_samples_lost_total") == 0
    for pid in before:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_workers_that_do_not_get_ready_leave_the_old_ones_serving() -> None:
    async with pool_of(2) as pool:
        session = Session(pool, Options())
        await session.send(0, speech([1]).tobytes())
        before = pool.pids

        with pytest.raises(WorkerBootFailed):
            await pool.replace_workers(lambda fd: [*command("--mode", "broken"), "--fd", str(fd)])

        assert (pool.pids, pool.state) == (before, "ready")
        session.finish()
        assert await texts_of(session) == [["w1"]]


async def test_a_worker_that_dies_after_the_replacement_comes_back_as_a_new_one() -> None:
    async with pool_of(1) as pool:
        await pool.replace_workers(lambda fd: [*command("--encoder", "new.onnx"), "--fd", str(fd)])
        [pid] = pool.pids
        os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: restarts(pool, "killed") == 1)
        await wait_until(lambda: pool.pids)
        assert encoder_of(pool) == "new.onnx"


async def test_the_place_of_a_dead_worker_is_taken_by_its_successor() -> None:
    async with pool_of(1) as pool:
        [pid] = pool.pids
        os.kill(pid, signal.SIGKILL)
        await pool.replace_workers(lambda fd: [*command("--encoder", "new.onnx"), "--fd", str(fd)])
        assert encoder_of(pool) == "new.onnx"
        session = Session(pool, Options())
        await session.send(0, speech([1]).tobytes())
        session.finish()
        assert await texts_of(session) == [["w1"]]


async def test_a_replacement_that_is_given_up_leaves_no_process() -> None:
    async with pool_of(1) as pool:
        before = pool.pids
        started: list[int] = []

        def slow(fd: int) -> list[str]:
            started.append(fd)
            return [*command("--mode", "slow"), "--fd", str(fd)]

        replacing = asyncio.create_task(pool.replace_workers(slow))
        await wait_until(lambda: started)
        replacing.cancel()
        await asyncio.gather(replacing, return_exceptions=True)
        assert replacing.cancelled()
        assert pool.pids == before


async def test_workers_that_have_made_enough_passes_are_replaced_and_the_sessions_go_on() -> None:
    async with pool_of(2, worker_passes=3) as pool:
        sessions = [Session(pool, Options()) for _ in range(4)]
        before = set(pool.pids)
        words = 0
        async with asyncio.timeout(60):
            while before & set(pool.pids):
                words += 1
                for session in sessions:
                    await session.send(0, speech([words % 600 + 1]).tobytes())
                await asyncio.sleep(0.02)
        for session in sessions:
            session.finish()
        for session in sessions:
            told = [word for utterance in await texts_of(session) for word in utterance]
            assert told == [f"w{index % 600 + 1}" for index in range(1, words + 1)]
        assert pool.metrics.registry.get_sample_value("gigastt_audio_samples_lost_total") == 0
