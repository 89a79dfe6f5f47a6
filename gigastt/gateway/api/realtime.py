"""OpenAI's Realtime transcription, `GET /v1/realtime`, as a dialect: events as JSON in text frames, audio in base64.

Texts for people never repeat what the client sent. `error` is for faults only: a client may take one for the end.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from starlette.websockets import WebSocket

from gigastt.errors import InvalidParameter
from gigastt.gateway.api import dialect
from gigastt.gateway.api.client_messages import parse
from gigastt.gateway.api.dialect import Configuration, Dialect, Message, Moment, Opening, Request
from gigastt.gateway.api.realtime_items import Items
from gigastt.gateway.api.realtime_settings import Fields, RealtimeSettings
from gigastt.gateway.api.wire import gap_error_fields
from gigastt.gateway.requests import exchange_of
from gigastt.gateway.responses import json_text
from gigastt.transcript import Final, Gap, Partial

_BETA_HEADER, _BETA_SUBPROTOCOL = "realtime=v1", "openai-beta.realtime-v1"
_BETA_UPDATE = "transcription_session.update"
_SERVER_FAULTS = ("timeout", "pool_closed", "shutting_down", "internal")


def realtime_of(websocket: WebSocket) -> Dialect:
    """Return the dialect for a client, by what its request says of the API that it speaks, and by its token."""
    offered: list[str] = websocket.scope.get("subprotocols", [])
    is_beta = _BETA_HEADER in websocket.headers.get("openai-beta", "") or _BETA_SUBPROTOCOL in offered
    for_transcription = is_beta and websocket.query_params.get("intent") == "transcription"
    grant = exchange_of(websocket.scope).grant
    settings = RealtimeSettings().change((grant and grant.realtime) or {})
    return RealtimeDialect(
        settings, is_beta=is_beta, session_kind="transcription_session" if for_transcription else "session"
    )


class RealtimeDialect(Dialect):
    """The protocol of the Realtime API.

    Args:
        settings: what the session begins with.
        is_beta: whether the client speaks the API as it was before it was final.
        session_kind: `session`, or `transcription_session` of the beta; the first word of its events.
    """

    name: ClassVar[str] = "openai_realtime"

    def __init__(self, settings: RealtimeSettings, *, is_beta: bool = False, session_kind: str = "session") -> None:
        self._items = Items()
        self._items.is_beta = is_beta
        self._session_kind = session_kind
        self._session_id = ""
        self._events = 0
        self._settings = settings
        self._apply(settings)

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what an event asks for."""
        text = message if isinstance(message, str) else message.decode(errors="replace")
        fields = parse(text, most=len(text))  # a frame has a limit already, and audio is long in base64
        if fields is None:
            return self._refuse("An event must be a JSON object.", {})
        match fields.get("type"):
            case "input_audio_buffer.append":
                return self._append(fields)
            case "input_audio_buffer.commit":
                return [self._reply(self._items.commit()), dialect.EndUtterance()]
            case "input_audio_buffer.clear":
                return [self._reply(self._items.clear()), dialect.EndUtterance()]
            case "session.update" | "transcription_session.update":
                return self._update(fields, configuration)
        return self._refuse("This server transcribes, and knows no event of this type.", fields, "type")

    def open(self, opening: Opening) -> Sequence[Message]:
        """Return the session as it begins."""
        self._session_id = f"sess_{opening.session_id}"
        return self._encode([self._session("created")])

    def tell(self, event: Partial | Final | Gap, moment: Moment) -> Sequence[Message]:
        """Return the events about an item."""
        match event:
            case Partial():
                return self._encode(self._items.partial(event))
            case Final():
                return self._encode(self._items.final(event))
            case Gap():
                return self._encode(self._items.gap(event, gap_error_fields(event)["message"]))

    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        """Return `error`."""
        kind = "server_error" if code in _SERVER_FAULTS else "invalid_request_error"
        return self._encode([_error(kind, code, message)])

    def _append(self, fields: Fields) -> Sequence[Request]:
        audio = fields.get("audio")
        try:
            data = binascii.a2b_base64(audio, strict_mode=True) if isinstance(audio, str) else None
        except ValueError:
            data = None
        if data is None:
            return self._refuse("audio must be base64.", fields, "audio")
        return [dialect.Speech(data)] if data else []

    def _update(self, fields: Fields, configuration: Configuration | None) -> Sequence[Request]:
        """Change the settings; once audio has come, its format and the silence that ends a turn stay as they are."""
        try:
            settings = self._settings.change(fields.get("session"))
        except InvalidParameter as exc:
            return self._refuse(str(exc), fields, exc.param)
        if configuration is None:
            settings = replace(settings, silence_ms=self._settings.silence_ms)
            if settings.configuration != self._settings.configuration:
                return self._refuse("The format of the audio cannot change any more.", fields, "session")
        if fields["type"] == _BETA_UPDATE:
            self._items.is_beta, self._session_kind = True, "transcription_session"
        self._apply(settings)
        configured = [dialect.Configure(settings.configuration)] if configuration is not None else []
        return [*configured, self._reply([self._session("updated")])]

    def _apply(self, settings: RealtimeSettings) -> None:
        self._settings = settings
        self.configuration = settings.configuration
        self._items.finds_turns = settings.finds_turns
        self._items.logprobs = settings.logprobs

    def _session(self, what: str) -> Fields:
        settings = self._settings.beta_fields() if self._items.is_beta else self._settings.fields()
        told = {"id": self._session_id, "object": "realtime.transcription_session", **settings}
        return {"type": f"{self._session_kind}.{what}", "session": told}

    def _refuse(self, message: str, fields: Fields, param: str | None = None) -> Sequence[Request]:
        """Return an error about a client's event, which is counted, by the name that the client gave the event."""
        event_id = fields.get("event_id")
        named = event_id[:100] if isinstance(event_id, str) else None
        error = _error("invalid_request_error", "invalid_parameter", message, param=param, event_id=named)
        return [self._reply([error]), dialect.Complain([])]

    def _reply(self, events: Iterable[Fields]) -> dialect.Reply:
        return dialect.Reply(self._encode(events))

    def _encode(self, events: Iterable[Fields]) -> Sequence[Message]:
        messages: list[Message] = []
        for fields in events:
            self._events += 1
            event = {"event_id": f"event_{self._session_id[5:15]}{self._events:06}", **fields}
            messages.append(json_text(event))
        return messages


def _error(kind: str, code: str, message: str, param: str | None = None, event_id: str | None = None) -> Fields:
    error = {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
    return {"type": "error", "error": error}
