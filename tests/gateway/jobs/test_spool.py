"""Recordings are kept whole or not at all, within the quota."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gigastt.errors import ConfigError, JobsFull
from gigastt.gateway.jobs.spool import Oversized, Spool, pieces_of


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, 100)
    yield spool
    spool.close()


async def bytes_of(count: int, size: int = 10) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(size)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "audio").iterdir())


async def test_a_recording_is_there_until_it_is_removed(spool: Spool, tmp_path: Path) -> None:
    assert await spool.keep("one", "", bytes_of(5), 100) == 50
    body = spool.open("one")
    assert [piece async for piece in pieces_of(body.open())] == [bytes(50)]
    body.close()
    with pytest.raises(JobsFull):
        await spool.keep("two", "", bytes_of(6), 100)
    spool.remove("one", "", 50)
    assert await spool.keep("two", "", bytes_of(6), 100) == 60
    assert files_in(tmp_path) == ["two"]


async def test_what_is_not_whole_leaves_nothing_behind(spool: Spool, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(60)
        raise ConnectionResetError

    with pytest.raises(JobsFull):
        await spool.keep("one", "", broken(), 100)
    with pytest.raises(Oversized):
        await spool.keep("one", "", bytes_of(6), 55)
    assert files_in(tmp_path) == []
    assert await spool.keep("one", "", bytes_of(10), 100) == 100


async def test_an_owner_holds_half_at_most(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(JobsFull, match="Your jobs"):
        await spool.keep("one", "alice", bytes_of(6), 100)
    await spool.keep("one", "alice", bytes_of(5), 100)
    await spool.keep("two", "bob", bytes_of(5), 100)


def test_a_start_counts_what_is_there_and_removes_what_belongs_to_nobody(spool: Spool, tmp_path: Path) -> None:
    for name in ("known", "unknown", "known.part"):
        (tmp_path / "audio" / name).write_bytes(bytes(90))
    assert spool.take_stock([("known", "", 90), ("gone", "", 10), ("to-fetch", "", 0)]) == {"known"}
    assert files_in(tmp_path) == ["known"]
    assert (tmp_path.stat().st_mode & 0o777) == 0o700
    with pytest.raises(ConfigError, match="another server"):
        Spool(tmp_path, 100)
    spool.close()
    Spool(tmp_path, 100).close()


def test_a_folder_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a file")
    with pytest.raises(ConfigError, match="--jobs-dir"):
        Spool(tmp_path / "jobs", 100)
