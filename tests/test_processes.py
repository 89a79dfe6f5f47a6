"""Child processes: what they import, what they inherit, and when they end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gigastt.models.fetch import FetchRequest
from gigastt.processes import prepare_child, python_command, spawn_child
from gigastt.workers.config import WorkerConfig
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "command",
    [
        WorkerConfig("demo", "", "").command(0),
        FetchRequest("none", "").command(),
        python_command("gigastt.gateway.files.decoder_main", "--fd", "0"),
        python_command("gigastt.models.prepacked", "/nowhere"),
    ],
    ids=["worker", "fetch", "decoder", "prepacked"],
)
def test_a_child_imports_nothing_from_the_current_directory(command: list[str], tmp_path: Path) -> None:
    for name in ("numpy", "av", "onnxruntime", "httpx", "filelock", "json", "socket"):
        (tmp_path / f"{name}.py").write_text("open('taken', 'w').close()\n", encoding="utf-8")
    subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert not (tmp_path / "taken").exists()


async def test_a_child_inherits_its_end_of_the_pipe_and_nothing_else() -> None:
    with socket.socket() as other:
        other.set_inheritable(True)
        look = (
            "import os, socket, sys\n"
            "found = ' '.join(os.listdir('/proc/self/fd'))\n"
            "socket.socket(fileno=int(sys.argv[1])).sendall(found.encode())"
        )
        process, ours = await spawn_child(lambda fd: (sys.executable, "-c", look, str(fd)))
        with ours:
            await process.wait()
            assert len(ours.recv(1000).split()) == 3 + 1 + 1  # standard streams, the pipe, the folder it reads


def test_a_stopped_child_ends_with_its_parent(tmp_path: Path) -> None:
    child = f"from {prepare_child.__module__} import *; prepare_child(); print('prepared', flush=True); input()"
    parent = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "os.kill(child.pid, 19)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    stat = Path(f"/proc/{pid}/stat")
    wait_for(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_child_leaves_no_core_file() -> None:
    look = (
        f"from {prepare_child.__module__} import *; prepare_child(); "
        "import resource; print(*resource.getrlimit(resource.RLIMIT_CORE))"
    )
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1", "1"]
