"""A server whose clients have taken every descriptor: its workers are replaced all the same."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from pathlib import Path

from tests.clips import load_clips
from tests.live_client import transcribe_live
from tests.server import ServerProcess
from tests.waiting import wait_until

CLIP = load_clips()[0]
_HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_workers_are_replaced_when_no_descriptor_is_left() -> None:
    with ServerProcess("--pool-size", "2") as server:
        usual = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (highest_descriptor(server.pid) + 1, usual[1]))
        with contextlib.ExitStack() as clients:
            for _ in range(3):  # a reserve is only one if it is filled again
                while is_answered(server, clients):
                    pass
                victims = server.worker_pids()
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
                await wait_until(lambda dead=victims: is_replaced(server, dead), 30)  # type: ignore[misc]
            assert not server.logged("worker_spawn_failed")
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, usual)
        await wait_until(lambda: server.get("/ready").status_code == 200, 30)
        assert (await transcribe_live(server.websocket_url, CLIP.pcm)).finals


def highest_descriptor(pid: int) -> int:
    return max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())


def is_replaced(server: ServerProcess, dead: list[int]) -> bool:
    """Tell whether other workers are there in the place of the dead, and have loaded the model."""
    pids = server.worker_pids()
    ready = {line.get("pid") for line in server.logged("worker_ready")}
    return len(pids) == len(dead) and not set(pids) & set(dead) and set(pids) <= ready


def is_answered(server: ServerProcess, clients: contextlib.ExitStack) -> bool:
    """Open one more connection, which stays open, and tell whether the server serves it."""
    client = clients.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5.0))
    with contextlib.suppress(OSError):
        client.sendall(_HEALTH)
        return client.recv(1000).startswith(b"HTTP/1.1 200")
    return False
