"""Patience with WebSocket peers: who does not read is known by its pongs, however much it sends."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from gigastt.gateway.server.deadlines import Deadlines
from gigastt.gateway.server.ws_frames import SHORT_TEXT_BYTES, Allowance
from gigastt.gateway.server.ws_keepalive import LOOKS, MOST_BEFORE_PONG_BYTES, PeerVerdict, Reading

DEADLINES = Deadlines(ping=20.0, pong=6.0)


def looked_at(reading: Reading, arriving: int, seconds: float, *, late: float = 0.0) -> tuple[PeerVerdict, float]:
    """Look every second, `arriving` bytes each, until patience ends or `seconds` are over."""
    now, received = 0.0, 0
    verdict: PeerVerdict = "patient"
    while verdict == "patient" and now < seconds:
        now += DEADLINES.pong / LOOKS + late
        received += arriving
        verdict = reading.look(received, now)
    return verdict, now


def pinged() -> Reading:
    reading = Reading(DEADLINES)
    reading.pinged(0, 0.0)
    return reading


def test_who_sends_and_does_not_answer_does_not_read() -> None:
    assert looked_at(pinged(), 3200, 100) == ("unread", 6.0)


def test_a_peer_of_which_nothing_comes_is_waited_for_longer() -> None:
    assert looked_at(pinged(), 0, 100) == ("silent", 40.0)


def test_audio_that_is_held_back_here_does_not_count_by_time() -> None:
    reading = pinged()
    reading.hold(0.0)
    assert looked_at(reading, 3200, 100)[0] == "patient"


def test_audio_that_is_held_back_here_counts_by_its_amount() -> None:
    reading = pinged()
    reading.hold(0.0)
    verdict, now = looked_at(reading, 512_000, 100)
    assert verdict == "unread"
    assert now == pytest.approx(MOST_BEFORE_PONG_BYTES / 512_000, abs=1)


def test_holding_for_half_of_the_time_doubles_it() -> None:
    reading = pinged()
    for second in range(11):
        reading.hold(second)
        reading.release(second + 0.5)
        assert reading.look(second + 1, second + 1) == "patient"
    reading.hold(11)
    reading.release(11.5)
    assert reading.look(12, 12) == "unread"


def test_a_loop_that_is_late_is_not_the_fault_of_the_peer() -> None:
    assert looked_at(pinged(), 3200, 100, late=2.0) == ("unread", 18.0)


def test_long_texts_may_be_audio_and_only_wait_while_short_ones_are_counted() -> None:
    long, short = (Frame(Opcode.TEXT, b"x" * size) for size in (SHORT_TEXT_BYTES, SHORT_TEXT_BYTES - 1))
    allowance = Allowance()
    assert all(allowance.take(long, 0.0) for _ in range(3_000))
    assert allowance.wait_until > 0
    allowance = Allowance()
    assert not all(allowance.take(short, 0.0) for _ in range(400))
