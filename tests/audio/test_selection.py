"""One channel or one track of a file is heard by itself, and channels that are copies of others are noticed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gigastt.audio.decode import decode
from gigastt.audio.pcm import Samples
from gigastt.audio.selection import ChannelSurvey, FileChoice, Findings, Selection, read_choice
from gigastt.cli.main import run_command
from gigastt.errors import InvalidAudio, InvalidParameter
from gigastt.transcribe import TranscribedFile, load_recognizer
from gigastt.transcript import HeardTrack
from tests.audio.test_mixdown import film, level
from tests.clips import normalise
from tests.fakes.audio_files import make_tone
from tests.shared import require_shared

_LOW = make_tone(2.0, 48_000)
_HIGH = make_tone(2.0, 48_000, hz=1_000.0)


def heard(raw: bytes, selection: Selection) -> tuple[Samples, Findings]:
    findings = Findings()
    return np.concatenate(list(decode(io.BytesIO(raw), 60.0, findings, selection))), findings


def copies_of(*channels: npt.NDArray[np.float64]) -> tuple[int | None, ...]:
    survey = ChannelSurvey()
    for begin in range(0, len(channels[0]), 1_000):
        survey.note(np.stack(channels).astype(np.float32)[:, begin : begin + 1_000])
    return survey.copies()


def test_a_channel_of_16_khz_comes_out_exactly() -> None:
    channels = np.random.default_rng(1).integers(-30_000, 30_000, (2, 16_000), dtype=np.int16)
    raw = film([(np.ascontiguousarray(channels), "stereo", "", False)], "wav", "pcm_s16le", 16_000)
    for number in (0, 1):
        assert np.array_equal(heard(raw, Selection(channel=number))[0], channels[number])
    assert not heard(raw, Selection(channel=7))[0].any()


def test_copies_are_noticed_whatever_their_level_and_polarity() -> None:
    random = np.random.default_rng(1)
    one, other = random.normal(0, 0.1, 4_000), random.normal(0, 0.1, 4_000)
    assert copies_of(one, one, -0.5 * one, other, other + 1e-3 * one) == (None, 0, 0, None, 3)
    assert copies_of(one) == (None,)


def test_a_moment_in_which_channels_differ_makes_them_two() -> None:
    one = np.random.default_rng(1).normal(0, 0.1, 100_000)
    other = one.copy()
    other[50_000:51_000] += np.random.default_rng(2).normal(0, 0.05, 1_000)
    assert copies_of(one, other) == (None, None)


def test_a_silent_channel_is_no_copy_of_a_voice_but_of_silence() -> None:
    one = np.random.default_rng(1).normal(0, 0.1, 4_000)
    assert copies_of(one, 0 * one, 0 * one) == (None, None, 1)


@pytest.mark.parametrize(
    ("wanted", "number"), [("0", 0), ("1", 1), ("eng", 0), ("ENG", 0), ("ru", 1), ("rus", 1), ("", 1)]
)
def test_the_track_that_is_asked_for_is_heard_and_told(wanted: str, number: int) -> None:
    raw = film([(np.stack([_LOW]), "mono", "eng", False), (np.stack([_HIGH]), "mono", "rus", False)])

    samples, findings = heard(raw, Selection(wanted))

    assert findings.track == HeardTrack(number, 2, ("eng", "rus")[number])
    assert level(samples, (440.0, 1_000.0)[number]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("wanted", ["2", "deu"])
def test_a_track_that_is_not_there_is_refused_with_those_that_are(wanted: str) -> None:
    raw = film([(np.stack([_LOW]), "mono", "eng", False), (np.stack([_HIGH]), "mono", "", False)])
    with pytest.raises(InvalidParameter, match=r"it has 0 \(eng\), 1 \(no language\)") as refused:
        heard(raw, Selection(wanted))
    assert refused.value.param == "track"


@pytest.mark.parametrize("values", [{"channels": "both"}, {"track": "-1"}, {"track": "0x1"}, {"track": "a" * 20}])
def test_what_cannot_be_meant_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter):
        read_choice(values)


def test_a_file_with_one_track_tells_of_none() -> None:
    assert heard(film([(np.stack([_LOW]), "mono", "rus", True)]), Selection())[1].track is None
    with pytest.raises(InvalidAudio):
        heard(b"\0" * 4_000, Selection("1"))


def test_a_call_is_told_channel_by_channel_in_order_of_time() -> None:
    recognizer = load_recognizer("demo", Path("/nonexistent"))[1]
    with require_shared("cases/call_two_channels_overlapping.wav").open("rb") as file:
        recording = TranscribedFile(file, recognizer, choice=FileChoice(splits_channels=True))
        finals = list(recording.segments())
    texts = [" ".join(normalise(final.text) for final in finals if final.channel == channel) for channel in (0, 1)]
    assert texts[0].startswith("она закрыла чашку на")  # the file ends within the last word
    assert texts[1] == "закрой шторы в спальне"
    assert [final.start for final in finals] == sorted(final.start for final in finals)
    assert recording.transcript(finals).copies == (None, None)


def test_the_command_line_marks_channels_and_knows_tracks(capsys: pytest.CaptureFixture[str]) -> None:
    call = str(require_shared("cases/call_two_channels_overlapping.wav"))
    film = str(require_shared("cases/dub_eng_then_rus_default.mkv"))

    assert run_command(["transcribe", "--model", "demo", "--channels", "split", call]) == 0
    assert run_command(["transcribe", "--model", "demo", "--track", "3", film]) == 1
    assert run_command(["transcribe", "--model", "demo", "--track", "?", film]) == 2

    captured = capsys.readouterr()
    assert sorted(line[:3] for line in captured.out.splitlines()) == ["[0]", "[1]"]
    assert "There is no audio track '3' in the file; it has 0 (eng), 1 (rus)." in captured.err
