"""Plain text on request, at every entry: live, by URL, over a resumption, for files, event streams and jobs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from gigastt.transcript import Partial
from tests.fakes.gateway import http_client
from tests.fakes.jobs import FakeJobs
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import Client, client, server
from tests.fakes.pool import Fakes, FakeTranscriber, final
from tests.fakes.scripted import LOUD
from tests.gateway.api.test_resumption import begin, come_back, cut, newest_token, sharing, texts

PLAIN = {"punctuation": False, "casing": "lower"}
QUERY = "punctuation=false&casing=lower"
SAID = [final("«Раз, — Два!"), final("…", 1, start=1.0), final("Три.", 2, start=2.0), final("", 3, "stop")]


def told(listener: Client) -> list[str]:
    return [word["word"] for each in listener.messages for word in each.get("words", ())]


def spans(listener: Client) -> list[tuple[float, float]]:
    return [(word["start"], word["end"]) for each in listener.of("final") for word in each["words"]]


async def hear(path: str, **fields: Any) -> Client:
    async with server(MemoryPool(automatic=True)) as running, client(running, path) as speaker:
        if fields:
            await speaker.configure(sample_rate=16_000, **fields)
        await speaker.speak(1, LOUD)
        await speaker.speak(0, LOUD)
        assert await speaker.stop() == 1000
    return speaker


@pytest.mark.slow
async def test_a_session_is_told_as_it_was_configured() -> None:
    usual, plain = await hear("/v1/ws", partials=True), await hear("/v1/ws", **PLAIN)
    assert {"w1", "W668!"} == set(told(usual))
    assert {"w1", "w668"} == set(told(plain))
    assert plain.of("partial")
    assert [each["text"] for each in plain.of("final")][:2] == ["w1 w668", "w668"]
    assert spans(plain) == spans(usual)


@pytest.mark.slow
async def test_the_url_says_it_too() -> None:
    assert set(told(await hear("/v1/ws?sample_rate=16000&punctuation=false"))) == {"w1", "W668"}
    assert set(told(await hear("/v1/ws?sample_rate=16000&casing=lower"))) == {"w1", "w668!"}


@pytest.mark.slow
@pytest.mark.parametrize("query", ["casing=upper", "punctuation=no", "numbers=roman"])
async def test_a_wrong_value_in_the_url_is_refused(query: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await hear(f"/v1/ws?{query}")
    assert refused.value.response.status_code == 400
    assert json.loads(refused.value.response.body)["code"] == "invalid_parameter"


@pytest.mark.slow
async def test_a_session_goes_on_so_on_another_server(secret: Path) -> None:
    async with sharing(secret) as here, sharing(secret) as there:
        first = await begin(here, **PLAIN)
        await first.speak(LOUD, 0)
        await first.receive("final")
        async with asyncio.timeout(60):
            while "resume_token" not in await first.receive("ack"):
                pass
        known = newest_token(first)
        await cut(first)
        second = await come_back(there, known)
        await second.receive("ack")
        await second.speak(0, LOUD)
        assert await second.stop() == 1000
    assert [text for _, text in texts(first, second) if text] == ["w668", "w668"]


async def test_a_file_is_told_plainly_in_every_form() -> None:
    async with http_client(Fakes(transcriber=FakeTranscriber(SAID)).context()) as http:
        usual = (await http.post("/v1/transcribe", content=b"\0" * 64_000)).json()
        same = await http.post("/v1/transcribe?punctuation=true&casing=original", content=b"\0" * 64_000)
        plain = (await http.post(f"/v1/transcribe?{QUERY}", content=b"\0" * 64_000)).json()
        text = (await http.post(f"/v1/transcribe?{QUERY}&format=text", content=b"\0" * 64_000)).text
        fields = {"punctuation": "false", "casing": "lower"}
        form = await http.post("/v1/transcribe", data=fields, files={"file": b"\0" * 64})
    assert same.json() == usual
    assert usual["text"] == "«Раз, — Два! … Три."
    assert plain["text"] == form.json()["text"] == "раз два три"
    assert [segment["text"] for segment in plain["segments"]] == ["раз два", "три"]
    words = [word | {"word": ""} for word in usual["words"] if word["word"] not in "—…"]
    assert [word | {"word": ""} for word in plain["words"]] == words
    assert [word for segment in plain["segments"] for word in segment["words"]] == plain["words"]
    assert text == "раз два\nтри\n"


async def test_events_are_plain_too() -> None:
    transcriber = FakeTranscriber([Partial("«Раз, —", SAID[0].words[:2], 2), *SAID])
    async with http_client(Fakes(transcriber=transcriber).context()) as http:
        answer = await http.post(f"/v1/transcribe/stream?{QUERY}", content=b"\0" * 32_000)
    events = [json.loads(block[6:]) for block in answer.text.split("\n\n") if block.startswith("data: ")]
    assert [(event["type"], event["text"]) for event in events] == [
        ("partial", "раз"),
        ("final", "раз два"),
        ("final", ""),
        ("final", "три"),
        ("final", ""),
    ]
    assert events[0]["stable"] == 1


async def test_numbers_are_figures_where_they_are_asked_for() -> None:
    said = [final("Двадцать пять рублей и сто."), final("", 1, "stop", start=2.0)]
    partial = Partial("Двадцать пять", said[0].words[:2], 2)
    context = Fakes(transcriber=FakeTranscriber([partial, *said])).context()
    body = b"\0" * 64_000
    async with http_client(context) as http:
        answer = (await http.post("/v1/transcribe?numbers=digits", content=body)).json()
        form = await http.post("/v1/transcribe", data={"numbers": "digits"}, files={"file": body})
        plain = (await http.post(f"/v1/transcribe?numbers=digits&{QUERY}&format=text", content=body)).text
        events = (await http.post("/v1/transcribe/stream?numbers=digits", content=body)).text
        deepgram = [
            (await http.post(f"/v1/listen?punctuate=true&{query}", content=body)).json()
            for query in ("numerals=true", "smart_format=true", "smart_format=false")
        ]
    assert form.json() == answer
    assert [word["word"] for word in answer["words"]] == ["25", "рублей", "и", "100."]
    assert (answer["words"][0]["start"], answer["words"][0]["end"]) == (0.0, 0.8)
    assert answer["text"] == answer["segments"][0]["text"] == "25 рублей и 100."
    assert plain == "25 рублей и 100\n"
    assert '"text":"25","words"' in events
    assert '"stable":0' in events
    told = [each["results"]["channels"][0]["alternatives"][0]["transcript"] for each in deepgram]
    assert told == ["25 рублей и 100.", "25 рублей и 100.", "Двадцать пять рублей и сто."]


@pytest.mark.parametrize("query", ["casing=upper", "punctuation=1", "numbers=1"])
@pytest.mark.parametrize("path", ["/v1/transcribe", "/v1/transcribe/stream"])
async def test_a_wrong_value_is_named(path: str, query: str) -> None:
    async with http_client(Fakes().context()) as http:
        answer = await http.post(f"{path}?{query}", content=b"\0" * 64)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_parameter"
    assert answer.json()["error"].startswith(query.partition("=")[0])


async def test_a_job_is_told_as_its_reader_wants_it(tmp_path: Path) -> None:
    async with FakeJobs(tmp_path, mark="A!").running() as context, http_client(context) as http:
        job = (await http.post("/v1/jobs", content=b"\0" * 64_000)).json()["id"]
        await http.get(f"/v1/jobs/{job}/events")
        usual = (await http.get(f"/v1/jobs/{job}/result")).json()["text"]
        plain = (await http.get(f"/v1/jobs/{job}/result?{QUERY}")).json()["text"]
        events = (await http.get(f"/v1/jobs/{job}/events?{QUERY}")).text
        wrong = await http.get(f"/v1/jobs/{job}/result?casing=upper")
    assert (usual, plain) == ("0-0A! 0-1A!", "0-0a 0-1a")
    assert '"text":"0-0a"' in events
    assert "A!" not in events
    assert wrong.json()["code"] == "invalid_parameter"
