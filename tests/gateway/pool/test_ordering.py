"""The order of results: numbers, hidden finals, the last one, and two channels."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.pool.events import Event
from gigastt.gateway.pool.ordering import HOLD_SECONDS, Sequencer
from gigastt.ipc import messages
from gigastt.ipc.messages import StreamId
from gigastt.transcript import Final, Gap, Partial, Word

STREAM = StreamId(1)


def partial(text: str, end: float = 1.0) -> messages.PartialMessage:
    words = tuple(Word(word, end - 0.5, end, 1.0) for word in text.split())
    return messages.PartialMessage(STREAM, Partial(text, words, 0))


def final(text: str, end: float = 1.0, reason: Any = "silence") -> messages.FinalMessage:
    words = tuple(Word(word, end - 0.5, end, 1.0) for word in text.split())
    result = Final(text, words, end - 0.5, end, 1.0, reason)
    return messages.FinalMessage(STREAM, result, int(end * 16_000), int(end * 16_000), b"")


def told(events: list[Event]) -> list[tuple[int, str]]:
    return [(event.channel, event.text) for event in events if isinstance(event, Final | Partial)]


def finals_of(events: list[Event]) -> list[Final]:
    return [event for event in events if isinstance(event, Final)]


def test_a_wordless_final_is_told_only_if_a_partial_announced_it() -> None:
    sequencer = Sequencer(1)
    sequencer.final(0, final(""), 0.0)
    assert sequencer.release(0.0) == []
    sequencer.partial(0, partial("да"))
    sequencer.final(0, final(""), 0.0)
    assert told(sequencer.release(0.0)) == [(0, "да"), (0, "")]


@pytest.mark.parametrize(("text", "announced"), [("", False), ("", True), ("да", False), ("да", True)])
def test_there_is_exactly_one_last_final(text: str, announced: bool) -> None:
    sequencer = Sequencer(1)
    sequencer.end_reason = "shutdown"
    sequencer.final(0, final("раз"), 0.0)
    if announced:
        sequencer.partial(0, partial("да"))
    sequencer.final(0, final(text, 2.0, "stop"), 0.0)
    finals = [event for event in sequencer.release(0.0) if isinstance(event, Final)]
    assert [(event.seq, event.text, event.reason) for event in finals] == [(0, "раз", "silence"), (1, text, "shutdown")]
    assert sequencer.ended
    assert sequencer.release(9.0) == []


def test_a_skipped_span_takes_the_place_of_the_final_a_partial_announced() -> None:
    sequencer = Sequencer(1)
    sequencer.partial(0, partial("да"))
    sequencer.failed(Gap("segment_failed", 0.0, 1.0))
    sequencer.final(0, final(""), 0.0)
    assert len(sequencer.release(0.0)) == 2


def test_a_channel_that_is_quiet_delays_nobody() -> None:
    sequencer = Sequencer(2)
    sequencer.committed(1, 5 * 16_000)
    sequencer.final(0, final("раз", 4.9), 0.0)
    assert told(sequencer.release(0.0)) == [(0, "раз")]


def test_a_final_waits_while_the_other_channel_is_undecided_but_not_for_ever() -> None:
    sequencer = Sequencer(2)
    sequencer.committed(1, 2 * 16_000)
    sequencer.final(0, final("раз", 4.0), 0.0)
    assert sequencer.release(0.0) == []
    assert sequencer.deadline == HOLD_SECONDS
    assert told(sequencer.release(HOLD_SECONDS)) == [(0, "раз")]


def test_the_earlier_end_comes_first_when_both_are_there() -> None:
    sequencer = Sequencer(2)
    sequencer.final(0, final("позже", 4.0), 0.0)
    sequencer.final(1, final("раньше", 3.0), 0.1)
    assert told(sequencer.release(0.1)) == [(1, "раньше")]
    sequencer.committed(1, 4 * 16_000)
    assert told(sequencer.release(0.1)) == [(0, "позже")]


def test_the_channels_of_a_file_come_in_the_order_in_which_utterances_begin() -> None:
    sequencer = Sequencer(2, is_file=True)
    sequencer.final(0, final("позже", 4.0), 0.0)
    assert sequencer.release(1_000.0) == []
    assert sequencer.deadline is None
    sequencer.final(1, final("раньше", 3.9), 0.0)
    assert told(sequencer.release(0.0)) == [(1, "раньше"), (0, "позже")]  # begin at 3.4 and 3.5 s
    assert sequencer.decided == 3.9


def test_a_partial_that_reaches_beyond_a_final_lets_it_go() -> None:
    sequencer = Sequencer(2)
    sequencer.final(0, final("раз", 4.0), 0.0)
    sequencer.partial(1, partial("и ещё", 4.5))
    assert told(sequencer.release(0.0)) == [(1, "и ещё"), (0, "раз")]


def test_a_partial_does_not_overtake_the_final_before_it() -> None:
    sequencer = Sequencer(2)
    sequencer.final(0, final("раз", 4.0), 0.0)
    sequencer.partial(0, partial("два", 5.0))
    sequencer.partial(0, partial("два три", 5.5))
    assert sequencer.release(0.0) == []
    assert told(sequencer.release(HOLD_SECONDS)) == [(0, "раз"), (0, "два три")]


def test_the_end_of_one_channel_is_not_the_end_of_the_session() -> None:
    sequencer = Sequencer(2)
    sequencer.final(1, final("раньше", 1.0, "stop"), 0.0)
    sequencer.final(0, final("позже", 2.0), 0.0)
    sequencer.final(0, final("", 3.0, "stop"), 0.0)
    finals = [event for event in sequencer.release(0.0) if isinstance(event, Final)]
    assert [(event.text, event.reason) for event in finals] == [
        ("раньше", "stop"),
        ("позже", "silence"),
        ("", "stop"),
    ]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("", "", [""]),
        ("раз", "", ["раз"]),
        ("", "два", ["два"]),
        ("раз", "два", ["раз", "два"]),
    ],
)
def test_two_channels_have_one_last_final_between_them(left: str, right: str, expected: list[str]) -> None:
    sequencer = Sequencer(2)
    sequencer.final(0, final(left, 3.0, "stop"), 0.0)
    first = sequencer.release(0.0)
    assert not sequencer.ended
    sequencer.final(1, final(right, 4.0, "stop"), 0.0)
    events = first + sequencer.release(0.0)
    assert [event.text for event in events if isinstance(event, Final)] == expected
    assert isinstance(events[-1], Final)
    assert events[-1].reason == "stop"
    assert sequencer.ended


def test_a_channel_that_ended_long_before_is_not_told_again() -> None:
    sequencer = Sequencer(2)
    sequencer.end_reason = "timeout"
    sequencer.final(0, final("раз", 1.0), 0.0)
    sequencer.final(1, final("два", 3.0, "stop"), 0.0)
    events = sequencer.release(HOLD_SECONDS)  # held no longer: channel 0 is undecided up to the end of channel 1
    sequencer.final(0, final("три", 2.0), 2 * HOLD_SECONDS)
    sequencer.final(0, final("", 2.5, "stop"), 2 * HOLD_SECONDS)
    events += sequencer.release(3 * HOLD_SECONDS)
    assert [(event.seq, event.channel, event.text, event.reason) for event in finals_of(events)] == [
        (0, 0, "раз", "silence"),
        (1, 1, "два", "timeout"),
        (2, 0, "три", "silence"),
        (3, 0, "", "timeout"),
    ]


@given(st.data())
def test_every_word_is_told_once_and_the_last_final_says_why(data: st.DataObject) -> None:
    channels = data.draw(st.integers(1, 2))
    sequencer, now, events = Sequencer(channels), 0.0, list[Event]()
    sequencer.end_reason = "shutdown"
    lanes = [
        [(f"w{channel}.{number}" if worded else "", announced) for number, (worded, announced) in enumerate(utterances)]
        for channel in range(channels)
        for utterances in [data.draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4))]
    ]
    sent = [text for lane in lanes for text, _ in lane if text]
    ends = [0.0] * channels
    while any(lanes):
        channel = data.draw(st.sampled_from([number for number, lane in enumerate(lanes) if lane]))
        text, announced = lanes[channel].pop(0)
        ends[channel] += data.draw(st.floats(0.0, 5.0))
        if announced:
            sequencer.partial(channel, partial("?", ends[channel]))
        if data.draw(st.booleans()):
            sequencer.failed(Gap("inference_error", ends[channel], ends[channel], channel))
        sequencer.final(channel, final(text, ends[channel], "silence" if lanes[channel] else "stop"), now)
        if data.draw(st.booleans()):
            events += sequencer.release(now)
        now += data.draw(st.sampled_from([0.0, 0.3, 2 * HOLD_SECONDS]))
    events += sequencer.release(now) + sequencer.release(now + HOLD_SECONDS)
    finals = finals_of(events)
    assert sorted(word.text for event in finals for word in event.words) == sorted(sent)
    assert [event.seq for event in finals] == list(range(len(finals)))
    assert isinstance(events[-1], Final)
    assert events[-1].reason == "shutdown"
    assert sequencer.ended
