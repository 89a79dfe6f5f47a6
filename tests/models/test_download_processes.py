"""Downloading in processes of their own: eight at once, killed on the way, followed by a server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gigastt.config import DEFAULT_MODEL
from gigastt.errors import DownloadFailed
from gigastt.models.catalog import DECODER, ENCODER_FP32, JOINT, VOCABULARY
from gigastt.models.fetch import FetchRequest, fetch_in_child
from gigastt.models.stages import DownloadProgress, Snapshot
from tests.fakes.hub import FakeHub, Fault, serve_hub
from tests.fakes.models import REPOSITORY, REVISION, SIZES, make_contents
from tests.system import core_limit, is_running
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

CONTENTS = make_contents()
NAMES = (ENCODER_FP32, DECODER, JOINT, VOCABULARY)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serve_hub(FakeHub(REPOSITORY, REVISION, dict(CONTENTS), small=frozenset({VOCABULARY}))) as running:
        yield running


@pytest.fixture
def surroundings(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a child inherits: the stand-in as the hub, and impatience."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "30")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def command(model_dir: Path) -> list[str]:
    return [sys.executable, "-m", "tests.fakes.fetch_child", str(model_dir)]


def assert_complete(model_dir: Path) -> None:
    folder = model_dir / DEFAULT_MODEL
    assert {name: (folder / name).read_bytes() for name in NAMES} == {name: CONTENTS[name] for name in NAMES}


@pytest.mark.usefixtures("surroundings")
async def test_eight_processes_make_one_transfer(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults.append(Fault("stall", at=1000))  # until all eight are there
    progresses = [DownloadProgress() for _ in range(8)]

    async with asyncio.TaskGroup() as tasks:
        for progress in progresses:
            tasks.create_task(fetch_in_child(command(tmp_path), progress))
        await wait_until(lambda: [p.snapshot.stage for p in progresses].count("waiting") == 7)
        hub.released.set()

    assert_complete(tmp_path)
    assert [r.range for r in hub.transfers(ENCODER_FP32)] == [None, "bytes=1000-"]
    assert hub.sent_bytes == sum(SIZES[name] for name in NAMES)
    assert all("/resolve/" in request.path for request in hub.requests if request.listener == "hub")


@pytest.mark.usefixtures("surroundings")
async def test_killed_child_leaves_no_name_and_the_next_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    offset = 250_000
    hub.faults.append(Fault("stall", at=offset))
    part_folder = tmp_path / DEFAULT_MODEL / ".partial"

    async with running(tmp_path) as process:
        await wait_until(lambda: any(p.stat().st_size == offset for p in part_folder.glob("*.part")))
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert not any((tmp_path / DEFAULT_MODEL / name).exists() for name in NAMES)

    await fetch_in_child(command(tmp_path), DownloadProgress())

    assert_complete(tmp_path)
    assert [r.range for r in hub.transfers(ENCODER_FP32)] == [None, f"bytes={offset}-"]


@pytest.mark.usefixtures("surroundings")
async def test_server_sees_percents_and_may_stop_the_child(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults.append(Fault("stall", at=225_250))  # half of all bytes
    seen: list[Snapshot] = []
    progress = DownloadProgress(seen.append)

    task = asyncio.create_task(fetch_in_child(command(tmp_path), progress))
    await wait_until(lambda: progress.describe() == "downloading 50 %")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert seen[0].stage == "checking"
    (part,) = (tmp_path / DEFAULT_MODEL / ".partial").iterdir()
    assert part.stat().st_size == 225_250


@pytest.mark.usefixtures("surroundings")
async def test_childs_failure_arrives_in_its_own_words(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE forbids fetching it"):
        await fetch_in_child(command(tmp_path), DownloadProgress())

    assert hub.requests == []


async def test_child_that_is_killed_is_said_to_be() -> None:
    script = "import os, signal; print('noise'); os.kill(os.getpid(), signal.SIGKILL)"

    with pytest.raises(DownloadFailed, match=r"killed by signal 9 \(out of memory\?\)"):
        await fetch_in_child([sys.executable, "-c", script], DownloadProgress())


@pytest.mark.usefixtures("surroundings")
async def test_child_ends_with_its_parent(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults.append(Fault("stall", at=1000))

    async with running(tmp_path) as process:
        await wait_until(lambda: hub.sent_bytes == 1000)
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 60) == 1


@pytest.mark.usefixtures("surroundings")
async def test_stopped_child_ends_with_its_parent(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults.append(Fault("stall", at=1000))
    parent = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({command(tmp_path)!r}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        pid = int(await process.stdout.readline())
        await wait_until(lambda: hub.sent_bytes == 1000, timeout=30)
        assert core_limit(pid) == 1
        os.kill(pid, signal.SIGSTOP)
    finally:
        process.kill()
        await process.wait()
    await wait_until(lambda: not is_running(pid))


def test_command_of_the_child_carries_the_request() -> None:
    argument = FetchRequest("gigaam-v3-e2e-rnnt", "/models", "int8", "json").command()[-1]

    assert json.loads(argument) == {
        "model": "gigaam-v3-e2e-rnnt",
        "model_dir": "/models",
        "precision": "int8",
        "log_format": "json",
    }


@asynccontextmanager
async def running(model_dir: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one child whose output nobody reads; end it in any case."""
    process = await asyncio.create_subprocess_exec(
        *command(model_dir), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
