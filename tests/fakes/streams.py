"""Streams over spoken material, with a recogniser whose every token tells when a frame has changed."""

from __future__ import annotations

import json
import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from gigastt.audio.pcm import Samples
from gigastt.speech.activity import ActivityDetector, ActivityModel, Row
from gigastt.speech.commit import Commit
from gigastt.speech.stream import Stream
from gigastt.speech.tokens import SUBSAMPLING, Features, Hypothesis, SearchState, Token, Window
from gigastt.transcript import Final, Options, Word

DATA = Path(__file__).resolve().parent.parent / "data"
MUMBLED = range(1_000, 1_700)  # feature frames of the client's audio in which the fake recogniser hears no word
_STATE = np.zeros(1, np.float32)


class RememberingModel(ActivityModel):
    """The detector's network, run once for each unit and state: the examples below say the same audio many times."""

    def __init__(self, model: bytes) -> None:
        super().__init__(model)
        self._answers: dict[bytes, tuple[Row, Row, Row, Row]] = {}

    def run(self, features: Features, above: Row, last: Row, hidden: Row) -> tuple[Row, Row, Row, Row]:
        question = b"".join(array.tobytes() for array in (features, above, last, hidden))
        if question not in self._answers:
            self._answers[question] = super().run(features, above, last, hidden)
        return self._answers[question]


MODEL = RememberingModel.load()


def open_stream(
    *, endpoint_silence_ms: int = 600, partials: bool = True, start: int = 0, resume: bytes = b""
) -> Stream:
    options = Options(endpoint_silence_ms=endpoint_silence_ms, partials=partials)
    return Stream(options, lambda: ActivityDetector(MODEL), start, resume)


@cache
def clips() -> tuple[Samples, ...]:
    names = [clip["filename"] for clip in json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))]
    return tuple(_read(DATA / name) for name in names)


def _read(path: Path) -> Samples:
    with wave.open(str(path)) as wav:
        samples: Samples = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2").astype(np.int16)
    return samples


@cache
def conversation() -> Samples:
    """Several clips with pauses between, a little noise throughout."""
    rng = np.random.default_rng(0)
    pieces = [piece for clip in clips()[:4] for piece in (clip, np.zeros(rng.integers(3_000, 25_000), np.int16))]
    samples = np.concatenate(pieces)
    return samples + rng.integers(-3, 4, len(samples)).astype(np.int16)


@cache
def monologue() -> Samples:
    """Three quarters of a minute of speech without a breath; nothing is recognised in `MUMBLED`."""
    voiced = [without_silence(clip) for clip in clips()]
    return np.tile(np.concatenate(voiced), 4)[: 45 * 16_000]


def without_silence(samples: Samples) -> Samples:
    blocks = samples[: len(samples) // 640 * 640].reshape(-1, 640)
    voiced: Samples = blocks[np.abs(blocks).max(axis=1) > 600].reshape(-1)
    return voiced


def transcribe_fake(window: Window) -> Hypothesis:
    """One token for every encoder frame that is louder than the last, so any changed frame shows."""
    loudness = window.features[::SUBSAMPLING].sum(axis=1)
    louder = [n for n in range(max(1, window.skip), len(loudness)) if loudness[n] > loudness[n - 1] + 40]
    heard = [n for n in louder if window.first_frame + SUBSAMPLING * n not in MUMBLED]
    tokens = tuple(Token(1, f"▁{loudness[n]:.4f}", window.first_frame + SUBSAMPLING * n, 1.0) for n in heard)
    return Hypothesis(tokens, tuple(SearchState(token.id, _STATE, _STATE, _STATE) for token in tokens))


@dataclass(frozen=True)
class Outcome:
    """What must not depend on anything but the audio."""

    words: tuple[Word, ...]
    start: float
    end: float
    reason: str
    commit: Commit

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


def outcome(final: Final, commit: Commit) -> Outcome:
    return Outcome(final.words, final.start, final.end, final.reason, commit)


def take_finals(stream: Stream) -> list[Outcome]:
    finals = []
    while (utterance := stream.next_final()) is not None:
        hypothesis = utterance.hypothesis if utterance.hypothesis is not None else transcribe_fake(utterance.window)
        final = stream.accept_final(utterance, hypothesis)
        if final is not None:
            finals.append(outcome(final, utterance.commit))
    return finals


def run(samples: Samples, piece: int = 16_000, endpoint_silence_ms: int = 600) -> list[Outcome]:
    stream = open_stream(partials=False, endpoint_silence_ms=endpoint_silence_ms)
    finals = []
    for begin in range(0, len(samples), piece):
        stream.push(samples[begin : begin + piece])
        finals += take_finals(stream)
    stream.finish()
    return finals + take_finals(stream)


@cache
def expected(kind: str, endpoint_silence_ms: int = 600) -> list[Outcome]:
    return run({"conversation": conversation, "monologue": monologue}[kind](), endpoint_silence_ms=endpoint_silence_ms)


def audio(kind: str) -> Samples:
    return {"conversation": conversation, "monologue": monologue}[kind]()
