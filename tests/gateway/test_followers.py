"""Reading along: readers get what a session tells; those that stall, come late or stay on harm nobody."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx

from gigastt.gateway.api.dialect import Moment
from gigastt.gateway.api.following import tell_followers
from gigastt.gateway.followers import KEPT_FINALS, MOST_WAITING, Channel, Followers
from gigastt.transcript import Final, Gap, Partial, Word
from tests.fakes.gateway import http_client, serving
from tests.fakes.pool import Fakes, final
from tests.waiting import wait_until

SESSION = "0123456789abcdef"
MOMENT = Moment(0, 0.0, 1)


def partial(text: str, channel: int = 0) -> Partial:
    words = tuple(Word(word, 0.0, 1.0, 0.9) for word in text.split())
    return Partial(text, words, 0, channel=channel)


def texts(blocks: bytes) -> list[str]:
    return [json.loads(line[6:])["text"] for line in blocks.decode().splitlines() if line.startswith("data: ")]


def opened(all_followers: Followers, owner: object = "alice") -> Channel:
    channel = all_followers.open(SESSION, owner)
    assert channel is not None
    return channel


async def test_a_reader_gets_finals_in_their_order_and_only_the_newest_partial() -> None:
    channel = opened(Followers())
    reader = channel.join(0)
    for event in (partial("раз"), partial("раз два"), partial("там", 1), final("Раз, два."), partial("три")):
        tell_followers(channel, event, Moment(0, 0.0, 2))
    assert texts(await reader.take()) == ["там", "Раз, два.", "три"]


async def test_who_comes_late_or_back_gets_the_finals_that_are_missing() -> None:
    channel = opened(Followers())
    for number in range(KEPT_FINALS + 8):
        tell_followers(channel, final(f"{number}."), MOMENT)
    late = texts(await channel.join(0).take())
    assert late == [f"{number}." for number in range(8, KEPT_FINALS + 8)]
    assert texts(await channel.join(KEPT_FINALS + 6).take()) == late[-2:]
    assert texts(await channel.join(999).take()) == late  # of a channel that was forgotten


async def test_a_reader_that_does_not_read_ends_and_others_go_on() -> None:
    channel = opened(Followers())
    stalled, other = channel.join(0), channel.join(0)
    for number in range(MOST_WAITING + 1):
        tell_followers(channel, partial("слово"), MOMENT)
        tell_followers(channel, final(f"{number}."), MOMENT)
        assert texts(await other.take()) == [f"{number}."]
    assert stalled.ended
    assert not other.ended


async def test_a_channel_waits_for_its_speaker_and_then_ends() -> None:
    all_followers = Followers(linger=0.0)
    channel = opened(all_followers)
    assert all_followers.open(SESSION, "mallory") is None
    reader = channel.join(0)
    all_followers.close(SESSION, lingers=True)
    assert opened(all_followers) is channel  # the connection was lost, and is back
    await asyncio.sleep(0)
    assert all_followers.find(SESSION) is channel
    opened(all_followers)  # a third one, while the second is not known to be dead
    all_followers.close(SESSION, lingers=False)
    assert not reader.ended
    all_followers.close(SESSION, lingers=True)
    await wait_until(lambda: reader.ended)
    assert all_followers.find(SESSION) is None
    assert await reader.take() == b""


async def test_events_come_over_http_and_end_with_the_session() -> None:
    context = Fakes().context()
    channel = opened(context.followers)
    gap = Gap("segment_failed", 0.0, 1.0, 0)
    async with serving(context) as running, httpx.AsyncClient(base_url=running.http) as client:
        tell_followers(channel, final("Раз."), MOMENT)
        async with client.stream("GET", f"/v1/sessions/{SESSION}/events") as answer:
            await wait_until(lambda: channel.readers)
            tell_followers(channel, gap, MOMENT)
            tell_followers(channel, Final("", (), 0.0, 0.0, 0.0, "stop"), MOMENT)
            context.followers.close(SESSION, lingers=False)
            lines = [line async for line in answer.aiter_lines() if line.startswith(("id", "data"))]
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert [line for line in lines if line.startswith("id")] == ["id: 1", "id: 2"]
        told = [json.loads(line[6:]) for line in lines if line.startswith("data")]
        assert [(event["type"], event.get("text", event.get("code"))) for event in told[:-1]] == [
            ("final", "Раз."),
            ("error", "segment_failed"),
        ]
        await wait_until(lambda: not channel.readers)
        assert (await client.get(f"/v1/sessions/{SESSION}/events")).json()["code"] == "not_found"


async def test_a_token_for_the_session_reads_it_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    context = Fakes().context(api_keys_file=tmp_path / "keys")
    context.followers.open(SESSION, "alice")
    async with http_client(context) as client:
        key = {"authorization": "Bearer secret-key-1"}
        page = (await client.post("/v1/tokens", headers=key)).json()["token"]
        asked = {"session": SESSION}
        made = await client.post("/v1/tokens", json=asked, headers={"authorization": f"Bearer {page}"})
        reads = {"authorization": f"Bearer {made.json()['token']}"}
        assert (await client.get("/v1/sessions/another-session-1/events", headers=reads)).status_code == 401
        assert (await client.get("/v1/status", headers=reads)).status_code == 401
        assert (await client.get(f"/v1/sessions/{SESSION}/events")).status_code == 401
        context.followers.close(SESSION, lingers=False)
        assert (await client.get(f"/v1/sessions/{SESSION}/events", headers=reads)).status_code == 404


async def test_a_server_that_stops_lets_readers_go() -> None:
    context = Fakes().context()
    channel = opened(context.followers)
    async with serving(context) as running, httpx.AsyncClient(base_url=running.http) as client:
        request = client.stream("GET", f"/v1/sessions/{SESSION}/events")
        context.followers.close(SESSION, lingers=True)
        async with request as answer:
            context.pool.begin_drain()
            assert [line async for line in answer.aiter_lines() if line.startswith("data")] == []
    await wait_until(lambda: not channel.readers)
