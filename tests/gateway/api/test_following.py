"""Reading along: readers get what a session tells; those that stall, come late or stay on harm nobody."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from gigastt.gateway.api.dialect import Moment
from gigastt.gateway.api.teller import Captions
from gigastt.gateway.feeds import LAST_MESSAGES, MOST_ENDED_BYTES, MOST_MESSAGES, Feeds
from gigastt.transcript import Gap, Partial, Word
from tests.fakes.gateway import http_client, serving
from tests.fakes.pool import Fakes, final
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

NAME = "0123456789abcdef"
MOMENT = Moment(0, 0.0, 1)
PATH = f"/v1/sessions/{NAME}/events"


def partial(text: str) -> Partial:
    return Partial(text, tuple(Word(word, 0.0, 1.0, 0.9) for word in text.split()), 0)


def captions(feeds: Feeds, owner: str = "alice", session_id: str = "made") -> Captions:
    return Captions(feeds, NAME, session_id, owner)


async def read(feeds: Feeds, after: int = 0, name: str = NAME) -> list[Any]:
    """Return what a follower gets of a session that is over: texts, or types where there are none."""
    async with aclosing(feeds.follow(name, after, 0.0)) as messages:
        told = [json.loads(message.text) async for message in messages]
    return [event.get("text") or event["type"] for event in told]


async def test_a_reader_gets_finals_in_their_order_and_no_partial_that_is_past() -> None:
    feeds = Feeds()
    told = captions(feeds)
    got: list[str] = []

    async def follow() -> None:
        async with aclosing(feeds.follow(NAME, 0, 1.0)) as messages:
            got.extend([message.text async for message in messages])

    reading = asyncio.create_task(follow())
    await asyncio.sleep(0)
    for event in (partial("раз"), partial("раз два"), final("Раз, два."), partial("три"), Gap("segment_failed", 0, 1)):
        told.tell(event, MOMENT)
    told.end()
    await reading
    events = [json.loads(text) for text in got]
    assert [event.get("text") or event.get("code") or event["type"] for event in events] == [
        "ready",
        "Раз, два.",
        "segment_failed",
        "end",
    ]


async def test_nobody_who_reads_costs_no_partial() -> None:
    feeds = Feeds()
    told = captions(feeds)
    told.tell(partial("раз"), MOMENT)
    told.tell(final("Раз."), MOMENT)
    told.end()
    assert await read(feeds) == ["ready", "Раз.", "end"]


async def test_who_comes_late_back_or_to_another_session_of_the_name_gets_what_is_missing() -> None:
    feeds = Feeds()
    told = captions(feeds)
    for number in range(LAST_MESSAGES + 8):
        told.tell(final(f"{number}."), MOMENT)
    told.end()
    late = await read(feeds)
    assert len(late) == LAST_MESSAGES
    assert late[-3:] == [f"{LAST_MESSAGES + 6}.", f"{LAST_MESSAGES + 7}.", "end"]
    seen = LAST_MESSAGES + 8  # `ready` was the first message
    assert await read(feeds, seen) == late[-2:]
    again = captions(feeds)
    again.tell(final("Снова."), MOMENT)
    again.end()
    assert await read(feeds, seen + 2) == ["ready", "Снова.", "end"]
    assert await read(feeds, 9_999) == ["ready", "Снова.", "end"]  # of a feed that was forgotten


async def test_a_name_is_its_clients_own_also_while_its_old_session_is_not_known_to_be_dead() -> None:
    feeds = Feeds()
    first, second, strange = captions(feeds), captions(feeds), captions(feeds, "mallory", "other")
    strange.tell(final("Чужое."), MOMENT)
    first.end()
    second.tell(final("Своё."), MOMENT)
    second.end()
    strange.end()
    assert await read(feeds) == ["ready", "ready", "Своё.", "end"]
    assert await read(feeds, name="other") == ["ready", "Чужое.", "end"]


async def test_many_long_calls_that_have_ended_are_forgotten_before_their_time_but_for_the_last() -> None:
    feeds = Feeds()
    text = "x" * (MOST_ENDED_BYTES // MOST_MESSAGES // 4)  # four calls have more than may be kept
    for call in range(6):
        feed = feeds.begin(f"call-{call}")
        for _ in range(MOST_MESSAGES):
            feed.add(text)
        feeds.end(feed)
    assert len(feeds) == 3
    short = feeds.begin("short")
    feeds.end(short)
    assert len(feeds) == 4


async def test_events_come_over_http_and_end_with_the_session() -> None:
    context = Fakes().context()
    async with serving(context) as running, httpx.AsyncClient(base_url=running.http) as client:
        async with client.stream("GET", PATH) as answer:  # before the session begins
            await wait_until(lambda: len(context.feeds))
            told = captions(context.feeds)
            told.tell(final("Раз."), MOMENT)
            told.end()
            lines = [line async for line in answer.aiter_lines()]
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert [line for line in lines if line.startswith("id")] == ["id: 1", "id: 2", "id: 3"]
        events = [json.loads(line[6:]) for line in lines if line.startswith("data")]
        assert [(event["type"], event["last"]) for event in events] == [
            ("ready", False),
            ("final", False),
            ("end", True),
        ]


async def test_a_token_for_the_session_reads_it_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    context = Fakes().context(api_keys_file=tmp_path / "keys")
    captions(context.feeds).end()
    async with http_client(context) as client:
        key = {"authorization": "Bearer secret-key-1"}
        page = (await client.post("/v1/tokens", headers=key)).json()["token"]
        made = await client.post("/v1/tokens", json={"session": NAME}, headers={"authorization": f"Bearer {page}"})
        reads = {"authorization": f"Bearer {made.json()['token']}"}
        assert (await client.get("/v1/sessions/another-session-1/events", headers=reads)).status_code == 401
        assert (await client.get("/v1/status", headers=reads)).status_code == 401
        assert (await client.get(PATH)).status_code == 401
        assert '"end"' in (await client.get(PATH, headers=reads)).text
