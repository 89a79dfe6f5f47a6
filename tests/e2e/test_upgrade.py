"""An upgrade of a running server: its workers are replaced, and nobody notices."""

from __future__ import annotations

import asyncio
import shutil
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from gigastt.models.catalog import ENCODER_FP32
from gigastt.models.store import resolve
from tests.clips import load_clips
from tests.live_client import live_client, transcribe_live
from tests.server import ServerProcess, run_program
from tests.waiting import wait_for, wait_until

STREAMS = 6


def model_folder(folder: Path, *, broken: bool = False) -> Path:
    """Make a folder that holds the demonstration model under the real one's names."""
    folder.mkdir()
    files = resolve("demo", Path())
    for path in files.paths:
        shutil.copy(path, folder / path.name)
    if broken:
        (folder / ENCODER_FP32).write_bytes(b"not a model")
    return folder


async def test_workers_are_replaced_under_live_streams_and_the_words_are_those_of_a_control_run() -> None:
    pcm = b"".join(clip.pcm for clip in load_clips()[:4])
    half = len(pcm) // 4 * 2
    with ServerProcess("--pool-size", "2", "--max-sessions", "32") as server:
        control = await transcribe_live(server.websocket_url, pcm)
        before = server.worker_pids()
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(live_client(server.websocket_url)) for _ in range(STREAMS)]
            for client in clients:
                await client.configure(sample_rate=16_000)
                await client.stream(pcm[:half])
            asked = await asyncio.to_thread(run_program, ["reload", "--port", str(server.port)])
            assert asked.returncode == 0
            await wait_until(lambda: server.logged("upgraded"))
            for client in clients:
                await client.stream(pcm[half:])
                await client.stop()
        assert [client.text for client in clients] == [control.text] * STREAMS
        assert not set(before) & set(server.worker_pids())
        assert len(server.worker_pids()) == 2


def test_a_model_that_cannot_be_loaded_leaves_the_old_one_serving(tmp_path: Path) -> None:
    config = tmp_path / "gigastt.toml"
    config.write_text(f'model-dir = "{model_folder(tmp_path / "good")}"\n', encoding="utf-8")
    with ServerProcess("--pool-size", "1", "--model", "gigaam-v3-e2e-rnnt", "--config", str(config)) as server:
        before = server.worker_pids()
        for folder, reason in ((model_folder(tmp_path / "bad", broken=True), "get ready"), (tmp_path / "no", "no")):
            config.write_text(f'model-dir = "{folder}"\n', encoding="utf-8")
            failures = len(server.logged("upgrade_failed"))
            server.signal(signal.SIGUSR2)
            wait_for(lambda seen=failures: len(server.logged("upgrade_failed")) > seen)  # type: ignore[misc]
            assert reason in server.logged("upgrade_failed")[-1]["reason"]
        assert server.logged("encoder_not_optimized")
        assert server.worker_pids() == before
        assert server.post("/v1/transcribe", load_clips()[0].path.read_bytes()).json()["text"]


def test_reload_says_so_where_no_server_listens() -> None:
    done = run_program(["reload", "--port", "1"])
    assert (done.returncode, "no gigastt" in done.stderr) == (1, True)
