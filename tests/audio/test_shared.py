"""Shared segments hold what was written, end with their creator, and fail cleanly when memory is full."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gigastt.audio.shared import SharedSegment, remove_leftovers
from gigastt.errors import CapacityTimeout

_RAMP = np.arange(5_000, dtype=np.int16)
_CREATE = "import sys, pathlib; from gigastt.audio.shared import SharedSegment as S\n"
_CREATE += "s = S.create(directory=pathlib.Path(sys.argv[1])); print(s.name, flush=True); sys.stdin.read()"


def test_another_process_part_reads_what_was_appended(tmp_path: Path) -> None:
    owner = SharedSegment.create(directory=tmp_path)
    with SharedSegment.attach(owner.name, writable=True, directory=tmp_path) as writer:
        writer.append(_RAMP)
        writer.append(_RAMP[::-1])
    owner.trim(10_000)

    with SharedSegment.attach(owner.name, directory=tmp_path) as reader:
        samples = reader.map(10_000)
    owner.unlink()

    assert np.array_equal(samples, np.concatenate([_RAMP, _RAMP[::-1]]))  # and the view outlives the name
    assert list(tmp_path.iterdir()) == []


def test_a_view_cannot_be_written_to(tmp_path: Path) -> None:
    owner = SharedSegment.create(directory=tmp_path)
    owner.append(_RAMP)

    assert not owner.map(10).flags.writeable


def test_more_samples_than_there_are_is_an_error_before_any_access(tmp_path: Path) -> None:
    owner = SharedSegment.create(directory=tmp_path)
    owner.append(_RAMP)
    owner.trim(len(_RAMP))

    with pytest.raises(ValueError, match="at least 5001 samples"):
        owner.map(5_001)


def test_an_empty_segment_maps_to_no_samples(tmp_path: Path) -> None:
    assert len(SharedSegment.create(directory=tmp_path).map(0)) == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "gigastt-1", "other", "gigastt-1-0123456789abcdef"])
def test_attaching_to_what_is_no_segment_fails(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        SharedSegment.attach(name, directory=tmp_path)


@pytest.mark.slow
def test_full_memory_is_a_capacity_error_that_may_be_tried_again(tmp_path: Path) -> None:
    # A file-size limit stands in for a full /dev/shm: both refuse the reservation, not the write.
    script = (
        "import resource, signal, sys, pathlib, numpy as np\n"
        "from gigastt.audio.shared import SharedSegment\n"
        "from gigastt.errors import CapacityTimeout\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "s = SharedSegment.create(directory=pathlib.Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))\n"
        "s.append(np.zeros(1_000_000, np.int16))\n"
        "try: s.append(np.zeros(2_000_000, np.int16))\n"
        "except CapacityTimeout as exc: print(exc.code, exc.retry_after_ms)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)

    assert done.stdout == "timeout 5000\n"


@pytest.mark.slow
def test_segments_of_dead_processes_are_removed_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "gigastt-notes.txt").touch()
    mine = SharedSegment.create(directory=tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", _CREATE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert remove_leftovers(tmp_path) == 0
        os.kill(child.pid, signal.SIGKILL)
    assert (tmp_path / name).exists()

    assert remove_leftovers(tmp_path) == 1

    assert {path.name for path in tmp_path.iterdir()} == {mine.name, "gigastt-notes.txt"}


def test_links_and_pipes_under_a_segments_name_are_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    directory = tmp_path / "shm"
    directory.mkdir()
    (directory / "gigastt-1-0123456789abcdef").symlink_to(precious)
    (directory / "gigastt-1-0123456789abcde0").symlink_to(tmp_path / "nowhere")
    os.mkfifo(directory / "gigastt-1-0123456789abcde1")
    before = sorted(directory.iterdir())

    assert remove_leftovers(directory) == 0

    assert sorted(directory.iterdir()) == before
    assert precious.read_bytes() == b"kept"
    with pytest.raises(OSError, match="symbolic links"):
        SharedSegment.attach("gigastt-1-0123456789abcdef", directory=directory)


def test_a_process_that_was_handed_the_open_file_writes_the_same_segment(tmp_path: Path) -> None:
    owner = SharedSegment.create(directory=tmp_path)
    with SharedSegment.adopt(os.dup(owner.descriptor)) as writer:
        writer.append(np.arange(1000, dtype=np.int16))
    assert owner.size >= 2000
    assert np.array_equal(owner.map(1000), np.arange(1000))


def test_a_missing_directory_is_not_taken_for_a_full_one(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="refused") as caught:
        SharedSegment.create(directory=tmp_path / "missing")

    assert not isinstance(caught.value, CapacityTimeout)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOENT
