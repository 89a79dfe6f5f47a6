"""The shipped server as a child process, and what it costs.

Used by the benchmarks that measure the whole thing; knows nothing of what is played to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds used so far and proportional set size, of the gateway and of its workers; partial passes so far."""

    gateway_cpu_seconds: float
    worker_cpu_seconds: float
    gateway_pss_mib: float
    worker_pss_mib: float
    partial_passes: float


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server: its address and its processes."""

    host: str
    port: int
    pid: int

    @property
    def http(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def websocket(self) -> str:
        return f"ws://{self.host}:{self.port}/v1/ws"

    def worker_pids(self) -> list[int]:
        """The inference processes: children of the gateway that run `gigastt.workers`."""
        return [pid for pid in _children(self.pid) if b"gigastt.workers" in _command_line(pid)]

    def outside_seconds(self) -> tuple[float, float]:
        """CPU seconds used so far by the gateway, and by its other children that are no workers, with theirs."""
        others = [pid for pid in _children(self.pid) if b"gigastt.workers" not in _command_line(pid)]
        return _cpu_seconds(self.pid), sum(_cpu_seconds(pid, with_children=True) for pid in others)

    def usage(self) -> Usage:
        workers = self.worker_pids()
        return Usage(
            gateway_cpu_seconds=_cpu_seconds(self.pid),
            worker_cpu_seconds=sum(_cpu_seconds(pid) for pid in workers),
            gateway_pss_mib=_pss_mib(self.pid),
            worker_pss_mib=sum(_pss_mib(pid) for pid in workers),
            partial_passes=self._metric('gigastt_inference_duration_seconds_count{kind="partial"}'),
        )

    def _metric(self, name: str) -> float:
        """One sample of `/metrics`; 0 where the server publishes none or has not counted yet."""
        try:
            with urllib.request.urlopen(f"{self.http}/metrics", timeout=5) as response:
                rows = response.read().decode().splitlines()
        except urllib.error.HTTPError:
            rows = []
        return next((float(row.rpartition(" ")[2]) for row in rows if row.startswith(f"{name} ")), 0.0)

    def ready(self) -> dict[str, object]:
        """The body of `/ready`, whatever its status; empty while nothing listens."""
        try:
            with urllib.request.urlopen(f"{self.http}/ready", timeout=5) as response:
                body: dict[str, object] = json.load(response)
        except urllib.error.HTTPError as exc:
            body = json.load(exc)
        except OSError:
            body = {}
        return body


def model_flags(model: str) -> list[str]:
    """Return the flags that serve `demo`, or the model whose files are in a folder."""
    return ["--model", "demo"] if model == "demo" else ["--model-dir", model]


@contextlib.contextmanager
def serve(
    arguments: Sequence[str], *, cores: Sequence[int] | None = None, stderr: IO[bytes] | None = None
) -> Iterator[ServerProcess]:
    """Start `gigastt serve`, wait until it is ready, and stop it at the end.

    Args:
        arguments: flags behind `gigastt serve`.
        cores: processors the server and its workers may use; None = all.
        stderr: where its log goes; None = to ours.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    port = free_port()
    command = [sys.executable, "-m", "gigastt", "serve", "--port", str(port), "--log-level", "warning", *arguments]
    child = subprocess.Popen(
        command,
        preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        stdout=sys.stderr,
        stderr=stderr,
    )
    server = ServerProcess("127.0.0.1", port, child.pid)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while server.ready().get("status") != "ready":
            if child.poll() is not None:
                raise RuntimeError(f"The server ended with exit code {child.returncode} before it was ready.")
            if time.monotonic() > deadline:
                raise RuntimeError(f"The server was not ready within {_START_SECONDS:.0f} s.")
            time.sleep(0.02)
        yield server
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in path.read_text(encoding="ascii").split()]
    return found


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _cpu_seconds(pid: int, *, with_children: bool = False) -> float:
    """Return what a process has used; with what those of its children used that have ended, if asked for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11 : 15 if with_children else 13])) / _TICKS_PER_SECOND


def _pss_mib(pid: int) -> float:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(row.split()[1]) / 1024 for row in rows if row.startswith("Pss:")), 0.0)
