"""How the processes of a server end: with it, and without it; and what they leave."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

from filelock import FileLock

from gigastt.audio.shared import SHARED_MEMORY
from gigastt.models.prepacked import FOLDER
from gigastt.models.room import SMALLEST_PREPACKED
from tests.clips import load_clips
from tests.server import ServerProcess, clean_environment, command
from tests.system import children_of, core_limit, is_running
from tests.waiting import wait_for

CLIP = load_clips()[0]
_END_SECONDS = 3.0  # one, and something for a busy machine


def test_a_stopped_worker_ends_with_a_killed_server_and_the_next_one_finds_no_segment() -> None:
    with (
        ServerProcess("--pool-size", "2", exit_code=-signal.SIGKILL) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        workers = server.worker_pids()
        decoders = children_of(server.pid, "gigastt.gateway.files.decoder")
        assert len(workers) == 2
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        body = CLIP.path.read_bytes()
        client.sendall(
            b"POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        wait_for(lambda: segments_of(server.pid))  # it is decoded, and waits for a worker
        server.signal(signal.SIGKILL)
        wait_for(lambda: not any(map(is_running, [*workers, *decoders])), _END_SECONDS)
    with ServerProcess("--pool-size", "1"):
        assert not segments_of(server.pid)


def segments_of(pid: int) -> list[str]:
    """Return the segments that a process has made."""
    return [path.name for path in SHARED_MEMORY.glob(f"gigastt-{pid}-*")]


def test_no_process_of_a_server_leaves_a_core_file() -> None:
    with ServerProcess("--pool-size", "1") as server:
        pids = [server.pid, *server.worker_pids(), *children_of(server.pid, "gigastt.gateway.files.decoder")]
        assert len(pids) >= 3
        assert [core_limit(pid) for pid in pids] == [1] * len(pids)


def test_a_signal_ends_a_server_that_lays_out_weights(tmp_path: Path) -> None:
    for name in ("encoder.onnx", "decoder.onnx", "joint.onnx", "vocab.txt"):
        (tmp_path / f"v3_e2e_rnnt_{name}").write_text("not a model")
    with (tmp_path / "v3_e2e_rnnt_encoder.onnx").open("r+b") as encoder:
        encoder.truncate(SMALLEST_PREPACKED)
    arguments = ("serve", "--model-dir", str(tmp_path), "--port", "0", "--pool-size", "1")
    with (
        FileLock(tmp_path / f".{FOLDER}.lock"),  # so the child waits, as if another were laying them out
        subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL, env=clean_environment()) as server,
    ):
        try:
            wait_for(lambda: children_of(server.pid, "gigastt.models.prepacked"), 30)
            [child] = children_of(server.pid, "gigastt.models.prepacked")
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 0
            assert not is_running(child)
        finally:
            server.kill()
