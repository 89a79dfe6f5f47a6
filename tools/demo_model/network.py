"""Network: a small full-context conformer transducer with the tensor contract of GigaAM v3 e2e_rnnt.

    encoder  log-mel [B, 64, T], length [B]  → encoded [B, D, T'], encoded_len [B];  T' = (T - 1) // 4 + 1
    decoder  token [B, 1], LSTM state        → dec [B, 1, P], LSTM state
    joint    enc [B, D, 1], dec [B, P, 1]    → joint [B, 1, 1, V]

Padding never changes a result: every convolution sees zeros behind the end of an utterance, attention masks the
padded keys, and all norms are per frame. Conformer: Gulati et al. 2020; rotary positions: Su et al. 2021.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_MASKED = -1e4


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """Sizes of every part; `vocabulary` counts `<unk>` (0) and `<blk>` (last)."""

    vocabulary: int = 194
    width: int = 144
    layers: int = 6
    heads: int = 4
    feed_forward: int = 288
    kernel: int = 15
    subsampling: int = 144
    predictor: int = 320  # the state size that decoders of GigaAM expect
    embedding: int = 64
    joint: int = 128

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """Return bool [batch, frames], true on the frames of each utterance."""
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


class Subsampling(nn.Module):
    """Two strided convolutions: frames of 10 ms in, of 40 ms out."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.first = nn.Conv1d(64, shape.subsampling, 5, stride=2, padding=2)
        self.second = nn.Conv1d(shape.subsampling, shape.width, 5, stride=2, padding=2)
        self.project = nn.Linear(shape.width, shape.width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        hidden = (features + 8.0) * 0.25  # log-mel to roughly unit range
        for convolution in (self.first, self.second):
            inside = frame_mask(lengths, hidden.shape[2]).unsqueeze(1).to(hidden.dtype)
            hidden = functional.silu(convolution(hidden * inside))
            lengths = torch.div(lengths - 1, 2, rounding_mode="floor") + 1
        return self.project(hidden.transpose(1, 2)), lengths


class FeedForward(nn.Module):
    """Norm, widen, narrow."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.widen = nn.Linear(shape.width, shape.feed_forward)
        self.narrow = nn.Linear(shape.feed_forward, shape.width)

    def forward(self, hidden: Tensor) -> Tensor:
        narrowed: Tensor = self.narrow(functional.silu(self.widen(self.norm(hidden))))
        return narrowed


@dataclass(frozen=True, slots=True)
class Rotation:
    """Cosines and sines of the rotary positions, each [frames, head / 2]."""

    cosine: Tensor
    sine: Tensor

    @classmethod
    def of(cls, frames: int, head: int, device: torch.device) -> Rotation:
        frequency = 10000.0 ** (-torch.arange(0, head, 2, device=device).float() / head)
        angle = torch.arange(frames, device=device).float()[:, None] * frequency[None, :]
        return cls(angle.cos(), angle.sin())

    def apply(self, heads: Tensor) -> Tensor:
        """Rotate [batch, heads, frames, head]."""
        cosine, sine = self.cosine.to(heads.dtype), self.sine.to(heads.dtype)
        left, right = heads.chunk(2, dim=-1)
        return torch.cat((left * cosine - right * sine, right * cosine + left * sine), dim=-1)


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions: no limit on the length."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.heads, self.head = shape.heads, shape.width // shape.heads
        self.norm = nn.LayerNorm(shape.width)
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width)
        self.project = nn.Linear(shape.width, shape.width)

    def forward(self, hidden: Tensor, rotation: Rotation, mask: Tensor) -> Tensor:
        batch, frames, width = hidden.shape
        together = self.query_key_value(self.norm(hidden)).view(batch, frames, 3, self.heads, self.head)
        query, key, value = together.permute(2, 0, 3, 1, 4).unbind(0)
        query, key = rotation.apply(query), rotation.apply(key)
        # Written out: the backward pass of PyTorch's fused CPU attention is several times slower at this size.
        scores = (query * self.head**-0.5) @ key.transpose(2, 3) + mask.to(query.dtype)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, frames, width)
        projected: Tensor = self.project(mixed)
        return projected


class Convolution(nn.Module):
    """Gated pointwise, depthwise and pointwise convolution."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        width, kernel = shape.width, shape.kernel
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        # Two-dimensional with one column: PyTorch has a fast channels-last kernel for it, ten times conv1d on a CPU.
        self.depthwise: nn.Module = nn.Conv2d(width, width, (kernel, 1), padding=(kernel // 2, 0), groups=width)
        self.inner_norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, width)

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        gated = functional.glu(self.expand(self.norm(hidden)), dim=-1) * inside.to(hidden.dtype)
        mixed = self.depthwise(gated.transpose(1, 2).unsqueeze(3)).squeeze(3).transpose(1, 2)
        projected: Tensor = self.project(functional.silu(self.inner_norm(mixed)))
        return projected


class ConformerLayer(nn.Module):
    """Half a feed-forward, attention, convolution, the other half."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.before, self.after = FeedForward(shape), FeedForward(shape)
        self.attention, self.convolution = Attention(shape), Convolution(shape)
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, hidden: Tensor, rotation: Rotation, mask: Tensor, inside: Tensor) -> Tensor:
        hidden = hidden + 0.5 * self.before(hidden)
        hidden = hidden + self.attention(hidden, rotation, mask)
        hidden = hidden + self.convolution(hidden, inside)
        hidden = hidden + 0.5 * self.after(hidden)
        normed: Tensor = self.norm(hidden)
        return normed


class Encoder(nn.Module):
    """Log-mel to encoder frames."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        self.subsampling = Subsampling(shape)
        self.layers = nn.ModuleList(ConformerLayer(shape) for _ in range(shape.layers))

    def forward(self, audio_signal: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        hidden, length = self.subsampling(audio_signal, length)
        inside = frame_mask(length, hidden.shape[1])
        mask = (~inside).to(torch.float32)[:, None, None, :] * _MASKED
        rotation = Rotation.of(hidden.shape[1], self.shape.width // self.shape.heads, hidden.device)
        for layer in self.layers:
            hidden = layer(hidden, rotation, mask, inside.unsqueeze(2))
        return hidden.transpose(1, 2), length.to(torch.int32)


class Predictor(nn.Module):
    """The decoder file: an embedding and one LSTM step."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.embed = nn.Embedding(shape.vocabulary, shape.embedding)
        self.lstm = nn.LSTM(shape.embedding, shape.predictor, batch_first=True)

    def forward(self, tokens: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dec, (hidden, cell) = self.lstm(self.embed(tokens), (hidden, cell))
        return dec, hidden, cell


class Joint(nn.Module):
    """Adds what encoder and predictor say, and scores every token."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.from_encoder = nn.Linear(shape.width, shape.joint)
        self.from_predictor = nn.Linear(shape.predictor, shape.joint)
        self.score = nn.Linear(shape.joint, shape.vocabulary)

    def lattice(self, encoded: Tensor, dec: Tensor) -> Tensor:
        """Return logits [B, T, U, V] of [B, T, D] and [B, U, P]."""
        hidden = self.from_encoder(encoded).unsqueeze(2) + self.from_predictor(dec).unsqueeze(1)
        logits: Tensor = self.score(torch.relu(hidden))
        return logits

    def forward(self, enc: Tensor, dec: Tensor) -> Tensor:
        return self.lattice(enc.transpose(1, 2), dec.transpose(1, 2)).log_softmax(-1)


class Transducer(nn.Module):
    """The three parts, and a CTC layer that only training uses."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder, self.predictor, self.joint = Encoder(shape), Predictor(shape), Joint(shape)
        self.ctc = nn.Linear(shape.width, shape.vocabulary)
