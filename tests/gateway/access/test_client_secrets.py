"""Client secrets: read by whoever shares the signing secret, until they expire, and by nobody else."""

from __future__ import annotations

import pytest

from gigastt.gateway.access.client_secrets import ClientSecrets
from gigastt.gateway.access.tokens import Tokens

SESSION = {"audio": {"input": {"turn_detection": None}}}


def test_a_secret_carries_its_session_until_it_expires() -> None:
    now = [1_000.0]
    secrets = ClientSecrets(Tokens(), lambda: now[0])
    value, expires_at = secrets.make(SESSION, 60)
    assert (value[:3], expires_at) == ("ek_", 1_060)
    assert secrets.read(value) == SESSION
    now[0] = 1_060.0
    assert secrets.read(value) is None


def test_servers_with_one_signing_secret_read_each_others() -> None:
    tokens = b"a secret of two servers"
    value, _ = ClientSecrets(Tokens(tokens)).make(SESSION, 60)
    assert ClientSecrets(Tokens(tokens)).read(value) == SESSION
    assert ClientSecrets(Tokens()).read(value) is None


@pytest.mark.parametrize("value", [None, "", "ek_", "ek_AAAA", "sk-other", "ek_" + "é"])
def test_anything_else_is_none(value: str | None) -> None:
    assert ClientSecrets(Tokens()).read(value) is None


def test_a_token_of_another_purpose_is_none() -> None:
    tokens = Tokens()
    assert ClientSecrets(tokens).read("ek_" + tokens.sign("other", b"[99999999999,{}]")) is None
