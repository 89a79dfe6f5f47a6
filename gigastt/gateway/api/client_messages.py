"""Client messages: text frames as they come, up to what they are meant to say.

Pure. A message is a JSON object with a `type`; a byte order mark before it, capitals in its type, and a binary frame
around it are forgiven.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from gigastt.client_json import parse_json

MESSAGE_TYPES = ("configure", "flush", "stop", "resume", "keepalive", "ping")
SIGNS_OF_LIFE = ("keepalive", "keep_alive", "keep-alive", "heartbeat", "pong")
MOST_TEXT_CHARACTERS = 64 * 1024  # a longer text frame is garbage without being parsed
MOST_CONFIGURE_CHARACTERS = 512 * 1024  # before the first audio: recordings of speakers may be in it
MOST_BINARY_MESSAGE_BYTES = 4096  # of JSON in a binary frame


def parse(text: str, most: int = MOST_TEXT_CHARACTERS) -> dict[str, Any] | None:
    """Return a JSON object of `most` characters; None for everything that is none."""
    if len(text) > most:
        return None
    try:
        fields = parse_json(text.removeprefix("\ufeff"))
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def message_type(fields: dict[str, Any]) -> str:
    """Return what kind of message it is; empty if it does not say."""
    kind = fields.get("type")
    return kind.strip().lower() if isinstance(kind, str) else ""


def as_text(data: bytes) -> str | None:
    """Return a message that was sent as a binary frame; None for audio, which is never like one."""
    if not data.startswith((b"{", b"\xef\xbb\xbf{")) or len(data) > MOST_BINARY_MESSAGE_BYTES:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    fields = parse(text)
    return text if fields is not None and message_type(fields) else None


def is_whole(told: object, span: tuple[int, int]) -> TypeGuard[int]:
    """Tell whether a client's value is a whole number, written as such, from the first to the second."""
    return isinstance(told, int) and not isinstance(told, bool) and span[0] <= told <= span[1]
