"""The fields of `configure`: what is taken, what is told, and when it is too late."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gigastt.gateway.api.conversation import (
    FeedAudio,
    SendError,
)
from gigastt.gateway.api.dialect import Configuration
from gigastt.transcript import Options
from tests.fakes.conversation import codes, configure, protocol


def test_configure_messages_compose() -> None:
    client = protocol()
    assert configure(client, sample_rate=8000, encoding="mulaw", diarization=True) == []
    assert configure(client, channels=2, protocol_version="1.0", sample_rate=None) == []
    assert configure(client, endpoint_silence_ms=200, partials=False) == []
    assert client.configuration == Configuration(8000, "mulaw", 2, Options(200, False, diarization=True))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"sample_rate": 7_999}, "invalid_sample_rate"),
        ({"sample_rate": 192_001}, "invalid_sample_rate"),
        ({"sample_rate": 16_000.5}, "invalid_sample_rate"),
        ({"sample_rate": "16 kHz"}, "invalid_sample_rate"),
        ({"sample_rate": "1e5"}, "invalid_sample_rate"),
        ({"sample_rate": "-16000"}, "invalid_sample_rate"),
        ({"sample_rate": True}, "invalid_sample_rate"),
        ({"sample_rate": [16_000]}, "invalid_sample_rate"),
        ({"sample_rate": 1e400}, "invalid_sample_rate"),
        ({"sample_rate": 10**400}, "invalid_sample_rate"),
        ({"encoding": "mp3"}, "invalid_configuration"),
        ({"encoding": ["mulaw"]}, "invalid_configuration"),
        ({"channels": 3}, "invalid_configuration"),
        ({"channels": True}, "invalid_configuration"),
        ({"endpoint_silence_ms": 199}, "invalid_configuration"),
        ({"endpoint_silence_ms": 5001}, "invalid_configuration"),
        ({"endpoint_silence_ms": 600.5}, "invalid_configuration"),
        ({"partials": "no"}, "invalid_configuration"),
        ({"partials": 1}, "invalid_configuration"),
        ({"punctuation": "none"}, "invalid_configuration"),
        ({"casing": "upper"}, "invalid_configuration"),
        ({"casing": {"lower": 1}}, "invalid_configuration"),
    ],
)
def test_a_wrong_field_is_reported_and_changes_nothing(fields: dict[str, Any], code: str) -> None:
    client = protocol()
    configure(client, sample_rate=16_000)
    text = json.dumps({"type": "configure", **fields}).replace("Infinity", "1e400")
    assert codes(client.receive(text, 0.0)) == [code]
    assert client.configuration == Configuration(sample_rate=16_000)
    assert client.state == "open"


@pytest.mark.parametrize(
    ("fields", "configuration"),
    [
        ({"sample_rate": 11_025}, Configuration(11_025)),
        ({"sample_rate": 192_000}, Configuration(192_000)),
        ({"sample_rate": 16_000.0}, Configuration(16_000)),
        ({"sample_rate": "16000"}, Configuration(16_000)),
        ({"sample_rate": " 22050.0 "}, Configuration(22_050)),
        ({"encoding": "PCM_F32LE"}, Configuration(encoding="pcm_f32le")),
        ({"channels": "2"}, Configuration(channels=2)),
        ({"endpoint_silence_ms": 800.0}, Configuration(options=Options(endpoint_silence_ms=800))),
        ({"partials": "False"}, Configuration(options=Options(partials=False))),
        ({"protocol_version": 1.0}, Configuration()),
        ({"protocol_version": "1"}, Configuration()),
    ],
)
def test_what_is_plainly_meant_is_taken(fields: dict[str, Any], configuration: Configuration) -> None:
    client = protocol()
    assert configure(client, **fields) == []
    assert client.configuration == configuration


@pytest.mark.parametrize("wrong", [{"sample_rate": 7}, {"encoding": "opus"}, {"channels": 6}])
def test_audio_in_a_format_that_was_refused_is_not_recognised(wrong: dict[str, Any]) -> None:
    client = protocol()
    [code] = codes(configure(client, **wrong))
    assert configure(client, partials=True) == []
    assert codes(client.receive(bytes(640), 0.0)) == [code, "error", 1003]
    assert client.receive(bytes(640), 0.0) == []


def test_a_format_that_is_put_right_is_recognised() -> None:
    client = protocol()
    configure(client, sample_rate=7, channels=9)
    configure(client, sample_rate=16_000)
    configure(client, channels=2)
    assert client.receive(b"\1\1\1\1", 0.0) == [FeedAudio(b"\1\1\1\1")]


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("sampleRate", "sample_rate"),
        ("SampleRate", "sample_rate"),
        ("samplerate", "sample_rate"),
        ("sample-rate", "sample_rate"),
        ("sample_rat", "sample_rate"),
        ("chanels", "channels"),
        ("endpoint_silence", "endpoint_silence_ms"),
        ("partial", "partials"),
    ],
)
def test_a_misspelt_field_is_told_once_with_the_one_that_was_meant(field: str, meant: str) -> None:
    client = protocol()
    [error] = configure(client, **{field: 16_000})
    assert isinstance(error, SendError)
    assert error.code == "unknown_field"
    assert error.message.endswith(f"Was {meant} meant?")
    assert configure(client, **{field: 8_000}) == []
    assert client.configuration == Configuration()


def test_a_field_unlike_any_other_is_told_with_all_there_are() -> None:
    [error] = configure(protocol(), **{"x" * 100: 1, "language": "ru"})
    assert isinstance(error, SendError)
    assert "sample_rate" in error.message
    assert "language" not in error.message


def test_right_fields_beside_a_wrong_one_take_effect() -> None:
    client = protocol()
    assert codes(configure(client, sample_rate=1, channels=9, partials=False)) == [
        "invalid_sample_rate",
        "invalid_configuration",
    ]
    assert client.configuration == Configuration(options=Options(partials=False))


@pytest.mark.parametrize("version", ["2.0", 2, True, "", {}, "\ud800"])
def test_another_protocol_version_is_refused(version: Any) -> None:
    client = protocol()
    assert codes(configure(client, protocol_version=version)) == ["unsupported_protocol_version", 1002]
    assert client.receive(b"audio", 0.0) == []


def test_configure_after_audio_is_too_late_and_the_session_goes_on() -> None:
    client = protocol()
    client.receive(b"audio", 0.0)
    assert codes(configure(client, sample_rate=8000)) == ["configure_too_late"]
    assert client.configuration == Configuration()
    assert client.receive(b"more", 0.0) == [FeedAudio(b"more")]
