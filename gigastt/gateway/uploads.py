"""Uploads: a whole file in the body of one request, its transcript in one answer.

    body → memory file, counted → a place in the pool → decoder's process → shared segment → workers → JSON

Runs in the task of its request. However it ends (answer, error, the client hangs up, the server stops), the memory
file, the place and the segment are given back. The body is bytes of unknown kind: `Content-Type` is not looked at.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from gigastt.errors import BadRequest, CapacityTimeout, EmptyBody, PayloadTooLarge
from gigastt.gateway.events import Event, FinalEvent, HoleEvent, SegmentFailedEvent, WindowFailedEvent
from gigastt.gateway.middleware import ClientGone, exchange_of
from gigastt.gateway.responses import JSONResponse
from gigastt.gateway.wire import gap_fields, word_fields
from gigastt.log import get_logger

if TYPE_CHECKING:
    from gigastt.gateway.context import AppContext

log = get_logger(__name__)

Result = TypeVar("Result")

_LIMITS_AT_ONCE = 2  # bodies in memory together: this many of the largest one
_RETRY_AFTER_MS = 5_000


class UploadRoom:
    """How many bytes of bodies may be in memory together."""

    def __init__(self, body_limit: Callable[[], int]) -> None:
        self._body_limit = body_limit
        self.used = 0

    def take(self, count: int) -> None:
        """Count bytes in.

        Raises:
            CapacityTimeout: there are too many already.
        """
        if self.used + count > _LIMITS_AT_ONCE * self._body_limit():
            raise CapacityTimeout("The server is receiving too many uploads now.", retry_after_ms=_RETRY_AFTER_MS)
        self.used += count

    def give_back(self, count: int) -> None:
        """Count bytes out."""
        self.used -= count


class Upload:
    """A body in anonymous memory that another process can read."""

    def __init__(self, room: UploadRoom) -> None:
        self.descriptor = os.memfd_create("gigastt-upload", os.MFD_CLOEXEC)
        self.size = 0
        self._room = room

    def append(self, piece: bytes) -> None:
        """Write the next bytes.

        Raises:
            CapacityTimeout: bodies of others fill the room.
        """
        self._room.take(len(piece))
        self.size += len(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory, unless another process still holds it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            self._room.give_back(self.size)


@dataclass(frozen=True, slots=True)
class Recognition:
    """A file that is being recognised: its length in seconds, and what comes out."""

    duration: float
    events: AsyncGenerator[Event, None]


class Uploads:
    """`POST /v1/transcribe`, and what it shares with `sse`."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._room = UploadRoom(lambda: context.limits.body_limit_bytes)

    async def transcribe(self, request: Request) -> Response:
        """`POST /v1/transcribe`: the whole transcript."""
        with await self.receive_body(request.scope, request.receive) as upload:
            transcript = self._transcribe(upload, exchange_of(request.scope).request_id)
            return JSONResponse(await until_hung_up(request.receive, transcript))

    async def receive_body(self, scope: Scope, receive: Receive) -> Upload:
        """Read a body into memory, no further than the limit.

        Raises:
            PayloadTooLarge: it is longer, or says so beforehand.
            EmptyBody: there is nothing in it.
            CapacityTimeout: bodies of others fill the memory meant for them.
            ClientGone: the client hung up.
        """
        limit = self._context.limits.body_limit_bytes
        if _announced_length(scope) > limit:
            raise _too_large(limit)
        upload = Upload(self._room)
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                if upload.size + len(message.get("body", b"")) > limit:
                    raise _too_large(limit)
                upload.append(message.get("body", b""))
                if not message.get("more_body", False):
                    break
            if not upload.size:
                raise EmptyBody("The request has no body: send the audio file itself.")
        except BaseException:
            upload.close()
            raise
        return upload

    @asynccontextmanager
    async def recognise(self, upload: Upload, request_id: str, *, partials: bool) -> AsyncIterator[Recognition]:
        """Wait for a place, decode, and recognise; give everything back at the end.

        Raises:
            CapacityTimeout, ShuttingDown: no place.
            InvalidAudio, AudioTooLong: not a file to recognise.
        """
        context = self._context
        limits = context.limits
        async with context.pool.admit(limits.pool_checkout_timeout_secs):
            file = await context.decoder.decode(upload.descriptor, limits.max_audio_secs)
            upload.close()
            try:
                async with (
                    aclosing(context.transcribe(file, request_id, partials=partials)) as recognised,
                    aclosing(_tell_first(file.holes, recognised)) as events,
                ):
                    yield Recognition(file.seconds, events)
            finally:
                file.unlink()

    async def _transcribe(self, upload: Upload, request_id: str) -> dict[str, Any]:
        async with self.recognise(upload, request_id, partials=False) as recognition:
            transcript = Transcript()
            async for event in recognition.events:
                transcript.add(event)
            return transcript.fields(recognition.duration)


class Transcript:
    """The finals of one file, put together."""

    def __init__(self) -> None:
        self._finals: list[FinalEvent] = []
        self._gaps: list[dict[str, Any]] = []

    def add(self, event: Event) -> None:
        """Take the next event; only finals and declared gaps leave a trace."""
        if isinstance(event, FinalEvent) and event.text:
            self._finals.append(event)
        elif isinstance(event, WindowFailedEvent | SegmentFailedEvent | HoleEvent):
            self._gaps.append(gap_fields(event))

    def fields(self, duration: float) -> dict[str, Any]:
        """Return the transcript as JSON; `failed` only where a span of the file has no words."""
        fields: dict[str, Any] = {
            "text": " ".join(final.text for final in self._finals),
            "words": [word_fields(word) for final in self._finals for word in final.words],
            "duration": round(duration, 3),
            "segments": [_segment_fields(final) for final in self._finals],
        }
        if self._gaps:
            fields["failed"] = self._gaps
        return fields


async def _tell_first(holes: Sequence[HoleEvent], events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    """Yield what is known of a file beforehand, then what comes out of it."""
    for hole in holes:
        yield hole
    async for event in events:
        yield event


async def until_hung_up(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work`, once the body is read; cancel it when the client hangs up.

    Raises:
        ClientGone: it did.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_hang_up(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            log.info("client_hung_up")
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _segment_fields(final: FinalEvent) -> dict[str, Any]:
    return {
        "text": final.text,
        "start": final.start,
        "end": final.end,
        "confidence": final.confidence,
        "words": [word_fields(word) for word in final.words],
    }


def _announced_length(scope: Scope) -> int:
    """Return what `Content-Length` says, 0 where it says nothing; the parser has checked that it is a number."""
    length = Headers(scope=scope).get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest("Content-Length must be a number.")
    return int(length[:20])


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is over {limit} bytes, the most this server takes.")
