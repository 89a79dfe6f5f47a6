"""Hotwords and alternatives as the protocols of Wyoming and jambonz carry them; what they carry wrongly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

import pytest

from gigastt.gateway.api import dialect
from gigastt.gateway.api.conversation import CLOSE_UNSUPPORTED_DATA
from gigastt.gateway.api.dialect import Configuration, Moment
from gigastt.gateway.api.jambonz import JambonzDialect
from gigastt.gateway.api.wyoming import WyomingDialect
from gigastt.gateway.api.wyoming_frames import WyomingEvent, message_of
from gigastt.gateway.context import ServedModel
from gigastt.hotwords import LONGEST_PHRASE, MOST_HOTWORDS
from gigastt.transcript import Alternative, Final, Hotword, Options

TOO_LONG = "x" * (LONGEST_PHRASE + 1)
FINAL = Final("Борис.", (), 0.0, 1.0, 0.9, "silence")


def wyoming() -> WyomingDialect:
    return WyomingDialect(lambda: ServedModel("m", "M"))


def transcribe(spoken: WyomingDialect, configuration: Configuration | None, **fields: Any) -> Sequence[dialect.Request]:
    return spoken.hear(message_of(WyomingEvent("transcribe", {"language": "ru", **fields})), configuration)


def hotwords_of(requests: Sequence[dialect.Request]) -> tuple[Hotword, ...]:
    [request] = requests
    assert isinstance(request, dialect.Configure)
    return request.configuration.options.hotwords


def start(**options: Any) -> dialect.Request:
    [request] = JambonzDialect().hear(json.dumps({"type": "start", "options": options}), Configuration())
    return request


def test_names_of_wyoming_weigh_more_than_terms() -> None:
    spoken = wyoming()
    found = hotwords_of(transcribe(spoken, spoken.configuration, transcript_names=["Яуза"], transcript_terms=["шлюз"]))
    assert found == (Hotword("Яуза", 1.5), Hotword("шлюз", 1.0))


def test_a_phrase_in_both_lists_of_wyoming_is_a_name() -> None:
    spoken = wyoming()
    found = hotwords_of(transcribe(spoken, spoken.configuration, transcript_terms=["яуза"], transcript_names=["Яуза"]))
    assert found == (Hotword("Яуза", 1.5),)


def test_of_more_phrases_than_there_may_be_wyoming_has_the_first() -> None:
    spoken = wyoming()
    names = [f"имя {number}" for number in range(MOST_HOTWORDS + 1)]
    found = hotwords_of(transcribe(spoken, spoken.configuration, transcript_names=names, transcript_terms=["шлюз"]))
    assert [each.phrase for each in found] == names[:-1]


@pytest.mark.parametrize("wrong", [None, "Яуза", 7, {"a": 1}, [], [None, 7, {}, ["Яуза"], "", " ", TOO_LONG]], ids=repr)
def test_lists_of_wyoming_that_are_none_change_nothing(wrong: Any) -> None:
    spoken = wyoming()
    assert transcribe(spoken, spoken.configuration, transcript_names=wrong, transcript_terms=wrong) == []


def test_lists_of_wyoming_outlive_a_change_of_the_rate_and_come_too_late_behind_audio() -> None:
    spoken = wyoming()
    transcribe(spoken, spoken.configuration, transcript_names=["Яуза"])
    audio = message_of(WyomingEvent("audio-start", {"rate": 8_000, "width": 2, "channels": 1}))
    assert hotwords_of(spoken.hear(audio, spoken.configuration)) == (Hotword("Яуза", 1.5),)
    assert transcribe(spoken, None, transcript_names=["Москва"]) == []


@pytest.mark.parametrize(
    ("hints", "phrases"),
    [
        (["Яуза", "Красная Пахра"], ["Яуза", "Красная Пахра"]),
        ('[{"phrase": "Яуза", "boost": 20}, {"phrase": "Пахра"}]', ["Яуза", "Пахра"]),
        ([{"phrase": "Яуза"}], ["Яуза"]),
        (["Яуза", TOO_LONG, 7, None, {}, {"phrase": 7}, ["Пахра"], ""], ["Яуза"]),
        *zip((None, 7, True, {"a": 1}, "Яуза", "[", "7", "[" * 10_000, []), repeat([]), strict=False),
    ],
)
def test_hints_of_jambonz_are_hotwords_and_never_end_a_call(hints: Any, phrases: list[str]) -> None:
    request = start(hints=hints, hintsBoost="much")
    assert isinstance(request, dialect.Configure)
    assert request.configuration.options.hotwords == tuple(map(Hotword, phrases))


def test_hotwords_of_jambonz_go_before_its_hints() -> None:
    request = start(hints=["Яуза"], hotwords=[{"phrase": "Пахра", "weight": 2}], alternatives=3)
    assert isinstance(request, dialect.Configure)
    options = request.configuration.options
    assert replace(options, partials=True) == Options(hotwords=(Hotword("Пахра", 2.0),), most_alternatives=3)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"hotwords": 7}, "invalid_hotwords"),
        ({"hotwords": [TOO_LONG]}, "invalid_hotwords"),
        ({"hotwords": [{"phrase": "Яуза", "weight": 4}]}, "invalid_hotwords"),
        ({"alternatives": 6}, "invalid_configuration"),
        ({"alternatives": "many"}, "invalid_configuration"),
    ],
)
def test_wrong_options_of_jambonz_end_the_call_with_the_reason(options: dict[str, Any], code: str) -> None:
    request = start(**options)
    assert isinstance(request, dialect.Refuse)
    assert (request.problem.code, request.close_code) == (code, CLOSE_UNSUPPORTED_DATA)


@pytest.mark.parametrize("options", [7, "hints", ["hints"], None])
def test_options_of_jambonz_that_are_no_object_change_nothing(options: Any) -> None:
    [request] = JambonzDialect().hear(json.dumps({"type": "start", "options": options}), Configuration())
    assert isinstance(request, dialect.Configure)
    assert request.configuration.options == Options(partials=False)


def test_jambonz_is_told_the_alternatives_behind_the_transcript() -> None:
    others = (Alternative("Борис.", (), 0.9), Alternative("Барис.", (), 0.4))
    [message] = JambonzDialect().tell(replace(FINAL, alternatives=others), Moment(0, 0.0, 1))
    assert json.loads(str(message))["alternatives"] == [
        {"confidence": 0.9, "transcript": "Борис."},
        {"confidence": 0.4, "transcript": "Барис."},
    ]
