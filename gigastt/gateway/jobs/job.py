"""A job: a recording that its client does not wait for, and what is known of it. Plain values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

from gigastt.audio.selection import FileChoice
from gigastt.transcript import Alternative, Final, Gap, HeardTrack, Transcript, Word

JobState: TypeAlias = Literal["queued", "done", "failed"]  # one that is running is still queued, for the next start


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What a client asks for.

    owner: the name of its key, or the key's digest; empty where no keys are asked.
    url: from where the audio is fetched; empty where it was uploaded.
    webhook: the address that is told of the end; empty for none. Its calls are signed with `webhook_secret`.
    """

    owner: str
    choice: FileChoice
    url: str = ""
    webhook: str = ""
    webhook_secret: str = ""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What decoding has found: as in `Transcript`, and the holes of the file."""

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
    """What has been found since the last time, on its way into the store."""

    told: list[Final | Gap] = field(default_factory=list)
    commits: dict[int, JobCommit] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.told or self.commits)


def encode_told(told: Final | Gap) -> str:
    """Encode a final or a gap for the store."""
    return json.dumps(asdict(replace(told, tokens=()) if isinstance(told, Final) else told), ensure_ascii=False)


def decode_told(text: str) -> Final | Gap:
    """Decode what `encode_told` has made."""
    fields: Mapping[str, Any] = json.loads(text)
    if "code" in fields:
        return Gap(**fields)
    words, dropped = _words(fields["words"]), _words(fields["dropped"])
    alternatives = tuple(
        Alternative(**{**one, "words": _words(one["words"])}) for one in fields.get("alternatives", ())
    )
    built = {"words": words, "dropped": dropped, "alternatives": alternatives, "tokens": (), "voices": ()}
    return Final(**{**fields, **built})


def _words(told: Iterable[Mapping[str, Any]]) -> tuple[Word, ...]:
    return tuple(Word(**word) for word in told)


def transcript_of(facts: JobFacts, told: Sequence[Final | Gap]) -> Transcript:
    """Return the transcript of a job, in order of time."""
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
    )
