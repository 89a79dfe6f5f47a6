"""The file of API keys: names beside plain keys, and what `gigastt keys` does to it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gigastt.cli.main import run_command
from gigastt.errors import ConfigError
from gigastt.gateway.access.key_file import add_key, key_digest, read_keys, revoke_key
from gigastt.gateway.access.keys import ApiKeys

PLAIN = "a-plain-key-1234"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_named_digests_stand_beside_plain_keys(file: Path) -> None:
    file.write_text(f"# staff\nalice:{key_digest('alices-key').hex().upper()}\n{PLAIN}\n")
    keys = ApiKeys.load(file)
    alice, plain = keys.find("alices-key"), keys.find(PLAIN)
    assert alice is not None
    assert alice.name == "alice"
    assert plain is not None
    assert plain.name is None
    assert keys.find(key_digest("alices-key").hex()) is None


@pytest.mark.parametrize(
    "line",
    [
        "alice:" + "0" * 63,
        "alice:" + "g" * 64,
        ":" + "0" * 64,
        "a b:" + "0" * 64,
        "алиса:" + "0" * 64,
        "a" * 65 + ":" + "0" * 64,
        "alice: " + "0" * 64,
    ],
)
def test_a_wrong_line_is_named_by_its_number_and_not_shown(file: Path, line: str) -> None:
    file.write_text(f"{PLAIN}\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2") as caught:
        read_keys(file)
    assert line not in str(caught.value)


def test_a_name_stands_for_one_key(file: Path) -> None:
    file.write_text("bob:" + "0" * 64 + "\nbob:" + "1" * 64 + "\n")
    with pytest.raises(ConfigError, match="line 2: another key is named bob"):
        read_keys(file)


def test_a_key_is_printed_once_and_the_file_has_its_digest(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["keys", "add", str(file), "alice"]) == 0
    key = capsys.readouterr().out.strip()
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", key)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == f"alice:{key_digest(key).hex()}\n"
    assert run_command(["keys", "add", str(file), "bob"]) == 0
    other = capsys.readouterr().out.strip()
    assert other != key
    assert run_command(["keys", "list", str(file)]) == 0
    assert capsys.readouterr().out == "alice\nbob\n"
    assert run_command(["keys", "revoke", str(file), "alice"]) == 0
    keys = ApiKeys.load(file)
    assert keys.find(key) is None
    assert keys.find(other) is not None
    assert list(file.parent.iterdir()) == [file]


def test_comments_plain_keys_and_the_groups_right_to_read_stay(file: Path) -> None:
    file.write_text(f"# ours\n\n{PLAIN}")  # without an end of line
    file.chmod(0o664)
    add_key(file, "alice")
    assert file.read_text().splitlines()[:3] == ["# ours", "", PLAIN]
    assert file.stat().st_mode & 0o777 == 0o640
    revoke_key(file, "alice")
    assert file.read_text() == f"# ours\n\n{PLAIN}\n"


def test_a_link_to_the_file_stays_a_link(file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to(file)
    add_key(link, "alice")
    assert link.is_symlink()
    assert [key.name for key in read_keys(file)] == ["alice"]


def test_mistakes_change_nothing_and_exit_with_2(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_key(file, "alice")
    before = file.read_bytes()
    for arguments, said in (
        (["add", str(file), "alice"], "there is a key named alice"),
        (["add", str(file), "al ice"], "expected a name"),
        (["revoke", str(file), "bob"], "no key is named 'bob'"),
        (["revoke", str(file), "alice"], "the last key"),
        (["list", str(file.with_name("none"))], "cannot be read"),
        (["add", os.devnull + "/x/keys", "alice"], "cannot be"),
    ):
        assert run_command(["keys", *arguments]) == 2
        assert said in capsys.readouterr().err
    assert file.read_bytes() == before
