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
    Ack,
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
    Resume,
    Speech,
    Stop,
)
from gigastt.gateway.api.gathering import Gatherer
from gigastt.transcript import Final, Gap, Partial

_CAPTIONS = re.compile(r"[A-Za-z0-9_-]{16,64}")  # its readers know it and nobody else: not to be guessed


def native_of(websocket: WebSocket) -> Dialect:
    """Return the dialect for a client. Raises InvalidParameter if the name that it chose for its captions is none."""
    dialect = NativeDialect()
    dialect.captions = websocket.query_params.get("captions")
    if dialect.captions is not None and not _CAPTIONS.fullmatch(dialect.captions):
        raise InvalidParameter("captions must be a name of 16 to 64 letters, digits, - and _.", param="captions")
    return dialect


class NativeDialect(Dialect):
    """What the clients of `/v1/ws` speak."""

    name: ClassVar[str] = "native"
    frames_are_audio: ClassVar[bool] = True
    can_resume: ClassVar[bool] = True

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
            case "resume":
                return _resume(fields, configuration)
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
        if configuration.resumable and self._gatherer.mode != "auto":
            configuration = replace(configuration, resumable=False)
            complaints.append(Complaint("invalid_configuration", "resume goes with endpoint_mode auto only.", "resume"))
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

    def acknowledge(self, ack: Ack) -> Sequence[Message]:
        """Return `ack`."""
        return [wire.acknowledgement(ack)]

    def resumed(self, next_seq: int) -> None:
        """Go on counting finals."""
        self._gatherer.told = next_seq

    def ask_to_go(self, seconds: float) -> Sequence[Message]:
        """Return `goaway`."""
        return [wire.goaway(seconds)]


def _resume(fields: dict[str, Any], before: Configuration | None) -> Sequence[Request]:
    token, position, have_final_seq = fields.get("token"), fields.get("from", 0), fields.get("have_final_seq", -1)
    if before is None:
        return [Complain([Problem("resume_too_late", "resume must come before the first audio.")])]
    if not (isinstance(token, str) and _is_count(position) and _is_count(have_final_seq, least=-1)):
        explanation = "resume needs the token as a text, and from and have_final_seq as whole numbers."
        return [Complain([Problem("invalid_message", explanation)])]
    return [Resume(token, position, have_final_seq)]


def _is_count(value: object, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 53


def _garbage(text: str, message: str) -> Sequence[Request]:
    return [Complain([Problem("invalid_message", message, once=True)], characters=len(text))]
