"""The clips that ship with the tests: synthetic speech that the demo model knows."""

from __future__ import annotations

import json
import re
import wave
from dataclasses import dataclass
from pathlib import Path

CLIPS = Path(__file__).resolve().parent / "data"


@dataclass(frozen=True, slots=True)
class Clip:
    """A WAV file, 16 kHz mono PCM16, and what is said in it."""

    path: Path
    reference: str

    @property
    def pcm(self) -> bytes:
        with wave.open(str(self.path)) as file:
            frames: bytes = file.readframes(file.getnframes())
        return frames


def load_clips(folder: Path = CLIPS) -> list[Clip]:
    """Return a folder's clips by its manifest, the long lecture apart."""
    rows = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return [Clip(folder / row["filename"], row["reference"]) for row in rows if row["filename"] != "lecture.wav"]


def normalise(text: str) -> str:
    """Reduce a text to what word error rate counts: lower case, no punctuation, ё as е."""
    return " ".join(re.sub(r"[^\w\s]", "", text.lower().replace("ё", "е")).split())
