"""The Wyoming protocol of voice assistants as a dialect, on a listener of its own (`--wyoming`).

    transcribe, audio-start, audio-chunk …, audio-stop
    transcript-start, transcript-chunk …, transcript, transcript-stop

Chunks are stable words; the transcript is what counts. An assistant acts on it, so only audio that its client ended has
one: a server that stops earlier says `error` instead, and an error is never put into a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from gigastt import __version__
from gigastt.audio.resample import SAMPLE_RATE_RANGE
from gigastt.gateway.api import dialect
from gigastt.gateway.api.client_messages import is_whole
from gigastt.gateway.api.conversation import CLOSE_UNSUPPORTED_DATA
from gigastt.gateway.api.dialect import Configuration, Dialect, Message, Moment, Opening, Request
from gigastt.gateway.api.openai_form import is_russian
from gigastt.gateway.api.wire import gap_error_fields
from gigastt.gateway.api.wyoming_frames import CHANNEL_RANGE, WIDTHS, WyomingEvent, event_of, message_of
from gigastt.gateway.context import ServedModel
from gigastt.hotwords import fit_hotwords
from gigastt.transcript import Final, Gap, Partial, Word

_LANGUAGE = "ru"
_RATE = 16_000
_NAME_WEIGHT = 1.5  # names go before terms


class WyomingDialect(Dialect):
    """The Wyoming protocol.

    Args:
        model: the model that is served, which may change.
    """

    name: ClassVar[str] = "wyoming"
    frames_are_audio: ClassVar[bool] = True
    configuration = Configuration(sample_rate=_RATE)

    def __init__(self, model: Callable[[], ServedModel]) -> None:
        self._model = model
        self._is_whole = False  # the client ended its audio
        self._failed = False
        self._spoken: list[str] = []
        self._is_begun = False  # a chunk has been told
        self._told = 0  # words of the open utterance in chunks

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what an event asks for; samples come by themselves."""
        if isinstance(message, bytes):
            return [dialect.Speech(message)]
        event = event_of(message)
        if (answer := answer_at_once(event, self._model())) is not None:
            return [dialect.Reply([message_of(answer)])]
        match event.kind:
            case "transcribe":
                return self._transcribe(event.fields, configuration)
            case "audio-start" | "audio-chunk":
                return self._configure(event.fields, configuration)
            case "audio-stop":
                self._is_whole = True
                return [dialect.Stop()]
        return [dialect.Complain([], characters=len(message))]

    def open(self, opening: Opening) -> Sequence[Message]:
        """Return the beginning of the transcript."""
        return [message_of(WyomingEvent("transcript-start", {"language": _LANGUAGE}))]

    def tell(self, event: Partial | Final | Gap, moment: Moment) -> Sequence[Message]:
        """Return the words that have become stable."""
        match event:
            case Gap():
                return [complaint(event.code, gap_error_fields(event)["message"])]
            case Partial():
                return self._grow(event.words[: event.stable])
            case Final():
                grown = self._grow(event.words)
                self._told = 0
                self._spoken += [event.text] if event.text else []
                return grown

    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        """Return `error`."""
        self._failed = True
        return [complaint(code, message)]

    def end(self) -> Sequence[Message]:
        """Return the transcript of audio that its client ended; else say, once, that there is none."""
        if self._is_whole:
            transcript = WyomingEvent("transcript", {"text": " ".join(self._spoken), "language": _LANGUAGE})
            return [message_of(transcript), message_of(WyomingEvent("transcript-stop"))]
        return [] if self._failed else [complaint("interrupted", "The session ended before the audio did.")]

    def _transcribe(self, fields: Mapping[str, Any], before: Configuration | None) -> Sequence[Request]:
        language = fields.get("language")
        if language and not (isinstance(language, str) and is_russian(language)):
            return _refuse("This server transcribes Russian (ru) only.")
        names, terms = (fields.get(f"transcript_{kind}") for kind in ("names", "terms"))
        hotwords = fit_hotwords([(names, _NAME_WEIGHT), (terms, 1.0)])
        if before is None or not hotwords:
            return []
        self.configuration = replace(before, options=replace(before.options, hotwords=hotwords))
        return [dialect.Configure(self.configuration)]

    def _configure(self, fields: Mapping[str, Any], before: Configuration | None) -> Sequence[Request]:
        rate, width, channels = (fields.get(name) for name in ("rate", "width", "channels"))
        if not is_whole(rate, SAMPLE_RATE_RANGE):
            return _refuse(f"rate must be a whole number from {SAMPLE_RATE_RANGE[0]} to {SAMPLE_RATE_RANGE[1]}.")
        if not is_whole(width, WIDTHS) or not is_whole(channels, CHANNEL_RANGE):
            (thin, wide), (few, many) = WIDTHS, CHANNEL_RANGE
            return _refuse(f"width must be from {thin} to {wide}, channels from {few} to {many}.")
        if rate == self.configuration.sample_rate:
            return []
        if before is None:
            return _refuse("rate cannot change once audio has come.")
        self.configuration = replace(before, sample_rate=rate)
        return [dialect.Configure(self.configuration)]

    def _grow(self, words: Sequence[Word]) -> Sequence[Message]:
        """Tell the words of the open utterance that have not been told yet."""
        new = " ".join(word.text for word in words[self._told :])
        self._told = max(self._told, len(words))
        if not new:
            return ()
        chunk = f" {new}" if self._is_begun else new
        self._is_begun = True
        return [message_of(WyomingEvent("transcript-chunk", {"text": chunk}))]


def answer_at_once(event: WyomingEvent, model: ServedModel) -> WyomingEvent | None:
    """Return the answer to an event that needs no session; None where there is none."""
    match event.kind:
        case "describe":
            return WyomingEvent("info", _info(model))
        case "ping":
            return WyomingEvent("pong", {"text": event.fields.get("text")})
    return None


def _info(model: ServedModel) -> dict[str, Any]:
    """Return what the server offers; a model that still loads is there, so that nobody has to ask again."""
    attribution = {"name": "gigastt", "url": ""}
    artifact = {"attribution": attribution, "installed": True, "version": __version__}
    told = {**artifact, "name": model.name, "description": model.title, "languages": [_LANGUAGE]}
    program = {
        **artifact,
        "name": "gigastt",
        "description": "Speech-to-text for Russian",
        "models": [told],
        "supports_transcript_streaming": True,
        "requires_external_vad": True,
        "prefers_auto_gain_enabled": False,
        "prefers_noise_reduction_enabled": False,
    }
    nothing: dict[str, Any] = {kind: [] for kind in ("tts", "handle", "intent", "wake", "mic", "snd")}
    return {"asr": [program], **nothing}


def complaint(code: str, message: str) -> Message:
    """Return `error`."""
    return message_of(WyomingEvent("error", {"text": message, "code": code}))


def _refuse(message: str) -> Sequence[Request]:
    return [dialect.Refuse(dialect.Problem("invalid_parameter", message), CLOSE_UNSUPPORTED_DATA, with_final=False)]
