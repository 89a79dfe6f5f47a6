"""Features and tokens: what the network sees and what it writes.

log-mel: Hann window of 320 samples, hop 160, no centring, 64 HTK bins without normalisation, power spectrum,
`log(clamp(x, 1e-9, 1e9))`: the same as `gigastt.speech.features`, differentiable libraries aside.
"""

from __future__ import annotations

import math
from pathlib import Path

import sentencepiece
import torch
from torch import Tensor

from tools.demo_model.synthesis import SAMPLE_RATE

FLOOR = math.log(1e-9)
PIECES = 192
_ALPHABET = "АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдеёжзийклмнопрстуфхцчшщъыьэюя-"


def mel_matrix() -> Tensor:
    """Return [161 bins, 64 mels]: HTK triangles over 0 to 8000 Hz, not normalised."""
    frequency = torch.linspace(0, SAMPLE_RATE / 2, 161, dtype=torch.float64)
    top = 2595.0 * math.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    edges = 700.0 * (10 ** (torch.linspace(0, top, 66, dtype=torch.float64) / 2595.0) - 1.0)
    width = edges[1:] - edges[:-1]
    slopes = edges[None, :] - frequency[:, None]
    return torch.clamp(torch.minimum(-slopes[:, :-2] / width[:-1], slopes[:, 2:] / width[1:]), min=0).float()


_MEL = mel_matrix()
_WINDOW = torch.hann_window(320, periodic=True)


def log_mel(waveform: Tensor) -> Tensor:
    """Return [frames, 64] of a waveform [samples]; frames = (samples - 320) // 160 + 1."""
    spectrum = torch.fft.rfft(waveform.unfold(0, 320, 160) * _WINDOW)
    return ((spectrum.real**2 + spectrum.imag**2) @ _MEL).clamp(1e-9, 1e9).log()


class Tokens:
    """SentencePiece pieces, ids 0 to n - 1 (0 is `<unk>`); the blank is n."""

    def __init__(self, model: Path) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
        self.blank: int = self._processor.get_piece_size()
        self.size = self.blank + 1

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._processor.encode(text) if text else []
        return ids

    def piece(self, token: int) -> str:
        return str(self._processor.id_to_piece(token))

    def decode(self, ids: list[int]) -> str:
        return "".join(self.piece(token) for token in ids).replace("▁", " ").strip()


def train_tokens(texts: list[str], prefix: Path) -> None:
    """Train a unigram model; writes `prefix.model`."""
    source = prefix.with_suffix(".txt")
    source.write_text("\n".join(texts), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(source),
        model_prefix=str(prefix),
        vocab_size=PIECES,
        model_type="unigram",
        character_coverage=1.0,
        normalization_rule_name="identity",
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        user_defined_symbols=[".", ",", "?", "!"],
        num_threads=1,
        required_chars=_ALPHABET,
    )
