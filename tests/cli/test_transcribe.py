"""Tests of `gigastt transcribe` and `gigastt bench` with the demo model, in this process."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from gigastt.cli.hearing import check_search
from gigastt.cli.main import run_command
from gigastt.errors import UnsupportedByModel
from gigastt.transcript import Hotword, Options
from tests.fakes.terminal import Terminal

pytestmark = pytest.mark.slow

CLIPS = Path(__file__).resolve().parent.parent / "data"
SHUTTERS = CLIPS / "espeak_03.wav"
TWO_SENTENCES = CLIPS / "espeak_01.wav"


def transcribe(*arguments: str | Path) -> int:
    return run_command(["transcribe", "--model", "demo", *map(str, arguments)])


def test_text_is_a_line_for_each_segment(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe(TWO_SENTENCES) == 0
    captured = capsys.readouterr()
    assert captured.out == "Расскажи рецепт каши.\nВключи фильм фиксики.\n"
    assert "demo model" in captured.err


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--format", "json", SHUTTERS) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"] == "Закрой шторы в спальне."
    assert answer["duration"] == pytest.approx(2.13, abs=0.02)
    assert [word["word"] for word in answer["words"]] == ["Закрой", "шторы", "в", "спальне."]
    assert "file" not in answer


def test_what_is_left_out_is_told_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--format", "json", "--dropped", "--min-confidence", "1", SHUTTERS) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"] == ""
    assert [dropped["reason"] for dropped in answer["dropped"]] == ["min_confidence"]
    assert [word["word"] for word in answer["dropped"][0]["words"]] == ["Закрой", "шторы", "в", "спальне."]


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_captions_hold_the_words(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--format", form, SHUTTERS) == 0
    text = capsys.readouterr().out
    assert "-->" in text
    assert "Закрой шторы в спальне." in text


def test_several_files_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe(SHUTTERS, TWO_SENTENCES) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"==> {SHUTTERS} <==",
        "Закрой шторы в спальне.",
        f"==> {TWO_SENTENCES} <==",
        "Расскажи рецепт каши.",
        "Включи фильм фиксики.",
    ]


def test_on_a_terminal_the_progress_line_gives_way_to_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr("sys.stderr", terminal)

    assert transcribe(SHUTTERS, TWO_SENTENCES) == 0

    written = ["==> ", "Закрой", "==> ", "Расскажи", "Включи"]
    assert re.findall(r"\x1b\[K(==> |[А-Я]\w+)", terminal.getvalue()) == written


def test_several_files_as_json_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--format", "json", SHUTTERS, TWO_SENTENCES) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["file"] for answer in answers] == [str(SHUTTERS), str(TWO_SENTENCES)]


def test_a_bad_file_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    garbage = tmp_path / "garbage.wav"
    garbage.write_bytes(b"not audio at all" * 100)
    assert transcribe("--format", "json", garbage, tmp_path / "missing.wav", SHUTTERS) == 1
    captured = capsys.readouterr()
    assert [json.loads(line)["file"] for line in captured.out.splitlines()] == [str(SHUTTERS)]
    complaints = [line for line in captured.err.splitlines() if "demo model" not in line]
    assert len(complaints) == 2
    assert "garbage.wav" in complaints[0]
    assert "missing.wav: No such file" in complaints[1]


def test_captions_of_several_files_need_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--format", "srt", SHUTTERS, TWO_SENTENCES) == 2
    assert "--output-dir" in capsys.readouterr().err


def test_files_in_a_folder_are_written_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    garbage = tmp_path / "garbage.wav"
    garbage.write_bytes(b"not audio at all" * 100)
    folder = tmp_path / "subtitles"
    assert transcribe("--format", "vtt", "--output-dir", folder, SHUTTERS, garbage) == 1
    assert [path.name for path in folder.iterdir()] == ["espeak_03.vtt"]
    assert (folder / "espeak_03.vtt").read_text(encoding="utf-8").startswith("WEBVTT\n\n1\n")
    assert capsys.readouterr().out == ""


def test_files_of_the_same_name_become_files_of_their_own(tmp_path: Path) -> None:
    for folder, clip in {"a": SHUTTERS, "b": TWO_SENTENCES}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rec.wav").write_bytes(clip.read_bytes())
    output = tmp_path / "out"
    assert transcribe("--output-dir", output, tmp_path / "a" / "rec.wav", tmp_path / "b" / "rec.wav") == 0
    assert (output / "a" / "rec.txt").read_text(encoding="utf-8") == "Закрой шторы в спальне.\n"
    assert "Включи" in (output / "b" / "rec.txt").read_text(encoding="utf-8")


def test_a_file_that_was_there_is_kept_unless_it_may_be_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "espeak_03.txt").write_text("mine", encoding="utf-8")
    assert transcribe("--output-dir", tmp_path, TWO_SENTENCES, SHUTTERS) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--overwrite" in error
    assert [path.name for path in tmp_path.iterdir()] == ["espeak_03.txt"]
    assert (tmp_path / "espeak_03.txt").read_text(encoding="utf-8") == "mine"

    assert transcribe("--output-dir", tmp_path, "--overwrite", SHUTTERS) == 0
    assert (tmp_path / "espeak_03.txt").read_text(encoding="utf-8") == "Закрой шторы в спальне.\n"


def test_a_folder_that_cannot_be_made_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert transcribe("--output-dir", tmp_path / "file" / "out", SHUTTERS) == 2
    error = capsys.readouterr().err
    assert error == f"gigastt: --output-dir: cannot make the folder {tmp_path / 'file' / 'out'}: Not a directory.\n"


def test_overwriting_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--overwrite", SHUTTERS) == 2
    assert "--output-dir" in capsys.readouterr().err


def test_the_help_lists_the_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "any format" not in text
    assert "Formats: WAV, FLAC" in text


def test_standard_input_is_a_file_like_any_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SHUTTERS.read_bytes())))
    assert transcribe("-") == 0
    assert capsys.readouterr().out == "Закрой шторы в спальне.\n"


def test_without_a_model_nothing_is_begun_and_both_ways_on_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["transcribe", "--model-dir", str(tmp_path), str(SHUTTERS)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "gigastt download" in captured.err
    assert "--model demo" in captured.err


def test_without_a_file_the_command_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe() == 2
    assert "FILE" in capsys.readouterr().err


def test_bench_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "--model", "demo", "--rounds", "1", str(SHUTTERS)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["words"] == 4
    assert result["times_real_time"] > 0


def test_words_are_plain_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--no-punctuation", "--casing", "lower", TWO_SENTENCES) == 0
    assert capsys.readouterr().out == "расскажи рецепт каши\nвключи фильм фиксики\n"
    assert transcribe("--format", "json", "--no-punctuation", SHUTTERS) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"] == answer["segments"][0]["text"] == "Закрой шторы в спальне"
    assert [word["word"] for word in answer["words"]] == ["Закрой", "шторы", "в", "спальне"]


def test_numbers_are_figures_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--numbers", "digits", "--no-punctuation", CLIPS / "festival_11.wav") == 0
    assert capsys.readouterr().out.splitlines()[1] == "Смешайте 700 граммов затем запекайте огурцы 43 минут"


def test_hotwords_are_preferred_wherever_they_stand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "hotwords.txt"
    file.write_text("запикайте\t3\n", encoding="utf-8")
    for given in (("--hotwords-file", file), ("--hotwords", '[{"phrase": "запикайте", "weight": 3}]')):
        assert transcribe(*given, CLIPS / "festival_11.wav") == 0
        assert "затем запикайте огурцы" in capsys.readouterr().out


def test_alternatives_stand_in_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--format", "json", "--alternatives", "3", SHUTTERS) == 0
    [segment] = json.loads(capsys.readouterr().out)["segments"]
    assert segment["alternatives"][0]["text"] == segment["text"] == "Закрой шторы в спальне."
    assert len(segment["alternatives"]) > 1


def test_hotwords_that_the_model_cannot_write_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--hotwords", "SAP, Яуза", SHUTTERS) == 0
    assert "cannot write these hotwords: SAP." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (("--hotwords", "x" * 101), "hotwords must be a list"),
        (("--hotwords", '[{"phrase": "да", "weight": 4}]'), "hotwords must be a list"),
        (("--hotwords-file", "/nowhere"), "/nowhere"),
        (("--alternatives", "6", "--format", "json"), "alternatives"),
        (("--alternatives", "2"), "--format json"),
    ],
)
def test_wrong_wishes_are_one_line_before_anything_is_begun(
    wrong: tuple[str, ...], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transcribe(*wrong, SHUTTERS) == 2
    captured = capsys.readouterr()
    assert word in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_a_model_without_hotwords_says_so() -> None:
    with pytest.raises(UnsupportedByModel):
        check_search(Options(hotwords=(Hotword("Яуза"),)), "")
    with pytest.raises(UnsupportedByModel):
        check_search(Options(most_alternatives=2), "")
    check_search(Options(), "")
