"""Starting, refusing to start, reloading and stopping."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from gigastt.audio.shared import SHARED_MEMORY
from gigastt.errors import PortUnavailable
from gigastt.models.prepacked import SMALLEST_BYTES
from tests.clips import load_clips
from tests.live_client import live_client, transcribe_live
from tests.server import ServerProcess, clean_environment, command, run_program
from tests.waiting import wait_for, wait_until

CLIP = load_clips()[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_stopping_delivers_the_last_final(number: signal.Signals) -> None:
    with ServerProcess("--pool-size", "1") as server:
        control = await transcribe_live(server.websocket_url, CLIP.pcm)
        async with live_client(server.websocket_url) as client:
            await client.configure(sample_rate=16_000)
            await client.stream(CLIP.pcm)
            await client.wait_for(lambda c: any("Включи" in partial["text"] for partial in c.of("partial")))
            server.signal(number)
            await client.wait_closed()
        assert client.close_code == 1001
        assert client.text == control.text
        assert client.of("final")[-1]["endpoint_reason"] == "shutdown"
        assert server.wait() == 0
    assert server.logged("drained")


async def test_a_draining_server_is_not_ready_and_refuses_newcomers() -> None:
    with ServerProcess("--pool-size", "1") as server:
        async with live_client(server.websocket_url) as client:
            await client.wait_for(lambda c: c.of("ready"))
            server.signal(signal.SIGTERM)
            await client.wait_closed()
        assert client.close_code == 1001
        assert server.wait() == 0


def test_a_second_server_on_the_port_fails_with_one_clear_line(server: ServerProcess) -> None:
    done = run_program(["serve", "--model", "demo", "--port", str(server.port), "--log-format", "json"])
    assert done.returncode == PortUnavailable.exit_code
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(complaints) == 1
    assert str(server.port) in complaints[0]
    assert "Traceback" not in done.stderr


def test_a_host_that_others_can_reach_is_refused() -> None:
    done = run_program(["serve", "--model", "demo", "--host", "0.0.0.0", "--port", "0"])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--bind-all" in done.stderr


@pytest.mark.parametrize("arguments", [["serve", "--port", "0"], ["transcribe", str(CLIP.path)]], ids=["serve", "file"])
def test_without_a_model_the_program_stops_at_once_and_names_both_ways_on(arguments: list[str], tmp_path: Path) -> None:
    done = run_program([*arguments, "--model-dir", str(tmp_path)])
    assert done.returncode == 3
    assert "gigastt download" in done.stderr
    assert "--model demo" in done.stderr
    assert "Traceback" not in done.stderr


def test_hangup_reloads_the_limits_and_keeps_the_old_ones_when_the_file_is_bad(tmp_path: Path) -> None:
    config = tmp_path / "gigastt.toml"
    config.write_text("body-limit-bytes = 100\n", encoding="utf-8")
    with ServerProcess("--pool-size", "1", "--config", str(config)) as server:
        body = CLIP.path.read_bytes()
        assert server.post("/v1/transcribe", body).status_code == 413
        config.write_text("body-limit-bytes = 10_000_000\n", encoding="utf-8")
        server.signal(signal.SIGHUP)
        wait_for(lambda: server.post("/v1/transcribe", body).status_code == 200)
        config.write_text("body-limit-bytes = 0\n", encoding="utf-8")
        before = len(server.events)
        server.signal(signal.SIGHUP)
        wait_for(lambda: any(line["level"] in ("warning", "error") for line in server.events[before:]))
        assert server.post("/v1/transcribe", body).status_code == 200


async def test_workers_end_with_a_killed_server_even_a_stopped_one_and_nothing_stays_in_memory() -> None:
    with ServerProcess("--pool-size", "2", exit_code=-signal.SIGKILL) as server:
        workers = server.worker_pids()
        assert len(workers) == 2
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        uploading = asyncio.create_task(asyncio.to_thread(server.post, "/v1/transcribe", CLIP.path.read_bytes()))
        await wait_until(lambda: segments_of(server))
        server.signal(signal.SIGKILL)
        server.wait()
        await wait_until(lambda: not any(is_running(pid) for pid in workers), 10)
        with pytest.raises(httpx.HTTPError):
            await uploading
        assert segments_of(server)
        with ServerProcess("--pool-size", "1"):
            assert not segments_of(server)


def test_no_process_leaves_a_core_file(server: ServerProcess) -> None:
    pids = [server.pid, *server.worker_pids()]
    assert len(pids) >= 2
    for pid in pids:
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
        [line] = [line for line in limits if line.startswith("Max core file size")]
        assert line.split()[4:6] == ["1", "1"]


def test_stopping_while_weights_are_laid_out_does_not_wait_for_that(tmp_path: Path) -> None:
    for name in ("encoder.onnx", "decoder.onnx", "joint.onnx", "vocab.txt"):
        (tmp_path / f"v3_e2e_rnnt_{name}").write_text("not a model")
    os.truncate(tmp_path / "v3_e2e_rnnt_encoder.onnx", SMALLEST_BYTES)
    with FileLock(tmp_path / ".prepacked.lock"):  # the process that lays them out waits for this
        process = subprocess.Popen(
            command("serve", "--model-dir", str(tmp_path), "--port", "0", "--pool-size", "1", "--log-format", "json"),
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment() | {"XDG_CACHE_HOME": str(tmp_path)},
        )
        assert process.stderr is not None
        try:
            wait_for(lambda: preparing(process.pid), 30)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


def preparing(pid: int) -> bool:
    """Whether a server has a child that lays out weights."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return any(b"gigastt.models.prepacked" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children)


def is_running(pid: int) -> bool:
    """Whether a process is there, and not only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def segments_of(server: ServerProcess) -> list[Path]:
    """Return the shared segments that a server has made."""
    return list(SHARED_MEMORY.glob(f"gigastt-{server.pid}-*"))


def test_ctrl_c_in_a_terminal_reaches_the_whole_group_and_still_drains() -> None:
    process = subprocess.Popen(
        command("serve", "--model", "demo", "--port", "0", "--pool-size", "1", "--log-format", "json"),
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
        start_new_session=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if '"worker_ready"' in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(20) == 0
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_free_port_is_told(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5):
        pass
