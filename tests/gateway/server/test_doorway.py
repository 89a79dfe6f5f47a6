"""The doorway: fair by address, all counted, and plain HTTP on a port that speaks TLS is shown the way."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gigastt.authority import Authority, own_authority
from gigastt.config import Limits
from gigastt.gateway.access.addresses import parse_networks
from gigastt.gateway.access.key_file import add_key
from gigastt.gateway.rate import Rate
from gigastt.gateway.server.caps import Caps, Connections, Place
from gigastt.gateway.server.deadlines import Deadlines
from gigastt.gateway.server.doorway import Doorway, Tls
from gigastt.gateway.server.tls import Certificate
from gigastt.log import fields_of
from gigastt.reloading import keep_certificate
from tests.certificates import make_certificate
from tests.fakes.gateway import Running, serving
from tests.fakes.pool import Fakes
from tests.hostile.raw_http import on_uvloop
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = own_authority(tmp_path / "tls", [])
    authority.ensure()
    return authority


@asynccontextmanager
async def serving_own(authority: Authority, limits: Limits | None = None, **settings: Any) -> AsyncIterator[Running]:
    context = Fakes(clock=lambda: 5.0).context(limits, **settings)
    context.authority = authority
    async with serving(context, certificate=Certificate(authority.server, authority.server)) as running:
        yield running


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        listener.setblocking(False)
        yield listener


class Opened:
    """What a doorway let in, in order; refuses to open what comes from `broken`."""

    def __init__(self, broken: str = "") -> None:
        self.peers: list[str] = []
        self._broken = broken

    async def __call__(self, connection: socket.socket, place: Place) -> None:
        with connection:
            peer = connection.getpeername()[0]
            if peer == self._broken:
                raise ConnectionResetError
            self.peers.append(peer)
            place.leave()


def come_from(stack: ExitStack, listener: socket.socket, address: str, times: int = 1) -> list[socket.socket]:
    port = listener.getsockname()[1]
    return [
        stack.enter_context(socket.create_connection(("127.0.0.1", port), source_address=(address, 0)))
        for _ in range(times)
    ]


async def test_a_crowd_from_one_address_lets_others_through(listener: socket.socket) -> None:
    opened, connections = Opened(), Connections()
    with ExitStack() as stack:
        come_from(stack, listener, "127.0.0.2", 50)
        come_from(stack, listener, "127.0.0.3")
        doorway = Doorway(listener, connections, opened)
        await wait_until(lambda: len(opened.peers) == 51)
        doorway.close()
    assert opened.peers.index("127.0.0.3") == 1
    assert len(connections) == 0


async def test_an_address_that_comes_too_often_waits_for_its_turn_alone(listener: socket.socket) -> None:
    opened, connections = Opened(), Connections()
    with ExitStack() as stack:
        doorway = Doorway(listener, connections, opened, newcomers=Rate(per_minute=60, burst=5))
        crowd = come_from(stack, listener, "127.0.0.2", 30)
        await wait_until(lambda: len(connections) == 25)
        come_from(stack, listener, "127.0.0.2")
        come_from(stack, listener, "127.0.0.3")
        await wait_until(lambda: "127.0.0.3" in opened.peers)
        assert len(opened.peers) < 15  # one a second, and none of them was refused
        doorway.close()
        assert len(connections) == 0
        assert crowd[-1].recv(1) == b""


async def test_all_of_an_address_that_waits_come_in(listener: socket.socket) -> None:
    opened, connections = Opened(), Connections()
    with ExitStack() as stack:
        doorway = Doorway(listener, connections, opened, newcomers=Rate(per_minute=60_000, burst=1))
        come_from(stack, listener, "127.0.0.2", 30)
        await wait_until(lambda: len(opened.peers) == 30)
        doorway.close()
    assert len(connections) == 0


async def test_a_trusted_proxy_is_not_held_back(listener: socket.socket) -> None:
    opened, connections = Opened(), Connections(trusted=parse_networks(["127.0.0.2"]))
    with ExitStack() as stack:
        doorway = Doorway(listener, connections, opened, newcomers=Rate(per_minute=1, burst=1))
        come_from(stack, listener, "127.0.0.2", 30)
        await wait_until(lambda: len(opened.peers) == 30)
        doorway.close()


async def test_unfinished_handshakes_of_one_address_wait_for_each_other_and_for_nobody_else(
    listener: socket.socket,
) -> None:
    begun: list[str] = []
    ends: dict[str, asyncio.Event] = {"127.0.0.2": asyncio.Event(), "127.0.0.3": asyncio.Event()}

    async def shake_hands(connection: socket.socket, place: Place) -> None:
        peer = connection.getpeername()[0]
        begun.append(peer)
        await ends[peer].wait()
        raise ConnectionResetError

    connections = Connections()
    with ExitStack() as stack:
        doorway = Doorway(listener, connections, shake_hands, most_handshakes=5)
        come_from(stack, listener, "127.0.0.2", 20)
        await wait_until(lambda: len(begun) == 5 and len(connections) == 20)
        come_from(stack, listener, "127.0.0.3", 4)
        await wait_until(lambda: begun == ["127.0.0.2"] * 5 + ["127.0.0.3"] * 2 and len(connections) == 24)
        ends["127.0.0.3"].set()
        await wait_until(lambda: begun.count("127.0.0.3") == 4 and len(connections) == 20)
        assert begun.count("127.0.0.2") == 5
        ends["127.0.0.2"].set()
        await wait_until(lambda: begun.count("127.0.0.2") == 20 and len(connections) == 0)
        doorway.close()


async def test_they_count_while_they_wait_and_too_many_are_hung_up_on(listener: socket.socket) -> None:
    opened, connections = Opened(), Connections(Caps(per_address=2))
    with ExitStack() as stack:
        tls = Tls(opened, wait=60.0)
        doorway = Doorway(listener, connections, opened, tls)
        silent = come_from(stack, listener, "127.0.0.2", 70)
        await wait_until(lambda: len(connections) == 66)  # two, and those that are to be refused
        for one in silent[66:]:
            assert one.recv(1) == b""
        doorway.close()
        await doorway.wait_closed()
        assert len(connections) == 0
        assert silent[0].recv(1) == b""


async def test_one_that_cannot_be_opened_counts_no_more(listener: socket.socket) -> None:
    opened, connections = Opened(broken="127.0.0.2"), Connections()
    with ExitStack() as stack:
        doorway = Doorway(listener, connections, opened)
        come_from(stack, listener, "127.0.0.2", 5)
        come_from(stack, listener, "127.0.0.3")
        await wait_until(lambda: opened.peers == ["127.0.0.3"] and len(connections) == 0)
        doorway.close()


async def test_closing_hangs_up_on_those_in_line(listener: socket.socket) -> None:
    closed, connections = asyncio.Event(), Connections()

    async def close(connection: socket.socket, place: Place) -> None:
        doorway.close()
        closed.set()
        await asyncio.Event().wait()

    with ExitStack() as stack:
        crowd = come_from(stack, listener, "127.0.0.2", 50)
        doorway = Doorway(listener, connections, close)
        await closed.wait()
        await doorway.wait_closed()
        assert len(connections) == 0
        assert [one.recv(1) for one in crowd] == [b""] * 50


@on_uvloop
async def test_a_person_is_told_how_to_trust_the_own_authority_and_then_gets_the_page(
    authority: Authority, tmp_path: Path
) -> None:
    add_key(tmp_path / "keys", "alice")
    async with serving_own(authority, api_keys_file=tmp_path / "keys") as running, httpx.AsyncClient() as client:
        told = await client.get(running.http + "/", headers={"accept-language": "ru-RU,ru;q=0.9"})
        assert told.status_code == 200
        assert f'<a href="https://127.0.0.1:{running.port}/">' in told.text
        assert authority.fingerprint() in told.text
        assert '<html lang="ru">' in told.text
        assert '<html lang="en">' in (await client.get(running.http + "/")).text
        certificate = await client.get(running.http + "/ca.crt")
        assert certificate.headers["content-type"] == "application/x-x509-ca-cert"
        assert certificate.content == authority.certificate.read_bytes()
        trust = ssl.create_default_context(cadata=certificate.text)
        async with httpx.AsyncClient(verify=trust, base_url=f"https://127.0.0.1:{running.port}") as secure:
            assert "<title>" in (await secure.get("/")).text
            assert (await secure.get("/ca.crt")).content == certificate.content


@on_uvloop
async def test_with_a_certificate_of_others_a_person_is_redirected(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path)
    async with (
        serving(Fakes().context(), certificate=Certificate(pair.chain, pair.key)) as running,
        httpx.AsyncClient(verify=pair.trust(), follow_redirects=True) as client,
    ):
        page = await client.get(running.http + "/?lang=ru")
        assert (page.status_code, str(page.url)) == (200, f"https://127.0.0.1:{running.port}/?lang=ru")
        missing = await client.get(running.http + "/ca.crt")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


@on_uvloop
async def test_nothing_is_done_without_tls(authority: Authority) -> None:
    async with serving_own(authority) as running, httpx.AsyncClient(base_url=running.http) as client:
        for method, path in (("POST", "/v1/transcribe"), ("POST", "/"), ("DELETE", "/v1/models"), ("OPTIONS", "/x")):
            refused = await client.request(method, path, content=b"x" * 100_000)
            assert (refused.status_code, refused.json()["code"]) == (400, "tls_required")
        for path in ("/v1/models", "/health", "/docs"):
            sent = await client.get(path)
            assert (sent.status_code, sent.headers["location"]) == (307, f"https://127.0.0.1:{running.port}{path}")
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{running.ws}/v1/ws")
        assert caught.value.response.status_code == 400


@on_uvloop
async def test_the_policies_hold_at_the_door(authority: Authority) -> None:
    limits = Limits(rate_limit_per_minute=60, rate_limit_burst=3)
    async with serving_own(authority, limits) as running, httpx.AsyncClient(base_url=running.http) as client:
        named = await client.get("/", headers={"host": "evil.example"})
        assert (named.status_code, named.json()["code"]) == (421, "host_denied")
        paged = await client.get("/", headers={"origin": "http://evil.example"})
        assert (paged.status_code, paged.json()["code"]) == (403, "origin_denied")
        statuses = [(await client.get("/x")).status_code for _ in range(2)]
    assert statuses == [307, 429]


@on_uvloop
async def test_many_that_say_nothing_keep_nobody_out_and_are_hung_up_on(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path)
    certificate = Certificate(pair.chain, pair.key)
    async with (
        serving(Fakes().context(), certificate=certificate, deadlines=Deadlines(head=1.0)) as running,
        AsyncExitStack() as stack,
    ):
        silent = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(300)]
        for _, writer in silent:
            stack.callback(writer.close)
        async with httpx.AsyncClient(verify=pair.trust()) as client:
            assert (await client.get(f"https://127.0.0.1:{running.port}/health")).status_code == 200
        for reader, _ in silent:
            assert await reader.read() == b""


@on_uvloop
async def test_closing_hangs_up_on_those_that_say_nothing(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path)
    async with serving(Fakes().context(), certificate=Certificate(pair.chain, pair.key)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        handshaking, shaker = await asyncio.open_connection("127.0.0.1", running.port)
        shaker.write(b"\x16")
    assert await reader.read() == b""
    assert await handshaking.read() == b""
    for one in (writer, shaker):
        one.close()
        await one.wait_closed()


@on_uvloop
async def test_a_new_address_gets_a_new_certificate_while_the_server_runs(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gigastt")
    known = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await known.wait()
        known.clear()

    async with serving_own(authority) as running:
        renamed = own_authority(authority.server.parent, ["new.lan"])
        keeping = asyncio.create_task(keep_certificate(renamed, running.server, sleep=sleep))
        known.set()
        await wait_until(lambda: any(fields_of(one)["event"] == "certificate_reloaded" for one in caplog.records))
        keeping.cancel()
        trust = ssl.create_default_context(cafile=str(authority.certificate))
        _, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=trust, server_hostname="new.lan")
        writer.close()
        await writer.wait_closed()
