"""Tests of where transcripts go: names, folders, and files that must not be lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from gigastt.cli.targets import plan_targets, prepare_targets, writing
from gigastt.errors import ConfigError

OUT = Path("/out")


@pytest.mark.parametrize(
    ("files", "targets"),
    [
        (["talk.wav"], ["talk.srt"]),
        (["/x/talk.v1.wav"], ["talk.v1.srt"]),
        (["talk"], ["talk.srt"]),
        (["-"], ["stdin.srt"]),
        (["a/one.wav", "b/two.wav"], ["one.srt", "two.srt"]),
        (["talk.wav", "talk.mp3", "other.wav"], ["talk.wav.srt", "talk.mp3.srt", "other.srt"]),
        (["a/talk.wav", "b/talk.mp3"], ["talk.wav.srt", "talk.mp3.srt"]),
        (["a/rec.wav", "b/rec.wav"], ["a/rec.srt", "b/rec.srt"]),
        (["a/x/rec.wav", "a/rec.wav", "a/rec.mp3"], ["x/rec.srt", "rec.wav.srt", "rec.mp3.srt"]),
        (["a/rec.wav", "../rec.wav", "-"], ["edges/a/rec.srt", "rec.srt", "stdin.srt"]),
        (["/a/rec.wav", "/b/c/rec.wav"], ["a/rec.srt", "b/c/rec.srt"]),
        (["a.wav", "a.mp3", "a.wav.ogg"], ["a.wav.srt", "a.mp3.srt", "a.wav.ogg.srt"]),
    ],
)
def test_every_file_has_a_target_of_its_own(
    files: list[str], targets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edges").mkdir()
    monkeypatch.chdir(tmp_path / "edges")
    assert plan_targets(files, OUT, ".srt") == dict(zip(files, [OUT / target for target in targets], strict=True))


@pytest.mark.parametrize(
    "files", [["a.wav", "a.wav"], ["a.wav", "./a.wav"], ["-", "-"], ["x/a.wav", "b.wav", "x//a.wav"]]
)
def test_the_same_file_twice_is_refused(files: list[str]) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        plan_targets(files, OUT, ".srt")


def test_a_recording_is_never_replaced_by_its_transcript(tmp_path: Path) -> None:
    (tmp_path / "talk.json").touch()
    with pytest.raises(ConfigError, match="its own transcript"):
        prepare_targets(plan_targets([str(tmp_path / "talk.json")], tmp_path, ".json"), overwrite=True)


def test_a_missing_recording_does_not_matter_here(tmp_path: Path) -> None:
    (tmp_path / "talk.srt").touch()
    prepare_targets(plan_targets(["talk.wav"], tmp_path, ".srt"), overwrite=True)


def test_what_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "talk.srt"

    def write() -> None:
        with writing(target, overwrite=False) as file:
            file.write("transcript")
            target.write_text("somebody else's", encoding="utf-8")

    with pytest.raises(FileExistsError):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["talk.srt"]
    assert target.read_text(encoding="utf-8") == "somebody else's"


@pytest.mark.parametrize("overwrite", [True, False])
def test_what_fails_leaves_nothing(overwrite: bool, tmp_path: Path) -> None:
    def write() -> None:
        with writing(tmp_path / "talk.srt", overwrite=overwrite) as file:
            file.write("half a tran")
            file.flush()
            assert not (tmp_path / "talk.srt").exists()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_whole_gets_its_name(overwrite: bool, tmp_path: Path) -> None:
    with writing(tmp_path / "talk.srt", overwrite=overwrite) as file:
        file.write("transcript")
    assert [path.name for path in tmp_path.iterdir()] == ["talk.srt"]
    assert (tmp_path / "talk.srt").read_text(encoding="utf-8") == "transcript"
