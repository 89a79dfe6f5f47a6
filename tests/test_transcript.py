"""The vocabulary in JSON: names and order of the fields are the protocol's."""

from __future__ import annotations

import json

from gigastt.rendering import transcript_fields
from gigastt.transcript import Final, Gap, HeardTrack, Transcript, Word


def test_a_transcript_is_rendered_to_the_byte() -> None:
    final = Final("Да.", (Word("Да.", 0.1, 0.5, 0.9),), 0.0, 0.6, 0.9, "stop", channel=1, seq=4)
    word = '{"word": "Да.", "start": 0.1, "end": 0.5, "confidence": 0.9}'
    segment = f'{{"text": "Да.", "start": 0.0, "end": 0.6, "confidence": 0.9, "words": [{word}]}}'
    whole = f'"text": "Да.", "words": [{word}], "duration": 1.235, "segments": [{segment}]'
    assert json.dumps(transcript_fields(Transcript([final], 1.23456)), ensure_ascii=False) == f"{{{whole}}}"

    gap = Gap("audio_missing", 0.6, 1.0, channel=1)
    failed = '"failed": [{"code": "audio_missing", "start": 0.6, "end": 1.0}]'
    assert (
        json.dumps(transcript_fields(Transcript([final], 1.23456, [gap])), ensure_ascii=False)
        == f"{{{whole}, {failed}}}"
    )


def test_channels_that_are_told_apart_and_the_track_are_in_it() -> None:
    finals = [
        Final("Да.", (Word("Да.", 0.1, 0.5, 0.9),), 0.0, 0.6, 0.9, "silence"),
        Final("Нет.", (Word("Нет.", 0.2, 0.5, 0.9),), 0.1, 0.6, 0.9, "silence", channel=2),
    ]
    fields = transcript_fields(Transcript(finals, 1.0, track=HeardTrack(1, 2, "rus"), copies=(None, 0, None)))
    assert [word["channel"] for word in fields["words"]] == [0, 2]
    assert [segment["channel"] for segment in fields["segments"]] == [0, 2]
    assert fields["channels"] == [
        {"channel": 0, "text": "Да."},
        {"channel": 1, "copy_of": 0},
        {"channel": 2, "text": "Нет."},
    ]
    assert fields["track"] == {"number": 1, "of": 2, "language": "rus"}
