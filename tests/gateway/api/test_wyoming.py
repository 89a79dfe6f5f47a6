"""Wyoming through a real listener and the protocol's own client, over workers in memory."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import numpy as np
import pytest
from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event, Eventable
from wyoming.info import Describe, Info
from wyoming.ping import Ping

from gigastt.config import Limits
from gigastt.gateway.api.dialect import Moment
from gigastt.gateway.api.wyoming import WyomingDialect
from gigastt.gateway.api.wyoming_frames import event_of
from gigastt.gateway.api.wyoming_turns import listen_for_wyoming
from gigastt.gateway.context import ServedModel
from gigastt.gateway.server.deadlines import Deadlines
from gigastt.transcript import Final, Partial, Word
from tests.fakes.gateway import Running, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import memory_context
from tests.fakes.pool import FakePool, Fakes
from tests.fakes.scripted import POISON, speech
from tests.raw_client import connect_raw
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

AUDIO = {"rate": 16_000, "width": 2, "channels": 1}
MOMENT = Moment(0, 0.0, 1)


@asynccontextmanager
async def listener(limits: Limits | None = None, pool: MemoryPool | None = None) -> AsyncIterator[Running]:
    context = memory_context(pool or MemoryPool(automatic=True), limits)
    factory = listen_for_wyoming(context)
    async with serving(context, tcp=factory, deadlines=Deadlines(linger=0.2)) as running:
        yield running


@asynccontextmanager
async def client(limits: Limits | None = None) -> AsyncIterator[AsyncTcpClient]:
    async with listener(limits) as running, AsyncTcpClient("127.0.0.1", running.port) as connected:
        yield connected


async def read(connected: AsyncTcpClient, last: str) -> list[Event]:
    """Read up to an event of a kind, or the end."""
    events: list[Event] = []
    async with asyncio.timeout(60):
        while (event := await connected.read_event()) is not None:
            events.append(event)
            if event.type == last:
                break
    return events


async def say(connected: AsyncTcpClient, *events: Eventable) -> None:
    for event in events:
        await connected.write_event(event.event())


def chunk(*values: int) -> AudioChunk:
    return AudioChunk(**AUDIO, audio=speech(values).tobytes())


async def transcript(connected: AsyncTcpClient, *audio: AudioChunk) -> str:
    await say(connected, Transcribe(language="ru"), AudioStart(**AUDIO), *audio, AudioStop())
    events = await read(connected, "transcript-stop")
    assert [events[0].type, *(event.type for event in events[-2:])] == [
        "transcript-start", "transcript", "transcript-stop",
    ]  # fmt: skip
    chunks = [event.data["text"] for event in events if event.type == "transcript-chunk"]
    text: str = events[-2].data["text"]
    assert "".join(chunks) == text
    return text


async def test_a_transcript_follows_its_audio_and_another_one_may_follow() -> None:
    async with client() as connected:
        assert await transcript(connected, chunk(1, 2), chunk(3)) == "w1 w2 w3"
        assert await transcript(connected, chunk(4)) == "w4"


async def test_audio_that_comes_before_its_turn_is_not_lost() -> None:
    async with client() as connected:
        await say(connected, AudioStart(**AUDIO), chunk(1), AudioStop(), chunk(2), AudioStop(), Ping("late"))
        events = await read(connected, "pong")
    assert [event.data["text"] for event in events if event.type == "transcript"] == ["w1", "w2"]


@pytest.mark.parametrize("audio", [(), (AudioChunk(**AUDIO, audio=b""),), (chunk(),)], ids=["none", "empty", "silent"])
async def test_empty_audio_has_an_empty_transcript(audio: Sequence[AudioChunk]) -> None:
    async with client() as connected:
        assert await transcript(connected, *audio) == ""


async def test_the_server_describes_itself_also_without_a_place() -> None:
    async with listener(pool=MemoryPool(workers=0)) as running, AsyncTcpClient("127.0.0.1", running.port) as connected:
        await say(connected, Describe(), Ping("are you there"))
        told, pong = await read(connected, "pong")
    [program] = Info.from_event(told).asr
    assert program.installed
    assert program.supports_transcript_streaming
    assert program.models[0].languages == ["ru"]
    assert pong.data == {"text": "are you there"}


async def test_the_server_describes_itself_while_it_listens() -> None:
    async with client() as connected:
        await say(connected, AudioStart(**AUDIO), chunk(1), Describe(), AudioStop())
        events = await read(connected, "transcript-stop")
    assert {event.type for event in events} >= {"info", "transcript"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rate": 7_999}, "rate"),
        ({"rate": "16000"}, "rate"),
        ({"width": 5}, "width"),
        ({"width": 0}, "width"),
        ({"channels": 0}, "channels"),
        ({"channels": None}, "channels"),
    ],
)
async def test_audio_that_nobody_understands_is_an_error_and_no_text(fields: dict[str, Any], named: str) -> None:
    async with client() as connected:
        await connected.write_event(Event("audio-start", {**AUDIO, **fields}))
        events = await read(connected, "")
    assert [event.type for event in events] == ["transcript-start", "error"]
    assert events[1].data["code"] == "invalid_parameter"
    assert named in events[1].data["text"]


async def test_other_languages_are_refused() -> None:
    async with client() as connected:
        await say(connected, Transcribe(language="en"))
        assert [event.type for event in await read(connected, "")] == ["transcript-start", "error"]


async def test_a_rate_that_changes_is_refused() -> None:
    async with client() as connected:
        await say(connected, chunk(1), AudioChunk(rate=8_000, width=2, channels=1, audio=bytes(320)))
        events = await read(connected, "")
    assert [event.type for event in events] == ["transcript-start", "error", "transcript-chunk"]
    assert events[1].data["code"] == "invalid_parameter"


@pytest.mark.parametrize(("width", "channels"), [(2, 2), (3, 1), (4, 3)])
async def test_samples_of_any_form_are_heard(width: int, channels: int) -> None:
    octets = np.repeat(speech((1, 2)).astype("<i2"), channels).view(np.uint8).reshape(-1, 2)
    wide = np.concatenate([np.zeros((len(octets), width - 2), np.uint8), octets], axis=1).tobytes()
    async with client() as connected:
        sent = AudioChunk(rate=16_000, width=width, channels=channels, audio=wide)
        assert await transcript(connected, sent) == "w1 w2"


async def test_bytes_that_are_no_event_are_named_and_the_connection_ends() -> None:
    async with listener() as running, connect_raw(running) as raw:
        raw.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b'"code": "invalid_message"' in await asyncio.wait_for(raw.reader.read(), 30)


async def test_a_stream_that_breaks_in_its_middle_has_no_transcript() -> None:
    async with client() as connected:
        await say(connected, AudioStart(**AUDIO), chunk(1))
        assert connected._writer is not None
        connected._writer.write(b"broken\n")
        events = await read(connected, "")
    assert [event.type for event in events] == ["transcript-start", "transcript-chunk", "error"]
    assert events[-1].data["code"] == "interrupted"


async def test_a_server_that_stops_says_that_there_is_no_transcript() -> None:
    async with listener() as running, AsyncTcpClient("127.0.0.1", running.port) as connected:
        await say(connected, AudioStart(**AUDIO), chunk(1))
        await read(connected, "transcript-start")
        running.server.handle_exit(signal.SIGTERM, None)
        assert [event.type for event in await read(connected, "")] == ["transcript-chunk", "error"]


async def test_a_server_that_stops_hangs_up_on_those_who_wait() -> None:
    async with listener() as running, AsyncTcpClient("127.0.0.1", running.port) as connected:
        await say(connected, Ping())
        await read(connected, "pong")
        running.server.handle_exit(signal.SIGTERM, None)
        assert await read(connected, "") == []


async def test_a_client_that_shuts_its_side_down_is_told_what_there_is_and_hung_up_on() -> None:
    for begun in (AudioStart(**AUDIO), chunk(1)):
        async with client() as connected:
            await say(connected, begun)
            assert connected._writer is not None
            connected._writer.write_eof()
            events = await read(connected, "")
        assert "transcript" not in [event.type for event in events]


@pytest.mark.parametrize(("allow", "answered"), [("10.0.0.0/8", 0), ("127.0.0.0/8", 1)])
async def test_other_networks_are_hung_up_on(allow: str, answered: int) -> None:
    context = Fakes(pool=cast("FakePool", MemoryPool(automatic=True))).context(wyoming_allow=(allow,))
    async with (
        serving(context, tcp=listen_for_wyoming(context), deadlines=Deadlines(linger=0.2)) as running,
        AsyncTcpClient("127.0.0.1", running.port) as connected,
    ):
        with suppress(ConnectionError):
            await say(connected, Ping())
            assert len(await read(connected, "pong")) == answered


async def test_sessions_are_counted_by_their_protocol() -> None:
    context = memory_context(MemoryPool(automatic=True))
    value = context.metrics.registry.get_sample_value
    async with (
        serving(context, tcp=listen_for_wyoming(context)) as running,
        AsyncTcpClient("127.0.0.1", running.port) as connected,
    ):
        await say(connected, Ping())
        await read(connected, "pong")
        assert value("gigastt_sessions_total", {"protocol": "wyoming"}) is None, "between transcripts it is none"
        await transcript(connected, chunk(1))
        await transcript(connected, chunk(2))
        assert value("gigastt_sessions_total", {"protocol": "wyoming"}) == 2
    assert value("gigastt_sessions_open", {"protocol": "wyoming"}) == 0


async def test_a_client_that_says_nothing_is_hung_up_on() -> None:
    async with client(Limits(idle_timeout_secs=0.05)) as connected:
        assert await read(connected, "") == []


async def test_a_client_that_asks_and_never_reads_is_dropped() -> None:
    context = memory_context(MemoryPool(automatic=True))
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        async with serving(context, tcp=listen_for_wyoming(context), deadlines=Deadlines(unread=0.1)) as running:
            await loop.sock_connect(deaf, ("127.0.0.1", running.port))
            with suppress(ConnectionError):
                async with asyncio.timeout(60):
                    while True:
                        await loop.sock_sendall(deaf, b'{"type":"describe"}\n' * 100)
            await wait_until(lambda: not running.server.server_state.connections)


async def test_a_span_without_words_is_an_error_and_the_rest_is_told() -> None:
    async with client() as connected:
        await say(connected, AudioStart(**AUDIO), chunk(1, POISON, 2), AudioStop())
        events = await read(connected, "transcript-stop")
    assert [event.data["code"] for event in events if event.type == "error"] == ["segment_failed"]
    assert "audio" not in events[-2].data["text"]


async def test_unknown_events_are_dropped() -> None:
    async with client() as connected:
        await connected.write_event(Event("select-program", {"name": "gigastt"}))
        await connected.write_event(Event("from-the-future", payload=b"1234"))
        assert await transcript(connected, chunk(1)) == "w1"


def words(*texts: str) -> tuple[Word, ...]:
    return tuple(Word(text, 0.0, 1.0, 1.0) for text in texts)


def test_chunks_are_stable_words_and_never_taken_back() -> None:
    dialect = WyomingDialect(lambda: ServedModel("model", "A model"))
    told = [
        *dialect.tell(Partial("раз два", words("раз", "два"), 1), MOMENT),
        *dialect.tell(Partial("раз двор", words("раз", "двор"), 1), MOMENT),
        *dialect.tell(Final("Раз, двор.", words("Раз,", "двор."), 0.0, 1.0, 1.0, "silence"), MOMENT),
        *dialect.tell(Final("", (), 1.0, 2.0, 0.0, "silence"), MOMENT),
        *dialect.tell(Partial("три", words("три"), 1), MOMENT),
        *dialect.tell(Final("три", words("три"), 2.0, 3.0, 1.0, "stop"), MOMENT),
    ]
    assert [event_of(str(message)).fields["text"] for message in told] == ["раз", " двор.", " три"]
    assert [event_of(str(message)).kind for message in dialect.end()] == ["error"]
    dialect.hear("audio-stop\n{}", None)
    assert event_of(str(dialect.end()[0])).fields["text"] == "Раз, двор. три"
