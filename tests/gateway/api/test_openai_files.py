"""OpenAI's transcriptions over fakes: every field, every format, the events of a stream, and errors of every layer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest

from gigastt.config import Limits
from gigastt.errors import CapacityTimeout
from gigastt.gateway.context import AppContext
from gigastt.gateway.pool.events import Event
from gigastt.transcript import Gap
from tests.fakes.gateway import http_client
from tests.fakes.pool import Fakes, FakeTranscriber, final

PATH = "/v1/audio/transcriptions"
AUDIO = {"file": ("a.wav", b"\0" * 64_000)}
EVENTS: list[Event] = [final("Раз, два."), final("", 1), final("Три.", 2, start=1.0), final("", 3, "stop")]
TEXT = "Раз, два. Три."


def speaking(events: list[Event] = EVENTS) -> Fakes:
    return Fakes(transcriber=FakeTranscriber(events))


async def post(context: AppContext, fields: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
    async with http_client(context) as client:
        return await client.post(PATH, data={"model": "whisper-1"} | (fields or {}), **{"files": AUDIO, **options})


def assert_refused(response: httpx.Response, status: int, code: str, kind: str, param: str | None) -> None:
    assert response.status_code == status
    error = response.json()["error"]
    assert error.pop("message")
    assert error == {"type": kind, "code": code, "param": param}
    assert response.headers["x-request-id"]


async def test_json_has_the_text_and_how_long_the_audio_is() -> None:
    body = (await post(speaking().context())).json()
    assert body == {"text": TEXT, "usage": {"type": "duration", "seconds": 2.0}}


async def test_text_captions_and_verbose_json() -> None:
    context = speaking().context()
    assert (await post(context, {"response_format": "text"})).text == TEXT + "\n"
    assert (await post(context, {"response_format": "vtt"})).text.startswith("WEBVTT\n\n1\n00:00:00.000 --> ")
    assert "2\n00:00:01,000 --> 00:00:01,400\nТри." in (await post(context, {"response_format": "srt"})).text
    body = (await post(context, {"response_format": "verbose_json"})).json()
    assert (body["task"], body["language"], body["duration"], body["text"]) == ("transcribe", "russian", 2.0, TEXT)
    assert "words" not in body
    assert [segment["id"] for segment in body["segments"]] == [0, 1]
    segment = body["segments"][1]
    assert set(segment) == {
        *("id", "seek", "start", "end", "text", "tokens", "temperature"),
        *("avg_logprob", "compression_ratio", "no_speech_prob"),
    }
    assert (segment["seek"], segment["start"], segment["end"], segment["text"]) == (100, 1.0, 1.4, " Три.")
    assert segment["avg_logprob"] == pytest.approx(math.log(0.9), abs=1e-4)


@pytest.mark.parametrize("name", ["timestamp_granularities[]", "timestamp_granularities", "timestamp_granularities[0]"])
async def test_granularities_come_with_brackets_and_without(name: str) -> None:
    context = speaking().context()
    words = (await post(context, {"response_format": "verbose_json", name: "word"})).json()
    assert words["words"][2] == {"word": "Три.", "start": 1.0, "end": 1.4}
    assert "segments" not in words
    for both in (["word", "segment"], "word,segment", '["word", "segment"]'):
        answer = (await post(context, {"response_format": "verbose_json", name: both})).json()
        assert {"words", "segments"} <= set(answer)


async def test_logprobs_are_of_words_that_join_to_the_text() -> None:
    body = (await post(speaking().context(), {"include[]": "logprobs"})).json()
    assert "".join(one["token"] for one in body["logprobs"]) == TEXT
    assert bytes(byte for one in body["logprobs"] for byte in one["bytes"]).decode() == TEXT
    assert {one["logprob"] for one in body["logprobs"]} == {round(math.log(0.9), 4)}


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    blocks = [block for block in response.text.split("\n\n") if block.startswith("data: ")]
    if blocks[-1] == "data: [DONE]":
        blocks.pop()
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


async def test_a_stream_adds_to_the_text_and_says_it_whole_at_the_end() -> None:
    response = await post(speaking().context(), {"stream": "true"})
    assert events_of(response) == [
        {"type": "transcript.text.delta", "delta": "Раз, два."},
        {"type": "transcript.text.delta", "delta": " Три."},
        {"type": "transcript.text.done", "text": TEXT},
    ]
    assert response.text.endswith("data: [DONE]\n\n")


async def test_a_stream_tells_logprobs_where_asked() -> None:
    *deltas, done = events_of(await post(speaking().context(), {"stream": "True", "include": "logprobs"}))
    assert [one for delta in deltas for one in delta["logprobs"]] == done["logprobs"]
    assert "".join(one["token"] for one in done["logprobs"]) == TEXT


async def test_a_stream_that_fails_ends_with_an_error() -> None:
    async def failing() -> Any:
        yield final("Раз.")
        raise CapacityTimeout("No room.")

    events = events_of(await post(Fakes(transcriber=FakeTranscriber(failing)).context(), {"stream": "1"}))
    assert events[-1]["error"]["code"] == "timeout"


async def test_spans_without_words_are_declared() -> None:
    context = speaking([Gap("inference_error", 1.0, 2.0), final("", 0, "stop")]).context()
    failed = [{"code": "inference_error", "start": 1.0, "end": 2.0}]
    assert (await post(context)).json()["failed"] == failed
    assert (await post(context, {"response_format": "verbose_json"})).json()["failed"] == failed
    assert events_of(await post(context, {"stream": "true"}))[-1]["failed"] == failed


@pytest.mark.parametrize(
    ("fields", "silence"),
    [
        ({}, 600),
        ({"chunking_strategy": "auto"}, 600),
        ({"chunking_strategy[type]": "server_vad", "chunking_strategy[silence_duration_ms]": "400"}, 400),
        ({"chunking_strategy": '{"type": "server_vad", "silence_duration_ms": 90000}'}, 5000),
    ],
)
async def test_the_silence_of_the_chunking_strategy_ends_utterances(fields: dict[str, str], silence: int) -> None:
    fakes = speaking()
    assert (await post(fakes.context(), fields)).status_code == 200
    assert fakes.transcriber.options.endpoint_silence_ms == silence


@pytest.mark.parametrize(
    "fields",
    [
        {"language": "ru"},
        {"language": "Russian"},
        {"language": "", "response_format": "", "stream": "", "include[]": "", "timestamp_granularities[]": ""},
        {"languages[]": ["en", "ru"]},
        {"prompt": "Имена", "temperature": "0.3", "keywords[]": ["лук"], "user": "x", "stream": "false"},
        {"model": "gpt-4o-transcribe-diarize", "known_speaker_names[]": ["a", "b"]},
    ],
)
async def test_fields_that_change_nothing_are_taken(fields: dict[str, Any]) -> None:
    assert (await post(speaking().context(), fields)).json()["text"] == TEXT


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "en"}, "language"),
        ({"languages[]": "en"}, "languages"),
        ({"response_format": "diarized_json"}, "diarization"),
        ({"response_format": "diarized_json", "known_speaker_names[]": "a"}, "known_speaker_references"),
        (
            {
                "response_format": "diarized_json",
                "known_speaker_names[]": "a",
                "known_speaker_references[]": "data:audio/wav;base64,?",
            },
            "known_speaker_references",
        ),
        (
            {
                "response_format": "diarized_json",
                "known_speaker_names[]": "a" * 101,
                "known_speaker_references[]": "data:audio/wav;base64,AAAA",
            },
            "known_speaker_names",
        ),
        ({"response_format": "pdf"}, "response_format"),
        ({"response_format": "srt", "stream": "true"}, "response_format"),
        ({"stream": "perhaps"}, "stream"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": "7"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"timestamp_granularities[]": "letter"}, "timestamp_granularities"),
        ({"include[]": "everything"}, "include"),
        ({"chunking_strategy": "{"}, "chunking_strategy"),
        ({"chunking_strategy": '{"a":' * 10_000}, "chunking_strategy"),
        ({"chunking_strategy": "{}" * 9, "chunking_strategy[silence_duration_ms]": "x"}, "chunking_strategy"),
        ({"chunking_strategy[silence_duration_ms]": "long"}, "chunking_strategy"),
    ],
)
async def test_a_wrong_field_is_refused_by_its_name(fields: dict[str, str], param: str) -> None:
    response = await post(speaking().context(), fields)
    assert_refused(response, 400, "invalid_parameter", "invalid_request_error", param)


async def test_a_body_that_is_no_form_is_refused() -> None:
    async with http_client(speaking().context()) as client:
        for options in ({"content": b"RIFF"}, {"json": {"model": "x"}}, {"data": {"model": "x"}}):
            response = await client.post(PATH, **options)
            assert response.status_code in (400, 422)
            assert response.json()["error"]["type"] == "invalid_request_error"


async def test_errors_of_every_layer_have_openais_shape(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret-key-1\n", encoding="utf-8")
    refused = await post(Fakes().context(api_keys_file=keys))
    assert_refused(refused, 401, "unauthorized", "authentication_error", None)
    refused = await post(Fakes().context(), headers={"origin": "https://example.com"})
    assert_refused(refused, 403, "origin_denied", "permission_error", None)
    refused = await post(Fakes().context(), headers={"host": "example.com"})
    assert_refused(refused, 421, "host_denied", "invalid_request_error", None)
    refused = await post(Fakes().context(Limits(body_limit_bytes=100)))
    assert_refused(refused, 413, "payload_too_large", "invalid_request_error", None)
    limited = Fakes().context(Limits(rate_limit_per_minute=1, rate_limit_burst=1))
    await post(limited)
    refused = await post(limited)
    assert_refused(refused, 429, "rate_limited", "rate_limit_error", None)
    assert refused.headers["retry-after"]
    fakes = Fakes()
    fakes.pool.begin_drain()
    assert_refused(await post(fakes.context()), 503, "shutting_down", "server_error", None)
    broken = Fakes()
    broken.decoder.error = OSError("/dev/shm")
    assert_refused(await post(broken.context()), 500, "internal", "server_error", None)


async def test_unknown_addresses_and_methods_have_openais_shape_too() -> None:
    async with http_client(Fakes().context()) as client:
        refused = await client.get(PATH)
        assert_refused(refused, 405, "method_not_allowed", "invalid_request_error", None)
        assert refused.headers["allow"] == "POST, OPTIONS"
        assert_refused(await client.post("/v1/audio/speech"), 404, "not_found", "invalid_request_error", None)
        refused = await client.post("/v1/audio/translations", files=AUDIO)
        assert_refused(refused, 400, "invalid_parameter", "invalid_request_error", None)
        refused = await client.get("/v1/models/none")
        assert_refused(refused, 404, "model_not_found", "invalid_request_error", "model")


async def test_models_are_found_by_their_name_and_by_openais() -> None:
    async with http_client(Fakes().context()) as client:
        [listed] = (await client.get("/v1/models")).json()["data"]
        assert {"id": "gigaam-v3-e2e-rnnt", "object": "model", "created": 0}.items() <= listed.items()
        for name in (listed["id"], "whisper-1", "gpt-4o-mini-transcribe"):
            model = (await client.get(f"/v1/models/{name}")).json()
            assert model == {"id": name, "object": "model", "created": 0, "owned_by": "gigastt"}
        preflight = await client.options("/v1/models/whisper-1", headers={"access-control-request-method": "GET"})
        assert preflight.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"


async def test_labels_of_metrics_name_the_route_and_not_the_model() -> None:
    context = Fakes().context()
    async with http_client(context) as client:
        await client.get("/v1/models/whisper-1")
    assert b'path="/v1/models/{id}"' in context.metrics.render()
