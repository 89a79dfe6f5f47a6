"""Messages: what a packet means, typed on both sides.

To the worker: `OpenStream`, `Audio`, `AttachAudio`, `Proceed`, `Recognise`, `Preview`, `Finish`, `Cancel`.
To the gateway: `Ready`, `Progress`, `Partial`, `Final`, `Found`, `Recognised`, `Failed`, `Closed`, `Stats`.

A file's stream finds utterances (`Found`), which any worker may recognise (`Recognise`, answered by `Recognised`).

`stream` is a fresh integer for each binding of a session's audio to a worker: late messages of an old binding are
unknown and dropped. `packets` says how they cross the pipe.

Sample counts are absolute: from the first sample of the client's audio, at 16 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType, TypeAlias

from gigastt import transcript

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
