"""Voices: who is heard when within a few seconds of an utterance, and what each of them sounds like.

Two small networks. One marks, every 17 ms, which of up to three voices of a window is heard; the other makes a vector
of the frames in which a voice is alone. A result follows from the samples of its window and from nothing else, and a
window's place from its utterance's bounds: so voices are the same live and in a file, whenever they are computed. Which
speaker of a session a voice belongs to is for others to say (`gigastt.speakers`). Belongs to a worker's main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gigastt.audio.pcm import Samples
from gigastt.errors import ModelInvalid
from gigastt.speech.network import NetworkGraph, TensorSpec
from gigastt.speech.tokens import FRAME_SAMPLES
from gigastt.speech.voice_features import (
    BAND_SAMPLES,
    KALDI_BANDS,
    RESEMBLYZER_BANDS,
    at_level,
    kaldi_bands,
    resemblyzer_bands,
)
from gigastt.transcript import Voice

WINDOW_FRAMES = 400  # 4 s: at most three people speak in it, and most turns are longer
LEAST_REST_FRAMES = 200  # a shorter last window reaches back over the one before it
_LONGEST_ALONE = 300  # frames: a vector of 3 s is as good as one of 4 s, and cheaper
_LEAST_ALONE = 20  # with fewer, frames with other voices in them are taken, too
_LEAST_FRAMES = 10  # with fewer there is no voice
_LEAST_SAMPLES = 4_000  # the network that marks voices needs a quarter of a second
_MARK_SAMPLES = 270  # from one of its frames to the next
# Its seven classes: nobody, one of three voices, two of them.
_CLASSES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=bool)

_Marks: TypeAlias = npt.NDArray[np.bool_]  # [frames, voices]
_Bands: TypeAlias = npt.NDArray[np.float32]  # [frames, bands]
_FrontEnd: TypeAlias = tuple[Callable[[Samples], _Bands], Callable[[_Bands], _Bands]]

_FRONT_ENDS: dict[int, _FrontEnd] = {
    KALDI_BANDS: (kaldi_bands, lambda bands: bands - bands.mean(axis=0)),
    RESEMBLYZER_BANDS: (resemblyzer_bands, at_level),
}


@dataclass(frozen=True, slots=True)
class VoiceWindow:
    """A span to look for voices in, in frames of 10 ms: heard from `context` to `end`, told from `begin` on."""

    context: int
    begin: int
    end: int


def voice_windows(first: int, last: int) -> Iterator[VoiceWindow]:
    """Yield the windows of an utterance: whole ones from its beginning on, and a last one."""
    for begin in range(first, last, WINDOW_FRAMES):
        end = min(begin + WINDOW_FRAMES, last)
        context = begin if end - begin >= LEAST_REST_FRAMES else max(first, end - WINDOW_FRAMES)
        yield VoiceWindow(context, begin, end)


class VoiceModel:
    """The two networks."""

    def __init__(self, embedding: Path, segmentation: Path) -> None:
        """Load them.

        Args:
            embedding: float32 [batch, frames, bands=80 or 40] to float32 [batch, size].
            segmentation: float32 [batch, 1, samples] to float32 [batch, frames, classes=7].

        Raises:
            ModelInvalid: a file is missing, or breaks its contract.
        """
        feats = TensorSpec("feats", "float32", (None, None, None))
        embedded = TensorSpec("embedding", "float32", (None, None))
        self._embedding = NetworkGraph(embedding, inputs=[feats], outputs=[embedded])
        self._segmentation = NetworkGraph(
            segmentation,
            inputs=[TensorSpec("x", "float32", (None, 1, None))],
            outputs=[TensorSpec("y", "float32", (None, None, len(_CLASSES)))],
        )
        bands = self._embedding.input_shapes[0][-1]
        if bands not in _FRONT_ENDS:
            known = " or ".join(map(str, _FRONT_ENDS))
            raise ModelInvalid(f"Expected a speaker model of {known} bands in {embedding.name}, but it takes {bands}.")
        self._extract, self._prepare = _FRONT_ENDS[int(bands)]

    def find(self, samples: Samples, window: VoiceWindow) -> tuple[Voice, ...]:
        """Return the voices of a window, in the order in which they are heard.

        Args:
            samples: int16 at 16 kHz from the window's `context` on; what lies behind its end is not looked at.

        Raises:
            InferenceError: onnxruntime refused them.
        """
        count = window.end - window.context
        heard = np.zeros(max(_LEAST_SAMPLES, (count - 1) * FRAME_SAMPLES + BAND_SAMPLES), np.int16)
        known = samples[: count * FRAME_SAMPLES]
        heard[: len(known)] = known
        marks = self._mark(heard, count)
        bands = self._extract(heard)[:count]
        alone = marks.sum(axis=1) == 1
        found: list[Voice] = []
        for voice in marks.T:
            told = voice.copy()
            told[: window.begin - window.context] = False
            frames = np.flatnonzero(voice & alone)
            seconds = len(frames) / 100
            if len(frames) < _LEAST_ALONE:
                frames = np.flatnonzero(voice)
            if told.any() and len(frames) >= _LEAST_FRAMES:
                vector = self._embed(bands[frames[:_LONGEST_ALONE]])
                found.append(Voice(_spans(told, window.context), seconds, vector))
        return tuple(sorted(found, key=lambda one: one.spans))

    def _mark(self, heard: Samples, count: int) -> _Marks:
        """Return who is heard in each of the frames of 10 ms."""
        waveform = heard.astype(np.float32) / np.float32(32_768)
        (scores,) = self._segmentation.run(waveform[None, None])
        marks = _CLASSES[scores[0].argmax(axis=1)]
        middles = (np.arange(count) * FRAME_SAMPLES + FRAME_SAMPLES // 2) // _MARK_SAMPLES
        chosen: _Marks = marks[np.minimum(middles, len(marks) - 1)]
        return chosen

    def _embed(self, bands: _Bands) -> bytes:
        (vectors,) = self._embedding.run(self._prepare(bands)[None])
        vector = vectors[0].astype(np.float64)
        unit: npt.NDArray[np.float16] = (vector / max(1e-9, float(np.linalg.norm(vector)))).astype("<f2")
        return unit.tobytes()


def _spans(told: npt.NDArray[np.bool_], offset: int) -> tuple[int, ...]:
    edges: Sequence[int] = np.flatnonzero(np.diff(np.concatenate(([False], told, [False])).astype(np.int8))).tolist()
    return tuple(edge + offset for edge in edges)
