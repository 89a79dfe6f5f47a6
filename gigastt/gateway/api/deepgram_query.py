"""The query of a request to Deepgram's API, read into wishes. No I/O.

A parameter that is not known here, or steers other models, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from starlette.datastructures import QueryParams

from gigastt.audio.pcm import Encoding
from gigastt.audio.resample import SAMPLE_RATE_RANGE
from gigastt.errors import InvalidHotwords, InvalidParameter
from gigastt.gateway.api.configure import CHANNELS
from gigastt.gateway.api.dialect import Configuration
from gigastt.gateway.api.openai_form import is_russian
from gigastt.hotwords import read_hotwords
from gigastt.spelling import Spelling
from gigastt.transcript import ENDPOINT_SILENCE_MS, MOST_ALTERNATIVES, Hotword, Options

QueryValue = TypeVar("QueryValue")

_RATE = 16_000
_ENCODINGS: Mapping[str, Encoding] = {"linear16": "pcm_s16le", "mulaw": "mulaw", "alaw": "alaw"}
_ANY_LANGUAGE = ("", "multi")


@dataclass(frozen=True, slots=True)
class Wishes:
    """The wishes of one query.

    punctuated: words as they are written; else in lower case and bare.
    interim: tell utterances before they end.
    speech_started, utterance_end: tell these events.
    utterances: of a file, tell also who says what from when to when.
    multichannel: hear each channel of a file by itself.
    """

    configuration: Configuration
    punctuated: bool
    interim: bool
    speech_started: bool
    utterance_end: bool
    utterances: bool
    multichannel: bool


def read_wishes(query: QueryParams) -> Wishes:
    """Read a query. Raises InvalidParameter: a value is wrong; `param` names it."""

    def one(name: str, read: Callable[[str], QueryValue], default: QueryValue) -> QueryValue:
        try:
            return read(query[name].strip().lower()) if name in query else default
        except ValueError as exc:
            raise InvalidParameter(f"{name}: {exc}.", param=name) from exc

    one("language", _language, "")
    interim = one("interim_results", _flag, False)
    speech_started = one("vad_events", _flag, False)
    silence = one("endpointing", _silence, Options().endpoint_silence_ms)
    diarize = one("diarize", _flag, False)
    smart = one("smart_format", _flag, False)
    figures = smart or one("numerals", _flag, False)
    options = Options(
        silence,
        partials=interim or speech_started,
        diarization=diarize,
        hotwords=_hotwords(query.getlist("keyterm")),
        most_alternatives=one("alternatives", lambda text: _whole(text, 1, MOST_ALTERNATIVES), 1),
    )
    return Wishes(
        Configuration(
            one("sample_rate", lambda text: _whole(text, *SAMPLE_RATE_RANGE), _RATE),
            one("encoding", _encoding, "pcm_s16le"),
            one("channels", lambda text: _whole(text, min(CHANNELS), max(CHANNELS)), 1),
            options,
            spelling=Spelling(numbers="digits" if figures else "words"),
        ),
        punctuated=one("punctuate", _flag, False) or smart,
        interim=interim,
        speech_started=speech_started,
        utterances=one("utterances", _flag, False),
        utterance_end=one("utterance_end_ms", _is_asked, False),
        multichannel=one("multichannel", _flag, False),
    )


def _hotwords(keyterms: list[str]) -> tuple[Hotword, ...]:
    try:
        return read_hotwords(keyterms)
    except InvalidHotwords as exc:
        raise InvalidHotwords(str(exc).replace("hotwords", "keyterm", 1), param="keyterm") from exc


def _flag(text: str) -> bool:
    if text in ("true", "1", "false", "0", ""):
        return text in ("true", "1")
    raise ValueError("expected true or false")


def _whole(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise ValueError(f"expected a whole number from {least} to {most}")
    return int(text)


def _silence(text: str) -> int:
    """Read `endpointing`: milliseconds, within what there is; `false` is as long as there is."""
    least, most = ENDPOINT_SILENCE_MS
    if text in ("true", "false"):
        return Options().endpoint_silence_ms if text == "true" else most
    return max(least, min(most, _whole(text, 0, 10**9)))


def _is_asked(text: str) -> bool:
    return _whole(text, 0, 10**9) > 0


def _encoding(text: str) -> Encoding:
    if text not in _ENCODINGS:
        raise ValueError(f"expected {', '.join(_ENCODINGS)}")
    return _ENCODINGS[text]


def _language(text: str) -> str:
    if text not in _ANY_LANGUAGE and not is_russian(text):
        raise ValueError("this server transcribes Russian (ru) only")
    return text
