"""What keys have sent today is known to the next server, and no trouble with its file disturbs clients."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gigastt.cautions import warn
from gigastt.config import Settings, check_settings
from gigastt.errors import ConfigError, QuotaExceeded
from gigastt.gateway.access.key_file import ApiKey, KeyLimits, add_key
from gigastt.gateway.access.keys import ApiKeys
from gigastt.gateway.access.usage_file import UsageFile
from gigastt.gateway.context import AppContext
from gigastt.log import fields_of
from tests.fakes.gateway import http_client
from tests.fakes.pool import Fakes
from tests.waiting import wait_until

DAY = 86_400.0
KEY = ApiKey(b"\x9f" * 32, "alice", KeyLimits(audio_hours_per_day=1))
OTHER = ApiKey(b"\x60" * 32, "bob")


class Server:
    """The keys of one server and their file; `now` is the time of day."""

    def __init__(self, path: Path, now: float = 20_000 * DAY) -> None:
        self.now = now
        self.keys = ApiKeys([KEY, OTHER], lambda: self.now)
        self.file = UsageFile(path, self.keys, lambda: self.now)

    def hear(self, seconds: float) -> bool:
        return self.keys.usage(KEY).hear(seconds)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_the_next_server_goes_on_with_the_day(tmp_path: Path) -> None:
    first = Server(tmp_path / "usage")
    assert first.hear(3000.0)
    first.file.save()
    second = Server(tmp_path / "usage", first.now + 60)
    assert second.keys.usage(KEY).audio_seconds == 0.0  # the metric counts from the start
    with pytest.raises(QuotaExceeded):
        second.keys.usage(KEY).expect_audio(601.0)
    assert not second.hear(600.0)
    second.file.save()
    assert not Server(tmp_path / "usage", second.now + 60).hear(1.0)


def test_another_day_begins_anew(tmp_path: Path) -> None:
    first = Server(tmp_path / "usage")
    assert not first.hear(3600.0)
    first.file.save()
    assert Server(tmp_path / "usage", first.now + DAY).hear(3599.0)
    first.now += DAY  # and so it does for the server that goes on
    assert first.hear(3599.0)
    first.file.save()
    assert json.loads((tmp_path / "usage").read_text())["audio_seconds"] == {KEY.digest.hex(): 3599.0}


def test_servers_that_share_it_count_together(tmp_path: Path) -> None:
    one, other = Server(tmp_path / "usage"), Server(tmp_path / "usage")
    for _ in range(3):
        one.hear(500.0)
        one.file.save()
        other.hear(600.0)
        other.file.save()
    one.file.save()
    assert json.loads((tmp_path / "usage").read_text())["audio_seconds"] == {KEY.digest.hex(): 3300.0}
    for server in (one, other, Server(tmp_path / "usage")):
        with pytest.raises(QuotaExceeded):
            server.keys.usage(KEY).expect_audio(301.0)
        server.keys.usage(KEY).expect_audio(300.0)
    assert one.keys.usage(KEY).audio_seconds == 1500.0  # each one's metric is its own
    one.now += DAY
    one.hear(7.0)
    one.file.save()
    other.now += DAY
    other.hear(8.0)
    other.file.save()
    assert json.loads((tmp_path / "usage").read_text())["audio_seconds"] == {KEY.digest.hex(): 15.0}


def test_a_key_that_was_revoked_and_comes_back_has_used_what_it_had_used(tmp_path: Path) -> None:
    server = Server(tmp_path / "usage")
    server.hear(3000.0)
    server.file.save()
    keys = tmp_path / "keys"
    for lines in ("bob:" + "60" * 32, "alice:" + "9f" * 32 + " audio-hours-per-day=1"):
        keys.write_text(f"{lines}\n")
        server.keys.reload(keys)
    server.hear(100.0)
    server.file.save()
    assert not server.hear(500.0)


def test_a_file_that_is_removed_is_written_again(tmp_path: Path) -> None:
    server = Server(tmp_path / "usage")
    server.hear(3000.0)
    server.file.save()
    (tmp_path / "usage").unlink()
    server.file.save()
    assert "3000.0" in (tmp_path / "usage").read_text()


async def test_it_is_written_while_something_changes_and_by_nobody_but_its_owner(tmp_path: Path) -> None:
    server, path = Server(tmp_path / "usage"), tmp_path / "usage"
    empty = path.stat().st_ino
    keeping = asyncio.create_task(server.file.keep(0.01))
    server.hear(5.0)
    await wait_until(lambda: "5.0" in path.read_text())
    written = path.stat().st_ino
    assert written != empty
    server.keys.usage(OTHER).hear(2.0)
    await wait_until(lambda: "2.0" in path.read_text())
    keeping.cancel()
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(names_in(tmp_path)) == [".usage.lock", "usage"]


@pytest.mark.parametrize("content", ["", "alice:12", "[]", '{"day": 3}', '{"day": "2026-11-27", "audio_seconds": 4}'])
def test_another_file_is_refused_and_stays(tmp_path: Path, content: str) -> None:
    (tmp_path / "usage").write_text(content)
    with pytest.raises(ConfigError, match=r"--usage-file .*usage: not a file of usage"):
        Server(tmp_path / "usage")
    assert (tmp_path / "usage").read_text() == content


def test_a_folder_that_is_not_there_is_found_out_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read and written"):
        Server(tmp_path / "none" / "usage")


def test_a_disk_that_fails_later_has_its_line_and_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    server = Server(folder / "usage")
    folder.rename(tmp_path / "away")
    server.hear(7.0)
    server.file.save()
    assert [fields_of(record)["event"] for record in caplog.records] == ["usage_not_written"]
    (tmp_path / "away").rename(folder)
    (folder / "usage").write_text("alice:12")
    server.file.save()
    assert len(caplog.records) == 2
    (folder / "usage").unlink()
    server.file.save()
    assert "7.0" in (folder / "usage").read_text()


def context_of(folder: Path, *, keeps: bool = True) -> AppContext:
    return Fakes().context(api_keys_file=folder / "keys", usage_file=folder / "usage" if keeps else None)


async def test_a_file_that_is_too_long_for_today_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    headers = {"authorization": f"Bearer {add_key(tmp_path / 'keys', 'alice', KeyLimits(audio_hours_per_day=0.001))}"}
    first = context_of(tmp_path)
    async with http_client(first) as client:
        assert (await client.post("/v1/transcribe", content=b"x" * 100, headers=headers)).status_code == 200
    assert first.api_keys is not None
    assert first.usage_file is not None
    [usage] = first.api_keys.usages
    usage.hear(3.6 - usage.audio_seconds)
    first.usage_file.save()
    async with http_client(context_of(tmp_path)) as client:
        refused = await client.post("/v1/transcribe", content=b"x" * 100, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")


def test_a_server_that_will_forget_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add_key(tmp_path / "keys", "alice", KeyLimits(audio_hours_per_day=1))
    warn(context_of(tmp_path, keeps=False))
    assert "usage_not_kept" in [fields_of(record)["event"] for record in caplog.records]
    caplog.clear()
    warn(context_of(tmp_path))
    assert "usage_not_kept" not in [fields_of(record)["event"] for record in caplog.records]


def test_without_keys_there_is_nothing_to_keep(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--usage-file keeps"):
        check_settings(Settings(usage_file=tmp_path / "usage"))
