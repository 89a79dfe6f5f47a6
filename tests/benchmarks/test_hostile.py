"""The judge of attacks: its files are what they claim to be, and it calls a failure a failure."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hostile.__main__ import judge
from benchmarks.hostile.attacks import ATTACKS, run
from benchmarks.hostile.bombs import MOST_SAMPLES, SLOW_RATE, flac, long_flac, slow_flac
from benchmarks.hostile.peer import Peer, Target, connected, undelivered
from benchmarks.hostile.watch import tracebacks
from gigastt.audio.decode import decode
from tests.fakes.gateway import serving
from tests.fakes.pool import Fakes
from tests.waiting import wait_until


def seconds_of(file: bytes) -> float:
    return sum(map(len, decode(io.BytesIO(file), 100_000.0))) / 16_000


def test_a_small_file_is_an_hour_long() -> None:
    file = long_flac(3_600)
    assert len(file) < 13_000
    assert abs(seconds_of(file) - 3_600) < 5


def test_every_frame_of_a_slow_file_is_decoded() -> None:
    for frames in (1, 130, 2_200):  # numbers of one, two and three bytes
        expected = frames * MOST_SAMPLES / SLOW_RATE
        assert seconds_of(flac(frames=frames, rate=SLOW_RATE)) == pytest.approx(expected, abs=0.2)
    assert len(slow_flac(1_100_000)) == pytest.approx(1_100_000, rel=0.1)


def test_tracebacks_are_counted_in_json_and_in_prose(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        json.dumps({"event": "failed", "exception": "Traceback (most recent call last):\n  File …\nValueError: no"})
        + "\n"
        + json.dumps({"event": "ready"})
        + "\nTraceback (most recent call last):\n  File …\n    x()\nRuntimeError: write after write_eof\n"
    )
    assert tracebacks(log) == ["ValueError: no", "RuntimeError: write after write_eof"]


async def test_an_open_connection_is_told_from_one_that_is_over() -> None:
    async with serving(Fakes().context()) as running:
        async with connected(Target(running.port, 5)) as peer:
            port = peer.port
            await wait_until(lambda: undelivered(running.port, port) == 0)
        await wait_until(lambda: undelivered(running.port, port) is None)


async def test_attackers_come_from_the_addresses_they_are_given() -> None:
    target = Target(1, 1.0, ("127.0.0.2", "127.0.0.3"))
    async with await asyncio.start_server(lambda reader, writer: seen.append(writer), "127.0.0.1", 0) as server:
        seen: list[asyncio.StreamWriter] = []
        target = Target(server.sockets[0].getsockname()[1], 1.0, ("127.0.0.2", "127.0.0.3"))
        peers = [await Peer.connect(target, number) for number in range(3)]
        await wait_until(lambda: len(seen) == 3)
        addresses = [writer.get_extra_info("peername")[0] for writer in seen]
        for peer in peers:
            peer.reset()
        for writer in seen:
            writer.close()
    assert addresses == ["127.0.0.2", "127.0.0.3", "127.0.0.2"]


@pytest.mark.parametrize("name", ATTACKS)
async def test_every_attack_ends_when_its_time_is_over(name: str) -> None:
    """Also against a server that is not there."""
    async with asyncio.timeout(10):
        await run(name, Target(9, 0.2))


def figures(**changes: Any) -> dict[str, Any]:
    return {
        "final_seconds": {"p95": 0.1},
        "health_seconds": {"p99": 0.01},
        "upload_seconds": {"p95": 0.2},
        "gateway_memory_mib": 60.0,
        "refused": {},
        "tracebacks": 0,
        "attacker": {"seen": {}, "kept_seconds": None},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"final_seconds": {"p95": 0.16}}, ["finals"]),
        ({"final_seconds": None}, ["finals"]),
        ({"health_seconds": {"p99": 0.06}}, ["health"]),
        ({"upload_seconds": {"p95": 5.1}}, ["uploads"]),
        ({"gateway_memory_mib": 150.0}, ["memory"]),
        ({"attacker": {"broken_off": "memory"}}, ["memory"]),
        ({"refused": {"upload: 503": 1}}, ["nobody_refused"]),
        ({"tracebacks": 1}, ["no_traceback"]),
        ({"attacker": {"seen": {"smuggled": 1}, "kept_seconds": None}}, ["no_breach"]),
        ({"attacker": {"seen": {}, "kept_seconds": 10.5}}, ["gone"]),
    ],
)
def test_what_is_not_held_is_named(changes: dict[str, Any], failed: list[str]) -> None:
    verdict = judge(figures(**changes), figures())
    assert verdict["not_held"] == failed
    assert verdict["held"] == (not failed)
