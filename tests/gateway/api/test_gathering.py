"""Gathering: utterances told as one, their words and times kept, partials with what came before them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gigastt.gateway.api.gathering import Gatherer
from gigastt.transcript import Final, Partial
from tests.fakes.pool import final


def tell(mode: Any, *finals: Final) -> list[Final]:
    gatherer = Gatherer(mode)
    return [told for one in finals if (told := gatherer.final(one)) is not None]


RAZ, DVA = final("Раз."), final("Два.", 1, "max_duration", 1.0)
FLUSH = final("Три.", 2, "flush", 2.0)


def test_auto_tells_every_utterance_as_it_is() -> None:
    assert tell("auto", RAZ, DVA, FLUSH) == [RAZ, DVA, FLUSH]


def test_assistant_tells_what_the_speaker_ended() -> None:
    first, second = tell("assistant", RAZ, DVA, FLUSH)
    assert first == RAZ
    assert (second.text, second.start, second.end, second.reason, second.seq) == ("Два. Три.", 1.0, 2.4, "flush", 1)
    assert second.words == DVA.words + FLUSH.words


def test_manual_tells_what_the_client_ended() -> None:
    [told] = tell("manual", RAZ, DVA, FLUSH)
    assert (told.text, told.start, told.seq) == ("Раз. Два. Три.", 0.0, 0)


@pytest.mark.parametrize("reason", ["stop", "shutdown", "timeout", "error"])
def test_the_end_of_the_session_tells_what_is_held_back(reason: Any) -> None:
    [told] = tell("manual", RAZ, final("", 1, reason, 1.0))
    assert (told.text, told.reason) == ("Раз.", reason)


def test_partials_have_what_is_held_back_before_them() -> None:
    gatherer = Gatherer("manual")
    gatherer.final(RAZ)
    told = gatherer.partial(Partial("Два", DVA.words, 1))
    assert (told.text, told.words, told.stable) == ("Раз. Два", RAZ.words + DVA.words, 2)


def test_channels_are_gathered_apart_and_numbered_together() -> None:
    other = replace(final("Слева.", 1), channel=1)
    gatherer = Gatherer("manual")
    for one in (RAZ, other):
        assert gatherer.final(one) is None
    told = [gatherer.final(replace(FLUSH, channel=channel)) for channel in (1, 0)]
    assert [one and (one.text, one.seq) for one in told] == [("Слева. Три.", 0), ("Раз. Три.", 1)]


def test_not_more_is_held_back_than_can_be_told_again_and_again() -> None:
    utterances = [final("слово", number, "silence", 10.0 * number) for number in range(30)]
    told = tell("manual", *utterances, final("", 30, "stop", 300.0))
    assert [one.reason for one in told] == ["max_duration", "max_duration", "stop"]
    assert sum(len(one.words) for one in told) == 30
