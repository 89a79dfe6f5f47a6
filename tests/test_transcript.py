"""The vocabulary in JSON: names and order of the fields are the protocol's."""

from __future__ import annotations

import json

from gigastt.transcript import Final, Gap, Word, transcript_fields


def test_a_transcript_is_rendered_to_the_byte() -> None:
    final = Final("Да.", (Word("Да.", 0.1, 0.5, 0.9),), 0.0, 0.6, 0.9, "stop", channel=1, seq=4)
    word = '{"word": "Да.", "start": 0.1, "end": 0.5, "confidence": 0.9}'
    segment = f'{{"text": "Да.", "start": 0.0, "end": 0.6, "confidence": 0.9, "words": [{word}]}}'
    whole = f'"text": "Да.", "words": [{word}], "duration": 1.235, "segments": [{segment}]'
    assert json.dumps(transcript_fields([final], 1.23456), ensure_ascii=False) == f"{{{whole}}}"

    gap = Gap("audio_missing", 0.6, 1.0, channel=1)
    failed = '"failed": [{"code": "audio_missing", "start": 0.6, "end": 1.0}]'
    assert json.dumps(transcript_fields([final], 1.23456, [gap]), ensure_ascii=False) == f"{{{whole}, {failed}}}"
