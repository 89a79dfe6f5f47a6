"""Server-sent events: a whole file in the body, its transcript while it comes out.

    data: {"type":"progress","seconds":4.1,"duration":62.0}
    data: {"type":"partial",…}
    data: {"type":"final",…,"last":false}
    : nothing new                                          (a comment whenever nothing was sent for a while)
    data: {"type":"final",…,"endpoint_reason":"stop","last":true}

Every final is one utterance, so finals joined by spaces are the transcript. The terminal event is the only one with
`"last": true`: the final whose `endpoint_reason` is `stop` (perhaps without words), or an error. An error without it
(`inference_error`, `segment_failed`, `audio_damaged`, `audio_missing`) declares one span without words, and the
stream goes on. What fails before the
first byte is an ordinary HTTP error. Runs in the task of its request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.types import Receive, Scope, Send

from gigastt.errors import RequestError, ShuttingDown
from gigastt.gateway.api.native_files import Recognition, Uploads, until_hung_up
from gigastt.gateway.api.wire import gap_error_fields
from gigastt.gateway.files.bodies import Upload
from gigastt.gateway.pool.events import Event, ProgressEvent
from gigastt.gateway.responses import encode_json, error_fields, public_error
from gigastt.log import get_logger
from gigastt.transcript import Final, Partial, final_fields, partial_fields

log = get_logger(__name__)

QUIET_SECONDS = 5.0  # also how long a client that has gone stays unnoticed, when there is nothing else to send it
_COMMENT = b": nothing new\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]


class TranscriptStream:
    """`POST /v1/transcribe/stream`, an ASGI application."""

    def __init__(self, uploads: Uploads, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._uploads = uploads
        self._quiet_seconds = quiet_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with await self._uploads.receive_body(scope, receive) as upload:
            await until_hung_up(receive, self._answer(upload, send))

    async def _answer(self, upload: Upload, send: Send) -> None:
        async with self._uploads.recognise(upload, partials=True) as recognition:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            try:
                await send({"type": "http.response.body", "body": _COMMENT, "more_body": True})
                async with aclosing(self._blocks(recognition)) as blocks:
                    async for block in blocks:
                        await send({"type": "http.response.body", "body": block, "more_body": True})
            except asyncio.CancelledError:  # the server stops; or the client has gone, and this goes nowhere
                await send({"type": "http.response.body", "body": error_block(ShuttingDown()), "more_body": True})
                raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _blocks(self, recognition: Recognition) -> AsyncGenerator[bytes, None]:
        """Yield events and comments as bytes, the terminal event last, once."""
        stop: Final | None = None
        try:
            async with aclosing(with_pauses(recognition.events, self._quiet_seconds)) as events:
                async for event in events:
                    if isinstance(event, Final) and event.reason == "stop":
                        stop = event
                    else:
                        yield _COMMENT if event is None else encode_block(event_fields(event, recognition.duration))
        except Exception as exc:  # the answer has begun: the error becomes its last event
            if not isinstance(exc, RequestError):
                log.exception("transcription_failed")
            yield error_block(public_error(exc))
            return
        if stop is None:
            end = recognition.duration
            stop = Final("", (), round(end, 2), round(end, 2), 0.0, "stop")
        yield encode_block({**event_fields(stop, recognition.duration), "last": True})


def event_fields(event: Event, duration: float) -> dict[str, Any]:
    """Return an event as JSON; in the words of the WebSocket's messages."""
    match event:
        case ProgressEvent():
            return {"type": "progress", "seconds": round(event.seconds, 2), "duration": round(duration, 3)}
        case Partial():
            return partial_fields(event)
        case Final():
            return {**final_fields(event), "last": False}
        case _:
            return {**gap_error_fields(event), "last": False}


def error_block(exc: RequestError) -> bytes:
    """Return the terminal event of a stream that fails."""
    fields = error_fields(exc)
    return encode_block({"type": "error", "message": fields.pop("error"), **fields, "last": True})


def encode_block(fields: dict[str, Any]) -> bytes:
    """Return one event as it crosses the wire; JSON has no line breaks."""
    return b"data: " + encode_json(fields) + b"\n\n"


async def with_pauses(events: AsyncGenerator[Event, None], seconds: float) -> AsyncGenerator[Event | None, None]:
    """Yield events, and None whenever none has come for so many seconds."""
    pending = asyncio.ensure_future(_next(events))
    try:
        while True:
            done, _ = await asyncio.wait({pending}, timeout=seconds)
            if not done:
                yield None
                continue
            event = pending.result()
            if event is None:
                return
            yield event
            pending = asyncio.ensure_future(_next(events))
    finally:
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)


async def _next(events: AsyncGenerator[Event, None]) -> Event | None:
    """Return the next event, None at the end (a task cannot raise StopAsyncIteration)."""
    return await anext(events, None)
