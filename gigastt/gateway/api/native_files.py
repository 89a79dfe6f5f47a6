"""Uploads: a whole file in the body of one request, its transcript in one answer.

    body, counted → a turn to be decoded → shared segment, counted → a turn, and a place in the pool → workers → answer

Runs in the task of its request. However it ends (answer, error, the client hangs up, the server stops), the body,
the segment, the turns and the place are given back. The body is bytes of unknown kind: its content decides, not its
`Content-Type`. Uploads have places of their own beside those of live sessions, held only while words are being
recognised; each client leaves some of them to the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from gigastt import transcript
from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.config import Limits
from gigastt.errors import CapacityTimeout
from gigastt.gateway.api.negotiation import choose_form
from gigastt.gateway.context import FileTranscriber
from gigastt.gateway.files.bodies import Bodies, Upload
from gigastt.gateway.files.decoder import FileDecoder
from gigastt.gateway.files.shares import Patience, Room, Slots
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.events import Event
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.requests import ClientGone
from gigastt.gateway.responses import JSONResponse
from gigastt.log import get_logger
from gigastt.rendering import MEDIA_TYPES, TranscriptForm, render_transcript

log = get_logger(__name__)

Result = TypeVar("Result")

MOST_DECODERS: Final = 4  # at once; more than cores, so that a short file need not wait for long ones
_DECODERS_OF_CLIENT = 2
_RESERVED_BYTES = 16 * 1024 * 1024  # of shared memory, by files that are being decoded, ahead of their samples


@dataclass(frozen=True, slots=True)
class Recognition:
    """A file that is being recognised: its length in seconds, and what comes out."""

    duration: float
    events: AsyncGenerator[Event, None]


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a file of `duration` seconds: its utterances that have words, its spans without words, and what
    was left out."""

    finals: Sequence[transcript.Final]
    duration: float
    gaps: Sequence[transcript.Gap]
    dropped: Sequence[transcript.Final] = ()


class Uploads:
    """`POST /v1/transcribe`, and what all routes that take a file share."""

    def __init__(
        self,
        limits: Callable[[], Limits],
        pool: Pool,
        decoder: FileDecoder,
        transcribe: FileTranscriber,
        metrics: Metrics,
    ) -> None:
        self._limits = limits
        self._pool = pool
        self._decoder = decoder
        self._recognise = transcribe
        self.metrics = metrics
        self._bodies = Bodies(lambda: limits().body_limit_bytes)
        self._segments = Room(lambda: _longest_segment(limits().max_audio_secs), "shared memory")
        self._decoding = Slots(lambda: MOST_DECODERS, lambda: _DECODERS_OF_CLIENT)
        self._recognising = Slots(lambda: pool.upload_places, lambda: -(-pool.upload_places // 2))
        pool.drain_listeners.add(self._begin_drain)

    async def transcribe(self, request: Request) -> Response:
        """`POST /v1/transcribe`: the whole transcript, in the form that the client asks for."""
        form = choose_form(request.query_params.getlist("format"), request.headers.get("accept", ""))
        with await self.receive_body(request.scope, request.receive) as upload:
            heard = await self.transcribe_whole(upload, request.receive, transcript.Options(partials=False))
        return render_answer(form, heard, tells_dropped=request.query_params.get("dropped") == "true")

    async def transcribe_whole(self, upload: Upload, receive: Receive, options: transcript.Options) -> Transcript:
        """Recognise an upload to its end.

        Raises:
            ClientGone: the client hung up.
            RequestError: as `recognise` does.
        """
        return await until_hung_up(receive, self._transcribe(upload, options))

    async def receive_body(self, scope: Scope, receive: Receive) -> Upload:
        """Read a body into memory; raises as `Bodies.receive` does."""
        return await self._bodies.receive(scope, receive)

    @asynccontextmanager
    async def recognise(self, upload: Upload, options: transcript.Options) -> AsyncIterator[Recognition]:
        """Decode, wait for a place, and recognise; give everything back at the end.

        Raises:
            CapacityTimeout, ShuttingDown: no turn or no place in time, or no memory.
            InvalidAudio, AudioTooLong: not a file to recognise.
        QuotaExceeded: the client's key may not send so much today.
        """
        limits = self._limits()
        patience = Patience(limits.pool_checkout_timeout_secs)
        async with AsyncExitStack() as stack:
            memory = self._segments.hold(upload.client)
            stack.callback(memory.release)
            descriptor = self._bodies.files.hold(upload.client)
            stack.callback(descriptor.release)
            async with self._turn(self._decoding, upload, patience):
                descriptor.change_to(1)
                file = await self._decoder.decode(upload.open(), limits.max_audio_secs, memory.change_to)
            stack.callback(file.unlink)
            upload.close()
            if upload.usage is not None:
                upload.usage.expect_audio(file.seconds)
                upload.usage.hear(file.seconds)
            await stack.enter_async_context(self._turn(self._recognising, upload, patience))
            async with patience.waiting() as left:
                await stack.enter_async_context(self._counted(self._pool.admit_upload(left)))
            recognised = await stack.enter_async_context(aclosing(self._recognise(file, upload.request_id, options)))
            events = await stack.enter_async_context(aclosing(_tell_first(file.holes, recognised)))
            yield Recognition(file.seconds, events)

    @asynccontextmanager
    async def _turn(self, slots: Slots, upload: Upload, patience: Patience) -> AsyncIterator[None]:
        """Hold a slot of the client's share."""
        async with self._counted(slots.hold(upload.client, patience)):
            yield

    @asynccontextmanager
    async def _counted(self, place: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """Hold a place; count it where there was none in time."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(place)
            except CapacityTimeout:
                self.metrics.pool_timeouts.inc()
                raise
            yield

    def _begin_drain(self) -> None:
        self._decoding.close()
        self._recognising.close()

    async def _transcribe(self, upload: Upload, options: transcript.Options) -> Transcript:
        async with self.recognise(upload, options) as recognition:
            finals: list[transcript.Final] = []
            gaps: list[transcript.Gap] = []
            dropped: list[transcript.Final] = []
            async for event in recognition.events:
                if isinstance(event, transcript.Final) and event.text:
                    finals.append(event)
                elif isinstance(event, transcript.Final) and event.drop:
                    dropped.append(event)
                elif isinstance(event, transcript.Gap):
                    gaps.append(event)
            return Transcript(finals, recognition.duration, gaps, dropped)


def render_answer(form: TranscriptForm, heard: Transcript, *, tells_dropped: bool = False) -> Response:
    """Return a transcript as a response; `tells_dropped`, with what was left out, if its form can say that."""
    dropped = heard.dropped if tells_dropped else None
    if form == "json":
        return JSONResponse(transcript.transcript_fields(heard.finals, heard.duration, heard.gaps, dropped))
    text = "".join(render_transcript(form, heard.finals, lambda: heard.duration))
    headers = {"content-type": f"{MEDIA_TYPES[form]}; charset=utf-8", "cache-control": "no-store"}
    return Response(text, headers=headers)


async def _tell_first(holes: Sequence[transcript.Gap], events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
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


def _longest_segment(max_seconds: float) -> int:
    """Return the bytes of shared memory that one client's files may take: those of the longest one."""
    return round(2 * SAMPLE_RATE * max_seconds) + _RESERVED_BYTES
