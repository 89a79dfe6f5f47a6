"""Room: free memory is the machine's or the container's, whichever is less, and a refusal has both numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from gigastt.errors import NotEnoughRoom
from gigastt.models.room import FreeRoom, Needs, free_memory

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"


def machine(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text(MEMINFO)
    return path


def container(tmp_path: Path, limit: str) -> Path:
    folder = tmp_path / "cgroup"
    folder.mkdir()
    (folder / "memory.max").write_text(limit + "\n")
    (folder / "memory.current").write_text("900000000\n")
    (folder / "memory.stat").write_text("anon 600000000\nfile 300000000\ninactive_file 200000000\n")
    return folder


def test_machine_without_a_container_limit(tmp_path: Path) -> None:
    assert free_memory(machine(tmp_path), container(tmp_path, "max")) == 8_000_000 * 1024
    assert free_memory(machine(tmp_path), tmp_path / "none") == 8_000_000 * 1024


def test_container_limit_counts_and_file_pages_can_be_dropped(tmp_path: Path) -> None:
    assert free_memory(machine(tmp_path), container(tmp_path, "1000000000")) == 300_000_000


def test_system_that_does_not_tell_refuses_nothing(tmp_path: Path) -> None:
    assert free_memory(tmp_path / "none", tmp_path) is None
    FreeRoom(memory=lambda: None).require(tmp_path, Needs(memory=10**15, purpose="Everything"))


def test_refusal_has_both_numbers_and_the_way_on(tmp_path: Path) -> None:
    needs = Needs(memory=2_000, purpose="Dreaming", instead="Sleep instead.")
    says = r"^Dreaming needs 2,000 bytes .*1,999 bytes .* are free\. Sleep instead\.$"
    with pytest.raises(NotEnoughRoom, match=says):
        FreeRoom(memory=lambda: 1_999).require(tmp_path, needs)
