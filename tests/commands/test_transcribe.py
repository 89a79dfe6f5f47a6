"""Tests of `gigastt transcribe` and `gigastt bench` with the demo model, in this process."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from gigastt.cli import run
from tests.fakes.terminal import Terminal

CLIPS = Path(__file__).resolve().parent.parent / "data"
SHUTTERS = CLIPS / "espeak_03.wav"
TWO_SENTENCES = CLIPS / "espeak_01.wav"


def transcribe(*arguments: str | Path) -> int:
    return run(["transcribe", "--model", "demo", *map(str, arguments)])


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
    assert [path.name for path in folder.iterdir()] == ["espeak_03.wav.vtt"]
    assert (folder / "espeak_03.wav.vtt").read_text(encoding="utf-8").startswith("WEBVTT\n\n1\n")
    assert capsys.readouterr().out == ""


def test_standard_input_is_a_file_like_any_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SHUTTERS.read_bytes())))
    assert transcribe("-") == 0
    assert capsys.readouterr().out == "Закрой шторы в спальне.\n"


def test_without_a_model_nothing_is_begun_and_both_ways_on_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["transcribe", "--model-dir", str(tmp_path), str(SHUTTERS)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "gigastt download" in captured.err
    assert "--model demo" in captured.err


def test_without_a_file_the_command_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe() == 2
    assert "FILE" in capsys.readouterr().err


def test_bench_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--model", "demo", "--rounds", "1", str(SHUTTERS)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["words"] == 4
    assert result["times_real_time"] > 0
