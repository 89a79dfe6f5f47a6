"""Uploads: a whole file in the body of one request, its transcript in one answer.

    body, counted → a turn to be decoded → shared segment, counted → a turn, and a place in the pool → workers → answer

Runs in the task of its request. However it ends (answer, error, the client hangs up, the server stops), the body,
the segment, the turns and the place are given back. The body is bytes of unknown kind: its content decides, not its
`Content-Type`. Uploads have places of their own beside those of live sessions, held only while words are being
recognised; each client leaves some of them to the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from gigastt import transcript
from gigastt.audio.selection import ALL_MIXED, FileChoice, read_choice
from gigastt.errors import CapacityTimeout, RequestError
from gigastt.gateway.api.configure import read_search_query, read_spelling
from gigastt.gateway.api.enrolment import open_file_book
from gigastt.gateway.api.speaker_fields import read_speaker_query
from gigastt.gateway.context import AppContext
from gigastt.gateway.files.bodies import Bodies, Upload
from gigastt.gateway.files.decoding import DecodedChannels
from gigastt.gateway.pool.events import ChannelEvent, Event
from gigastt.gateway.pool.turnstile import Patience
from gigastt.gateway.requests import ClientGone
from gigastt.gateway.responses import LongJSONResponse, choose_form
from gigastt.hotwords import unusable
from gigastt.log import get_logger
from gigastt.rendering import MEDIA_TYPES, TranscriptForm, render_transcript, transcript_fields
from gigastt.speakers import SpeakerBook, SpeakerFields, with_speakers
from gigastt.spelling import Spelling
from gigastt.transcript import Options, Transcript

log = get_logger(__name__)

Result = TypeVar("Result")
Held = TypeVar("Held")


@dataclass(frozen=True, slots=True)
class Recognition:
    """A file that is being recognised, and what comes out."""

    file: DecodedChannels
    events: AsyncGenerator[Event, None]


class Uploads:
    """`POST /v1/transcribe`, and what all routes that take a file share."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._bodies = Bodies(lambda: context.limits.body_limit_bytes)
        context.pool.drain_listeners.add(context.decoding.slots.close)

    async def transcribe(self, request: Request) -> Response:
        """`POST /v1/transcribe`: the whole transcript, in the form that the client asks for."""
        form = choose_form(request.query_params.getlist("format"), request.headers.get("accept", ""))
        choice = read_choice(request.query_params)
        with await self.receive_body(request.scope, request.receive) as upload:
            speakers, spelling = speaker_fields_of(request, upload), spelling_of(request, upload)
            options = self.search_options_of(request, upload, Options(partials=False, diarization=speakers is not None))
            heard = await self.transcribe_whole(upload, request.receive, options, choice, speakers)
        told: dict[str, Any] = {"tells_dropped": request.query_params.get("dropped") == "true"}
        told |= {"unusable_hotwords": self.unusable_of(options)}
        return await asyncio.to_thread(lambda: render_answer(form, spelling.of(heard), **told))

    async def transcribe_whole(
        self,
        upload: Upload,
        receive: Receive,
        options: Options,
        choice: FileChoice = ALL_MIXED,
        speakers: SpeakerFields | None = None,
    ) -> Transcript:
        """Recognise an upload to its end; with `speakers`, its words have the speakers that are best in the end.

        Raises:
            ClientGone: the client hung up.
            RequestError: as `recognise` does.
        """
        return await until_hung_up(receive, self._transcribe(upload, options, choice, speakers))

    def search_options_of(self, request: Request, upload: Upload, options: Options) -> Options:
        """Return options with what the query, or the form around a file, says; raises as `read_search_query`."""
        fields = {**dict(upload.fields or ()), **request.query_params}
        return read_search_query(fields, options, self.alphabet)

    def unusable_of(self, options: Options) -> list[str]:
        """Return the hotwords that the served model cannot write."""
        return unusable(options.hotwords, self.alphabet) if self.alphabet else []

    @property
    def alphabet(self) -> str | None:
        """The letters of the served model, as `read_search_query` takes them."""
        card = self._context.pool.model
        return card.alphabet if card is not None else None

    async def receive_body(self, scope: Scope, receive: Receive) -> Upload:
        """Read a body into memory; raises as `Bodies.receive` does."""
        return await self._bodies.receive(scope, receive)

    @asynccontextmanager
    async def recognise(
        self, upload: Upload, options: Options, choice: FileChoice = ALL_MIXED, speakers: SpeakerFields | None = None
    ) -> AsyncIterator[Recognition]:
        """Decode, wait for a place, and recognise; give everything back at the end.

        Raises:
            InvalidParameter: speakers cannot be told apart here, or not by these recordings.
            CapacityTimeout, ShuttingDown: no turn or no place in time, or no memory.
            InvalidAudio, AudioTooLong, InvalidParameter: not a file to recognise.
            QuotaExceeded: the client's key may not send so much today.
        """
        patience = Patience(self._context.limits.pool_checkout_timeout_secs)
        async with AsyncExitStack() as stack:
            segments = self._bodies.files.hold(upload.client)
            stack.callback(segments.release)
            decoding = self._context.decoding.decode(upload, choice, patience, lambda: segments.change_to(1))
            file = await stack.enter_async_context(self._counted(decoding))
            segments.change_to(len(file.channels))
            upload.close()
            if upload.usage is not None:
                upload.usage.expect_audio(file.seconds)
                upload.usage.hear(file.seconds)
            await stack.enter_async_context(self._counted(self._context.pool.uploads.hold(upload.client, patience)))
            book = None
            if speakers is not None:
                book = await open_file_book(self._context, speakers, len(file.channels), upload.request_id)
            heard = replace(options, diarization=isinstance(book, SpeakerBook))
            transcribed = self._context.transcribe(list(file.channels.values()), upload.request_id, heard, book)
            recognised = await stack.enter_async_context(aclosing(transcribed))
            upload.facts |= {"audio_seconds": round(file.seconds, 2), "words": 0}
            events = await stack.enter_async_context(aclosing(_tell_of(file, recognised, upload.facts)))
            yield Recognition(file, events)

    def note_failure(self, upload: Upload, error: RequestError) -> None:
        """Count an error that is told amid an answer, and put it into the request's line of the log."""
        self._context.metrics.count_error(error.code)
        upload.facts |= {"code": error.code, "reason": str(error)}

    @asynccontextmanager
    async def _counted(self, place: AbstractAsyncContextManager[Held]) -> AsyncIterator[Held]:
        """Hold a place; count it where there was none in time."""
        async with AsyncExitStack() as stack:
            try:
                held = await stack.enter_async_context(place)
            except CapacityTimeout:
                self._context.metrics.pool_timeouts.inc()
                raise
            yield held

    async def _transcribe(
        self, upload: Upload, options: Options, choice: FileChoice, speakers: SpeakerFields | None
    ) -> Transcript:
        async with self.recognise(upload, options, choice, speakers) as recognition:
            file = recognition.file
            heard: transcript.HeardSpeakers | None = None
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
                elif isinstance(event, transcript.HeardSpeakers):
                    heard = event
                    finals = with_speakers(finals, heard)
            return Transcript(finals, file.seconds, gaps, dropped, file.track, file.copies, heard)


def speaker_fields_of(request: Request, upload: Upload) -> SpeakerFields | None:
    """Return what the query, or the form around a file, says of the speakers; raises as `read_speaker_query`."""
    return read_speaker_query({**dict(upload.fields or ()), **request.query_params})


def spelling_of(request: Request, upload: Upload) -> Spelling:
    """Return how the query, or the form around a file, wants words written; raises as `read_spelling`."""
    return read_spelling({**dict(upload.fields or ()), **request.query_params})


def render_answer(
    form: TranscriptForm, heard: Transcript, *, tells_dropped: bool = False, unusable_hotwords: Sequence[str] = ()
) -> Response:
    """Return a transcript as a response; with what was left out, and unusable phrases, if its form can say that.

    To be called in a thread, as all that renders whole transcripts: an hour of speech takes a tenth of a second.
    """
    if form == "json":
        fields = transcript_fields(heard, tells_dropped=tells_dropped)
        return LongJSONResponse(fields | ({"unusable_hotwords": unusable_hotwords} if unusable_hotwords else {}))
    headers = {"content-type": f"{MEDIA_TYPES[form]}; charset=utf-8", "cache-control": "no-store"}
    return Response(render_transcript(form, heard), headers=headers)


async def _tell_of(
    file: DecodedChannels, events: AsyncIterator[Event], facts: dict[str, float | str]
) -> AsyncGenerator[Event, None]:
    """Yield what is known of a file beforehand, then what comes out of it, with the numbers of its channels.

    `facts` is told how many words these were.
    """
    words = 0
    for hole in file.holes:
        yield hole
    numbers = list(file.channels)
    async for event in events:
        if isinstance(event, transcript.Final):
            words += len(event.words)
            facts["words"] = words
        yield replace(event, channel=numbers[event.channel]) if isinstance(event, ChannelEvent) else event


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
            log.debug("client_hung_up")
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
