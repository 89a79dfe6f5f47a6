"""`POST /v1/transcribe/stream`: a whole file in the body, its transcript as events while it comes out.

    data: {"type":"progress","seconds":4.1,"duration":62.0}
    data: {"type":"partial",…}
    data: {"type":"final",…,"last":false}
    data: {"type":"final",…,"endpoint_reason":"stop","last":true}

Every final is one utterance, so finals joined by spaces are the transcript. The terminal event is the only one with
`"last": true`: the final whose `endpoint_reason` is `stop` (perhaps without words), or an error. An error without it
(`inference_error`, `segment_failed`, `audio_damaged`, `audio_missing`) declares one span without words, and the
stream goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from gigastt.audio.selection import read_choice
from gigastt.errors import RequestError
from gigastt.gateway.api.event_stream import answer_with_events, encode_block, failure_block
from gigastt.gateway.api.native_files import Uploads, speaker_fields_of, spelling_of
from gigastt.gateway.api.wire import gap_error_fields, session_speakers
from gigastt.gateway.files.decoding import DecodedChannels
from gigastt.gateway.pool.events import Event, ProgressEvent
from gigastt.rendering import channel_fields, final_fields, partial_fields
from gigastt.spelling import Spelling
from gigastt.transcript import Final, Gap, HeardSpeakers, Options, Partial


class TranscriptStream:
    """The route, an ASGI application."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        choice = read_choice(Request(scope).query_params)
        with await self._uploads.receive_body(scope, receive) as upload:
            speakers, spelling = speaker_fields_of(Request(scope), upload), spelling_of(Request(scope), upload)
            plain = Options(diarization=speakers is not None)
            options = self._uploads.search_options_of(Request(scope), upload, plain)
            writer = partial(NativeEvents, spelling=spelling, unusable_hotwords=self._uploads.unusable_of(options))
            await answer_with_events(self._uploads, upload, receive, send, options, writer, choice, speakers)


class NativeEvents:
    """Events in the words of the WebSocket's messages.

    Args:
        file: whose they are.
        spelling: how words are written.
        unusable_hotwords: phrases that the served model cannot write.
    """

    def __init__(self, file: DecodedChannels, spelling: Spelling, unusable_hotwords: Sequence[str] = ()) -> None:
        told = {"type": "hotwords", "unusable": unusable_hotwords, "last": False}
        self._first = encode_block(told) if unusable_hotwords else b""  # before all others
        self._duration = file.seconds
        self._tells_channels = bool(file.copies)
        self._spelling = spelling
        end = round(file.seconds, 2)
        self._stop = Final("", (), end, end, 0.0, "stop")

    def event(self, event: Event) -> bytes:
        first, self._first = self._first, b""
        return first + self._event(self._spelling.of(event))

    def _event(self, event: Event) -> bytes:
        match event:
            case ProgressEvent():
                seconds, duration = round(event.seconds, 2), round(self._duration, 3)
                return encode_block({"type": "progress", "seconds": seconds, "duration": duration})
            case Partial():
                return encode_block(partial_fields(event) | self._channel(event))
            case Final():
                if event.reason == "stop":
                    self._stop = event
                    return b""
                return encode_block({**final_fields(event), **self._channel(event), "last": False})
            case HeardSpeakers():
                return encode_block({**session_speakers(event), "last": False})
            case Gap():
                return encode_block({**gap_error_fields(event), **self._channel(event), "last": False})

    def end(self) -> bytes:
        return self._first + encode_block({**final_fields(self._stop), **self._channel(self._stop), "last": True})

    def _channel(self, event: Final | Partial | Gap) -> dict[str, Any]:
        return channel_fields(event, is_told=self._tells_channels)

    def failure(self, exc: RequestError) -> bytes:
        return failure_block(exc)
