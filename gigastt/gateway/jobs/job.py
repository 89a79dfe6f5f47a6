"""A job: a recording that its client does not wait for, and what is known of it. Plain values."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

import msgpack

from gigastt.audio.selection import FileChoice
from gigastt.speakers import KnownSpeaker, NamedAudio, SpeakerFields, SpeakerWishes
from gigastt.transcript import (
    Alternative,
    Final,
    Gap,
    HeardSpeaker,
    HeardSpeakers,
    HeardTrack,
    Hotword,
    Options,
    Transcript,
    Voice,
    Word,
)

JobState: TypeAlias = Literal["queued", "done", "failed"]  # one that is running is still queued, for the next start


@dataclass(frozen=True, slots=True)
class JobOrder:
    """The order of a client.

    speakers: what is said of them; None where they are not to be told apart, and when the job has ended.
    owner: the name of its key, or the key's digest; empty where no keys are asked.
    url: from where the audio is fetched; empty where it was uploaded.
    webhook: the address that is told of the end; empty for none. Its calls are signed with `webhook_secret`.
    hotwords, most_alternatives: as in `Options`.
    """

    owner: str
    choice: FileChoice
    url: str = ""
    webhook: str = ""
    webhook_secret: str = ""
    speakers: SpeakerFields | None = None
    hotwords: tuple[Hotword, ...] = ()
    most_alternatives: int = 1

    @property
    def options(self) -> Options:
        """How its recording is recognised."""
        return Options(partials=False, hotwords=self.hotwords, most_alternatives=self.most_alternatives)

    @property
    def stored_bytes(self) -> int:
        """What it takes in the store if it has recordings of speakers."""
        return 0 if self.speakers is None else len(encode_wishes(self.speakers))

    def search_to_json(self) -> str:
        """Encode hotwords and alternatives for the store."""
        return json.dumps([[asdict(each) for each in self.hotwords], self.most_alternatives])

    def with_search(self, text: str) -> JobOrder:
        """Return the order with what `search_to_json` has made of another."""
        hotwords, most_alternatives = json.loads(text)
        told = tuple(Hotword(**each) for each in hotwords)
        return replace(self, hotwords=told, most_alternatives=most_alternatives)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """Facts of a decoded recording, as in `Transcript`, and the holes of its file."""

    duration: float
    holes: Sequence[Gap] = ()
    track: HeardTrack | None = None
    copies: Sequence[int | None] = ()

    def to_json(self) -> str:
        """Encode for the store."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> JobFacts:
        """Decode what the store has."""
        fields = json.loads(text)
        holes = tuple(Gap(**hole) for hole in fields["holes"])
        track = HeardTrack(**fields["track"]) if fields["track"] else None
        return cls(fields["duration"], holes, track, tuple(fields["copies"]))


@dataclass(frozen=True, slots=True)
class Job:
    """One job as the store has it.

    number: its place in the order in which jobs came.
    created, ended: seconds since 1970; `ended` 0 while it has not.
    audio_bytes: of the recording; 0 until it is here.
    facts: None until it has been decoded.
    error_code, error: why it failed; empty where it did not.
    """

    id: str
    number: int
    order: JobOrder
    state: JobState
    created: float
    ended: float
    audio_bytes: int
    facts: JobFacts | None
    error_code: str
    error: str


@dataclass(frozen=True, slots=True)
class JobCommit:
    """How far a channel is: all before so many samples is told, and the recogniser's state there."""

    samples: int = 0
    resume: bytes = b""
    is_last: bool = False


@dataclass(slots=True)
class Settled:
    """Results since the last time, on their way into the store."""

    told: list[Final | Gap] = field(default_factory=list)
    commits: dict[int, JobCommit] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.told or self.commits)


def encode_told(told: Final | Gap) -> str:
    """Encode a final or a gap for the store."""
    fields = asdict(told)
    if isinstance(told, Final):
        voices = [asdict(voice) | {"embedding": b64encode(voice.embedding).decode()} for voice in told.voices]
        fields |= {"tokens": (), "voices": voices}
    return json.dumps(fields, ensure_ascii=False)


def decode_told(text: str) -> Final | Gap:
    """Decode what `encode_told` has made."""
    fields: Mapping[str, Any] = json.loads(text)
    if "code" in fields:
        return Gap(**fields)
    words, dropped = _words(fields["words"]), _words(fields["dropped"])
    alternatives = tuple(
        Alternative(**{**one, "words": _words(one["words"])}) for one in fields.get("alternatives", ())
    )
    voices = tuple(
        Voice(tuple(one["spans"]), one["alone"], b64decode(one["embedding"])) for one in fields.get("voices", ())
    )
    built = {"words": words, "dropped": dropped, "alternatives": alternatives, "tokens": (), "voices": voices}
    return Final(**{**fields, **built})


def _words(told: Iterable[Mapping[str, Any]]) -> tuple[Word, ...]:
    return tuple(Word(**word) for word in told)


def encode_wishes(speakers: SpeakerFields) -> bytes:
    """Encode what a client has said of speakers, for the store."""
    packed: bytes = msgpack.packb(asdict(speakers))
    return packed


def decode_wishes(packed: bytes) -> SpeakerFields:
    """Decode what `encode_wishes` has made."""
    fields = msgpack.unpackb(packed, use_list=False)
    wishes = fields["wishes"]
    known = tuple(KnownSpeaker(**one) for one in wishes["known"])
    recordings = tuple(NamedAudio(**one) for one in fields["recordings"])
    return SpeakerFields(SpeakerWishes(**{**wishes, "known": known}), recordings)


def encode_heard(heard: HeardSpeakers) -> bytes:
    """Encode who was heard, for the store; takes some 10 ms for an hour of speech."""
    finals = [
        [(word.text, word.start, word.end, word.confidence, word.speaker, word.speaker_confidence, word.speaker_name)
         for word in words]
        for words in heard.finals
    ]  # fmt: skip
    packed: bytes = msgpack.packb([[asdict(one) for one in heard.speakers], finals, heard.tells_embeddings])
    return packed


def decode_heard(packed: bytes) -> HeardSpeakers:
    """Decode what `encode_heard` has made."""
    speakers, finals, tells_embeddings = msgpack.unpackb(packed, use_list=False)
    told = tuple(tuple(Word(*values) for values in words) for words in finals)
    return HeardSpeakers(tuple(HeardSpeaker(**one) for one in speakers), told, tells_embeddings)


def transcript_of(facts: JobFacts, told: Sequence[Final | Gap], speakers: HeardSpeakers | None = None) -> Transcript:
    """Return the transcript of a job, in order of time, from what was told, in the order in which it was."""
    if speakers is not None:
        words = iter(speakers.finals)
        told = [replace(one, words=next(words)) if isinstance(one, Final) and one.words else one for one in told]
    in_order = sorted(told, key=lambda one: (one.start, one.channel))
    finals = [one for one in in_order if isinstance(one, Final)]
    gaps = sorted([*facts.holes, *(one for one in in_order if isinstance(one, Gap))], key=lambda gap: gap.start)
    return Transcript(
        [final for final in finals if final.text],
        facts.duration,
        gaps,
        [final for final in finals if final.drop],
        facts.track,
        facts.copies,
        speakers,
    )
