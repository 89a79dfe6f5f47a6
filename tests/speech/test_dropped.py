"""Words that are left out: only of what the detector doubts, and never silently."""

from __future__ import annotations

import numpy as np
import pytest

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.optimize.words import load_clips as prompts
from gigastt.rendering import transcript_fields
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.recording import transcribe_recording
from gigastt.transcript import Transcript
from tests.clips import load_clips
from tests.recordings import DEMO_MODEL, files_in, samples_of
from tools.activity.channels import to_samples
from tools.activity.dropped import CONDITIONS
from tools.activity.music import music

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load(files_in(DEMO_MODEL))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_no_utterance_of_speech_is_dropped(recognizer: Recognizer, condition: str) -> None:
    finals = []
    for clip in load_clips():
        finals += list(transcribe_recording(recognizer, [CONDITIONS[condition](samples_of(clip))]))
    assert [final.drop for final in finals if final.drop] == []
    assert sum(bool(final.words) for final in finals) >= len(load_clips())


def test_no_utterance_of_a_person_whom_the_model_does_not_know_is_dropped(recognizer: Recognizer) -> None:
    finals = [final for prompt in prompts() for final in transcribe_recording(recognizer, [prompt.samples])]
    assert [final.drop for final in finals if final.drop] == []
    assert sum(bool(final.words) for final in finals) >= 44


def test_what_is_dropped_is_kept_beside_the_transcript(recognizer: Recognizer) -> None:
    sound = to_samples(0.05 * music(60 * SAMPLE_RATE, np.random.default_rng(0)))
    dropped = [final for final in transcribe_recording(recognizer, [sound]) if final.drop]
    assert {final.drop for final in dropped} == {"no_speech", "doubtful"}
    assert all(not final.words and not final.text for final in dropped)
    doubtful = next(final for final in dropped if final.drop == "doubtful")
    fields = transcript_fields(Transcript([], 60.0, dropped=[doubtful]), tells_dropped=True)
    assert fields["dropped"][0]["words"]


def test_a_least_confidence_drops_what_does_not_reach_it(recognizer: Recognizer) -> None:
    finals = list(transcribe_recording(recognizer, [samples_of(load_clips()[0])], min_confidence=1.0))
    assert {final.drop for final in finals if final.dropped} == {"min_confidence"}
