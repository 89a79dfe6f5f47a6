"""Starting, refusing to start, reloading and stopping."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from gigastt.errors import PortUnavailable
from tests.clips import load_clips
from tests.live_client import live_client, transcribe_live
from tests.server import ServerProcess, begin_upload, clean_environment, command, receive_all, run_program
from tests.waiting import wait_for, wait_until

CLIP = load_clips()[0]
ROOT = Path(__file__).resolve().parents[2]


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


def test_an_upload_that_is_running_at_the_end_is_told_so() -> None:
    with ServerProcess("--pool-size", "1", "--shutdown-drain-secs", "1") as server:
        with begin_upload(server) as client:
            server.signal(signal.SIGTERM)
            answer = receive_all(client)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"shutting_down"' in answer
        assert server.wait() == 0


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
    complaints = [line for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "error"]
    assert [line["event"] for line in complaints] == ["failed"]
    assert str(server.port) in complaints[0]["reason"]
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


async def test_workers_end_with_a_killed_server() -> None:
    with ServerProcess("--pool-size", "2", exit_code=-signal.SIGKILL) as server:
        workers = server.worker_pids()
        assert len(workers) == 2
        server.signal(signal.SIGKILL)
        await wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


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
        assert process.wait(60) == 0
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_on_a_terminal_the_start_ends_with_what_to_try() -> None:
    terminal, theirs = pty.openpty()
    os.set_blocking(terminal, False)
    shown = bytearray()

    def greeted() -> bool:
        with contextlib.suppress(OSError):  # nothing yet, or nobody there any more
            shown.extend(os.read(terminal, 65_536))
        return b"Try, from another terminal" in shown and b"gigastt download" in shown

    arguments = ("serve", "--model", "demo", "--port", "0", "--pool-size", "1")
    with subprocess.Popen(command(*arguments), stderr=theirs, env=clean_environment(), cwd=ROOT) as process:
        try:
            os.close(theirs)
            wait_for(greeted, 60)
            text = shown.decode().rpartition("gigastt is ready on ")[2]
            asked = re.search(r"curl --data-binary @(\S+) (http://\S+)", text)
            assert asked is not None
            answer = httpx.post(asked[2], content=(ROOT / asked[1]).read_bytes(), timeout=60)
            assert answer.json()["text"] == "Закрой шторы в спальне."
        finally:
            process.terminate()
            wait_for(lambda: (greeted(), process.poll() is not None)[1], 30)  # a full terminal would hold it up
            os.close(terminal)


def test_in_a_log_the_start_ends_with_one_event_that_has_the_address(server: ServerProcess) -> None:
    [ready] = server.logged("ready")
    assert ready["url"] == server.url
    assert server.prose == []


def test_a_free_port_is_told(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60):
        pass
