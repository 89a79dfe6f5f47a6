"""What is done for Ray without Ray: names, targets, and the lists of helpers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from gigastt.cli.archive import MANIFEST, SourceStamp, open_manifest, open_part
from gigastt.cli.main import run_command
from gigastt.cli.ray_plan import is_remote, remote_target


def test_a_file_of_a_store_keeps_its_address_below_the_output() -> None:
    assert is_remote("s3://calls/2024/a.wav")
    assert not is_remote("calls/2024/a.wav")
    assert remote_target("s3://calls/2024/a.wav", Path("/out"), ".txt") == Path("/out/calls/2024/a.wav.txt")
    assert remote_target("file:///x/../a.wav", Path("/out"), ".txt") == Path("/out/x/a.wav.txt")


def test_what_helpers_have_listed_is_taken_over_by_the_next_run(tmp_path: Path) -> None:
    stamp = SourceStamp(5, 7)
    target = tmp_path / "a.wav.txt"
    unfinished = tmp_path / ".a.wav.txt.part"
    unfinished.write_text("Да.\u2028\n", encoding="utf-8")
    with open_manifest(tmp_path), open_part(tmp_path, "host-1") as helper, open_part(tmp_path, "host-2") as other:
        helper.record(stamp, target, unfinished)
        unfinished.rename(target)
        other.read_again()
        assert other.is_done(stamp, target)
        assert not other.is_done(SourceStamp(5, 8), target)
    with open_manifest(tmp_path) as manifest:
        assert manifest.is_done(stamp, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == [MANIFEST, "a.wav.txt"]


@pytest.mark.parametrize("more", [[], ["--watch"], ["--server", "http://127.0.0.1:9"]])
def test_ray_takes_archives_only(tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--recursive", "--resume"] if more else ["--recursive"]
    assert run_command(["transcribe", str(tmp_path), "--ray", "local", *options, *more]) == 2
    assert "--ray needs" in capsys.readouterr().err


def test_without_ray_the_extra_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("ray") is not None:
        return
    arguments = ["transcribe", str(tmp_path), "--recursive", "--resume", "--output-dir", str(tmp_path / "out")]
    assert run_command([*arguments, "--ray", "local"]) == 2
    assert "gigastt-server[ray]" in capsys.readouterr().err
