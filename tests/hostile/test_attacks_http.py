"""The shipped server under attacks on its HTTP connections: bounded memory, and an answer for everybody else."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress

import pytest

from benchmarks.hostile.peer import Target, connected
from benchmarks.hostile.watch import peak_memory_mib
from tests.clips import load_clips
from tests.hostile.attackers import attacking
from tests.server import ServerProcess
from tests.waiting import wait_for, wait_until

CLIP = load_clips()[1]
MOST_MEMORY_MIB = 150e6 / 2**20
DESCRIPTORS = 256
UPLOADS = 180  # more than may be open, and fewer than are hung up on without a word

pytestmark = pytest.mark.e2e


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "1") as running:
        yield running


def test_pipelined_requests_do_not_fill_the_memory(server: ServerProcess) -> None:
    with attacking("pipelined_gets", server.port, 3) as attacker:
        assert attacker.seen()["bytes"] > 0
        assert server.get("/health").status_code == 200
    assert peak_memory_mib(server.pid) <= MOST_MEMORY_MIB


async def test_a_head_over_its_limit_is_refused_also_when_it_arrives_at_once(server: ServerProcess) -> None:
    target = Target(server.port, 5)
    head = target.head("GET /health", *(f"{number}:1" for number in range(10_000)))
    assert len(head) > 64 * 1024
    for _ in range(5):
        async with connected(target) as peer:
            await peer.send(head)
            assert await peer.status() == 431


async def test_an_upgrade_to_http_2_does_not_make_a_request_of_a_body(server: ServerProcess) -> None:
    with attacking("h2c_smuggling", server.port, 4) as attacker:
        seen = attacker.seen()
    assert seen.get("answers_1", 0) > 0
    assert "smuggled" not in seen


def test_hanging_up_behind_a_pipelined_request_ends_the_job(server: ServerProcess) -> None:
    with attacking("pipelined_hang_up", server.port, 3) as attacker:
        assert attacker.seen()["hung_up"] > 0
    total = server.get("/ready").json()["pool_total"]
    wait_for(lambda: server.get("/ready").json()["pool_available"] == total, 10)
    assert not [event for event in server.events if "exception" in event]


def test_mutated_requests_leave_no_traceback(server: ServerProcess) -> None:
    with attacking("mutated_requests", server.port, 3) as attacker:
        assert attacker.seen()["requests"] > 0
    assert server.post("/v1/transcribe", CLIP.path.read_bytes()).json()["text"] == CLIP.reference
    assert not [event for event in server.events if "exception" in event]


async def test_uploads_without_a_body_leave_descriptors_to_workers_and_health() -> None:
    with ServerProcess("--pool-size", "1", descriptors=DESCRIPTORS) as server:
        [worker] = server.worker_pids()
        target = Target(server.port, 60)
        async with AsyncExitStack() as uploads:
            for _ in range(UPLOADS):
                peer = await uploads.enter_async_context(connected(target))
                with suppress(ConnectionError):  # more than the server may have open at all
                    await peer.send(target.head("POST /v1/transcribe", "Content-Length: 100000"))
            # Connections are accepted in turn: when this one is answered, all of those have been seen.
            assert (await asyncio.to_thread(server.get, "/health")).status_code == 200
            os.kill(worker, signal.SIGKILL)
            await wait_until(lambda: server.worker_pids() and server.worker_pids() != [worker], 8)
            assert (await asyncio.to_thread(server.get, "/health")).status_code == 200
