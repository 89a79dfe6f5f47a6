"""The dialect of Vosk through a real server and real sockets, over workers in memory."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from gigastt.gateway.access.keys import ApiKeys
from gigastt.gateway.api.dialect import Configuration, Message, Moment, Request
from gigastt.gateway.api.vosk import VoskDialect
from gigastt.gateway.api.websocket import speak
from gigastt.gateway.app import create_vosk_app
from gigastt.spelling import AS_RECOGNISED, PLAIN
from gigastt.transcript import Final, Word
from tests.fakes.gateway import Running, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import memory_context
from tests.fakes.scripted import POISON, speech
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@asynccontextmanager
async def listener() -> AsyncIterator[Running]:
    async with serving(memory_context(MemoryPool(automatic=True)), create_vosk_app) as running:
        yield running


@asynccontextmanager
async def session(rate: object = 16_000, **config: Any) -> AsyncIterator[ClientConnection]:
    async with listener() as running, connect(running.ws) as socket:
        await socket.send(json.dumps({"config": {"sample_rate": rate, **config}}))
        yield socket


async def ask(socket: ClientConnection, message: str | bytes) -> dict[str, Any]:
    """Send a message and take its reply, as Vosk's clients do."""
    await socket.send(message)
    async with asyncio.timeout(30):
        reply: dict[str, Any] = json.loads(await socket.recv())
    return reply


async def close_code(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(30):
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    return socket.close_code


def sound(*values: int) -> bytes:
    return speech(values).tobytes()


EOF = '{"eof" : 1}'


async def test_each_frame_has_one_reply_and_the_text_comes_when_it_is_known() -> None:
    async with session() as socket:
        told: list[str] = []

        async def has_told() -> bool:
            reply = await ask(socket, sound(0))
            told.extend([reply["text"]] if "text" in reply else [])
            return bool(told)

        assert "partial" in await ask(socket, sound(1, 2, 0, 3))
        async with asyncio.timeout(30):
            while not await has_told():
                pass
        last = await ask(socket, EOF)
        assert " ".join([*told, last["text"]]).split() == ["w1", "w2", "w3"]
        assert await close_code(socket) == 1000


async def test_results_tell_words_with_times_and_confidences() -> None:
    async with session() as socket:
        await ask(socket, sound(1, 2))
        result = await ask(socket, '{"eof":1}')
        assert result["text"] == "w1 w2"
        assert [word["word"] for word in result["result"]] == ["w1", "w2"]
        assert set(result["result"][0]) == {"word", "start", "end", "conf"}


@pytest.mark.parametrize("rate", [16_000, 16_000.0, "16000", "16000.0"])
async def test_rates_come_as_numbers_and_as_text(rate: object) -> None:
    async with session(rate, words=0) as socket:
        await ask(socket, sound(1))
        assert await ask(socket, EOF) == {"text": "w1"}


async def test_alternatives_have_the_shape_of_vosk() -> None:
    async with session(max_alternatives=3) as socket:
        await ask(socket, sound(1))
        [only] = (await ask(socket, EOF))["alternatives"]
        assert only["text"] == "w1"
        assert set(only["result"][0]) == {"word", "start", "end"}


async def test_a_reset_is_answered_with_the_words_so_far_before_later_frames() -> None:
    async with session() as socket:
        await ask(socket, sound(1))
        for message in ('{"reset": 1}', sound(2), sound(0)):
            await socket.send(message)
        replies = [json.loads(await socket.recv()) for _ in range(3)]
        assert replies[0]["text"] == "w1"
        assert [list(reply) for reply in replies[1:]] == [["partial"], ["partial"]]
        assert (await ask(socket, EOF))["text"] == "w2"


async def test_a_session_without_audio_has_an_empty_text() -> None:
    async with session() as socket:
        assert await ask(socket, '{"reset": 1}') == {"text": ""}
        assert await ask(socket, EOF) == {"text": ""}
        assert await close_code(socket) == 1000


async def test_the_rate_is_8_khz_unless_told() -> None:
    async with listener() as running, connect(running.ws) as socket:
        await ask(socket, sound(*[1] * 10))
        at_8_khz = await ask(socket, EOF)
    async with session() as socket:
        await ask(socket, sound(*[1] * 10))
        at_16_khz = await ask(socket, EOF)
    assert at_8_khz["result"][-1]["end"] > 1.8 * at_16_khz["result"][-1]["end"]


@pytest.mark.parametrize("rate", [0, -1, 1e99, "NaN", "fast", True, [], 16_000.5])
async def test_a_rate_that_is_none_is_refused(rate: object) -> None:
    async with session(rate) as socket:
        error = json.loads(await socket.recv())
        assert error["code"] == "invalid_parameter"
        assert await close_code(socket) == 1003


async def test_a_rate_that_changes_too_late_is_refused_and_the_same_again_is_not() -> None:
    async with session() as socket:
        await ask(socket, sound(1))
        await socket.send('{"config": {"sample_rate": 16000}}')
        assert "partial" in await ask(socket, sound(2))
        assert (await ask(socket, '{"config": {"sample_rate": 8000}}'))["code"] == "invalid_parameter"
        assert json.loads(await socket.recv())["text"] == "w1 w2"
        assert await close_code(socket) == 1003


async def test_audio_that_could_not_be_recognised_is_declared() -> None:
    async with session() as socket:
        await ask(socket, sound(1, 0, POISON, 0, 2))
        assert (await ask(socket, EOF))["failed"][0]["code"] == "segment_failed"


async def test_a_text_that_means_nothing_has_an_error_for_a_reply() -> None:
    async with session() as socket:
        assert (await ask(socket, "hello"))["code"] == "invalid_message"
        assert "partial" in await ask(socket, sound(1))


async def test_clients_that_offer_a_subprotocol_are_given_it() -> None:
    async with listener() as running, connect(running.ws, subprotocols=[Subprotocol("ws")]) as socket:
        assert socket.subprotocol == "ws"


async def test_a_client_that_hangs_up_without_reading_leaves_nothing() -> None:
    async with listener() as running:
        async with connect(running.ws) as socket:
            for _ in range(50):
                await socket.send(sound(1, 0))
            socket.transport.abort()
        await wait_until(lambda: not running.server.server_state.tasks)


async def test_keys_hosts_and_origins_hold(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret-key-1\n")
    context = memory_context(MemoryPool(automatic=True))
    context.api_keys = ApiKeys.load(keys)
    async with serving(context, create_vosk_app) as running:
        refusals = [
            ({}, 401),
            ({"Host": "evil.example", "Authorization": "Bearer secret-key-1"}, 421),
            ({"Authorization": "Bearer secret-key-1", "Origin": "https://evil.example"}, 403),
        ]
        for headers, status in refusals:
            with pytest.raises(InvalidStatus) as refused:
                await connect(running.ws, additional_headers=headers)
            assert refused.value.response.status_code == status
        async with connect(running.ws, additional_headers={"Authorization": "Bearer secret-key-1"}) as socket:
            assert await ask(socket, EOF) == {"text": ""}
        async with httpx.AsyncClient(base_url=running.http, headers={"Authorization": "Bearer secret-key-1"}) as http:
            assert [(await http.get(path)).status_code for path in ("/", "/v1/ws")] == [426, 404]


async def test_broken_messages_disturb_nobody() -> None:
    rng = random.Random(5)
    texts = ['{"config":', "[]", "1", '{"config":[]}', '{"config":{"words":{}}}', '{"eof":0}', "\ufeff", "{" * 500]

    async def attack(running: Running) -> None:
        async with connect(running.ws, max_queue=None) as socket:  # else unread replies keep the close from it
            try:
                for _ in range(40):
                    await socket.send(rng.choice(texts) if rng.random() < 0.5 else rng.randbytes(rng.randrange(1, 99)))
                    if rng.random() < 0.1:
                        await socket.recv()
            except ConnectionClosed:
                pass

    async with listener() as running, connect(running.ws) as honest:
        await honest.send('{"config": {"sample_rate": 16000}}')
        await ask(honest, sound(1))
        for _ in range(25):
            await attack(running)
        assert (await ask(honest, EOF))["text"] == "w1"
        await wait_until(lambda: not running.server.server_state.tasks)


async def test_audio_goes_past_the_reader_and_has_its_reply_and_json_in_bytes_does_not() -> None:
    heard: list[Message] = []

    class Overheard(VoskDialect):
        def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
            heard.append(message)
            return super().hear(message, configuration)

    context = memory_context(MemoryPool(automatic=True))
    async with (
        serving(context, native=speak(lambda _: Overheard())) as running,
        connect(f"{running.ws}/v1/ws") as socket,
    ):
        await socket.send('{"config": {"sample_rate": 16000}}')
        for number in range(20):
            assert "partial" in await ask(socket, sound(number + 1))
        like_json = b"{" + sound(21)[1:]
        assert "partial" in await ask(socket, like_json)
        await socket.send(b'{"reset": 1}')
        for _ in range(5):  # their replies come behind that to the reset
            await socket.send(sound(0))
        replies = [json.loads(await socket.recv()) for _ in range(6)]
        assert ["partial" in reply for reply in replies] == [False] + [True] * 5
        assert (await ask(socket, EOF))["text"] == ""
    assert len(replies[0]["text"].split()) >= 20
    assert len(sound(1)) >= 126
    assert heard[2:] == [like_json, b'{"reset": 1}', *heard[4:]]
    assert all(message in (sound(0), EOF) for message in heard[4:])
    assert not VoskDialect().takes_at_once(sound(1), is_sending=True)  # its reply would overtake


def test_words_are_plain_unless_the_operator_wants_them_as_they_are() -> None:
    final = Final("Привет!", (Word("Привет!", 0.1, 0.5, 0.9),), 0.1, 0.5, 0.9, "silence")
    for is_plain, spelling, text in ((True, PLAIN, "привет"), (False, AS_RECOGNISED, "Привет!")):
        dialect = VoskDialect(plain=is_plain)
        dialect.hear('{"config": {"sample_rate": 16000}}', dialect.configuration)
        assert dialect.configuration.spelling == spelling
        dialect.tell(dialect.configuration.spelling.of(final), Moment(0, 0.0, 1))
        [told] = map(json.loads, map(str, dialect.end()))
        assert told["text"] == told["result"][0]["word"] == text
