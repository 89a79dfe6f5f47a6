"""The native dialect, that of `/v1/ws`: JSON in text frames, samples in binary ones. `docs/protocol.md` has its table.

Texts for people never repeat what the client sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from starlette.websockets import WebSocket

from gigastt.errors import InvalidParameter
from gigastt.gateway.api import dialect, wire
from gigastt.gateway.api.client_messages import (
    MESSAGE_TYPES,
    MOST_CONFIGURE_CHARACTERS,
    MOST_TEXT_CHARACTERS,
    SIGNS_OF_LIFE,
    as_text,
    is_whole,
    message_type,
    parse,
)
from gigastt.gateway.api.configure import (
    FIELDS,
    FORMAT_FIELDS,
    VERSIONS,
    Complaint,
    apply,
    endpoint_mode,
    near_miss,
    read_search_fields,
    read_search_query,
    supports_version,
)
from gigastt.gateway.api.conversation import CLOSE_PROTOCOL_ERROR, CLOSE_UNSUPPORTED_DATA
from gigastt.gateway.api.dialect import Configuration, Dialect, Message, Moment, Opening, Request
from gigastt.gateway.api.gathering import Gatherer
from gigastt.gateway.api.speaker_fields import read_speaker_fields
from gigastt.hotwords import unusable
from gigastt.transcript import Final, Gap, HeardSpeakers, Partial

_MOST = (1 << 53) - 1  # of a count that JavaScript can say
_MOST_COMPARED = len(FIELDS)  # unknown names: each takes as long as the rest of a short query
_RESUME_GOES_WITH = "resume goes with endpoint_mode auto only."
_CAPTIONS = re.compile(r"[a-z0-9-]{16,64}")  # its readers know it and nobody else: not to be guessed


def native_of(websocket: WebSocket) -> Dialect:
    """Return the dialect for a client, configured by the fields of `configure` in its query.

    Telephone switches that configure so send text of their own, of which nothing is told.

    Raises:
        InvalidParameter: a field is wrong, or nearly has a field's name; `param` names it.
    """
    query = websocket.query_params
    unknown = [name for name in query if name not in FIELDS and name != "captions"]
    for name in unknown[:_MOST_COMPARED]:
        if (near := near_miss(name, FIELDS)) is not None:
            raise InvalidParameter(f"The query has a parameter that this server does not know. Was {near} meant?")
    fields = {name: query[name] for name in query if name in FIELDS}
    configuration, complaints = apply(Configuration(), fields)
    for complaint in complaints:
        raise InvalidParameter(complaint.message, param=complaint.field)
    if not supports_version(fields):
        raise InvalidParameter(f"This server speaks {', '.join(VERSIONS)}.", param="protocol_version")
    native = NativeDialect(tolerant=any(name in fields for name in FORMAT_FIELDS))
    options = read_search_query(fields, configuration.options, None)
    native.configuration = replace(configuration, options=options)
    native.choose_mode(fields)
    if configuration.resumable and endpoint_mode(fields) not in (None, "auto"):
        raise InvalidParameter(_RESUME_GOES_WITH, param="resume")
    native.captions = query.get("captions")
    if native.captions is not None and not _CAPTIONS.fullmatch(native.captions):
        raise InvalidParameter("captions must be a name of 16 to 64 small letters, digits and -", param="captions")
    return native


class NativeDialect(Dialect):
    """The protocol of `/v1/ws`.

    Args:
        tolerant: tell nothing of messages that mean nothing.
    """

    name: ClassVar[str] = "native"
    frames_are_audio: ClassVar[bool] = True
    can_resume: ClassVar[bool] = True

    def __init__(self, *, tolerant: bool = False) -> None:
        self._tolerant = tolerant
        self._wrong_format: dict[str, Complaint] = {}  # fields without which audio would be noise
        self._gatherer = Gatherer()
        self._alphabet: str | None = None

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what a message asks for; a message in a binary frame is no audio."""
        if isinstance(message, str):
            return self._hear_text(message, configuration)
        if (text := as_text(message)) is not None:
            return self._hear_text(text, configuration)
        for complaint in self._wrong_format.values():
            explanation = f"{complaint.message} Audio of an unknown format cannot be recognised."
            return [dialect.Refuse(dialect.Problem(complaint.code, explanation), CLOSE_UNSUPPORTED_DATA)]
        return [dialect.Speech(message)]

    def _hear_text(self, text: str, configuration: Configuration | None) -> Sequence[Request]:
        fields = parse(text, MOST_TEXT_CHARACTERS if configuration is None else MOST_CONFIGURE_CHARACTERS)
        if fields is None:
            return self._garbage(text, "A text frame must be a JSON object with a type.")
        kind = message_type(fields)
        if kind != "configure" and len(text) > MOST_TEXT_CHARACTERS:
            return self._garbage(text, "This message is too long.")
        match kind:
            case "stop":
                return [dialect.Stop()]
            case "configure":
                return self._configure(fields, configuration)
            case "flush":
                return [dialect.EndUtterance()]
            case "resume":
                return _resume(fields, configuration)
            case "ping":
                return [dialect.Reply([wire.pong()])]
        if kind in SIGNS_OF_LIFE:
            return []
        near = near_miss(kind, MESSAGE_TYPES)
        hint = f"Was {near} meant?" if near is not None else f"It is one of {', '.join(MESSAGE_TYPES)}."
        return self._garbage(text, f"The type of this message is not known. {hint}")

    def _configure(self, fields: dict[str, Any], before: Configuration | None) -> Sequence[Request]:
        if before is None:
            return [
                dialect.Complain([dialect.Problem("configure_too_late", "configure must come before the first audio.")])
            ]
        if not supports_version(fields):
            problem = dialect.Problem("unsupported_protocol_version", f"This server speaks {', '.join(VERSIONS)}.")
            return [dialect.Refuse(problem, CLOSE_PROTOCOL_ERROR, with_final=False)]
        configuration, complaints = apply(before, fields)
        speakers, wrong_speakers = read_speaker_fields(fields, before.speakers)
        options, wrong_search = read_search_fields(fields, configuration.options, self._alphabet)
        configuration = replace(configuration, speakers=speakers, options=options)
        complaints += wrong_speakers + wrong_search
        self.choose_mode(fields)
        if configuration.resumable and self._gatherer.mode != "auto":
            configuration = replace(configuration, resumable=False)
            complaints.append(Complaint("invalid_configuration", _RESUME_GOES_WITH, "resume"))
        wrong = {complaint.field: complaint for complaint in complaints}
        for field in FORMAT_FIELDS:
            if field in wrong:
                self._wrong_format[field] = wrong[field]
            elif fields.get(field) is not None:
                self._wrong_format.pop(field, None)
        problems = [dialect.Problem(each.code, each.message, once=not each.field) for each in complaints]
        told: list[Request] = [dialect.Reply(answer)] if (answer := self._unusable(fields, configuration)) else []
        return [dialect.Configure(configuration), *told, *([dialect.Complain(problems)] if problems else [])]

    def _unusable(self, fields: Mapping[str, Any], configuration: Configuration) -> Sequence[Message]:
        """Return the answer about phrases of these fields that the model cannot write."""
        if fields.get("hotwords") is None or not self._alphabet:
            return ()
        phrases = unusable(configuration.options.hotwords, self._alphabet)
        return [wire.unusable_hotwords(phrases)] if phrases else ()

    def choose_mode(self, fields: Mapping[str, Any]) -> None:
        """Tell utterances as `endpoint_mode` says, if it does."""
        self._gatherer.mode = endpoint_mode(fields) or self._gatherer.mode

    def _garbage(self, text: str, message: str) -> Sequence[Request]:
        problems = [] if self._tolerant else [dialect.Problem("invalid_message", message, once=True)]
        return [dialect.Complain(problems, characters=len(text))]

    def open(self, opening: Opening) -> Sequence[Message]:
        """Return `ready`, and what cannot be done of that which the client's address asks for."""
        self._alphabet = opening.alphabet
        _, complaints = read_search_fields({}, self.configuration.options, opening.alphabet)
        errors = [wire.error(each.code, each.message) for each in complaints]
        return [wire.ready(opening), *errors, *self._unusable({"hotwords": True}, self.configuration)]

    def tell(self, event: Partial | Final | Gap, moment: Moment) -> Sequence[Message]:
        """Return the event as JSON."""
        match event:
            case Partial():
                return [wire.partial(self._gatherer.partial(event), moment, self._gatherer.told)]
            case Final():
                told = self._gatherer.final(event)
                return [] if told is None else [wire.final(told, channels=moment.channels)]
            case Gap():
                return [wire.failure(event, channels=moment.channels)]

    def tell_speakers(self, heard: HeardSpeakers) -> Sequence[Message]:
        """Return `speakers`."""
        return [wire.speakers(heard)]

    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        """Return `error`."""
        return [wire.error(code, message, retry_after_ms)]

    def acknowledge(self, ack: dialect.Ack) -> Sequence[Message]:
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
        return [dialect.Complain([dialect.Problem("resume_too_late", "resume must come before the first audio.")])]
    if not (isinstance(token, str) and is_whole(position, (0, _MOST)) and is_whole(have_final_seq, (-1, _MOST))):
        explanation = "resume needs the token as a text, and from and have_final_seq as whole numbers."
        return [dialect.Complain([dialect.Problem("invalid_message", explanation)])]
    return [dialect.Resume(token, position, have_final_seq)]
