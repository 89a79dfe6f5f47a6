"""Tokens: recognised where the secret is the same, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.errors import ConfigError
from gigastt.gateway.access.tokens import Tokens

SECRET = b"0123456789abcdef"


@given(payload=st.binary(max_size=200))
def test_a_token_is_recognised_by_every_server_with_the_secret_and_for_its_purpose_only(payload: bytes) -> None:
    token = Tokens(SECRET).sign("resume", payload)
    assert Tokens(SECRET).recognise("resume", token) == payload
    assert Tokens(SECRET).recognise("other", token) is None
    assert Tokens(b"fedcba9876543210").recognise("resume", token) is None
    assert Tokens().recognise("resume", token) is None


@given(payload=st.binary(max_size=50), data=st.data())
def test_a_token_that_was_changed_is_none(payload: bytes, data: st.DataObject) -> None:
    token = Tokens(SECRET).sign("resume", payload)
    at = data.draw(st.integers(0, len(token) - 2))  # the last letter may hold bits that do not count
    other = data.draw(st.sampled_from([c for c in "AZaz09-_" if c != token[at]]))
    assert Tokens(SECRET).recognise("resume", token[:at] + other + token[at + 1 :]) is None


@given(token=st.text(max_size=60))
def test_any_text_is_survived(token: str) -> None:
    assert Tokens(SECRET).recognise("resume", token) is None


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    assert Tokens.load(path).recognise("resume", Tokens(SECRET).sign("resume", b"x")) == b"x"


@pytest.mark.parametrize("content", [b"", b"short\n"])
def test_a_secret_that_is_too_short_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="at least 16 bytes"):
        Tokens.load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        Tokens.load(tmp_path / "none")
