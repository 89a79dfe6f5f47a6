"""The form of OpenAI's transcriptions, read into a wish. No I/O.

Lists come as `name[]`, `name`, `name[0]`, one value with commas, or a JSON array. FormFields that steer other models
(`prompt`, `temperature`, `chunking_strategy`) are checked where they could be a slip, and change nothing
but the silence that ends an utterance. A field that is not known here is ignored: each such server has its own.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar, cast

from gigastt.audio.selection import ALL_MIXED, FileChoice, read_choice
from gigastt.client_json import parse_json
from gigastt.errors import InvalidHotwords, InvalidParameter
from gigastt.gateway.api.speaker_fields import LONGEST_NAME
from gigastt.gateway.files.forms import FormFields
from gigastt.hotwords import read_hotwords
from gigastt.speakers import NamedAudio, SpeakerFields
from gigastt.transcript import ENDPOINT_SILENCE_MS, FINALS_ONLY, Hotword, Options

ResponseFormat: TypeAlias = Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"]
Value = TypeVar("Value")

_FORMATS = ("json", "text", "srt", "vtt", "verbose_json", "diarized_json")
_MOST_KNOWN = 4
_STREAMABLE = ("json", "text", "diarized_json")
_RUSSIAN = ("ru", "rus", "russian", "ru-ru", "ru_ru", "русский")
_ANY_LANGUAGE = ("", "auto", "null", "none")
_YES, _NO = ("true", "1"), ("false", "0", "", "null", "none")


@dataclass(frozen=True, slots=True)
class Wish:
    """The answer that a client wants.

    options: how the audio is cut into utterances.
    choice: what of the file is heard: fields beyond the API.
    words, segments: which of them `verbose_json` tells.
    logprobs: whether `json` and the events of a stream tell how probable each word is.
    speakers: what is said of the speakers; None where they are not to be told apart.
    """

    options: Options
    choice: FileChoice = ALL_MIXED
    form: ResponseFormat = "json"
    stream: bool = False
    words: bool = False
    segments: bool = True
    logprobs: bool = False
    speakers: SpeakerFields | None = None


def read_wish(fields: FormFields) -> Wish:
    """Read a form.

    Raises:
        InvalidParameter: a field is wrong, or asks for what there is not; `param` names it.
    """
    asked = _Asked(fields)
    _check_language(asked)
    asked.one("temperature", _temperature, 0.0)
    stream = asked.one("stream", _flag, False)
    form: ResponseFormat = asked.one("response_format", _response_format, "json")
    if stream and form not in _STREAMABLE:
        raise InvalidParameter(f"A stream cannot be {form}: ask for json.", param="response_format")
    granularities = asked.among("timestamp_granularities", ("word", "segment"))
    return Wish(
        replace(_options(asked), diarization=form == "diarized_json", hotwords=_hotwords(asked)),
        read_choice({name: asked.one(name, str, "") for name in ("channels", "track")}),
        form=form,
        speakers=_speakers(asked) if form == "diarized_json" else None,
        stream=stream,
        words="word" in granularities,
        segments="segment" in granularities or not granularities,
        logprobs="logprobs" in asked.among("include", ("logprobs",)),
    )


class _Asked:
    """FormFields by their names without brackets; `part` is what stands in the brackets."""

    def __init__(self, fields: FormFields) -> None:
        self._values: dict[tuple[str, str], list[str]] = {}
        for name, value in fields:
            base, _, part = name.partition("[")
            part = part.rstrip("]")
            self._values.setdefault((base, "" if part.isdigit() else part), []).append(value.strip())

    def one(self, name: str, read: Callable[[str], Value], default: Value, part: str = "") -> Value:
        """Return a field's value, the last one if it came more than once."""
        values = self._values.get((name, part))
        if values is None:
            return default
        try:
            return read(values[-1])
        except ValueError as exc:
            raise InvalidParameter(f"{name}: {exc}.", param=name) from exc

    def whole(self, name: str) -> list[str]:
        """Return all values of a list, of which each came by itself."""
        return self._values.get((name, ""), [])

    def many(self, name: str) -> list[str]:
        """Return all values of a list."""
        return [item for value in self._values.get((name, ""), []) for item in _items(value)]

    def among(self, name: str, known: Iterable[str]) -> set[str]:
        """Return the values of a list whose items are known."""
        values = {value.lower() for value in self.many(name)}
        for value in values:
            if value not in known:
                raise InvalidParameter(f"{name}: expected {' or '.join(known)}, not {value[:40]!a}.", param=name)
        return values


def _items(value: str) -> list[str]:
    if value.startswith("["):
        try:
            return [item for item in parse_json(value) if isinstance(item, str)]
        except ValueError:
            return [value]
    return [item for part in value.split(",") if (item := part.strip())]


def _check_language(asked: _Asked) -> None:
    languages = [asked.one("language", str.lower, ""), *map(str.lower, asked.many("languages"))]
    named = [language for language in languages if language not in _ANY_LANGUAGE]
    if named and not any(map(is_russian, named)):
        param = "languages" if languages[0] in _ANY_LANGUAGE else "language"
        raise InvalidParameter(f"This server transcribes Russian (ru) only, not {named[0][:40]!a}.", param=param)


def _speakers(asked: _Asked) -> SpeakerFields:
    """Return the known speakers: names, and as many recordings as data URLs."""
    names, references = asked.whole("known_speaker_names"), asked.whole("known_speaker_references")
    if len(names) != len(references) or len(names) > _MOST_KNOWN:
        problem = f"known_speaker_references: expected one for each known_speaker_names, {_MOST_KNOWN} at most."
        raise InvalidParameter(problem, param="known_speaker_references")
    if any(len(name) > LONGEST_NAME for name in names):
        problem = f"known_speaker_names: expected names of up to {LONGEST_NAME} characters."
        raise InvalidParameter(problem, param="known_speaker_names")
    recordings = []
    for name, reference in zip(names, references, strict=True):
        try:
            recordings.append(NamedAudio(name, b64decode(reference.partition(",")[2], validate=True)))
        except ValueError as exc:
            problem = "known_speaker_references: expected data URLs with base64."
            raise InvalidParameter(problem, param="known_speaker_references") from exc
    return SpeakerFields(recordings=tuple(recordings))


def _hotwords(asked: _Asked) -> tuple[Hotword, ...]:
    """Return the keywords, which guide a transcription."""
    try:
        return read_hotwords(asked.many("keywords"))
    except InvalidHotwords as exc:
        raise InvalidHotwords(str(exc).replace("hotwords", "keywords", 1), param="keywords") from exc


def is_russian(language: str) -> bool:
    """Tell whether a client names Russian, in one of the ways that there are."""
    return language.lower() in _RUSSIAN


def _options(asked: _Asked) -> Options:
    """Return how utterances are cut; `chunking_strategy` comes in brackets or as JSON."""
    silence = asked.one("chunking_strategy", _silence_of_json, None)
    silence = asked.one("chunking_strategy", _silence, silence, "silence_duration_ms")
    options = FINALS_ONLY
    return options if silence is None else replace(options, endpoint_silence_ms=silence)


def _silence_of_json(text: str) -> int | None:
    if text in ("auto", "") or not text.startswith("{"):
        return None
    strategy = cast("dict[str, object]", parse_json(text))
    silence = strategy.get("silence_duration_ms")
    return None if silence is None else _silence(str(silence))


def _silence(text: str) -> int:
    least, most = ENDPOINT_SILENCE_MS
    return max(least, min(most, round(_number(text))))


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e9:
        raise ValueError("expected a number")
    return number


def _temperature(text: str) -> float:
    number = _number(text or "0")
    if not 0 <= number <= 1:
        raise ValueError("expected a number from 0 to 1")
    return number


def _flag(text: str) -> bool:
    if text.lower() in _YES + _NO:
        return text.lower() in _YES
    raise ValueError("expected true or false")


def _response_format(text: str) -> ResponseFormat:
    if text and text not in _FORMATS:
        raise ValueError(f"expected {', '.join(_FORMATS)}")
    return cast("ResponseFormat", text or "json")
