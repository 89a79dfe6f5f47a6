"""jambonz' protocol of custom speech vendors as a dialect, `GET /v1/jambonz`: `start`, audio, `stop`.

{"type": "start", "language": "ru-RU", "format": "raw", "encoding": "LINEAR16", "sampleRateHz": 8000,
 "interimResults": true, "options": {}}
{"type": "transcription", "is_final": true, "alternatives": [{"confidence": 0.9, "transcript": …}],
 "language": "ru-RU", "channel": 1}
{"type": "error", "error": …, "code": …}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, Final

from gigastt.gateway.api import dialect
from gigastt.gateway.api.client_messages import as_text, message_type, parse
from gigastt.gateway.api.configure import FIELDS, apply, read_search_fields
from gigastt.gateway.api.conversation import CLOSE_UNSUPPORTED_DATA
from gigastt.gateway.api.dialect import Configuration, Dialect, Message, Moment, Request
from gigastt.gateway.api.openai_form import is_russian
from gigastt.gateway.api.wire import gap_error_fields
from gigastt.gateway.responses import json_text
from gigastt.hotwords import fit_hotwords
from gigastt.transcript import Final as FinalEvent
from gigastt.transcript import Gap, Hotword, Partial, mean_confidence

_LANGUAGE: Final = "ru-RU"
_RATE: Final = 8_000


class JambonzDialect(Dialect):
    """jambonz' protocol for speech services of its users' own."""

    name: ClassVar[str] = "jambonz"
    frames_are_audio: ClassVar[bool] = True
    configuration = Configuration(sample_rate=_RATE)

    def __init__(self) -> None:
        self._language = _LANGUAGE
        self._interim = False

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what a message asks for."""
        text = message if isinstance(message, str) else as_text(message)
        if text is None:
            return [dialect.Speech(message)] if isinstance(message, bytes) else []
        fields = parse(text) or {}
        match message_type(fields):
            case "start":
                return self._start(fields, configuration)
            case "stop":
                return [dialect.Stop()]
        problem = dialect.Problem("invalid_message", "The type of a message is start or stop.", once=True)
        return [dialect.Complain([problem], characters=len(text))]

    def tell(self, event: Partial | FinalEvent | Gap, moment: Moment) -> Sequence[Message]:
        """Return `transcription`; utterances without words are not told."""
        if isinstance(event, Gap):
            return self.fail(event.code, gap_error_fields(event)["message"], None)
        is_final = isinstance(event, FinalEvent)
        if not event.text or not (is_final or self._interim):
            return ()
        confidence = event.confidence if isinstance(event, FinalEvent) else mean_confidence(event.words)
        others = event.alternatives[1:] if isinstance(event, FinalEvent) else ()
        told = {
            "type": "transcription",
            "is_final": is_final,
            "alternatives": [
                {"confidence": confidence, "transcript": event.text},
                *({"confidence": one.confidence, "transcript": one.text} for one in others),
            ],
            "language": self._language,
            "channel": event.channel + 1,
        }
        return [json_text(told)]

    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        """Return `error`."""
        return [json_text({"type": "error", "error": message, "code": code})]

    def _start(self, fields: Mapping[str, Any], before: Configuration | None) -> Sequence[Request]:
        if before is None:
            return [
                dialect.Complain([dialect.Problem("configure_too_late", "start must come before the first audio.")])
            ]
        language = fields.get("language") or _LANGUAGE
        if not isinstance(language, str) or not is_russian(language.lower()):
            return _refuse("invalid_parameter", "This server transcribes Russian (ru-RU) only.")
        options = fields.get("options")
        wished = {name: options[name] for name in FIELDS if name in options} if isinstance(options, dict) else {}
        format_fields = {"sample_rate": fields.get("sampleRateHz"), "encoding": fields.get("encoding")}
        configuration, complaints = apply(before, {**wished, **format_fields})
        hinted = replace(configuration.options, hotwords=_read_hints(options))
        search, wrong = read_search_fields(wished, hinted, None)
        configuration = replace(configuration, options=search)
        for complaint in complaints + wrong:
            return _refuse(complaint.code, complaint.message)
        self._language = language
        self._interim = fields.get("interimResults") is True
        wanted = replace(configuration, options=replace(configuration.options, partials=self._interim))
        return [dialect.Configure(wanted)]


def _read_hints(options: object) -> tuple[Hotword, ...]:
    """Return the hints of a recogniser: texts, or in JSON objects with a phrase, whose boost has no scale."""
    hints = options.get("hints") if isinstance(options, dict) else None
    if isinstance(hints, str):
        with suppress(ValueError, RecursionError):
            hints = json.loads(hints)
    hints = hints if isinstance(hints, list) else []
    return fit_hotwords([([hint.get("phrase") if isinstance(hint, dict) else hint for hint in hints], 1.0)])


def _refuse(code: str, message: str) -> Sequence[Request]:
    return [dialect.Refuse(dialect.Problem(code, message), CLOSE_UNSUPPORTED_DATA, with_final=False)]
