"""Deepgram's live transcription, `GET /v1/listen`, as a dialect: the query says all, samples in binary frames.

audio, {"type": "KeepAlive" | "Finalize" | "CloseStream"}
{"type": "Results" | "SpeechStarted" | "UtteranceEnd" | "Metadata" | "Error", …}
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from starlette.websockets import WebSocket

from gigastt.gateway.api.client_messages import as_text, parse
from gigastt.gateway.api.deepgram_query import Wishes, read_wishes
from gigastt.gateway.api.dialect import (
    Complain,
    Configuration,
    Dialect,
    EndUtterance,
    Message,
    Moment,
    Opening,
    Problem,
    Request,
    Speech,
    Stop,
)
from gigastt.gateway.api.wire import gap_error_fields
from gigastt.gateway.responses import json_text
from gigastt.spelling import PLAIN
from gigastt.transcript import Final, Gap, Partial, Word, mean_confidence


def deepgram_of(websocket: WebSocket) -> Dialect:
    """Return the dialect for a client. Raises InvalidParameter if its query is wrong."""
    return DeepgramDialect(read_wishes(websocket.query_params))


class DeepgramDialect(Dialect):
    """Deepgram's live protocol."""

    name: ClassVar[str] = "deepgram"
    frames_are_audio: ClassVar[bool] = True

    def __init__(self, wishes: Wishes) -> None:
        self.configuration = wishes.configuration
        self._wishes = wishes
        self._metadata: dict[str, Any] = {}
        self._speaking: set[int] = set()  # channels of which an utterance has begun
        self._end = 0.0  # of what has been told, in seconds

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what a message asks for."""
        text = message if isinstance(message, str) else as_text(message)
        if text is None:
            return [Speech(message)] if isinstance(message, bytes) else []
        match (parse(text) or {}).get("type"):
            case "KeepAlive":
                return []
            case "Finalize":
                return [EndUtterance()]
            case "CloseStream":
                return [Stop()]
        problem = Problem("invalid_message", "The type of a message is KeepAlive, Finalize or CloseStream.")
        return [Complain([problem], characters=len(text))]

    def open(self, opening: Opening) -> Sequence[Message]:
        """Remember what each result is to tell of the session."""
        info = {"name": opening.model, "version": "", "arch": ""}
        self._metadata = {"request_id": opening.session_id, "model_uuid": opening.model, "model_info": info}
        return ()

    def tell(self, event: Partial | Final | Gap, moment: Moment) -> Sequence[Message]:
        """Return the events about an utterance."""
        match event:
            case Gap():
                return self.fail(event.code, gap_error_fields(event)["message"], None)
            case Partial():
                told = self._begin(event, moment) if event.words else []
                if event.words and self._wishes.interim:
                    start, end = event.words[0].start, event.words[-1].end
                    told.append(self._results(event, moment, (start, end), {"is_final": False, "speech_final": False}))
                return list(map(json_text, told))
            case Final():
                return list(map(json_text, self._final(event, moment)))

    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        """Return `Error`."""
        return [json_text({"type": "Error", "variant": code, "description": message, "message": message})]

    def end(self) -> Sequence[Message]:
        """Return `Metadata`, of which the duration is that of what was told."""
        metadata = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self._metadata["request_id"],
            "sha256": "",
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "duration": self._end,
            "channels": self.configuration.channels,
            "models": [self._metadata["model_uuid"]],
        }
        return [json_text(metadata)]

    def _final(self, event: Final, moment: Moment) -> list[dict[str, Any]]:
        from_finalize = event.reason == "flush"
        if not event.text and not from_finalize:
            return []
        told = self._begin(event, moment) if event.words else []
        is_whole = event.reason != "max_duration"
        flags = {"is_final": True, "speech_final": is_whole, "from_finalize": from_finalize}
        told.append(self._results(event, moment, (event.start, event.end), flags))
        self._end = max(self._end, event.end)
        if is_whole:
            self._speaking.discard(event.channel)
        if is_whole and event.words and self._wishes.utterance_end:
            channel = [event.channel, moment.channels]
            told.append({"type": "UtteranceEnd", "channel": channel, "last_word_end": event.words[-1].end})
        return told

    def _begin(self, event: Partial | Final, moment: Moment) -> list[dict[str, Any]]:
        if event.channel in self._speaking:
            return []
        self._speaking.add(event.channel)
        began = {"channel": [event.channel, moment.channels], "timestamp": event.words[0].start}
        return [{"type": "SpeechStarted", **began}] if self._wishes.speech_started else []

    def _results(
        self, event: Partial | Final, moment: Moment, span: tuple[float, float], flags: dict[str, bool]
    ) -> dict[str, Any]:
        punctuated = self._wishes.punctuated
        confidence = event.confidence if isinstance(event, Final) else mean_confidence(event.words)
        others = event.alternatives[1:] if isinstance(event, Final) else ()
        return {
            "type": "Results",
            "channel_index": [event.channel, moment.channels],
            "duration": round(span[1] - span[0], 3),
            "start": span[0],
            **flags,
            "channel": {
                "alternatives": [
                    alternative(event.text, event.words, confidence, punctuated=punctuated),
                    *(alternative(one.text, one.words, one.confidence, punctuated=punctuated) for one in others),
                ]
            },
            "metadata": self._metadata,
        }


def alternative(text: str, words: Sequence[Word], confidence: float, *, punctuated: bool) -> dict[str, Any]:
    """Render what was said."""
    return {
        "transcript": text if punctuated else PLAIN.spell(text),
        "confidence": confidence,
        "words": [
            {
                "word": bare,
                "start": word.start,
                "end": word.end,
                "confidence": word.confidence,
                **({"punctuated_word": word.text} if punctuated else {}),
                **(_speaker(word) if word.speaker >= 0 else {}),
            }
            for word in words
            if (bare := PLAIN.spell(word.text))
        ],
    }


def _speaker(word: Word) -> dict[str, Any]:
    return {"speaker": word.speaker, "speaker_confidence": word.speaker_confidence}
