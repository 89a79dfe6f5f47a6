"""The container's clock decides where audio lies, behind gaps, damage and late starts too."""

from __future__ import annotations

import io

import numpy as np
import pytest

from gigastt.audio.containers import choose_track, open_container
from gigastt.audio.decode import decode
from gigastt.audio.pcm import Samples
from gigastt.audio.recordings import find_recordings
from gigastt.audio.selection import Findings
from gigastt.audio.timeline import MOST_HOLES, Silence, Timeline, add_hole
from gigastt.errors import AudioTooLong
from gigastt.transcript import Gap
from tests.fakes.audio_files import encode_audio, make_tone, remux

_CLICKS = 6


def clicks(rate: int) -> Samples:
    """Make a short tone at every full second, each of its own length."""
    samples = np.zeros(_CLICKS * rate, dtype=np.int16)
    for second in range(_CLICKS):
        tone = make_tone(0.1 + second / 50, rate, hz=700.0)
        samples[second * rate : second * rate + len(tone)] = tone
    return samples


def onsets(heard: Samples) -> list[float]:
    """Return the seconds at which tones begin."""
    loud = np.flatnonzero(np.abs(heard.astype(int)) > 2_000)
    return [float(loud[0]) / 16_000, *(loud[np.flatnonzero(np.diff(loud) > 4_000) + 1] / 16_000)]


def hear(raw: bytes, max_seconds: float = 60.0) -> tuple[Samples, list[Gap]]:
    findings = Findings()
    return np.concatenate(list(decode(io.BytesIO(raw), max_seconds, findings))), findings.holes


def recording(codec: str) -> tuple[bytes, str]:
    """Encode the clicks, and name the container they are in."""
    rate = 48_000 if codec in ("libopus", "ac3", "mp2") else 44_100
    container = {"libopus": "webm", "aac": "ipod", "ac3": "matroska", "mp2": "mpegts", "libmp3lame": "matroska"}[codec]
    return encode_audio(clicks(rate), container, codec, rate=rate), container


@pytest.mark.parametrize("codec", ["libopus", "aac", "ac3", "mp2", "libmp3lame"])
def test_a_whole_file_is_laid_out_without_a_seam(codec: str) -> None:
    raw, _ = recording(codec)
    with open_container(next(find_recordings(io.BytesIO(raw)))) as container:
        track = choose_track(container, lambda _: True)
        laid_out = list(Timeline(60.0, lambda _: None).lay_out(container, track))

    assert not [item for item in laid_out[1:] if isinstance(item, Silence)]
    assert not isinstance(laid_out[0], Silence) or laid_out[0].seconds < 0.05


@pytest.mark.parametrize("codec", ["libopus", "aac", "ac3", "mp2", "libmp3lame"])
def test_packets_that_are_missing_leave_later_sounds_in_their_places(codec: str) -> None:
    raw, container = recording(codec)
    whole, _ = hear(raw)

    cut, holes = hear(remux(raw, container, lambda _, body, ms: None if 1_500 <= ms < 2_700 else (body, ms)))

    kept = [onset for onset in onsets(whole) if not 1.5 < onset < 2.7]
    assert onsets(cut) == pytest.approx(kept, abs=0.02)
    [hole] = holes
    assert hole.code == "audio_missing"
    assert (hole.start, hole.end) == pytest.approx((1.5, 2.7), abs=0.06)


@pytest.mark.parametrize("codec", ["aac", "ac3"])
def test_damaged_packets_are_a_declared_hole(codec: str) -> None:
    raw, container = recording(codec)
    whole, _ = hear(raw)
    noise = np.random.default_rng(1)

    def damage(_: int, body: bytes, ms: int) -> tuple[bytes, int]:
        return (noise.bytes(len(body)) if 1_500 <= ms < 2_700 else body), ms

    cut, holes = hear(remux(raw, container, damage))

    assert onsets(cut)[-3:] == pytest.approx(onsets(whole)[-3:], abs=0.02)
    assert holes
    assert {hole.code for hole in holes} == {"audio_damaged"}
    assert all(1.4 < hole.start < hole.end < 2.8 for hole in holes)


@pytest.mark.parametrize("codec", ["libopus", "ac3"])
def test_audio_that_starts_late_keeps_its_start(codec: str) -> None:
    raw, container = recording(codec)
    whole, _ = hear(raw)

    late, holes = hear(remux(raw, container, lambda _, body, ms: (body, ms + 4_900)))

    assert onsets(late) == pytest.approx([onset + 4.9 for onset in onsets(whole)], abs=0.02)
    assert not holes


def test_many_small_gaps_add_up_to_what_they_are() -> None:
    raw, container = recording("libopus")
    whole, _ = hear(raw)

    cut, holes = hear(remux(raw, container, lambda n, body, ms: None if n % 10 == 7 else (body, ms)))

    assert len(cut) == pytest.approx(len(whole), abs=640)
    assert onsets(cut)[-1] == pytest.approx(onsets(whole)[-1], abs=0.045)  # a click may itself have lost 20 ms
    assert not holes


def test_times_that_are_off_by_a_few_milliseconds_move_nothing() -> None:
    raw, container = recording("libopus")
    whole, _ = hear(remux(raw, container, lambda _, body, ms: (body, ms)))

    shaken, holes = hear(remux(raw, container, lambda n, body, ms: (body, ms + (n * 3) % 7 - 3 if n else ms)))

    assert np.array_equal(shaken, whole)
    assert not holes


def test_a_clock_that_begins_anew_is_another_recording() -> None:
    raw, _ = recording("libopus")
    whole, _ = hear(raw)

    joined, holes = hear(raw + raw)

    assert len(joined) == pytest.approx(2 * len(whole), abs=320)
    assert not holes


def test_a_broadcast_clock_that_was_set_is_no_gap() -> None:
    raw, container = recording("mp2")
    whole, _ = hear(raw)

    jumped, holes = hear(remux(raw, container, lambda _, body, ms: (body, ms + (40_000_000 if ms > 4_000 else 0))))

    assert len(jumped) == pytest.approx(len(whole), abs=1_600)
    assert not holes


def test_a_start_that_is_a_time_of_day_is_no_silence() -> None:
    raw, container = recording("libopus")

    heard, _ = hear(remux(raw, container, lambda _, body, ms: (body, ms + 80_000_000)))

    assert onsets(heard)[0] < 0.1


def test_a_gap_of_hours_is_refused_before_any_silence_is_made() -> None:
    raw, container = recording("libopus")
    hostile = remux(raw, container, lambda _, body, ms: (body, ms + (36_000_000 if ms > 3_000 else 0)))
    heard: list[Samples] = []

    with pytest.raises(AudioTooLong):
        heard.extend(decode(io.BytesIO(hostile), 14_400.0))

    assert sum(map(len, heard)) < 16_000 * 4


def test_a_gap_is_filled_with_noise_as_faint_as_the_faintest_moment_before_it() -> None:
    noise = np.random.default_rng(2).normal(0, 20, 6 * 48_000).astype(np.int16)
    raw = encode_audio(
        np.clip(clicks(48_000) + noise, -32_768, 32_767).astype(np.int16), "webm", "libopus", rate=48_000
    )

    cut, _ = hear(remux(raw, "webm", lambda _, body, ms: None if 1_500 <= ms < 2_700 else (body, ms)))

    before, filled = cut[20_000:23_000].std(), cut[25_000:42_000].std()
    assert 0.4 * before < filled < 1.2 * before


def test_many_holes_are_told_of_in_bounded_space() -> None:
    holes: list[Gap] = []
    for second in range(1_000):
        add_hole(holes, Gap("audio_damaged", second, second + 0.1))
        add_hole(holes, Gap("audio_damaged", second + 0.2, second + 0.3))

    assert holes[0] == Gap("audio_damaged", 0, 0.3)
    assert len(holes) == MOST_HOLES
    assert holes[-1].end == 999.3
