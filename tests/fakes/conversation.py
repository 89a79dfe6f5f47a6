"""A conversation in the native dialect, without a connection."""

from __future__ import annotations

import json
from typing import Any

from gigastt.gateway.api.conversation import Close, Conversation, Effect, FinishSession, SendError, SendReady
from gigastt.gateway.api.native import NativeDialect

FRAME = 512 * 1024


def protocol(*, idle: float = 300.0, cap: float = 3600.0, admitted: bool = True) -> Conversation:
    client = Conversation(NativeDialect(), idle_timeout_secs=idle, max_session_secs=cap, max_frame_bytes=FRAME, now=0.0)
    if admitted:
        assert client.admitted(0.0) == [SendReady()]
    return client


def configure(client: Conversation, **fields: Any) -> list[Effect]:
    return client.receive(json.dumps({"type": "configure", **fields}), 0.0)


def codes(effects: list[Effect]) -> list[str | int]:
    """Return error codes and close codes, in order."""
    found: list[str | int] = []
    for effect in effects:
        match effect:
            case SendError():
                found.append(effect.code)
            case Close():
                found.append(effect.code)
            case FinishSession():
                found += [effect.reason, effect.close_code]
    return found
