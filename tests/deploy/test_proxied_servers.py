"""Two servers behind each proxy: sessions and uploads come through, and a server is restarted under them.

By waiting for its sessions (HAProxy and nginx, as docs/operations.md says), or at once: then its clients are told, and
go on in the other server. Either way every stream says what it says without a proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.clips import Clip, load_clips
from tests.deploy.proxies import ENVOY, HAPROXY, NAME, NGINX, PROXIES, Place, Proxy, free_ports, request, trusting
from tests.deploy.toolbox import find
from tests.live_client import LiveClient, live_client, transcribe_live
from tests.server import ServerProcess
from tests.waiting import wait_for, wait_until

STREAMS = 4
PLACES = 8
PAUSE = bytes(2 * 16_000)  # a second of silence: an utterance ends

pytestmark = pytest.mark.e2e


class Servers:
    """Two servers on ports that stay theirs."""

    def __init__(self) -> None:
        self.ports = free_ports(2)
        self.running = [self._start(port) for port in self.ports]

    def _start(self, port: int) -> ServerProcess:
        names = ["--trusted-proxy", "127.0.0.1/32", "--allowed-host", NAME]
        server = ServerProcess("--port", str(port), "--pool-size", "1", "--max-sessions", str(PLACES), *names)
        return server.__enter__()

    def end(self, index: int) -> None:
        """Tell one to stop, as a supervisor does."""
        self.running[index].signal(signal.SIGTERM)

    def start_again(self, index: int) -> None:
        """Wait until one that was told to stop has ended well, and start it again."""
        self.running[index].wait()
        self.running[index].__exit__(None, None, None)
        self.running[index] = self._start(self.ports[index])

    def stop(self) -> None:
        with contextlib.ExitStack() as stack:  # the second too where the first did not end well
            for server in self.running:
                stack.push(server.__exit__)

    def sessions(self) -> list[int]:
        """Return how many places of each are taken."""
        return [PLACES - server.get("/ready").json()["pool_available"] for server in self.running]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    both = Servers()
    yield both
    both.stop()


@pytest.fixture
def place(servers: Servers, tmp_path: Path) -> Place:
    return Place(tmp_path, (servers.ports[0], servers.ports[1]))


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return load_clips()[:2]


@pytest.fixture(scope="module")
def control(servers: Servers, clips: list[Clip]) -> list[str]:
    """What each clip says in a stream without a proxy."""
    return [asyncio.run(transcribe_live(servers.running[0].websocket_url, clip.pcm)).text for clip in clips]


def through(place: Place) -> contextlib.AbstractAsyncContextManager[LiveClient]:
    """Open a session through the proxy, by its public name."""
    return live_client(f"wss://{NAME}:{place.port}/v1/ws", host="127.0.0.1", port=place.port, ssl=trusting())


class Stream:
    """A client that says one clip, pauses, waits for the word, and says another."""

    def __init__(self, place: Place, clips: list[Clip]) -> None:
        self._place = place
        self._clips = clips
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()
        self.sessions: list[LiveClient] = []

    @property
    def text(self) -> str:
        return " ".join(session.text for session in self.sessions if session.text)

    async def run(self) -> None:
        async with through(self._place) as first:
            self.sessions.append(first)
            await first.wait_for(lambda session: session.of("ready"))
            await first.configure(sample_rate=16_000)
            await first.stream(self._clips[0].pcm + PAUSE)
            await first.wait_for(lambda session: session.finals)
            self.paused.set()
            await wait_until(lambda: self.go_on.is_set() or first.close_code is not None)
            if first.close_code is None:
                await first.stream(self._clips[1].pcm)
                await first.stop()
                return
        # The server stops, and has said all that it heard: the rest is for another one. A proxy that has not noticed
        # yet may send the client to the same again, which says so and hangs up.
        while self.sessions[-1].close_code != 1000:
            async with through(self._place) as another:
                self.sessions.append(another)
                await another.wait_for(lambda session: session.of("ready") or session.of("error"))
                if another.of("ready"):
                    await another.configure(sample_rate=16_000)
                    await another.stream(self._clips[1].pcm)
                    await another.stop()
                else:
                    await another.wait_closed()


@contextlib.asynccontextmanager
async def paused_streams(place: Place, clips: list[Clip]) -> AsyncIterator[list[Stream]]:
    """Have streams that are in their pause; they go on and end before the body is left."""
    streams = [Stream(place, clips) for _ in range(STREAMS)]
    async with asyncio.TaskGroup() as tasks:
        for stream in streams:
            tasks.create_task(stream.run())
            await asyncio.wait_for(stream.paused.wait(), 60)
        yield streams
        for stream in streams:
            stream.go_on.set()


@pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.name)
async def test_a_server_is_restarted_at_once(
    proxy: Proxy, place: Place, servers: Servers, clips: list[Clip], control: list[str]
) -> None:
    running = proxy.running(place)
    await asyncio.to_thread(running.__enter__)
    try:
        for clip, text in zip(clips, control, strict=True):
            answer = await asyncio.to_thread(request, place, "POST", "/v1/transcribe", content=clip.path.read_bytes())
            assert answer.json()["text"] == text
        async with paused_streams(place, clips) as streams:
            taken = servers.sessions()
            assert sum(taken) == STREAMS
            if proxy.name != "envoy":  # which looks at two servers of two, drawn by lot
                assert taken == [STREAMS // 2, STREAMS // 2]
            busy = max(range(2), key=taken.__getitem__)
            servers.end(busy)
            await wait_until(lambda: sum(len(stream.sessions) > 1 for stream in streams) == taken[busy])
        await asyncio.to_thread(servers.start_again, busy)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
    assert [stream.text for stream in streams] == [" ".join(control)] * STREAMS
    for stream in streams:
        assert stream.sessions[0].close_code == (1000 if len(stream.sessions) == 1 else 1001)
        assert stream.sessions[-1].close_code == 1000
        errors = [error["code"] for session in stream.sessions for error in session.of("error")]
        assert set(errors) <= {"shutting_down"}


@pytest.mark.parametrize("proxy", [NGINX, HAPROXY, ENVOY], ids=lambda proxy: proxy.name)
async def test_who_finds_a_server_full_is_taken_to_the_other(proxy: Proxy, place: Place, servers: Servers) -> None:
    running = proxy.running(place)
    await asyncio.to_thread(running.__enter__)
    try:
        async with contextlib.AsyncExitStack() as sessions:

            async def begin(session: contextlib.AbstractAsyncContextManager[LiveClient]) -> None:
                client = await sessions.enter_async_context(session)
                await client.wait_for(lambda one: one.of("ready"))

            for _ in range(PLACES):  # of the first one, past the proxy, which does not know of them
                await begin(live_client(servers.running[0].websocket_url))
            for _ in range(PLACES):
                await begin(through(place))
            assert servers.sessions() == [PLACES, PLACES]
            for _ in range(4):  # both are full, and neither is taken for broken
                with pytest.raises(InvalidStatus) as refused:
                    await sessions.enter_async_context(through(place))
                assert refused.value.response.status_code == 503
                assert int(refused.value.response.headers["retry-after"]) >= 1
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
    await wait_until(lambda: servers.sessions() == [0, 0])


@pytest.mark.parametrize("proxy", [HAPROXY, NGINX], ids=lambda proxy: proxy.name)
async def test_a_server_is_restarted_without_its_sessions_noticing(
    proxy: Proxy, place: Place, servers: Servers, clips: list[Clip], control: list[str]
) -> None:
    steering = _Haproxy(place) if proxy is HAPROXY else _Nginx(place)
    running = proxy.running(place)
    await asyncio.to_thread(running.__enter__)
    try:
        async with paused_streams(place, clips) as streams:
            assert servers.sessions() == [2, 2]
            await asyncio.to_thread(steering.drain_first)
            late = [Stream(place, clips) for _ in range(2)]
            async with asyncio.TaskGroup() as tasks:
                for stream in late:
                    tasks.create_task(stream.run())
                    await asyncio.wait_for(stream.paused.wait(), 60)
                assert servers.sessions() == [2, 4]  # newcomers go to the other
                for stream in late:
                    stream.go_on.set()
            assert servers.sessions() == [2, 2]  # and those who were there go on
        await wait_until(lambda: servers.sessions() == [0, 0])
        servers.end(0)
        await asyncio.to_thread(servers.start_again, 0)
        await asyncio.to_thread(steering.take_first_back)
        async with paused_streams(place, clips) as again:
            assert servers.sessions() == [2, 2]
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
    for stream in [*streams, *late, *again]:
        assert [session.close_code for session in stream.sessions] == [1000]
        assert stream.text == " ".join(control)


def test_haproxy_finds_both_servers_well(servers: Servers, place: Place) -> None:
    with HAPROXY.running(place):
        steering = _Haproxy(place)
        wait_for(lambda: "INI" not in str(steering.checks()))
        assert set(steering.checks().values()) == {"L7OK/200"}
        assert len(steering.checks()) == 4


class _Haproxy:
    """What docs/operations.md says to tell HAProxy."""

    def __init__(self, place: Place) -> None:
        self._control = place.folder / "control"

    def drain_first(self) -> None:
        self._tell("set server live/one state drain; set server files/one state drain")

    def take_first_back(self) -> None:
        self._tell("set server live/one state ready; set server files/one state ready")
        wait_for(lambda: self._rows()["live/one"]["status"] == "UP")

    def checks(self) -> dict[str, str]:
        return {name: f"{row['check_status']}/{row['check_code']}" for name, row in self._rows().items()}

    def _rows(self) -> dict[str, dict[str, str]]:
        header, *lines = self._tell("show stat").lstrip("# ").strip().splitlines()
        rows = [dict(zip(header.split(","), line.split(","), strict=False)) for line in lines]
        return {f"{row['pxname']}/{row['svname']}": row for row in rows if row["svname"] in ("one", "two")}

    def _tell(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._control))
            control.sendall(f"{command}\n".encode())
            return control.makefile("r").read()


class _Nginx:
    """What docs/operations.md says to write for nginx, and how it is told to read it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._path = place.folder / "nginx.conf"
        self._line = f"server 127.0.0.1:{place.servers[0]} max_fails=0"

    def drain_first(self) -> None:
        self._rewrite(f"{self._line};", f"{self._line} down;")

    def take_first_back(self) -> None:
        self._rewrite(f"{self._line} down;", f"{self._line};")

    def _rewrite(self, old: str, new: str) -> None:
        text = self._path.read_text(encoding="utf-8")
        assert old in text
        self._path.write_text(text.replace(old, new), encoding="utf-8")
        master = int((self._place.folder / "nginx.pid").read_text())
        before = _children(master)
        folder, pid = str(self._place.folder), f"pid {self._place.folder}/nginx.pid;"
        reload = [find("nginx"), "-p", folder, "-e", "stderr", "-c", str(self._path), "-g", pid, "-s", "reload"]
        subprocess.run(reload, check=True, capture_output=True)
        # Old workers stop listening when the new ones are there.
        wait_for(
            lambda: len(_children(master) - before) >= len(before) > 0 and not _listening(before, self._place.port)
        )


def _children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()}


def _listening(pids: set[int], port: int) -> bool:
    """Tell whether one of the processes still has the listening socket of a port."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()
    inodes = {f"socket:[{line.split()[9]}]" for line in lines if wanted in line}
    links = [link for pid in pids for link in _links(pid)]
    return any(link in inodes for link in links)


def _links(pid: int) -> list[str]:
    try:
        return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []
