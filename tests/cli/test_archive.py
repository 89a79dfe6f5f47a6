"""Archives: folders are mirrored, a run goes on where another stopped, and strangers' files stay."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from benchmarks.archive import check
from gigastt.cli.archive import MANIFEST, find_files, mirror_targets, open_manifest
from gigastt.cli.main import run_command
from gigastt.errors import ConfigError

CLIP = Path(__file__).resolve().parent.parent / "data" / "espeak_03.wav"
TEXT = "Закрой шторы в спальне.\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder with two recordings of one name, and something that is none."""
    folder = tmp_path / "in"
    for name in ("a/talk.wav", "b/talk.wav"):
        (folder / name).parent.mkdir(parents=True)
        shutil.copyfile(CLIP, folder / name)
    (folder / "notes.txt").write_text("no audio at all", encoding="utf-8")
    return folder


def transcribe(archive: Path, *arguments: str | Path) -> int:
    return run_command(["transcribe", "--model", "demo", str(archive), "--recursive", *map(str, arguments)])


def entries(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / MANIFEST).read_text(encoding="utf-8").splitlines()]


def test_folders_are_mirrored_and_errors_are_listed(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert transcribe(archive, "--output-dir", out, "--resume") == 1
    assert (out / "a/talk.wav.txt").read_text(encoding="utf-8") == TEXT
    assert (out / "b/talk.wav.txt").read_text(encoding="utf-8") == TEXT
    assert not (out / "notes.txt.txt").exists()
    assert [entry["target"] for entry in entries(out) if "error" in entry] == ["notes.txt.txt"]


def test_what_is_done_is_not_done_again_unless_its_source_has_changed(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (archive / "notes.txt").unlink()
    assert transcribe(archive, "--output-dir", out, "--resume") == 0
    assert transcribe(archive, "--output-dir", out, "--resume") == 0
    assert len(entries(out)) == 2
    os.utime(archive / "a/talk.wav", ns=(0, 0))
    assert transcribe(archive, "--output-dir", out, "--resume") == 0
    assert [entry["target"] for entry in entries(out)][2:] == ["a/talk.wav.txt"]


@pytest.mark.parametrize("when", ["before", "afterwards"])
def test_a_transcript_that_somebody_else_wrote_stays(archive: Path, tmp_path: Path, when: str) -> None:
    out = tmp_path / "out"
    if when == "afterwards":
        transcribe(archive, "--output-dir", out, "--resume")
    (out / "a").mkdir(parents=True, exist_ok=True)
    (out / "a/talk.wav.txt").write_text("mine", encoding="utf-8")
    assert transcribe(archive, "--output-dir", out, "--resume") == 1
    assert (out / "a/talk.wav.txt").read_text(encoding="utf-8") == "mine"
    assert (out / "b/talk.wav.txt").read_text(encoding="utf-8") == TEXT


def test_output_within_the_archive_is_not_transcribed(archive: Path) -> None:
    out = archive / "out"
    out.mkdir()
    (out / "talk.wav").write_bytes(b"")
    (archive / ".hidden").write_bytes(b"")
    assert [Path(file).name for file in find_files([str(archive)], out)] == ["notes.txt", "talk.wav", "talk.wav"]


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file"):
        find_files([str(tmp_path)], None)


def test_one_file_given_twice_is_an_error(archive: Path) -> None:
    names = [str(archive), str(archive / "a")]
    with pytest.raises(ConfigError, match="given twice"):
        mirror_targets(find_files(names, None), names, archive / "out", ".txt")


def test_two_runs_do_not_share_an_output_folder(tmp_path: Path) -> None:
    with open_manifest(tmp_path), pytest.raises(ConfigError, match="another run"), open_manifest(tmp_path):
        pass


def test_half_a_line_of_a_run_that_was_killed_spoils_nothing(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    transcribe(archive, "--output-dir", out, "--resume")
    with (out / MANIFEST).open("a", encoding="utf-8") as file:
        file.write('{"target":"a/ta')
    assert transcribe(archive, "--output-dir", out, "--resume") == 1
    assert json.loads((out / MANIFEST).read_text(encoding="utf-8").splitlines()[-1])["target"] == "notes.txt.txt"


def test_resume_needs_an_output_folder(archive: Path) -> None:
    assert transcribe(archive, "--resume") == 2


@pytest.mark.slow
def test_an_archive_stopped_at_random_is_done_once_and_whole() -> None:
    result = check(files=12, rounds=3, seconds=(0.5, 2.0))
    assert result["as_wanted"]
    assert result["left_over"] == 0
    assert result["exit_code"] == 1
    assert result["errors_listed"] == ["0/0000.wav.txt"]
