"""What clients say of the speakers, in `configure`, queries and forms."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from gigastt.errors import InvalidParameter
from gigastt.gateway.api.speaker_fields import read_speaker_fields, read_speaker_query
from gigastt.speakers import KnownSpeaker, NamedAudio, SpeakerFields, SpeakerWishes

EMBEDDING = bytes(range(64))
CODED = b64encode(EMBEDDING).decode()


def test_all_fields_are_taken_and_absent_ones_stay() -> None:
    known = [{"name": "Анна", "embedding": CODED}, {"name": "Борис", "audio": b64encode(b"RIFF").decode()}]
    fields = {"speakers": 2, "max_speakers": "5", "speaker_embeddings": "true", "known_speakers": known}

    told, complaints = read_speaker_fields(fields)
    again, _ = read_speaker_fields({"speakers": 3}, told)

    assert not complaints
    wishes = SpeakerWishes(speakers=2, most=5, known=(KnownSpeaker("Анна", EMBEDDING),), tells_embeddings=True)
    assert told == SpeakerFields(wishes, (NamedAudio("Борис", b"RIFF"),))
    assert (again.wishes.speakers, again.wishes.most, again.recordings) == (3, 5, told.recordings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speakers", 0),
        ("speakers", 21),
        ("speakers", True),
        ("max_speakers", "many"),
        ("speaker_embeddings", "perhaps"),
        ("known_speakers", {}),
        ("known_speakers", "[{"),
        ("known_speakers", "[" * 100_000),
        ("known_speakers", [{"name": "", "embedding": CODED}]),
        ("known_speakers", [{"name": "x" * 101, "embedding": CODED}]),
        ("known_speakers", [{"name": "x"}]),
        ("known_speakers", [{"name": "x", "embedding": "§"}]),
        ("known_speakers", [{"name": "x", "embedding": "AAAA"}]),
        ("known_speakers", [{"name": "x", "embedding": b64encode(b"\xff\xff" * 64).decode()}]),
        ("known_speakers", [{"name": "x", "audio": "not base64"}]),
        ("known_speakers", [{"name": "x", "embedding": CODED}] * 17),
    ],
)
def test_a_wrong_field_is_told_by_its_name_and_changes_nothing(name: str, value: Any) -> None:
    told, [complaint] = read_speaker_fields({name: value})

    assert (told, complaint.field) == (SpeakerFields(), name)
    assert complaint.code == "invalid_configuration"


def test_a_query_asks_for_speakers_or_does_not() -> None:
    assert read_speaker_query({}) is None
    assert read_speaker_query({"diarization": "false", "speakers": "2"}) is None
    asked = read_speaker_query(
        {"diarization": "true", "known_speakers": json.dumps([{"name": "А", "embedding": CODED}])}
    )
    assert asked == SpeakerFields(SpeakerWishes(known=(KnownSpeaker("А", EMBEDDING),)))


@pytest.mark.parametrize("query", [{"diarization": "yes please"}, {"diarization": "true", "speakers": "0"}])
def test_a_wrong_query_is_refused_by_the_name_of_its_field(query: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter) as caught:
        read_speaker_query(query)

    assert caught.value.param == list(query)[-1]
