"""Hotwords and alternatives at every entry: live, by URL, over a resumption, for files, event streams and adapters."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from gigastt.client_json import MOST_VALUES
from gigastt.gateway.app import NATIVE
from gigastt.ipc.messages import OpenStream
from gigastt.transcript import Alternative, Final, Hotword, Options, Word, alternatives_of
from tests.fakes.gateway import http_client, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import Client, client, server
from tests.fakes.pool import ALPHABET, Fakes, FakeTranscriber, final
from tests.fakes.scripted import LOUD
from tests.gateway.api.test_resumption import begin, come_back, cut, newest_token, sharing
from tests.test_hotwords import HOSTILE

pytestmark = pytest.mark.slow

WANTED = Options(hotwords=(Hotword("Кутузов"), Hotword("Яуза", 2.0)), most_alternatives=3)
LIST = ["Кутузов", {"phrase": "Яуза", "weight": 2}]
BODY = b"\0" * 64_000


def options_of(pool: MemoryPool) -> list[Options]:
    return [message.options for worker in pool.workers for message in worker.sent if isinstance(message, OpenStream)]


async def hear(path: str, *configures: dict[str, Any], alphabet: str = ALPHABET) -> tuple[Client, Options]:
    pool = MemoryPool(automatic=True)
    assert pool.model is not None
    pool.model = replace(pool.model, alphabet=alphabet)
    async with server(pool) as running, client(running, path) as speaker:
        for fields in configures:
            await speaker.configure(**fields)
        await speaker.speak(LOUD)
        assert await speaker.stop() == 1000
    [options] = options_of(pool)
    return speaker, options


def said(*texts: str) -> Final:
    """Return a final, and others that it could have been."""
    told = [final(text) for text in texts]
    return replace(told[0], alternatives=tuple(Alternative(one.text, one.words, 0.5) for one in told))


async def test_a_session_is_recognised_as_it_was_configured() -> None:
    speaker, options = await hear("/v1/ws", {"hotwords": LIST, "sample_rate": 16_000}, {"alternatives": 3})
    assert options == WANTED
    assert not speaker.of("error") + speaker.of("hotwords")


async def test_the_url_says_it_too() -> None:
    _, options = await hear("/v1/ws?sample_rate=16000&hotwords=Кутузов,Москва&alternatives=2")
    assert options == Options(hotwords=(Hotword("Кутузов"), Hotword("Москва")), most_alternatives=2)


async def test_an_empty_list_forgets_those_before() -> None:
    assert (await hear("/v1/ws", {"hotwords": LIST}, {"hotwords": []}))[1] == Options()


async def test_phrases_of_other_letters_are_named_and_the_rest_is_used() -> None:
    speaker, options = await hear("/v1/ws", {"hotwords": [*LIST, "😀", "SAP"]})
    assert [message["unusable"] for message in speaker.of("hotwords")] == [["😀", "SAP"]]
    assert len(options.hotwords) == 4
    assert [message["unusable"] for message in (await hear("/v1/ws?hotwords=SAP,Яуза"))[0].of("hotwords")] == [["SAP"]]


@pytest.mark.parametrize(
    "text", [text for text in map(json.dumps, HOSTILE) if len(text) < 520_000 and "NaN" not in text]
)
async def test_a_hostile_list_is_told_at_once_and_changes_nothing(text: str) -> None:
    speaker, options = await hear("/v1/ws", {"hotwords": LIST, "alternatives": 3}, {"hotwords": json.loads(text)})
    code = "invalid_hotwords" if sum(map(text.count, ",:[{")) < MOST_VALUES - 10 else "invalid_message"
    assert [message["code"] for message in speaker.of("error")] == [code]
    assert options == WANTED


@pytest.mark.parametrize("value", [0, 6, "many", 1.5, [2]])
async def test_a_wrong_number_of_alternatives_is_told(value: Any) -> None:
    speaker, options = await hear("/v1/ws", {"alternatives": value})
    assert [message["code"] for message in speaker.of("error")] == ["invalid_configuration"]
    assert options == Options()


@pytest.mark.parametrize("fields", [{"hotwords": LIST}, {"alternatives": 2}])
async def test_a_model_that_cannot_says_so_and_the_session_goes_on(fields: dict[str, Any]) -> None:
    speaker, options = await hear("/v1/ws", fields, alphabet="")
    assert [message["code"] for message in speaker.of("error")] == ["unsupported_by_model"]
    assert options == Options()
    query = "&".join(f"{name}={2 if name == 'alternatives' else 'Яуза'}" for name in fields)
    assert (await hear(f"/v1/ws?{query}", alphabet=""))[0].of("error")[0]["code"] == "unsupported_by_model"


async def test_a_wrong_url_is_refused() -> None:
    with pytest.raises(InvalidStatus) as refused:
        await hear(f"/v1/ws?hotwords={'x' * 101}")
    assert json.loads(refused.value.response.body)["code"] == "invalid_hotwords"


async def test_a_session_goes_on_so_on_another_server(secret: Path) -> None:
    pool = MemoryPool(automatic=True)
    elsewhere = serving(Fakes(pool=pool).context(secret_file=secret), native=NATIVE)
    async with sharing(secret) as here, elsewhere as there:
        first = await begin(here, hotwords=LIST, alternatives=3)
        await first.speak(LOUD, 0)
        await first.receive("final")
        async with asyncio.timeout(60):
            while "resume_token" not in await first.receive("ack"):
                pass
        await cut(first)
        second = await come_back(there, newest_token(first))
        await second.receive("ack")
        await second.speak(0, LOUD)
        assert await second.stop() == 1000
    assert [(told.hotwords, told.most_alternatives) for told in options_of(pool)] == [(WANTED.hotwords, 3)]


async def upload(transcriber: FakeTranscriber, path: str, alphabet: str = ALPHABET, **sent: Any) -> httpx.Response:
    fakes = Fakes(transcriber=transcriber)
    assert fakes.pool.model is not None
    fakes.pool.model = replace(fakes.pool.model, alphabet=alphabet)
    async with http_client(fakes.context()) as http:
        return await http.post(path, **(sent or {"content": BODY}))


@pytest.mark.parametrize("path", ["/v1/transcribe", "/v1/transcribe/stream"])
async def test_a_file_is_recognised_as_its_query_or_form_says(path: str) -> None:
    transcriber = FakeTranscriber([final("Раз."), final("", 1, "stop")])
    fields = {"hotwords": json.dumps(LIST), "alternatives": "3"}
    assert (await upload(transcriber, path, data=fields, files={"file": BODY})).status_code == 200
    assert (transcriber.options.hotwords, transcriber.options.most_alternatives) == (WANTED.hotwords, 3)
    answer = await upload(transcriber, f"{path}?hotwords=Яуза,SAP&alternatives=2")
    assert (transcriber.options.hotwords[0], transcriber.options.most_alternatives) == (Hotword("Яуза"), 2)
    assert answer.text.count('"SAP"') == 1


async def test_segments_have_their_alternatives_in_the_spelling_that_is_wanted() -> None:
    transcriber = FakeTranscriber([said("Борис, Фомин.", "Барис Фомин."), final("", 1, "stop")])
    answer = (await upload(transcriber, "/v1/transcribe?alternatives=2&punctuation=false&casing=lower")).json()
    [segment] = answer["segments"]
    assert [one["text"] for one in segment["alternatives"]] == ["борис фомин", "барис фомин"]
    assert [word["word"] for word in segment["alternatives"][1]["words"]] == ["барис", "фомин"]
    assert "unusable_hotwords" not in answer


@pytest.mark.parametrize("path", ["/v1/transcribe", "/v1/transcribe/stream", "/v1/audio/transcriptions", "/v1/listen"])
async def test_a_hostile_list_is_400_with_a_code(path: str) -> None:
    name = {"/v1/audio/transcriptions": "keywords[]", "/v1/listen": "keyterm"}.get(path, "hotwords")
    transcriber = FakeTranscriber([final("Раз."), final("", 1, "stop")])
    if path == "/v1/listen":
        answer = await upload(transcriber, f"{path}?{name}={'ы' * 101}")
    else:
        answer = await upload(transcriber, path, data={name: "ы" * 1_000_000, "model": "x"}, files={"file": BODY})
    assert answer.status_code == 400
    assert "invalid_hotwords" in answer.text
    assert not transcriber.request_ids


async def test_a_file_for_a_model_that_cannot_is_400() -> None:
    transcriber = FakeTranscriber([])
    answer = await upload(transcriber, "/v1/transcribe?alternatives=2", alphabet="")
    assert (answer.status_code, answer.json()["code"]) == (400, "unsupported_by_model")


async def test_adapters_for_files_take_hotwords_and_alternatives() -> None:
    transcriber = FakeTranscriber([said("Борис.", "Барис."), said("Фомин."), final("", 1, "stop")])
    form: dict[str, Any] = {"data": {"model": "x", "keywords[]": ["Кутузов", "Яуза"]}, "files": {"file": BODY}}
    await upload(transcriber, "/v1/audio/transcriptions", **form)
    assert transcriber.options.hotwords == (Hotword("Кутузов"), Hotword("Яуза"))
    answer = await upload(transcriber, "/v1/listen?keyterm=Кутузов&keyterm=Красная Пахра&alternatives=2&punctuate=true")
    assert transcriber.options.hotwords == (Hotword("Кутузов"), Hotword("Красная Пахра"))
    [channel] = answer.json()["results"]["channels"]
    assert [one["transcript"] for one in channel["alternatives"]] == ["Борис. Фомин.", "Барис. Фомин."]


def test_utterances_told_as_one_have_their_alternatives_joined_by_rank() -> None:
    word = Word("x", 0.0, 0.1, 0.5)
    one = replace(said("а", "б", "в"), words=(word,))
    joined = alternatives_of([one, final("без"), said("г", "д")])
    assert [each.text for each in joined] == ["а г", "б д", "в г"]
