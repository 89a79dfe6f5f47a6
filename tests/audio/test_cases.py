"""Recordings in the shapes that people really have give the words that were said, at the times of their containers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gigastt.audio.decode import decode
from gigastt.audio.selection import Findings
from gigastt.cli.main import run_command
from gigastt.speech.recognizer import Recognizer
from gigastt.transcribe import TranscribedFile, load_recognizer
from gigastt.transcript import Word
from tests.clips import CLIPS, Clip, normalise
from tests.positions import TOLERANCE_MS, measure_deviations
from tests.shared import require_shared

pytestmark = pytest.mark.slow

_A = "расскажи рецепт каши включи фильм фиксики"
_B = "она закрыла? чашку на берегу"  # the model loses a letter where something was said just before
_C = "закрой шторы в спальне"

# File, words, seconds at which some of them begin.
_CASES: list[tuple[str, str, dict[str, float]]] = [
    ("audio_starts_at_4.9s.mkv", _A, {"включи": 8.1}),
    ("chained_vorbis_48k_22k.ogg", f"{_A} {_B}", {"включи": 3.16, "чашку": 6.72}),
    ("codec_ac3.mkv", _C, {"шторы": 0.96}),
    ("codec_eac3.mkv", _C, {"шторы": 0.96}),
    ("codec_g722.wav", _C, {"шторы": 0.96}),
    ("codec_gsm.wav", _C, {"шторы": 0.96}),
    ("codec_mp2.mkv", _C, {"шторы": 0.96}),
    ("dub_eng_then_rus_default.mkv", _A, {"включи": 3.18}),
    ("film_5.1_dialogue_in_centre.m4a", _A, {"фильм": 4.0}),
    ("float_peak_minus50dB.wav", _B, {"чашку": 1.32}),
    ("float_peak_plus18dB.wav", _B, {"чашку": 1.32}),
    ("pass_two_recordings_live.webm", f"{_A} {_B}", {"включи": 3.16, "чашку": 6.72}),
    ("phone.3gp", _C, {"шторы": 0.96}),
    ("phone.amr", _C, {"шторы": 0.96}),
    ("s24_in_32_extensible.wav", _B, {"чашку": 1.32}),
    ("second_3_damaged.m4a", _A, {"включи": 3.16, "фильм": 4.0}),
    ("second_3_missing.webm", _A, {"включи": 3.16, "фильм": 4.0}),
    ("size_stale_after_crash.wav", _A, {"включи": 3.16}),
    ("stereo_opposite_phase.wav", _B, {"чашку": 1.32}),
    ("two_recordings.m4a", f"{_A} {_B}", {"включи": 3.16, "чашку": 6.72}),
    ("two_recordings.wav", f"{_C} {_B}", {"шторы": 0.96, "чашку": 3.44}),
]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return load_recognizer("demo", Path("/nonexistent"))[1]


@pytest.mark.parametrize(("name", "words", "times"), _CASES, ids=[name for name, _, _ in _CASES])
def test_the_words_of_a_file_come_at_their_times(
    name: str, words: str, times: dict[str, float], recognizer: Recognizer
) -> None:
    with require_shared(f"cases/{name}").open("rb") as file:
        heard: list[Word] = [word for segment in TranscribedFile(file, recognizer).segments() for word in segment.words]

    assert re.fullmatch(words, normalise(" ".join(word.text for word in heard)))
    starts = {normalise(word.text): word.start for word in heard}
    # The model tells times in steps of 40 ms, to either side.
    assert {word: starts[word] for word in times} == pytest.approx(times, abs=0.045)


# Where a case's voices begin, where that is not 0 and the end of the one before.
_BEGINS = {
    "audio_starts_at_4.9s.mkv": 4.9,
    "dub_eng_then_rus_default.mkv": 1_024 / 48_000,
}  # AAC's lead, which MKV does not tell


def _voice(name: str) -> npt.NDArray[np.int16]:
    if name == _B:  # as plain PCM, behind the other voice
        pcm = require_shared("cases/two_recordings.wav").read_bytes()[-2 * 45_454 :]
    else:
        pcm = Clip(CLIPS / {_A: "espeak_01.wav", _C: "espeak_03.wav"}[name], "").pcm
    return np.frombuffer(pcm, dtype=np.int16)


@pytest.mark.parametrize(("name", "words"), [row[:2] for row in _CASES], ids=[name for name, _, _ in _CASES])
def test_every_part_of_a_voice_lies_within_20_ms_of_its_place(name: str, words: str) -> None:
    heard = np.concatenate(list(decode(require_shared(f"cases/{name}"), 60.0)))

    begin = _BEGINS.get(name, 0.0)
    for voice in (_voice(each) for each in (_A, _C, _B) if each in words):
        deviations = measure_deviations(heard, voice, begin)
        assert len(deviations) >= 3
        assert deviations == pytest.approx([0] * len(deviations), abs=TOLERANCE_MS)
        begin += len(voice) / 16_000


@pytest.mark.parametrize(
    ("name", "code"), [("second_3_damaged.m4a", "audio_damaged"), ("second_3_missing.webm", "audio_missing")]
)
def test_a_second_without_audio_is_told_of(name: str, code: str) -> None:
    findings = Findings()
    for _ in decode(require_shared(f"cases/{name}"), 60.0, findings):
        pass

    [hole] = findings.holes
    assert hole.code == code
    assert (hole.start, hole.end) == pytest.approx((2.0, 3.0), abs=0.03)


def test_the_command_line_declares_a_damaged_second(capsys: pytest.CaptureFixture[str]) -> None:
    path = require_shared("cases/second_3_damaged.m4a")

    assert run_command(["transcribe", "--model", "demo", "--format", "json", str(path)]) == 0

    captured = capsys.readouterr()
    assert json.loads(captured.out)["failed"] == [{"code": "audio_damaged", "start": 2.02, "end": 3.019}]
    assert "2.02 to 3.02 s: the audio is damaged" in captured.err


def test_the_command_line_hears_them_too(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["film_5.1_dialogue_in_centre.m4a", "phone.amr", "two_recordings.wav"]

    assert (
        run_command(["transcribe", "--model", "demo", *(str(require_shared(f"cases/{name}")) for name in names)]) == 0
    )

    text = normalise(capsys.readouterr().out)
    assert all(re.search(words, text) for words in (_A, _B, _C))
