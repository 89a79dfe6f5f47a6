"""The webhook: what a receiver gets, when it fails, and what the server's end leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gigastt.errors import ConfigError
from gigastt.gateway.call_webhook import CallWebhook, read_secret
from gigastt.gateway.feeds import Feeds
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.webhook import signature_of
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

SECRET = "0123456789abcdef"


@dataclass
class Receiver:
    """An HTTP server that keeps what it is sent and answers with the statuses it was given, then with 204."""

    statuses: list[int]
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().strip().split("\r\n")[1:]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.raw.append(body)
                self.headers.append(headers)
                self.bodies.append(json.loads(body))
                status = self.statuses.pop(0) if self.statuses else 204
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncIterator[Receiver]:
    kept = Receiver(list(statuses))
    server = await asyncio.start_server(kept.answer, "127.0.0.1", 0)
    kept.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield kept


def make_call(feeds: Feeds, *texts: str) -> None:
    feed = feeds.begin("call-1")
    feed.add('{"type":"ready"}')
    for text in texts:
        feed.add(json.dumps({"type": "partial", "text": text}), passing=True)
        feed.add(json.dumps({"type": "final", "text": text}))
    feed.add('{"type":"end","close_code":1000}')
    feeds.end(feed)


async def test_finals_and_the_end_are_sent_in_order_and_signed() -> None:
    feeds = Feeds()
    async with receiver() as kept, CallWebhook(kept.url, SECRET, feeds, Metrics()):
        make_call(feeds, "Раз.", "", "Два.")
        await wait_until(lambda: len(kept.bodies) == 3)
    assert [(body["type"], body["text"]) for body in kept.bodies] == [
        ("final", "Раз."),
        ("final", "Два."),
        ("end", "Раз. Два."),
    ]
    assert {body["session"] for body in kept.bodies} == {"call-1"}
    assert [headers["x-gigastt-event"] for headers in kept.headers] == ["call.final", "call.final", "call.end"]
    for headers, raw in zip(kept.headers, kept.raw, strict=True):
        expected = signature_of(SECRET, int(headers["x-gigastt-timestamp"]), raw)
        assert headers["x-gigastt-signature"] == expected


async def test_a_message_that_fails_is_sent_again() -> None:
    feeds = Feeds()
    async with receiver(500, 429) as kept, CallWebhook(kept.url, SECRET, feeds, Metrics(), pauses=(0.0, 0.0)):
        make_call(feeds, "Раз.")
        await wait_until(lambda: len(kept.bodies) == 4)
    assert [body["type"] for body in kept.bodies] == ["final", "final", "final", "end"]
    assert len({body["number"] for body in kept.bodies}) == 2


@pytest.mark.parametrize("statuses", [(400, 400), (500, 500)])
async def test_a_message_that_cannot_be_sent_is_left_out(statuses: tuple[int, ...]) -> None:
    feeds = Feeds()
    async with receiver(*statuses) as kept, CallWebhook(kept.url, SECRET, feeds, Metrics(), pauses=(0.0,)):
        make_call(feeds, "Раз.")
        await wait_until(lambda: bool(kept.bodies) and kept.bodies[-1]["type"] == "end")
    assert kept.bodies[-1]["text"] == "Раз."


async def test_a_receiver_that_is_not_there_holds_nothing_up() -> None:
    feeds = Feeds()
    async with CallWebhook("http://127.0.0.1:9/", SECRET, feeds, Metrics(), pauses=(), end_seconds=30):
        make_call(feeds, "Раз.")


async def test_the_end_of_the_server_waits_for_what_is_under_way() -> None:
    feeds = Feeds()
    async with receiver() as kept:
        async with CallWebhook(kept.url, SECRET, feeds, Metrics(), end_seconds=30):
            make_call(feeds, "Раз.")
        assert [body["type"] for body in kept.bodies] == ["final", "end"]


async def test_the_end_of_the_server_does_not_wait_for_ever() -> None:
    feeds = Feeds()
    async with (
        receiver(503) as kept,
        CallWebhook(kept.url, SECRET, feeds, Metrics(), pauses=(3600.0,), end_seconds=0.05),
    ):
        make_call(feeds, "Раз.")
        await wait_until(lambda: len(kept.bodies) == 1)


def test_a_secret_is_the_text_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    assert read_secret(tmp_path / "secret") == SECRET


@pytest.mark.parametrize("content", ["", "short"])
def test_a_wrong_secret_is_a_mistake_in_the_settings(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_text(content)
    with pytest.raises(ConfigError, match="--webhook-secret-file"):
        read_secret(tmp_path / "secret")
    with pytest.raises(ConfigError, match="--webhook-secret-file"):
        read_secret(tmp_path / "nothing")
