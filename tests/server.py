"""The shipped program as a child process: start it, find it, talk to it, signal it, look at its children."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import httpx

from tests.system import children_of
from tests.waiting import wait_for

START_SECONDS = 120.0
STOP_SECONDS = 60.0


def clean_environment() -> dict[str, str]:
    """Return this process's environment without any setting of the program's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIGASTT_")}


def command(*arguments: str) -> list[str]:
    """Return the command line of the program, run by this interpreter."""
    return [sys.executable, "-m", "gigastt", *arguments]


class ServerProcess:
    """`gigastt serve` with the demo model on a free port; stopped, and its log looked through, on leaving."""

    def __init__(
        self,
        *arguments: str,
        exit_code: int = 0,
        prefix: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        descriptors: int | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """Start the server.

        Args:
            descriptors: how many it may have open; None: as many as it likes.
            trust: how clients check its certificate; None: it speaks plain HTTP.
        """
        self._trust = trust
        self.events: list[dict[str, Any]] = []
        self.prose: list[str] = []
        self._expected_exit_code = exit_code
        limited = [] if descriptors is None else ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh"]
        self._process = subprocess.Popen(
            [
                *prefix,
                *limited,
                *command("serve", "--model", "demo", "--port", "0", "--log-format", "json", *arguments),
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=environment or clean_environment(),
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def __enter__(self) -> ServerProcess:
        try:
            wait_for(lambda: self._listening() is not None or self.exit_code is not None, START_SECONDS)
            assert self.exit_code is None, f"the server did not start: {self.events} {self.prose}"
            wait_for(lambda: self.get("/ready").status_code == 200, START_SECONDS)
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.exit_code is None:
            self.signal(signal.SIGTERM)
        try:
            self.wait()
        finally:
            self.kill()
        if kind is None:
            assert self.exit_code == self._expected_exit_code, f"exit code {self.exit_code}: {self.prose}"
            assert not [event for event in self.events if "exception" in event], "a traceback in the log"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, or with `https`."""
        return f"{'http' if self._trust is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"{'ws' if self._trust is None else 'wss'}://127.0.0.1:{self.port}/v1/ws"

    @property
    def port(self) -> int:
        listening = self._listening()
        assert listening is not None
        return int(listening["port"])

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=START_SECONDS, verify=self._trust or False, **options)

    def post(self, path: str, content: bytes, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, content=content, timeout=120.0, verify=self._trust or False, **options)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return every log line of that event, so far."""
        return [line for line in list(self.events) if line.get("event") == event]

    def worker_pids(self) -> list[int]:
        """Return the pids of the inference workers, read off the system and not off the log."""
        return children_of(self.pid, "gigastt.workers")

    def kill_workers(self) -> None:
        """Kill all of them, as the kernel would."""
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Wait for the process to end, and its log with it."""
        code = self._process.wait(timeout)
        self._reader.join(timeout)
        return code

    def kill(self) -> None:
        """End it now, if it has not ended."""
        if self.exit_code is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_SECONDS)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _listening(self) -> dict[str, Any] | None:
        return next(iter(self.logged("listening")), None)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.prose.append(line.rstrip())


def begin_upload(server: ServerProcess, size: int = 4) -> socket.socket:
    """Send the head of an upload of so many bytes, and return when the server asks for them: it is running."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=START_SECONDS)
    head = f"POST /v1/transcribe HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: {size}\r\n\r\n"
    client.sendall(head.encode("ascii"))
    expected = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.recv(len(expected), socket.MSG_WAITALL) == expected
    return client


def receive_all(client: socket.socket) -> bytes:
    """Receive until the other end hangs up."""
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


def run_program(arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, with its output as text."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        env=clean_environment(),
        **options,
    )
