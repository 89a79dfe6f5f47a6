"""The shipped server under attacks with whole files: small honest uploads are answered, and soon."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.hostile.upload_attacks import DRIPPED_BODY_LIMIT
from benchmarks.hostile.watch import Peaks, decoders, look
from tests.clips import load_clips
from tests.hostile.attackers import attacking
from tests.server import ServerProcess
from tests.waiting import wait_for

CLIP = load_clips()[1]
CHECKOUT_SECONDS = 2
ANSWER_SECONDS = 10.0  # for an upload that takes a fifth of a second alone
MOST_SHARED_MIB = 640.0  # the longest file there may be takes 440
TICKS = os.sysconf("SC_CLK_TCK")

pytestmark = pytest.mark.e2e


def test_files_that_are_slow_to_decode_do_not_hold_up_others() -> None:
    with (
        ServerProcess("--pool-size", "1", "--pool-checkout-timeout-secs", str(CHECKOUT_SECONDS)) as server,
        attacking("slow_uploads", server.port, 60),
    ):
        wait_for(lambda: len(decoders(server.pid)) > 2, 20)  # their template, and as many as one client may have
        began = time.monotonic()
        answer = httpx.post(
            f"{server.url}/v1/transcribe", content=CLIP.path.read_bytes(), timeout=CHECKOUT_SECONDS + ANSWER_SECONDS
        )
        assert answer.status_code == 200, answer.text
        assert time.monotonic() - began < CHECKOUT_SECONDS + ANSWER_SECONDS


def decoding(server: ServerProcess) -> bool:
    """Tell whether a decoder has been at work for a while."""
    peaks = Peaks()
    look(server.pid, peaks)
    return peaks.shared_mib > 8


def test_bodies_that_are_dripped_leave_room_for_others() -> None:
    with (
        ServerProcess("--pool-size", "1", "--body-limit-bytes", str(DRIPPED_BODY_LIMIT)) as server,
        attacking("dripped_bodies", server.port, 10) as attacker,
    ):
        wait_for(lambda: bodies(server), 20)  # one: a client's second one is refused
        body = CLIP.path.read_bytes() * 3
        assert len(body) > 150_000
        assert server.post("/v1/transcribe", body).status_code == 200
        assert bodies(server) == 1
        seen = attacker.seen()
    assert seen["status_503"] > 0
    assert set(seen) <= {"bodies", "status_503", "hung_up"}


def test_bodies_that_are_dripped_from_two_addresses_leave_room_for_small_ones() -> None:
    with (
        ServerProcess("--pool-size", "1", "--body-limit-bytes", str(DRIPPED_BODY_LIMIT)) as server,
        attacking("dripped_bodies", server.port, 30, addresses=2),
    ):
        wait_for(lambda: bodies(server) == 2, 20)
        body = CLIP.path.read_bytes()
        assert len(body) > 50_000
        assert server.post("/v1/transcribe", body).status_code == 200
        assert bodies(server) == 2


def bodies(server: ServerProcess) -> int:
    """Count the bodies of a megabyte and more that a server holds."""
    count = 0
    for path in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += "memfd:gigastt-upload" in str(path.readlink()) and path.stat().st_size > 1_000_000
    return count


def test_small_files_that_are_long_do_not_fill_shared_memory() -> None:
    peaks = Peaks()
    with ServerProcess("--pool-size", "1") as server, attacking("bombs", server.port, 60):
        wait_for(lambda: decoding(server), 20)
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            look(server.pid, peaks)
            time.sleep(0.05)
        assert server.get("/health").status_code == 200
    assert peaks.shared_mib <= MOST_SHARED_MIB


def test_a_file_of_three_bytes_is_refused_without_the_work_of_a_real_one() -> None:
    with ServerProcess("--pool-size", "1") as server:
        assert server.post("/v1/transcribe", b"abc").status_code == 422
        before = cpu_seconds(server.pid)
        count = 10
        for _ in range(count):
            assert server.post("/v1/transcribe", b"abc").status_code == 422
        assert cpu_seconds(server.pid) - before <= 0.05 * count


def cpu_seconds(pid: int) -> float:
    """The processor time of a server and of the children it has seen end."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS
