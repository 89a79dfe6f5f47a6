"""Settings of a Realtime session: today's shape and the beta's, what is echoed, and what is refused by its name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.errors import InvalidParameter
from gigastt.gateway.api.dialect import Configuration
from gigastt.gateway.api.realtime_settings import RealtimeSettings
from gigastt.transcript import Options


def update(**source: Any) -> RealtimeSettings:
    return RealtimeSettings().change({"type": "transcription", "audio": {"input": source}})


def test_without_settings_audio_is_24_khz_and_the_server_finds_turns() -> None:
    settings = RealtimeSettings()
    assert settings.configuration == Configuration(sample_rate=24_000)
    assert settings.finds_turns
    assert settings.fields()["audio"]["input"]["turn_detection"] == {"type": "server_vad", "silence_duration_ms": 600}


@pytest.mark.parametrize(
    ("form", "rate", "encoding"),
    [
        ({"type": "audio/pcm"}, 24_000, "pcm_s16le"),
        ({"type": "audio/pcm", "rate": 16_000}, 16_000, "pcm_s16le"),
        ({"type": "audio/pcmu"}, 8_000, "mulaw"),
        ({"type": "audio/pcma"}, 8_000, "alaw"),
    ],
)
def test_formats(form: Any, rate: int, encoding: Any) -> None:
    settings = update(format=form)
    assert settings.configuration == Configuration(sample_rate=rate, encoding=encoding)
    assert settings.fields()["audio"]["input"]["format"]["type"] == form["type"]


@pytest.mark.parametrize(("old", "rate"), [("pcm16", 24_000), ("g711_ulaw", 8_000), ("g711_alaw", 8_000)])
def test_the_shape_of_the_beta(old: str, rate: int) -> None:
    turns = {"type": "server_vad", "silence_duration_ms": 300, "threshold": 0.5}
    transcription = {"model": "whisper-1", "language": "ru", "prompt": "Имена"}
    settings = RealtimeSettings().change(
        {"input_audio_format": old, "turn_detection": turns, "input_audio_transcription": transcription}
    )
    assert (settings.rate, settings.silence_ms) == (rate, 300)
    told = settings.beta_fields()
    assert told["input_audio_format"] == old
    assert told["input_audio_transcription"] == transcription
    assert told["turn_detection"] == {"type": "server_vad", "silence_duration_ms": 300}


def test_turns_of_the_client_and_back() -> None:
    manual = update(turn_detection=None)
    assert not manual.finds_turns
    assert manual.fields()["audio"]["input"]["turn_detection"] is None
    assert manual.change({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}).finds_turns
    assert not manual.change({"audio": {"input": {"transcription": {"model": "x"}}}}).finds_turns


def test_silence_is_kept_within_what_there_is() -> None:
    assert update(turn_detection={"type": "server_vad", "silence_duration_ms": 0}).silence_ms == 200
    silence = update(turn_detection={"silence_duration_ms": 99_999.0}).configuration.options
    assert silence == Options(endpoint_silence_ms=5000)


def test_logprobs_are_asked_for_by_include() -> None:
    include = ["item.input_audio_transcription.logprobs"]
    settings = RealtimeSettings().change({"include": include})
    assert settings.fields()["include"] == include
    assert settings.change({}).logprobs
    assert not settings.change({"include": []}).logprobs


@pytest.mark.parametrize(
    ("source", "param"),
    [
        ({"format": {"type": "audio/opus"}}, "format"),
        ({"format": {"type": ["audio/pcm"]}}, "format"),
        ({"format": 7}, "format"),
        ({"format": {"type": "audio/pcm", "rate": 44_100}}, "format.rate"),
        ({"transcription": {"language": "en"}}, "transcription.language"),
        ({"transcription": {"language": ["ru"]}}, "transcription.language"),
        ({"turn_detection": "never"}, "turn_detection"),
        ({"turn_detection": {"type": "other"}}, "turn_detection"),
        ({"turn_detection": {"type": "server_vad", "silence_duration_ms": "x"}}, "turn_detection.silence_duration_ms"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(source: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        update(**source)
    assert caught.value.param == f"session.audio.input.{param}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "audio", "input", "format", "rate", "turn_detection"]), inner)
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_settings_or_is_refused(session: Any) -> None:
    try:
        settings = RealtimeSettings().change(session)
    except InvalidParameter:
        return
    assert settings.fields()["type"] == "transcription"
