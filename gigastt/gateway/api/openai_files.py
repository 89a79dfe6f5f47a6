"""OpenAI's transcriptions: `POST /v1/audio/transcriptions`, and the models as its clients ask for them.

    data: {"type":"transcript.text.delta","delta":"Привет, мир."}
    data: {"type":"transcript.text.delta","delta":" Как дела?"}
    data: {"type":"transcript.text.done","text":"Привет, мир. Как дела?"}
    data: [DONE]

A codec around the same uploads as the native routes. Runs in the task of its request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gigastt.errors import InvalidParameter, ModelNotFound, RequestError
from gigastt.gateway.api import openai_wire
from gigastt.gateway.api.event_stream import answer_with_events, encode_block
from gigastt.gateway.api.native_files import Uploads, render_answer
from gigastt.gateway.api.openai_form import Wish, read_wish
from gigastt.gateway.files.decoding import DecodedChannels
from gigastt.gateway.pool.events import Event
from gigastt.gateway.responses import JSONResponse, LongJSONResponse
from gigastt.rendering import failed_fields
from gigastt.transcript import Final, Gap, Transcript, text_of

_NOT_A_FORM = "Expected a form (multipart/form-data) with the audio in its field `file`."
_DONE = b"data: [DONE]\n\n"


class Transcriptions:
    """`POST /v1/audio/transcriptions`, an ASGI application."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with await self._uploads.receive_body(scope, receive) as upload:
            if upload.fields is None:
                raise InvalidParameter(_NOT_A_FORM, param="file")
            wish = read_wish(upload.fields)
            if wish.stream:
                writer = partial(Deltas, logprobs=wish.logprobs, diarized=wish.speakers is not None)
                told = self._uploads, upload, receive, send, wish.options, writer, wish.choice, wish.speakers
                await answer_with_events(*told)
                return
            heard = await self._uploads.transcribe_whole(upload, receive, wish.options, wish.choice, wish.speakers)
        answer = await asyncio.to_thread(_answer, wish, heard)
        await answer(scope, receive, send)


def _answer(wish: Wish, heard: Transcript) -> Response:
    match wish.form:
        case "json":
            return LongJSONResponse(openai_wire.transcription(heard, logprobs=wish.logprobs))
        case "verbose_json":
            told = openai_wire.verbose_transcription(heard, words=wish.words, segments=wish.segments)
            return LongJSONResponse(told)
        case "diarized_json":
            return LongJSONResponse(openai_wire.diarized_transcription(heard))
        case "text":
            text = text_of(heard.finals) + "\n"
            return Response(text, media_type="text/plain", headers={"cache-control": "no-store"})
        case form:
            return render_answer(form, heard)


class Deltas:
    """The events of a stream: each utterance is added to the text when it is known, and never taken back."""

    def __init__(self, file: DecodedChannels, *, logprobs: bool, diarized: bool = False) -> None:
        self._logprobs = logprobs
        self._diarized = diarized
        self._segments = 0
        self._finals: list[Final] = []
        self._gaps: list[Gap] = []

    def event(self, event: Event) -> bytes:
        if isinstance(event, Gap):
            self._gaps.append(event)
        if not isinstance(event, Final) or not event.text:
            return b""
        first = not self._finals
        self._finals.append(event)
        fields = {"type": "transcript.text.delta", "delta": event.text if first else f" {event.text}"}
        block = encode_block(fields | self._probabilities([event], first=first))
        if self._diarized:
            segments = openai_wire.diarized_segments([event], self._segments)
            self._segments += len(segments)
            block += b"".join(map(encode_block, segments))
        return block

    def end(self) -> bytes:
        fields = {"type": "transcript.text.done", "text": text_of(self._finals)}
        return encode_block(fields | self._probabilities(self._finals, first=True) | failed_fields(self._gaps)) + _DONE

    def failure(self, exc: RequestError) -> bytes:
        return encode_block(openai_wire.openai_error_fields(exc))

    def _probabilities(self, finals: Sequence[Final], *, first: bool) -> dict[str, Any]:
        return {"logprobs": openai_wire.logprobs_of(finals, first=first)} if self._logprobs else {}


async def refuse_translation(request: Request) -> Response:
    """`POST /v1/audio/translations`: there is no model for it."""
    raise InvalidParameter("This server transcribes Russian and translates nothing.")


class Models:
    """`GET /v1/models/{id}`."""

    def __init__(self, served: str) -> None:
        self._served = served

    async def retrieve(self, request: Request) -> Response:
        name: str = request.path_params["id"]
        if name != self._served and name not in openai_wire.ALIASES:
            raise ModelNotFound(f"There is no model of this name; {self._served} is served.", param="model")
        return JSONResponse(openai_wire.model_fields(name))
