"""Messages: what a packet means, typed on both sides.

To the worker: `OpenStream`, `Audio`, `AttachAudio`, `Proceed`, `Recognise`, `Preview`, `Finish`, `Cancel`.
To the gateway: `Ready`, `Progress`, `Partial`, `Final`, `Found`, `Recognised`, `Failed`, `Closed`, `Stats`.

A file's stream finds utterances (`Found`), which any worker may recognise (`Recognise`, answered by `Recognised`).

A body is the msgpack array `[kind, field, …]` in the order of the dataclass's fields. Decoding names the
side that reads, so a message that goes the wrong way fails. `stream` is a fresh integer for each binding
of a session's audio to a worker: late messages of an old binding are unknown and dropped.

Sample counts are absolute: from the first sample of the client's audio, at 16 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NewType, TypeAlias, get_args, get_type_hints

import msgpack

from gigastt import transcript
from gigastt.errors import ProtocolViolation

StreamId = NewType("StreamId", int)
PassKind: TypeAlias = Literal["final", "partial", "file"]


# -- to the worker


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Begin a live stream at sample `start`, with the recogniser's `resume` state of that commit (or empty).

    alone: its windows share no pass until the first final; a worker has crashed over its audio.
    """

    stream: StreamId
    start: int
    resume: bytes
    options: transcript.Options
    request_id: str
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Audio:
    """The next samples of a live stream: PCM16 little-endian, 16 kHz, mono."""

    stream: StreamId
    pcm: bytes


@dataclass(frozen=True, slots=True)
class AttachAudio:
    """Begin a file stream over the first `samples` of a shared segment, from `start`; needs no `Finish`.

    ahead: how many utterances may be found before `Proceed` allows one more.
    """

    stream: StreamId
    segment: str
    samples: int
    start: int
    resume: bytes
    options: transcript.Options
    request_id: str
    ahead: int = 1


@dataclass(frozen=True, slots=True)
class Proceed:
    """One more utterance of a file stream may be found."""

    stream: StreamId


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One utterance of a file, on its way from the worker that found it to the one that recognises it.

    first_frame, last_frame: where it lies, in feature frames; the last one is not part of it.
    lead, padding: frames of its room that are put before and behind it.
    is_clear: whether the detector had no doubt that this is speech.
    final: what is told of it, without its words.
    """

    first_frame: int
    last_frame: int
    lead: int
    padding: int
    is_clear: bool
    final: transcript.Final


@dataclass(frozen=True, slots=True)
class Recognise:
    """Find the words (and voices) of an utterance in the first `samples` of a segment; `stream` names this request."""

    stream: StreamId
    segment: str
    samples: int
    excerpt: Excerpt
    options: transcript.Options
    alone: bool = False  # it shares no pass: a worker has crashed over it


@dataclass(frozen=True, slots=True)
class Preview:
    """No audio has come for a while: send a `Partial` with the words that the final would have if it ended here.

    The stream stays as it is. Audio that comes first makes this void.
    """

    stream: StreamId


@dataclass(frozen=True, slots=True)
class Finish:
    """No more audio: decode what is pending, send the last `Final` (reason `stop`) and `Closed`."""

    stream: StreamId


@dataclass(frozen=True, slots=True)
class Cancel:
    """Forget the stream at once; nothing more is sent for it."""

    stream: StreamId


# -- to the gateway


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded and a canary transcript came out; `passes` were timed then.

    alphabet: the letters that the model can write, folded; empty for one that takes no hotwords.
    width: windows of full length that one pass holds at most.
    """

    pid: int
    load_seconds: float
    encoder: str
    vocab_size: int
    provider: str
    passes: list[PassRecord]
    alphabet: str
    width: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Samples analysed, and the commit: nothing before `committed` will be needed again."""

    stream: StreamId
    consumed: int
    committed: int
    resume: bytes


@dataclass(frozen=True, slots=True)
class PartialMessage:
    """The words of the open utterance so far, or the answer to a `Preview`."""

    stream: StreamId
    partial: transcript.Partial


@dataclass(frozen=True, slots=True)
class FinalMessage:
    """One whole utterance, and the commit that it makes."""

    stream: StreamId
    final: transcript.Final
    consumed: int
    committed: int
    resume: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A file stream has found an utterance; the commit is the one that its final will make."""

    stream: StreamId
    excerpt: Excerpt
    consumed: int
    committed: int
    resume: bytes


@dataclass(frozen=True, slots=True)
class Recognised:
    """The answer to `Recognise`; behind `Failed` it has no words."""

    stream: StreamId
    final: transcript.Final


@dataclass(frozen=True, slots=True)
class Failed:
    """A span has no words; the stream goes on."""

    stream: StreamId
    gap: transcript.Gap


@dataclass(frozen=True, slots=True)
class Closed:
    """The stream is finished and forgotten; the last message of its binding."""

    stream: StreamId


@dataclass(frozen=True, slots=True)
class PassRecord:
    """One encoder pass: its kind, how many windows it held, and its seconds by the clock, of audio, of a processor."""

    kind: PassKind
    batch: int
    seconds: float
    audio_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Stats:
    """The heartbeat, sent by the thread that does the work, at least every half second.

    listening: seconds since the last one that went into what came: features, detector, packets.
    """

    streams: int
    listening: float
    memory_bytes: int
    passes: list[PassRecord]


ToWorker: TypeAlias = OpenStream | Audio | AttachAudio | Proceed | Recognise | Preview | Finish | Cancel
ToGateway: TypeAlias = Ready | Progress | PartialMessage | FinalMessage | Found | Recognised | Failed | Closed | Stats

_TO_WORKER: tuple[type, ...] = get_args(ToWorker)
_TO_GATEWAY: tuple[type, ...] = get_args(ToGateway)
_CLASSES: dict[int, type] = dict(enumerate(_TO_WORKER + _TO_GATEWAY))
_KINDS: dict[type, int] = {kind: number for number, kind in _CLASSES.items()}
_NESTED: dict[str, type] = {
    "options": transcript.Options,
    "hotwords": transcript.Hotword,
    "partial": transcript.Partial,
    "final": transcript.Final,
    "excerpt": Excerpt,
    "gap": transcript.Gap,
    "words": transcript.Word,
    "dropped": transcript.Word,
    "voices": transcript.Voice,
    "alternatives": transcript.Alternative,
    "passes": PassRecord,
}


def encode_message(message: ToWorker | ToGateway) -> bytes:
    """Encode one message as a packet body."""
    encoded: bytes = msgpack.packb([_KINDS[type(message)], *_values(message)], default=_values)
    return encoded


def decode_to_worker(body: bytes) -> ToWorker:
    """Decode what the gateway sent.

    Raises:
        ProtocolViolation: not msgpack, not a message to a worker, or a field of the wrong type.
    """
    message: ToWorker = _decode(body, _TO_WORKER)
    return message


def decode_to_gateway(body: bytes) -> ToGateway:
    """Decode what a worker sent.

    Raises:
        ProtocolViolation: not msgpack, not a message to the gateway, or a field of the wrong type.
    """
    message: ToGateway = _decode(body, _TO_GATEWAY)
    return message


def _values(item: Any) -> list[Any]:
    """Return the fields of a message, or of what lies in one."""
    return [getattr(item, name) for name in item.__slots__]


def _decode(body: bytes, allowed: tuple[type, ...]) -> Any:
    try:
        kind, *values = msgpack.unpackb(body)
        message = _CLASSES[kind]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as exc:
        raise ProtocolViolation("Expected a msgpack array that begins with a known kind.") from exc
    if message not in allowed:
        raise ProtocolViolation(f"{message.__name__} came from the wrong side of the pipe.")
    return _build(message, values)


def _build(cls: type, values: list[Any]) -> Any:
    fields = _FIELDS[cls]
    if not isinstance(values, list) or len(values) != len(fields):
        raise ProtocolViolation(f"Expected {len(fields)} fields in {cls.__name__}.")
    as_ever = list(map(type, values)) == _USUAL[cls]  # nearly always; hundreds of times a second
    for index, name, accepted in _DEEP[cls] if as_ever else fields:
        values[index] = _build_field(cls, name, accepted, values[index])
    return cls(*values)


def _build_field(cls: type, name: str, accepted: Any, value: Any) -> Any:
    nested = _NESTED.get(name)
    if accepted in (list, tuple):
        if not isinstance(value, list) or not (nested or all(type(item) is int for item in value)):
            raise ProtocolViolation(f"Expected a list in {cls.__name__}.{name}.")
        return accepted([_build(nested, item) for item in value]) if nested else accepted(value)
    if nested:
        return _build(nested, value)
    if not isinstance(value, accepted) or isinstance(value, bool) is not (accepted is bool):
        raise ProtocolViolation(f"Expected {accepted} in {cls.__name__}.{name}, but got {type(value).__name__}.")
    return value


def _accepted(hint: Any) -> Any:
    """The runtime type that a field's annotation admits; a float field takes an int too."""
    if hint is float:
        return (float, int)
    if getattr(hint, "__supertype__", None) is not None:  # NewType
        return hint.__supertype__
    origin = getattr(hint, "__origin__", None)
    if origin is Literal:
        return str
    return origin or hint


# Of each class, where a field stands among its values, its name, and what it admits.
_FIELDS: dict[type, list[tuple[int, str, Any]]] = {
    cls: [(index, name, _accepted(hint)) for index, (name, hint) in enumerate(get_type_hints(cls).items())]
    for cls in (*_TO_WORKER, *_TO_GATEWAY, *_NESTED.values())
}
_DEEP = {
    cls: [field for field in fields if field[1] in _NESTED or field[2] in (list, tuple)]
    for cls, fields in _FIELDS.items()
}
_USUAL: dict[type, list[type]] = {
    cls: [list if field in _DEEP[cls] else field[2][0] if isinstance(field[2], tuple) else field[2] for field in fields]
    for cls, fields in _FIELDS.items()
}
