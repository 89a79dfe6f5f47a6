"""Client tokens: read by servers that share the signing secret, until they expire or their key is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from gigastt.gateway.access.client_tokens import ClientTokens, Grant
from gigastt.gateway.access.key_file import add_key, revoke_key
from gigastt.gateway.access.keys import ApiKeys
from gigastt.gateway.access.tokens import Tokens

SETTINGS = {"audio": {"input": {"turn_detection": None}}}


def test_a_token_carries_what_it_allows_until_it_expires() -> None:
    now = [1_000.0]
    tokens = ClientTokens(Tokens(), None, lambda: now[0])
    value, expires_at = tokens.make(Grant(None, realtime=SETTINGS), 60)
    assert (value[:3], expires_at) == ("ek_", 1_060)
    assert tokens.read(value) == Grant(None, realtime=SETTINGS, by_token=True)
    now[0] = 1_060.0
    assert tokens.read(value) is None


def test_servers_with_one_signing_secret_and_the_same_keys_read_each_others(tmp_path: Path) -> None:
    file, secret = tmp_path / "keys", b"a secret of two servers"
    add_key(file, "alice")
    one, other = ApiKeys.load(file), ApiKeys.load(file)
    [alice] = one.accepted
    value, _ = ClientTokens(Tokens(secret), one).make(Grant(alice, session="s1"), 60)
    assert ClientTokens(Tokens(secret), other).read(value) == Grant(alice, session="s1", by_token=True)
    assert ClientTokens(Tokens(), one).read(value) is None


def test_a_token_dies_with_its_key_and_a_new_key_of_that_name_does_not_wake_it(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    add_key(file, "alice")
    add_key(file, "bob")
    keys = ApiKeys.load(file)
    tokens = ClientTokens(Tokens(), keys)
    of_alice, of_bob = (tokens.make(Grant(key), 60)[0] for key in keys.accepted)
    revoke_key(file, "alice")
    add_key(file, "alice")
    keys.reload(file)
    assert tokens.read(of_alice) is None
    assert tokens.read(of_bob) is not None


def test_a_token_that_was_made_without_a_key_is_none_where_keys_are_asked(tmp_path: Path) -> None:
    add_key(tmp_path / "keys", "alice")
    secret = Tokens()
    value, _ = ClientTokens(secret, None).make(Grant(None), 60)
    assert ClientTokens(secret, ApiKeys.load(tmp_path / "keys")).read(value) is None


@pytest.mark.parametrize("value", [None, "", "ek_", "ek_AAAA", "sk-other", "ek_" + "é"])
def test_anything_else_is_none(value: str | None) -> None:
    assert ClientTokens(Tokens(), None).read(value) is None


def test_a_token_of_another_purpose_is_none() -> None:
    tokens = Tokens()
    value = "ek_" + tokens.sign("other", b"[99999999999,null,null,null]")
    assert ClientTokens(tokens, None).read(value) is None
