"""API keys: the file, the two ways to present one, and what errors may say."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gigastt.errors import ConfigError
from gigastt.gateway.access.keys import ApiKeys, bearer_token, choose_subprotocol, subprotocol_token

KEY = "first-key-123456"
OTHER = "second.key_~+/=="


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "keys"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_of_the_file_is_accepted_and_nothing_else(tmp_path: Path) -> None:
    keys = ApiKeys.load(write(tmp_path, f"# staff\n{KEY}\n\n  {OTHER}  \n"))
    assert keys.find(KEY)
    assert keys.find(OTHER)
    for wrong in (None, "", "# staff", KEY[:-1], KEY + "x", KEY.upper(), f" {KEY}", "\udce9"):
        assert keys.find(wrong) is None


def test_a_bad_line_is_named_by_its_number_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2") as caught:
        ApiKeys.load(write(tmp_path, f"{KEY}\nsecret with spaces\n"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "short\n"])
def test_a_file_without_a_good_key_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        ApiKeys.load(write(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        ApiKeys.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([f"Bearer {KEY}"], KEY),
        ([f"bearer   {KEY} "], KEY),
        ([f"Basic {base64.b64encode(f'anybody:{KEY}'.encode()).decode()}"], KEY),
        ([f"Basic {base64.b64encode(KEY.encode()).decode()}"], None),
        (["Basic !"], None),
        (["Basic gA=="], None),
        ([], None),
        (["Bearer "], None),
        ([f"Basic {KEY}"], None),
        ([KEY], None),
        ([f"Bearer {KEY}", f"Bearer {OTHER}"], None),
    ],
)
def test_one_bearer_header_is_read(headers: list[str], token: str | None) -> None:
    assert bearer_token(headers) == token


def test_a_key_may_come_as_a_subprotocol() -> None:
    assert subprotocol_token(["gigastt.v1", f"gigastt.bearer.{KEY}"]) == KEY
    assert subprotocol_token(["gigastt.v1"]) is None


def test_the_plain_subprotocol_is_answered_rather_than_the_key() -> None:
    bearer = f"gigastt.bearer.{KEY}"
    assert choose_subprotocol([bearer, "gigastt.v1"]) == "gigastt.v1"
    assert choose_subprotocol(["x", bearer]) == bearer
    assert choose_subprotocol(["x"]) is None
    assert choose_subprotocol([]) is None
