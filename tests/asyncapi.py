"""docs/asyncapi.yaml, as tests use it: what each message is, and whether one is as it says."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

PATH = Path(__file__).resolve().parent.parent / "docs" / "asyncapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))


def messages_of(channel: str) -> dict[str, dict[str, Any]]:
    """Return the messages of a channel, by what their `type` says or, where they have none, by name."""
    named = {name: DOCUMENT["components"]["messages"][name] for name in DOCUMENT["channels"][channel]["messages"]}
    return {_type(message) or name: message for name, message in named.items()}


def check_message(channel: str, message: dict[str, Any]) -> None:
    """Raise `jsonschema.ValidationError` if a message is not as the document says."""
    _validator(channel, message["type"]).validate(message)


@cache
def _validator(channel: str, kind: str) -> Any:
    schema = messages_of(channel)[kind]["payload"]
    return jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def _type(message: dict[str, Any]) -> str | None:
    kind: str | None = message["payload"].get("properties", {}).get("type", {}).get("const")
    return kind
