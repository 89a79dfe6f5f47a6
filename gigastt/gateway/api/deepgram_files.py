"""Deepgram's transcription of files: `POST /v1/listen`. A codec around the same uploads as the native route."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gigastt.audio.selection import FileChoice
from gigastt.gateway.api.deepgram import alternative
from gigastt.gateway.api.deepgram_query import Wishes, read_wishes
from gigastt.gateway.api.native_files import Uploads
from gigastt.gateway.requests import exchange_of
from gigastt.gateway.responses import LongJSONResponse
from gigastt.rendering import failed_fields
from gigastt.speakers import SpeakerFields, turns_of
from gigastt.transcript import FINALS_ONLY, Final, Transcript, alternatives_of, mean_confidence, speaker_of, text_of

_OF_FILES = ("diarization", "hotwords", "most_alternatives")  # of the options, that change what is told of a file


class DeepgramFiles:
    """`POST /v1/listen`.

    Args:
        model: what clients are told that it is called.
    """

    def __init__(self, uploads: Uploads, model: str) -> None:
        self._uploads = uploads
        self._model = model

    async def transcribe(self, request: Request) -> Response:
        """Answer with the whole transcript. Raises InvalidParameter if the query is wrong."""
        wishes = read_wishes(request.query_params)
        with await self._uploads.receive_body(request.scope, request.receive) as upload:
            asked = wishes.configuration.options
            options = replace(FINALS_ONLY, **{name: getattr(asked, name) for name in _OF_FILES})
            speakers = SpeakerFields() if options.diarization else None
            choice = FileChoice(splits_channels=wishes.multichannel)
            heard = await self._uploads.transcribe_whole(upload, request.receive, options, choice, speakers)
        return await asyncio.to_thread(self._answer, heard, wishes, exchange_of(request.scope).request_id)

    def _answer(self, heard: Transcript, wishes: Wishes, request_id: str) -> Response:
        return LongJSONResponse(self._fields(wishes.configuration.spelling.of(heard), wishes, request_id))

    def _fields(self, heard: Transcript, wishes: Wishes, request_id: str) -> dict[str, Any]:
        channels = [
            [final for final in heard.finals if final.channel == (channel if copy is None else copy)]
            for channel, copy in enumerate(heard.copies or (None,))
        ]
        return {
            "metadata": {
                "transaction_key": "deprecated",
                "request_id": request_id,
                "sha256": "",
                "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "duration": round(heard.duration, 3),
                "channels": len(channels),
                "models": [self._model],
                "model_info": {self._model: {"name": self._model, "version": "", "arch": ""}},
            },
            "results": {
                "channels": [{"alternatives": _alternatives(finals, wishes)} for finals in channels],
                **({"utterances": _utterances(heard, wishes)} if wishes.utterances else {}),
            },
            **failed_fields(heard.gaps),
        }


def _utterances(heard: Transcript, wishes: Wishes) -> list[dict[str, Any]]:
    """Render each speaker's turns; where speakers are not told apart, each utterance."""
    told = []
    for number, turn in enumerate(turn for final in heard.finals for turn in turns_of(final)):
        said = alternative(turn.text, turn.words, turn.confidence, punctuated=wishes.punctuated)
        speaker = speaker_of(turn.words)
        who = {} if speaker is None else {"speaker": speaker.speaker}
        span = {"start": turn.start, "end": turn.end, "channel": turn.channel, "id": str(number)}
        told.append({**said, **span, **who})
    return told


def _alternatives(finals: Sequence[Final], wishes: Wishes) -> list[dict[str, Any]]:
    words = [word for final in finals for word in final.words]
    others = ((one.text, one.words, one.confidence) for one in alternatives_of(finals)[1:])
    told = [(text_of(finals), words, mean_confidence(words)), *others]
    return [alternative(*each, punctuated=wishes.punctuated) for each in told]
