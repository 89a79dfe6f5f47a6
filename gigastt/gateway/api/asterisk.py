"""Asterisk's `chan_websocket` as a dialect, `GET /v1/asterisk/ws`: media in binary frames, its control text in others.

    MEDIA_START connection_id:… channel:… channel_id:… format:ulaw optimal_frame_size:160 ptime:20
    {"event": "MEDIA_START", "connection_id": …, "format": "ulaw", …}      where it is told to write JSON

`MEDIA_START` comes first and says what the media is. Asterisk takes text for commands, so what is told goes to a feed:
under `?session=` of the URL, else the id of the channel, else that of the connection. At the end it is told `HANGUP`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope
from starlette.websockets import WebSocket

from gigastt.audio.pcm import Encoding
from gigastt.errors import BadRequest, InvalidParameter, RequestError
from gigastt.gateway.access.keys import presented_token
from gigastt.gateway.api.calls import call_id, first_message, refuse_call, transcribe_call
from gigastt.gateway.api.client_messages import parse
from gigastt.gateway.api.dialect import Configuration, Message, Reply, Request, Speech
from gigastt.gateway.api.native import NativeDialect
from gigastt.gateway.api.websocket import WebSocketTransport
from gigastt.gateway.context import AppContext
from gigastt.gateway.requests import exchange_of

_HANG_UP: Final = "HANGUP"
_HANG_UP_IN_JSON: Final = '{"command":"HANGUP"}'
_START: Final = "MEDIA_START"
_IDS: Final = ("channel_id", "connection_id")
_OF_POLICY: Final = (429, 503)  # a limit, or the drain; any other refusal is of somebody who may not ask
_LINEAR: Final = "pcm_s16le"
_FORMATS: Final[Mapping[str, tuple[Encoding, int]]] = {
    "ulaw": ("mulaw", 8_000),
    "alaw": ("alaw", 8_000),
    "slin": (_LINEAR, 8_000),
    **{f"slin{rate}": (_LINEAR, 1_000 * rate) for rate in (12, 16, 24, 32, 48, 96, 192)},
    "slin44": (_LINEAR, 44_100),
}


class AsteriskDialect(NativeDialect):
    """Asterisk's messages in, messages of `/v1/ws` out; the latter go to the feed."""

    name: ClassVar[str] = "asterisk"
    can_resume: ClassVar[bool] = False  # those who follow a call are not to go on with it

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        self.configuration = configuration

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what a message asks for; digits are told, and queues of media that we do not send are not."""
        if isinstance(message, bytes):
            return [Speech(message)]
        name, fields = read_event(message)
        if name == "DTMF_END":
            return [Reply([json.dumps({"type": "dtmf", "digit": fields.get("digit", "")[:1]})])]
        return []


async def answer_asterisk(websocket: WebSocket, context: AppContext) -> None:
    """Transcribe one call.

    Raises:
        InvalidParameter: `session` in the URL is no id, or the media of a format that is not known.
        BadRequest: it does not begin with MEDIA_START.
    """
    exchange = exchange_of(websocket.scope)
    session = websocket.query_params.get("session")
    if session is not None:
        call_id(session)  # refuses before the upgrade
    await websocket.accept(subprotocol=exchange.subprotocol)
    transport = WebSocketTransport(websocket)
    named = session or ""
    try:
        message = await first_message(transport)
        text = message if isinstance(message, str) else ""
        name, fields = read_event(text)
        named = session or next((fields[key] for key in _IDS if fields.get(key)), "")
        if name != _START:
            raise BadRequest("A call of chan_websocket begins with MEDIA_START.")
        if (media := _FORMATS.get(fields.get("format", ""))) is None:
            raise InvalidParameter(f"The format of the media must be one of {', '.join(_FORMATS)}.", param="format")
    except RequestError as exc:
        refuse_call(context, named, exc)
        raise
    encoding, rate = media
    dialect = AsteriskDialect(Configuration(sample_rate=rate, encoding=encoding))
    goodbye = _HANG_UP_IN_JSON if text.startswith("{") else _HANG_UP
    await transcribe_call(transport, named, dialect, context, exchange, goodbye=goodbye)


def tell_refused_call(context: AppContext, scope: Scope, error: RequestError) -> None:
    """Tell those who wait for a call that the policies have refused its connection.

    A client without a key could not have begun it, and ends nothing that others wait for.
    """
    name = QueryParams(scope["query_string"]).get("session", "").strip().lower()
    if error.status not in _OF_POLICY or not context.feeds.is_awaited(name):
        return
    key = presented_token(Headers(scope=scope).getlist("authorization"), scope.get("subprotocols", ()))
    if context.api_keys is None or context.api_keys.find(key) is not None:
        refuse_call(context, name, error)


def read_event(text: str) -> tuple[str, dict[str, str]]:
    """Return the name of an event and its fields, whichever way it is written; no name for anything else."""
    if text.startswith("{"):
        fields: dict[str, Any] = parse(text) or {}
        told = {key: str(value) for key, value in fields.items() if isinstance(value, str | int)}
        return told.get("event", ""), told
    name, *rest = text[:1000].split()[:20] or [""]
    return name, {key: value for key, _, value in (field.partition(":") for field in rest)}
