"""What an actor of Ray does with a file, without Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from gigastt.audio.selection import ALL_MIXED
from gigastt.cli.archive import open_manifest
from gigastt.cli.diarization import Diarization, find_speaker_model
from gigastt.cli.ray_actor import RayActor
from gigastt.cli.ray_plan import RayPlan
from gigastt.spelling import Spelling
from tests.clips import CLIPS


@pytest.mark.slow
def test_a_transcript_has_speakers_and_figures_where_they_are_wanted(tmp_path: Path) -> None:
    voices = Diarization(find_speaker_model("small", tmp_path, None), 0, 20, {})
    plan = RayPlan(
        output_dir=tmp_path,
        form="text",
        choice=ALL_MIXED,
        tells_dropped=False,
        model="demo",
        model_dir=tmp_path,
        precision="auto",
        min_confidence=0.0,
        spelling=Spelling(numbers="digits"),
        diarization=voices,
    )
    target = tmp_path / "said.txt"
    with open_manifest(tmp_path):
        row = RayActor(plan)({"name": str(CLIPS / "festival_11.wav"), "target": str(target)})
    assert (row["is_done"], row["is_whole"], row["reason"]) == (True, True, "")
    said = "Speaker 0: Где можно купить лук?\nSpeaker 0: Смешайте 700 граммов, затем запекайте огурцы 43 минут.\n"
    assert target.read_text(encoding="utf-8") == said
