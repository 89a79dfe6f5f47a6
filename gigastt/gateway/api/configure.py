"""Configure: what a client may choose before its first audio, checked field by field.

Pure. A field that is absent or null leaves things as they were; a field that is wrong is reported under its code
and changes nothing, while the others take effect. Values are understood as people write them (`16000.0`, `"16000"`,
`"true"`). A field that is not in the protocol is reported, with the one that may have been meant. Where a query or form
has these fields, they mean the same; `hotwords` is JSON there, or phrases with commas between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, get_args

from gigastt.audio.pcm import ENCODINGS, Encoding
from gigastt.audio.resample import SAMPLE_RATE_RANGE
from gigastt.errors import InvalidHotwords, InvalidParameter, UnsupportedByModel
from gigastt.gateway.api.dialect import Configuration
from gigastt.gateway.api.gathering import EndpointMode
from gigastt.hotwords import read_hotwords
from gigastt.spelling import Casing, Numbers, Spelling
from gigastt.transcript import ENDPOINT_SILENCE_MS, MOST_ALTERNATIVES, Options

PROTOCOL_VERSION = "1.2"
VERSIONS = ("1.0", "1.1", PROTOCOL_VERSION)  # each adds fields to the one before
CHANNELS = (1, 2)

SEARCH_FIELDS = ("hotwords", "alternatives")
SPELLING_FIELDS = ("punctuation", "casing", "numbers")
FORMAT_FIELDS = ("sample_rate", "encoding", "channels")  # without them right, audio is noise
FIELDS = (
    "type",
    *FORMAT_FIELDS,
    "endpoint_silence_ms",
    "min_silence_ms",
    "endpoint_mode",
    "partials",
    *SEARCH_FIELDS,
    "resume",
    *("diarization", "speakers", "max_speakers", "known_speakers", "speaker_embeddings"),  # see speaker_fields
    "protocol_version",
    *SPELLING_FIELDS,
    *("itn", "commit_policy"),  # of the original server; they change nothing here
)
_LONGEST_NAME = 40  # a longer one is no slip of a finger, and comparing takes time
_MODES: dict[str, EndpointMode] = {mode: mode for mode in get_args(EndpointMode)}
_CASINGS: dict[str, Casing] = {casing: casing for casing in get_args(Casing)}
_NUMBERS: dict[str, Numbers] = {numbers: numbers for numbers in get_args(Numbers)}
_WHOLE = re.compile(r"[0-9]{1,9}(\.0{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Complaint:
    """A field that was wrong; of a name that is not ours, `field` is empty."""

    code: str
    message: str
    field: str = ""


def supports_version(fields: Mapping[str, Any]) -> bool:
    """Whether the protocol version a client asks for is one of ours; asking for none is fine."""
    version = fields.get("protocol_version")
    return version is None or str(version) in VERSIONS or whole(version) == 1


def endpoint_mode(fields: Mapping[str, Any]) -> EndpointMode | None:
    """Return which utterances a client wants to be told; None where it does not say, or not rightly."""
    return _MODES.get(_name(fields.get("endpoint_mode")))


def apply(before: Configuration, fields: Mapping[str, Any]) -> tuple[Configuration, list[Complaint]]:
    """Return a configuration with the fields of one `configure` message, and what was wrong with it."""
    configuration, options, spelling = before, before.options, before.spelling
    complaints: list[Complaint] = []

    def complain(name: str, expected: str, code: str = "invalid_configuration") -> None:
        if fields.get(name) is not None:
            complaints.append(Complaint(code, f"{name} must be {expected}.", name))

    least, most = SAMPLE_RATE_RANGE
    rate = whole(fields.get("sample_rate"))
    if rate is not None and least <= rate <= most:
        configuration = replace(configuration, sample_rate=rate)
    else:
        complain("sample_rate", f"a whole number of Hz from {least} to {most}", "invalid_sample_rate")

    encodings: dict[str, Encoding] = {"linear16": "pcm_s16le", **{encoding: encoding for encoding in ENCODINGS}}
    if (encoding := encodings.get(_name(fields.get("encoding")))) is not None:
        configuration = replace(configuration, encoding=encoding)
    else:
        complain("encoding", f"one of {', '.join(ENCODINGS)}")

    channels = whole(fields.get("channels"))
    if channels is not None and channels in CHANNELS:
        configuration = replace(configuration, channels=channels)
    else:
        complain("channels", "1 or 2")

    least, most = ENDPOINT_SILENCE_MS
    for name in ("min_silence_ms", "endpoint_silence_ms"):  # two names of one thing
        silence = whole(fields.get(name))
        if silence is not None and least <= silence <= most:
            options = replace(options, endpoint_silence_ms=silence)
        else:
            complain(name, f"a whole number from {least} to {most}")

    if endpoint_mode(fields) is None:
        complain("endpoint_mode", f"one of {', '.join(_MODES)}", "invalid_endpoint_mode")

    def chosen(name: str, before: bool) -> bool:
        if (value := flag(fields.get(name))) is not None:
            return value
        complain(name, "true or false")
        return before

    partials = chosen("partials", options.partials)
    options = replace(options, partials=partials, diarization=chosen("diarization", options.diarization))
    configuration = replace(configuration, resumable=chosen("resume", configuration.resumable))
    spelling = replace(spelling, punctuation=chosen("punctuation", spelling.punctuation))

    if (casing := _CASINGS.get(_name(fields.get("casing")))) is not None:
        spelling = replace(spelling, casing=casing)
    else:
        complain("casing", f"one of {', '.join(_CASINGS)}")
    if (numbers := _NUMBERS.get(_name(fields.get("numbers")))) is not None:
        spelling = replace(spelling, numbers=numbers)
    else:
        complain("numbers", f"one of {', '.join(_NUMBERS)}")

    return replace(configuration, options=options, spelling=spelling), complaints + _unknown(fields)


def read_spelling(fields: Mapping[str, str]) -> Spelling:
    """Return what a query or a form says of spelling.

    Raises:
        InvalidParameter: a field is wrong; `param` names it.
    """
    configuration, complaints = apply(Configuration(), {name: fields.get(name) for name in SPELLING_FIELDS})
    if complaints:
        raise InvalidParameter(complaints[0].message, param=complaints[0].field)
    return configuration.spelling


def read_search_fields(
    fields: Mapping[str, Any], options: Options, alphabet: str | None
) -> tuple[Options, list[Complaint]]:
    """Return options with what fields say, those that are absent as before, and what is wrong with them.

    Args:
        alphabet: the letters of the served model; empty for one that searches greedily only, None where none is loaded.
    """
    complaints: list[Complaint] = []
    told = options
    if fields.get("hotwords") is not None:
        try:
            told = replace(told, hotwords=read_hotwords(fields["hotwords"]))
        except InvalidHotwords as exc:
            complaints.append(Complaint(exc.code, str(exc), "hotwords"))
    if fields.get("alternatives") is not None:
        most = whole(fields["alternatives"])
        if most is not None and 1 <= most <= MOST_ALTERNATIVES:
            told = replace(told, most_alternatives=most)
        else:
            expected = f"alternatives must be a whole number from 1 to {MOST_ALTERNATIVES}."
            complaints.append(Complaint("invalid_configuration", expected, "alternatives"))
    if alphabet == "" and (told.hotwords or told.most_alternatives > 1):
        refusal = UnsupportedByModel()
        return options, [*complaints, Complaint(refusal.code, str(refusal), "")]
    return told, complaints


def read_search_query(fields: Mapping[str, str], options: Options, alphabet: str | None) -> Options:
    """Return options with what a query or a form says.

    Raises:
        InvalidHotwords, InvalidParameter: a field is wrong; `param` names it.
        UnsupportedByModel: the served model cannot do that.
    """
    told, complaints = read_search_fields(fields, options, alphabet)
    for complaint in complaints:
        errors = {InvalidHotwords.code: InvalidHotwords, UnsupportedByModel.code: UnsupportedByModel}
        raise errors.get(complaint.code, InvalidParameter)(complaint.message, param=complaint.field)
    return told


def near_miss(name: str, names: Iterable[str]) -> str | None:
    """Return which of `names` a client may have meant, however it writes several words as one."""
    plain = {_plain(known): known for known in names}
    close = get_close_matches(_plain(name), plain, n=1, cutoff=0.7) if len(name) <= _LONGEST_NAME else []
    return plain[close[0]] if close else None


def _unknown(fields: Mapping[str, Any]) -> list[Complaint]:
    """Return one complaint about all fields that are not in the protocol; it repeats nothing of the client's."""
    unknown = [name for name in fields if name not in FIELDS]
    if not unknown:
        return []
    meant = sorted({near for name in unknown[: len(FIELDS)] if (near := near_miss(name, FIELDS)) is not None})
    hint = f"Was {' or '.join(meant)} meant?" if meant else f"Its fields are {', '.join(FIELDS[1:])}."
    return [Complaint("unknown_field", f"configure has a field that this server does not know. {hint}")]


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")


def whole(value: object) -> int | None:
    """Return a whole number, also written as `16000.0` or in quotes; None for anything else, `true` included."""
    match value:
        case bool():
            return None
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        case str() if _WHOLE.fullmatch(value.strip()):
            return int(float(value))
    return None


def flag(value: object) -> bool | None:
    """Return true or false, also in quotes; None for anything else."""
    match value:
        case bool():
            return value
        case str():
            return {"true": True, "false": False}.get(_name(value))
    return None


def _name(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) else ""
