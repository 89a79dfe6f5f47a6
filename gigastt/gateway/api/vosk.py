"""The protocol of vosk-server as a dialect, on a listener of its own (`--vosk`): audio in, one reply to each frame.

    {"config": {"sample_rate": 16000}}         no reply
    audio                                      {"partial": "привет"}, or {"text": …, "result": […]} of one that ended
    {"eof": 1}, {"reset": 1}                   the words that are not told yet; after `eof` the server closes

Clients of Vosk send a frame and wait for its reply, so every frame has exactly one, an error among them. Some of its
samples send a WAV file as it is, and no `config`: the rate is then that of its header.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from gigastt.audio.resample import SAMPLE_RATE_RANGE
from gigastt.gateway.api import dialect
from gigastt.gateway.api.client_messages import MOST_BINARY_MESSAGE_BYTES, parse
from gigastt.gateway.api.containers import wav_rate
from gigastt.gateway.api.conversation import CLOSE_UNSUPPORTED_DATA
from gigastt.gateway.api.dialect import Configuration, Dialect, Message, Moment, Request
from gigastt.rendering import failed_fields
from gigastt.spelling import AS_RECOGNISED, PLAIN
from gigastt.transcript import MOST_ALTERNATIVES, Final, Gap, Partial, Word, alternatives_of, text_of

_RATE = 8_000


class VoskDialect(Dialect):
    """The protocol of vosk-server.

    Args:
        plain: tell words in lower case and without punctuation, as Vosk does.
    """

    name: ClassVar[str] = "vosk"
    frames_are_audio: ClassVar[bool] = True

    def __init__(self, *, plain: bool = True) -> None:
        self.configuration = Configuration(sample_rate=_RATE, spelling=PLAIN if plain else AS_RECOGNISED)
        self._is_configured = False  # a rate has been told
        self._words = True
        self._alternatives = 0  # how many are told; 0 for results without alternatives
        self._partial = _encode({"partial": ""})  # the reply to frames until words change: told more often than made
        self._finals: deque[Final] = deque()  # not told yet
        self._gaps: list[Gap] = []
        self._resets = 0  # not answered yet
        self._owed = 0  # replies to frames that came after a reset that is not answered yet

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what a message asks for; frames with audio are answered as they come."""
        fields = _fields(message)
        if fields is not None and "config" in fields:
            return self._configure(fields["config"], configuration)
        if fields is not None and fields.get("eof"):
            return [dialect.Stop()]
        if fields is not None and fields.get("reset"):
            self._resets += 1
            return [dialect.EndUtterance()]
        if isinstance(message, bytes):
            spoken: list[Request] = [dialect.Speech(message), dialect.Reply(self.answer_frame())]
            rate = wav_rate(message) if configuration is not None and not self._is_configured else None
            return spoken if rate is None else [*self._configure({"sample_rate": rate}, configuration), *spoken]
        problem = dialect.Problem("invalid_message", "A text frame must be JSON with config, eof or reset.")
        return [dialect.Complain([problem], characters=len(message))]

    def takes_at_once(self, data: bytes, *, is_sending: bool) -> bool:
        """Tell whether a frame can be answered in its turn, and cannot be JSON, which some clients send as binary."""
        return not is_sending and not data.startswith(b"{")

    def answer_frame(self) -> Sequence[Message]:
        """Return the reply to a frame, which is owed to an empty one too."""
        if self._resets:
            self._owed += 1
            return ()
        if self._finals:
            return [self._result([self._finals.popleft()])]
        return [self._partial]

    def tell(self, event: Partial | Final | Gap, moment: Moment) -> Sequence[Message]:
        """Keep an event for the reply to a frame that is to come; the end of an utterance answers a reset."""
        match event:
            case Partial():
                self._partial = _encode({"partial": event.text})
            case Gap():
                self._gaps.append(event)
            case Final():
                self._partial = _encode({"partial": ""})
                if event.text:
                    self._finals.append(event)
                if event.reason == "flush" and self._resets:
                    return self._answer_reset()
        return ()

    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        """Return an error, under a key that transcripts do not have."""
        return [_encode({"error": message, "code": code})]

    def end(self) -> Sequence[Message]:
        """Return all that is not told yet, in one reply."""
        return [self._result(self._take_all())]

    def _configure(self, wanted: object, before: Configuration | None) -> Sequence[Request]:
        if not isinstance(wanted, dict):
            return _refuse("config must be a JSON object.")
        self._words = _is_true(wanted.get("words", self._words))
        self._alternatives = _count(wanted.get("max_alternatives", self._alternatives))
        if before is not None:
            options = replace(before.options, most_alternatives=max(1, self._alternatives))
            before = self.configuration = replace(before, options=options)
        if (told := wanted.get("sample_rate")) is None:
            return [] if before is None else [dialect.Configure(before)]
        self._is_configured = True
        rate, (least, most) = _number(told), SAMPLE_RATE_RANGE
        if not least <= rate <= most or rate != int(rate):
            return _refuse(f"sample_rate must be a whole number from {least} to {most}.")
        if before is None:
            if rate == self.configuration.sample_rate:
                return []
            return _refuse("sample_rate cannot change once audio has come.")
        self.configuration = replace(before, sample_rate=int(rate))
        return [dialect.Configure(self.configuration)]

    def _answer_reset(self) -> Sequence[Message]:
        self._resets -= 1
        told: list[Message] = [self._result(self._take_all())]
        if not self._resets:
            while self._owed:
                self._owed -= 1
                told += self.answer_frame()
        return told

    def _take_all(self) -> Sequence[Final]:
        finals = list(self._finals)
        self._finals.clear()
        return finals

    def _result(self, finals: Sequence[Final]) -> str:
        told = self._said(text_of(finals), [word for final in finals for word in final.words])
        if self._alternatives:
            confidences = [final.confidence for final in finals]
            mean = round(math.fsum(confidences) / len(confidences), 4) if confidences else 1.0
            others = [(one.confidence, self._said(one.text, one.words)) for one in alternatives_of(finals)[1:]]
            told = {"alternatives": [{"confidence": sure, **said} for sure, said in [(mean, told), *others]]}
        told |= failed_fields(self._gaps)
        self._gaps.clear()
        return _encode(told)

    def _said(self, text: str, words: Sequence[Word]) -> dict[str, Any]:
        if not words or not self._words:
            return {"text": text}
        return {"result": [_word_fields(word, tells_confidence=not self._alternatives) for word in words], "text": text}


def _word_fields(word: Word, *, tells_confidence: bool) -> dict[str, Any]:
    confidence = {"conf": word.confidence} if tells_confidence else {}
    return {**confidence, "end": word.end, "start": word.start, "word": word.text}


def _fields(message: Message) -> dict[str, Any] | None:
    """Return what a message says; None for audio and for what is no JSON object. Some clients send both as binary."""
    if isinstance(message, str):
        return parse(message)
    if not message.startswith(b"{") or len(message) > MOST_BINARY_MESSAGE_BYTES:
        return None
    try:
        return parse(message.decode())
    except UnicodeDecodeError:
        return None


def _number(told: object) -> float:
    """Return a number that is written as one or as text; NaN for anything else."""
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        return math.nan
    try:
        number = float(told)
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _count(told: object) -> int:
    """Return how many alternatives a client wants, of those that there may be; a flag that is set wants one."""
    wanted = _number(told) if not isinstance(told, bool) else float(told)
    return int(max(0.0, min(wanted, MOST_ALTERNATIVES))) if not math.isnan(wanted) else int(_is_true(told))


def _is_true(told: object) -> bool:
    """Tell what Python, JavaScript and people mean by a flag."""
    return told.strip().lower() not in ("", "0", "false") if isinstance(told, str) else bool(told)


def _refuse(message: str) -> Sequence[Request]:
    return [dialect.Refuse(dialect.Problem("invalid_parameter", message), CLOSE_UNSUPPORTED_DATA, with_final=False)]


def _encode(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)
