"""Event streams: the transcript of an upload as server-sent events, in whichever protocol's events.

The answer begins when words are being recognised: what fails before that is an ordinary HTTP error. A comment is sent
whenever nothing was for a while. Runs in the task of its request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from typing import Protocol, TypeVar

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gigastt.audio.selection import ALL_MIXED, FileChoice
from gigastt.errors import RequestError, ShuttingDown
from gigastt.gateway.api.native_files import Recognition, Uploads, until_hung_up
from gigastt.gateway.files.bodies import Upload
from gigastt.gateway.files.decoding import DecodedChannels
from gigastt.gateway.pool.events import Event
from gigastt.gateway.responses import error_fields, json_text, public_error
from gigastt.log import get_logger
from gigastt.speakers import SpeakerFields
from gigastt.transcript import HeardSpeakers, Options

log = get_logger(__name__)

Item = TypeVar("Item")

QUIET_SECONDS = 5.0  # also how long a client that has gone stays unnoticed, when there is nothing else to send it
QUIET_COMMENT = b": nothing new\n\n"
EVENT_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]


class EventWriter(Protocol):
    """How one stream's events are written; each returns whole blocks, perhaps none."""

    def event(self, event: Event) -> bytes: ...

    def end(self) -> bytes: ...

    def failure(self, exc: RequestError) -> bytes: ...


async def answer_with_events(
    uploads: Uploads,
    upload: Upload,
    receive: Receive,
    send: Send,
    options: Options,
    writer: Callable[[DecodedChannels], EventWriter],
    choice: FileChoice = ALL_MIXED,
    speakers: SpeakerFields | None = None,
) -> None:
    """Recognise an upload and answer with its events; `writer` is given what was decoded."""
    note_failure = partial(uploads.note_failure, upload)
    recognising = uploads.recognise(upload, options, choice, speakers)
    await until_hung_up(receive, _answer(send, recognising, writer, note_failure))


async def _answer(
    send: Send,
    recognising: AbstractAsyncContextManager[Recognition],
    writer: Callable[[DecodedChannels], EventWriter],
    note_failure: Callable[[RequestError], None],
) -> None:
    async with recognising as recognition:
        write = writer(recognition.file)
        try:
            await send_blocks(send, _blocks(recognition, write, note_failure))
        except asyncio.CancelledError:  # the server stops; or the client has gone, and this goes nowhere
            await send({"type": "http.response.body", "body": write.failure(ShuttingDown()), "more_body": True})
            raise


async def _blocks(
    recognition: Recognition, write: EventWriter, note_failure: Callable[[RequestError], None]
) -> AsyncGenerator[bytes, None]:
    """Yield events and comments, and once, last, the end or the failure."""
    try:
        async with aclosing(with_pauses(recognition.events, QUIET_SECONDS)) as events:
            async for event in events:
                if isinstance(event, HeardSpeakers):  # all words of the file once more
                    yield await asyncio.to_thread(write.event, event)
                else:
                    yield QUIET_COMMENT if event is None else write.event(event)
    except Exception as exc:  # the answer has begun: the error becomes its last event
        if not isinstance(exc, RequestError):
            log.exception("transcription_failed")
        error = public_error(exc)
        note_failure(error)
        yield write.failure(error)
        return
    yield await asyncio.to_thread(write.end)  # perhaps the whole text


async def send_blocks(send: Send, blocks: AsyncGenerator[bytes, None]) -> None:
    """Answer with blocks of events up to their end, without empty ones, behind a comment that comes at once."""
    await send({"type": "http.response.start", "status": 200, "headers": EVENT_HEADERS})
    await send({"type": "http.response.body", "body": QUIET_COMMENT, "more_body": True})
    async with aclosing(blocks):
        async for block in blocks:
            if block:
                await send({"type": "http.response.body", "body": block, "more_body": True})
                await asyncio.sleep(0)  # others have their turn between the events of a job that is done
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class EventAnswer(Response):
    """An answer of blocks of events, which ends with them or when the client hangs up."""

    def __init__(self, blocks: AsyncGenerator[bytes, None]) -> None:
        super().__init__()
        self._blocks = blocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await until_hung_up(receive, send_blocks(send, self._blocks))


def last_event(headers: Headers) -> int:
    """Return the number of the event that `Last-Event-ID` names; 0 where it names none."""
    last = headers.get("last-event-id", "0")
    return int(last) if last.isascii() and last.isdecimal() and len(last) < 16 else 0


def encode_block(fields: object) -> bytes:
    """Return one event as it crosses the wire; JSON has no line breaks."""
    return b"data: " + json_text(fields).encode() + b"\n\n"


def failure_block(exc: RequestError) -> bytes:
    """Return the last event of a stream that has failed, in the native protocol's words."""
    fields = error_fields(exc)
    return encode_block({"type": "error", "message": fields.pop("error"), **fields, "last": True})


async def with_pauses(events: AsyncGenerator[Item, None], seconds: float) -> AsyncGenerator[Item | None, None]:
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


async def _next(events: AsyncGenerator[Item, None]) -> Item | None:
    """Return the next event, None at the end (a task cannot raise StopAsyncIteration)."""
    return await anext(events, None)
