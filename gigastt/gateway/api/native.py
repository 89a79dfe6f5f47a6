"""The native dialect, that of `/v1/ws`: JSON in text frames, samples in binary ones. `docs/protocol.md` has its table.

Texts for people never repeat what the client sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from starlette.websockets import WebSocket

from gigastt.errors import InvalidParameter
from gigastt.gateway.api import wire
from gigastt.gateway.api.client_messages import MESSAGE_TYPES, SIGNS_OF_LIFE, as_text, message_type, parse
from gigastt.gateway.api.configure import (
    FORMAT_FIELDS,
    VERSIONS,
    Complaint,
    apply,
    endpoint_mode,
    near_miss,
    supports_version,
)
from gigastt.gateway.api.conversation import CLOSE_PROTOCOL_ERROR, CLOSE_UNSUPPORTED_DATA
from gigastt.gateway.api.dialect import (
    Complain,
    Configuration,
    Configure,
    Dialect,
    EndUtterance,
    Message,
    Moment,
    Opening,
    Problem,
    Refuse,
    Reply,
    Request,
    Speech,
    Stop,
)
from gigastt.gateway.api.gathering import Gatherer
from gigastt.transcript import Final, Gap, Partial

_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{16,64}")  # its readers know it and nobody else: not to be guessed


def native_of(websocket: WebSocket) -> Dialect:
    """Return the dialect for a client. Raises InvalidParameter if the id that it chose for its session is none."""
    dialect = NativeDialect()
    dialect.session_id = websocket.query_params.get("session_id")
    if dialect.session_id is not None and not _SESSION_ID.fullmatch(dialect.session_id):
        raise InvalidParameter("session_id must be 16 to 64 letters, digits, - and _.", param="session_id")
    return dialect


class NativeDialect(Dialect):
    """What the clients of `/v1/ws` speak."""

    name: ClassVar[str] = "native"
    frames_are_audio: ClassVar[bool] = True

    def __init__(self) -> None:
        self._wrong_format: dict[str, Complaint] = {}  # fields without which audio would be noise
        self._gatherer = Gatherer()

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what a message asks for; a message in a binary frame is no audio."""
        if isinstance(message, str):
            return self._hear_text(message, configuration)
        if (text := as_text(message)) is not None:
            return self._hear_text(text, configuration)
        for complaint in self._wrong_format.values():
            explanation = f"{complaint.message} Audio of an unknown format cannot be recognised."
            return [Refuse(Problem(complaint.code, explanation), CLOSE_UNSUPPORTED_DATA)]
        return [Speech(message)]

    def _hear_text(self, text: str, configuration: Configuration | None) -> Sequence[Request]:
        fields = parse(text)
        if fields is None:
            return _garbage(text, "A text frame must be a JSON object with a type.")
        kind = message_type(fields)
        match kind:
            case "stop":
                return [Stop()]
            case "configure":
                return self._configure(fields, configuration)
            case "flush":
                return [EndUtterance()]
            case "ping":
                return [Reply([wire.pong()])]
        if kind in SIGNS_OF_LIFE:
            return []
        near = near_miss(kind, MESSAGE_TYPES)
        hint = f"Was {near} meant?" if near is not None else f"It is one of {', '.join(MESSAGE_TYPES)}."
        return _garbage(text, f"The type of this message is not known. {hint}")

    def _configure(self, fields: dict[str, Any], before: Configuration | None) -> Sequence[Request]:
        if before is None:
            return [Complain([Problem("configure_too_late", "configure must come before the first audio.")])]
        if not supports_version(fields):
            problem = Problem("unsupported_protocol_version", f"This server speaks {', '.join(VERSIONS)}.")
            return [Refuse(problem, CLOSE_PROTOCOL_ERROR, with_final=False)]
        configuration, complaints = apply(before, fields)
        self._gatherer.mode = endpoint_mode(fields) or self._gatherer.mode
        wrong = {complaint.field: complaint for complaint in complaints}
        for field in FORMAT_FIELDS:
            if field in wrong:
                self._wrong_format[field] = wrong[field]
            elif fields.get(field) is not None:
                self._wrong_format.pop(field, None)
        problems = [Problem(each.code, each.message, once=not each.field) for each in complaints]
        return [Configure(configuration), *([Complain(problems)] if problems else [])]

    def open(self, opening: Opening) -> Sequence[Message]:
        """Return `ready`."""
        return [wire.ready(opening)]

    def tell(self, event: Partial | Final | Gap, moment: Moment) -> Sequence[Message]:
        """Return the event as JSON."""
        match event:
            case Partial():
                return [wire.partial(self._gatherer.partial(event), replace(moment, seq=self._gatherer.told))]
            case Final():
                told = self._gatherer.final(event)
                return [] if told is None else [wire.final(told, channels=moment.channels)]
            case Gap():
                return [wire.failure(event, channels=moment.channels)]

    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        """Return `error`."""
        return [wire.error(code, message, retry_after_ms)]


def _garbage(text: str, message: str) -> Sequence[Request]:
    return [Complain([Problem("invalid_message", message, once=True)], characters=len(text))]
