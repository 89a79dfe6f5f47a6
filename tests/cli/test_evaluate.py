"""`gigastt eval` with the demo model, on lists of every form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gigastt.cli.main import run_command
from gigastt.errors import ConfigError
from gigastt.scoring import read_references

pytestmark = pytest.mark.slow

DATA = Path(__file__).resolve().parent.parent / "data"
TEXT = "Закрой шторы в спальне."


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, object]:
    assert run_command(["eval", "--model", "demo", *map(str, arguments)]) == 0
    result: dict[str, object] = json.loads(capsys.readouterr().out)
    return result


def test_live_and_as_files_the_words_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    as_files = evaluate(capsys, DATA)
    assert as_files["files"] == 8
    assert as_files["without_words"] == as_files["without_speech"] == 0
    assert evaluate(capsys, DATA, "--live")["by_file"] == as_files["by_file"]


def test_telephone_quality_is_another_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    result = evaluate(capsys, DATA, "--telephone")
    assert result["files"] == 8
    assert result["without_words"] == 0


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "beside"])
def test_every_form_of_a_list(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copyfile(DATA / "espeak_03.wav", tmp_path / "talk.wav")
    source = tmp_path
    if form == "beside":
        (tmp_path / "talk.txt").write_text(TEXT, encoding="utf-8")
    elif form == "csv":
        (tmp_path / "manifest.csv").write_text(f"file,text\ntalk.wav,{TEXT}\n", encoding="utf-8")
    else:
        row = json.dumps({"audio_filepath": "talk.wav", "text": TEXT})
        source = tmp_path / f"list.{form}"
        source.write_text(f"[{row}]" if form == "json" else f"{row}\n", encoding="utf-8")
    result = evaluate(capsys, source)
    assert (result["wer"], result["cer"], result["exact_wer"], result["exact_cer"]) == (0.0, 0.0, 0.0, 0.0)


def test_errors_are_counted_and_substitutions_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copyfile(DATA / "espeak_03.wav", tmp_path / "talk.wav")
    (tmp_path / "talk.txt").write_text("закрой двери в спальне", encoding="utf-8")
    result = evaluate(capsys, tmp_path)
    assert result["wer"] == 0.25
    assert result["exact_wer"] == 0.75
    assert result["substitutions"] == [["двери", "шторы", 1]]


def test_a_file_that_is_no_audio_counts_as_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "talk.wav").write_bytes(b"no audio at all, whatever it is called")
    (tmp_path / "talk.txt").write_text(TEXT, encoding="utf-8")
    assert run_command(["eval", "--model", "demo", str(tmp_path)]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["failed"], result["wer"]) == (1, 1.0)


@pytest.mark.parametrize("content", ["{", '[{"file": "a.wav"}]', "[]"])
def test_a_list_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError):
        read_references(tmp_path)
