"""The fields about speakers, of `configure`, of a query and of a form, checked one by one. Pure.

The same names and meanings everywhere; in a query or a form `known_speakers` is JSON.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gigastt.client_json import parse_json
from gigastt.config import MOST_TOLD_APART
from gigastt.errors import InvalidParameter
from gigastt.gateway.api.configure import Complaint, flag, whole
from gigastt.speakers import KnownSpeaker, NamedAudio, SpeakerFields, is_embedding

SPEAKER_FIELDS = ("speakers", "max_speakers", "known_speakers", "speaker_embeddings")
MOST_KNOWN = 16
LONGEST_NAME = 100
_EMBEDDING_BYTES = (64, 4096)
_KNOWN = (
    f"a list of at most {MOST_KNOWN} objects, each with a name of up to {LONGEST_NAME} characters and either an "
    "embedding, as this server gave it, or audio, a short recording in base64"
)


def read_speaker_fields(
    fields: Mapping[str, Any], before: SpeakerFields | None = None
) -> tuple[SpeakerFields, list[Complaint]]:
    """Return what fields say, those that are absent as before, and what is wrong with them."""
    told = before or SpeakerFields()
    wishes, complaints = told.wishes, list[Complaint]()

    def complain(name: str, expected: str) -> None:
        if fields.get(name) is not None:
            complaints.append(Complaint("invalid_configuration", f"{name} must be {expected}.", name))

    counts = {name: whole(fields.get(name)) for name in ("speakers", "max_speakers")}
    for name, count in counts.items():
        if count is None or not 1 <= count <= MOST_TOLD_APART:
            complain(name, f"a whole number from 1 to {MOST_TOLD_APART}")
            counts[name] = None
    wishes = replace(wishes, speakers=counts["speakers"] or wishes.speakers, most=counts["max_speakers"] or wishes.most)
    if (tells := flag(fields.get("speaker_embeddings"))) is not None:
        wishes = replace(wishes, tells_embeddings=tells)
    else:
        complain("speaker_embeddings", "true or false")
    recordings = told.recordings
    try:
        known, recordings = _read_known(fields["known_speakers"])
        wishes = replace(wishes, known=known)
    except KeyError:
        pass
    except ValueError:
        complain("known_speakers", _KNOWN)
    return SpeakerFields(wishes, recordings), complaints


def read_speaker_query(fields: Mapping[str, Any]) -> SpeakerFields | None:
    """Return what a query or a form says of the speakers; None where it does not want them told apart.

    Raises:
        InvalidParameter: a field is wrong; `param` names it.
    """
    wanted = flag(fields.get("diarization", "false"))
    if wanted is None:
        raise InvalidParameter("diarization must be true or false.", param="diarization")
    read, complaints = read_speaker_fields(fields)
    if complaints:
        raise InvalidParameter(complaints[0].message, param=complaints[0].field)
    return read if wanted else None


def _read_known(value: Any) -> tuple[tuple[KnownSpeaker, ...], tuple[NamedAudio, ...]]:
    """Raises ValueError where it is anything but what `_KNOWN` says."""
    items = parse_json(value) if isinstance(value, str) else value
    if not isinstance(items, list) or len(items) > MOST_KNOWN:
        raise ValueError
    known: list[KnownSpeaker] = []
    recordings: list[NamedAudio] = []
    for item in items:
        match item:
            case {"name": str(name), "embedding": str(text)} if 0 < len(name) <= LONGEST_NAME:
                embedding = b64decode(text, validate=True)
                least, most = _EMBEDDING_BYTES
                if not least <= len(embedding) <= most or not is_embedding(embedding):
                    raise ValueError
                known.append(KnownSpeaker(name, embedding))
            case {"name": str(name), "audio": str(text)} if 0 < len(name) <= LONGEST_NAME:
                recordings.append(NamedAudio(name, b64decode(text, validate=True)))
            case _:
                raise ValueError
    return tuple(known), tuple(recordings)
