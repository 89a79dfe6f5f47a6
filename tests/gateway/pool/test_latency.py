"""Which finals tell how late the workers are."""

from __future__ import annotations

import pytest

from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.latency import TAIL_SECONDS, Stopwatch, decided_after
from gigastt.speech.segmenter import BLOCK_MS, TAIL_BLOCKS
from gigastt.transcript import Final

SECOND = 16_000
NOW = 1_000.0


def final(end: float) -> Final:
    return Final("слово", (), end - 1.0, end, 1.0, "silence")


def hear(stopwatch: Stopwatch, audio_seconds: int, *, times_real_time: float) -> None:
    for second in range(1, audio_seconds + 1):
        stopwatch.heard(0, second * SECOND, NOW + second / times_real_time)


def test_finals_of_those_who_speak_are_noted() -> None:
    noted: list[float] = []
    stopwatch = Stopwatch(Metrics(), 1, 600, noted.append)
    hear(stopwatch, 6, times_real_time=1.0)
    stopwatch.told(final(4.0), NOW + 5.3)
    assert noted == [pytest.approx(0.3, abs=0.05)]


def test_the_silence_that_a_final_has_at_its_end_is_part_of_the_endpoint_silence() -> None:
    assert pytest.approx(TAIL_BLOCKS * BLOCK_MS / 1000) == TAIL_SECONDS
    noted: list[float] = []
    stopwatch = Stopwatch(Metrics(), 1, 600, noted.append)
    for hundredth in range(1, 501):
        stopwatch.heard(0, hundredth * SECOND // 100, NOW + hundredth / 100)
    stopwatch.told(final(4.0), NOW + 5.0)  # speech ended at 3.68: 4.28 are enough to know it
    assert noted == [pytest.approx(0.72, abs=0.02)]
    assert decided_after(200) == 0.0


def test_finals_of_a_recording_that_is_sent_at_once_are_not() -> None:
    noted: list[float] = []
    stopwatch = Stopwatch(Metrics(), 1, 600, noted.append)
    hear(stopwatch, 60, times_real_time=10.0)
    stopwatch.told(final(4.0), NOW + 7.0)
    assert noted == []
