"""A client that loses its connection goes on with its session, over real sockets and workers in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from gigastt.config import Limits
from gigastt.gateway.app import NATIVE
from gigastt.ipc.messages import Finish
from tests.fakes.gateway import Running, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import Client, client, server
from tests.fakes.pool import Fakes
from tests.fakes.scripted import speech
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

OPTIONS = {"sample_rate": 16_000, "resume": True, "partials": False}


async def begin(running: Running, **options: Any) -> Client:
    """Open a session that can be resumed."""
    connected = Client(await connect(running.ws + "/v1/ws"))
    connected.messages.append(await connected.receive("ready"))
    await connected.configure(**OPTIONS, **options)
    return connected


async def cut(connected: Client) -> None:
    """End a connection as a cable that is pulled out does."""
    connected.socket.transport.abort()
    await connected.socket.wait_closed()


async def begin_and_lose(running: Running) -> Client:
    """Open such a session, have one of two utterances told, and lose the connection amid the other."""
    first = await begin(running)
    await first.speak(1, 2, 0, 3)
    await first.receive("final")
    await first.receive("ack")
    await cut(first)
    return first


def run(pool: MemoryPool) -> bool:
    """Let the workers work."""
    pool.run()
    return True


def newest_token(connected: Client) -> dict[str, Any]:
    """Return what a client knows that comes back."""
    acks = [ack for ack in connected.of("ack") if "resume_token" in ack]
    finals = connected.of("final")
    return {
        "token": acks[-1]["resume_token"] if acks else connected.of("ready")[0]["resume_token"],
        "from": acks[-1]["committed"] if acks else 0,
        "have_final_seq": finals[-1]["seq"] if finals else -1,
    }


async def come_back(running: Running, known: dict[str, Any]) -> Client:
    connected = Client(await connect(running.ws + "/v1/ws"))
    await connected.socket.send(json.dumps({"type": "resume", **known}))
    return connected


def texts(*clients: Client) -> list[tuple[int, str]]:
    return [(final["seq"], final["text"]) for one in clients for final in one.of("final")]


@asynccontextmanager
async def sharing(secret: Path | None, keys: Path | None = None) -> AsyncIterator[Running]:
    """A server that recognises the tokens of others with its secret."""
    context = Fakes(pool=MemoryPool(automatic=True)).context(secret_file=secret, api_keys_file=keys)
    async with serving(context, native=NATIVE) as running:
        yield running


async def test_a_session_goes_on_where_its_connection_was_cut() -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool) as running:
        first = await begin_and_lose(running)
        second = await come_back(running, newest_token(first))
        ack = await second.receive("ack")
        assert pool.places.active == 1
        script = speech([1, 2, 0, 3, 4, 0, 5])
        await second.socket.send(script[ack["received"] :].tobytes())
        assert await second.stop() == 1000
    assert texts(first, second) == [(0, "w1 w2"), (1, "w3 w4"), (2, "w5")]
    assert ack["received"] == 4 * 640
    assert pool.places.active == 0


async def test_finals_that_were_told_to_nobody_are_told_again() -> None:
    pool = MemoryPool()
    async with server(pool) as running:
        first = await begin(running)
        await first.speak(1, 0, 2, 0, 3)
        await wait_until(lambda: sum(len(worker.inbox) for worker in pool.workers))
        known = {"token": first.of("ready")[0]["resume_token"], "have_final_seq": -1}
        await cut(first)
        pool.run()
        second = await come_back(running, known)
        ack = await second.receive("ack")
        while ack["final_seq"] < 1:
            ack = await second.receive("ack")
        await second.socket.send('{"type":"stop"}')
        stopping = asyncio.ensure_future(second.read_to_close())
        await wait_until(lambda: run(pool) and stopping.done())
        assert await stopping == 1000
    assert texts(second) == [(0, "w1"), (1, "w2"), (2, "w3")]


async def test_who_comes_back_before_the_loss_was_noticed_takes_over() -> None:
    async with server(MemoryPool(automatic=True)) as running:
        first = await begin(running)
        await first.speak(1)
        await first.receive("ack")
        second = await come_back(running, newest_token(first))
        await second.receive("ack")
        assert await first.read_to_close() == 1012
        await second.speak(2)
        assert await second.stop() == 1000
    assert texts(second) == [(0, "w1 w2")]


async def test_a_connection_that_is_half_closed_is_a_lost_one() -> None:
    async with server(MemoryPool(automatic=True)) as running:
        first = await begin(running)
        await first.speak(1)
        await first.receive("ack")
        first.socket.transport.write_eof()
        assert await first.read_to_close() == 1012
        second = await come_back(running, newest_token(first))
        await second.receive("ack")
        assert await second.stop() == 1000
    assert texts(second) == [(0, "w1")]


async def test_the_last_final_can_be_fetched_after_the_end() -> None:
    pool = MemoryPool()
    async with server(pool) as running:
        first = await begin(running)
        await first.speak(1)
        await first.socket.send('{"type":"stop"}')
        await wait_until(lambda: any(isinstance(m, Finish) for worker in pool.workers for m in worker.inbox))
        await cut(first)
        await wait_until(lambda: run(pool) and not pool.places.active)
        second = await come_back(running, newest_token(first))
        assert await second.read_to_close() == 1000
    assert texts(second) == [(0, "w1")]


async def test_a_session_is_given_up_when_nobody_comes_back() -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool, Limits(resume_secs=0.2)) as running:
        first = await begin(running)
        await first.speak(1)
        await first.receive("ack")
        await cut(first)
        await wait_until(lambda: not pool.places.active)
        second = await come_back(running, {"token": first.of("ready")[0]["resume_token"]})
        assert (await second.receive("error"))["code"] == "resume_failed"


async def test_a_full_server_takes_back_who_has_a_place_there() -> None:
    pool = MemoryPool(automatic=True, sessions=1)
    async with server(pool) as running:
        first = await begin(running)
        await first.speak(1)
        await first.receive("ack")
        await cut(first)
        second = await come_back(running, newest_token(first))
        await second.receive("ack")
        assert await second.stop() == 1000
    assert texts(second) == [(0, "w1")]


async def test_a_client_that_did_not_ask_for_it_ends_with_its_connection() -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool) as running, client(running) as connected:
        await connected.receive("ready")
        await connected.configure(sample_rate=16_000)
        await connected.speak(1, 0)
        await connected.receive("final")
        connected.socket.transport.abort()
        await wait_until(lambda: not pool.places.active)
        assert not connected.of("ack")


async def test_another_server_with_the_secret_goes_on_from_the_token(secret: Path) -> None:
    values = [1, 2, 0, 3, 0, 4, 5, 0, 6]
    async with sharing(secret) as one, sharing(secret) as other:
        first = await begin(one)
        await first.speak(*values[:6])
        await first.receive("final")
        await first.receive("final")
        await first.receive("ack")
        known = newest_token(first)
        await cut(first)
        second = await come_back(other, known)
        ack = await second.receive("ack")
        assert ack["received"] == known["from"]
        await second.socket.send(speech(values)[ack["received"] :].tobytes())
        assert await second.stop() == 1000
    assert texts(first, second) == [(0, "w1 w2"), (1, "w3"), (2, "w4 w5"), (3, "w6")]
    assert [final["start"] for final in second.of("final")] == [5 * 0.04, 8 * 0.04]


async def test_an_old_token_tells_no_final_again(secret: Path) -> None:
    async with sharing(secret) as one, sharing(secret) as other:
        first = await begin(one)
        await first.speak(1, 0)
        await first.receive("final")
        await first.receive("ack")
        old = newest_token(first)
        await first.speak(2, 0)
        await first.receive("final")
        await cut(first)
        second = await come_back(other, {**old, "have_final_seq": 1})
        ack = await second.receive("ack")
        await second.socket.send(speech([1, 0, 2, 0, 3])[ack["received"] :].tobytes())
        assert await second.stop() == 1000
    assert texts(second) == [(2, "w3")]


async def test_flushes_are_carried_out_once(secret: Path) -> None:
    async with sharing(secret) as one, sharing(secret) as other:
        first = await begin(one)
        await first.speak(1)
        await first.socket.send('{"type":"flush"}')
        await first.speak(2, 0, 0, 0)
        await first.receive("final")
        await first.receive("final")
        ack = await first.receive("ack")
        assert ack["flushes"] == 1
        known = newest_token(first)
        await cut(first)
        second = await come_back(other, known)
        ack = await second.receive("ack")
        assert ack["flushes"] == (1 if known["from"] else 0)
        await second.socket.send(speech([1, 2, 0, 0, 0, 3])[ack["received"] :].tobytes())
        assert await second.stop() == 1000
    assert texts(first, second) == [(0, "w1"), (1, "w2"), (2, "w3")]


async def test_a_token_of_nobody_begins_nothing() -> None:
    async with sharing(None) as one, sharing(None) as other:
        first = await begin(one)
        await first.speak(1, 0)
        await first.receive("ack")
        second = await come_back(other, newest_token(first))
        assert (await second.receive("error"))["code"] == "resume_failed"
        await second.configure(**OPTIONS)
        await second.speak(1)
        assert await second.stop() == 1000
        assert texts(second) == [(0, "w1")]
        await first.stop()


async def test_a_token_is_good_for_its_key_only(secret: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("alice-key-1\nmallory-key\n")
    async with sharing(secret, keys) as running:
        headers = {name: {"Authorization": f"Bearer {name}"} for name in ("alice-key-1", "mallory-key")}
        socket = await connect(running.ws + "/v1/ws", additional_headers=headers["alice-key-1"])
        alice = Client(socket)
        await alice.receive("ready")
        await alice.configure(**OPTIONS)
        await alice.speak(1, 0)
        await alice.receive("final")
        await alice.receive("ack")
        for name, answer in (("mallory-key", "error"), ("alice-key-1", "ack")):
            other = Client(await connect(running.ws + "/v1/ws", additional_headers=headers[name]))
            await other.socket.send(json.dumps({"type": "resume", **newest_token(alice)}))
            await other.receive(answer)
        assert await other.stop() == 1000


async def test_a_server_that_stops_asks_its_clients_to_go(secret: Path) -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool, Limits(shutdown_drain_secs=1.0)) as running:
        first = await begin(running)
        await first.speak(1, 2)
        await first.receive("ack")
        running.server.handle_exit(15, None)
        assert (await first.receive("goaway"))["seconds"] == 0.5
        assert await first.read_to_close() == 1012
        assert not first.of("final")
        await wait_until(lambda: not pool.places.active)


async def test_resume_goes_with_utterances_as_they_are() -> None:
    async with server(MemoryPool(automatic=True)) as running:
        async with client(running) as connected:
            await connected.receive("ready")
            await connected.configure(**OPTIONS, endpoint_mode="manual")
            assert (await connected.receive("error"))["code"] == "invalid_configuration"
            await connected.speak(1)
            assert await connected.stop() == 1000
        assert not connected.of("ack")


@pytest.mark.parametrize(
    "message", ['{"type":"resume"}', '{"type":"resume","token":1}', '{"type":"resume","token":"x","from":-1}']
)
async def test_a_wrong_resume_is_told_and_changes_nothing(message: str) -> None:
    async with server(MemoryPool(automatic=True)) as running, client(running) as connected:
        await connected.receive("ready")
        await connected.socket.send(message)
        assert (await connected.receive("error"))["code"] == "invalid_message"
        await connected.socket.send('{"type":"resume","token":"x"}')
        assert (await connected.receive("error"))["code"] == "resume_failed"
        await connected.configure(sample_rate=16_000)
        await connected.speak(1)
        await connected.socket.send('{"type":"resume","token":"x"}')
        assert (await connected.receive("error"))["code"] == "resume_too_late"
        assert await connected.stop() == 1000
