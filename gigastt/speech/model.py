"""A model's graphs as onnxruntime sessions, held to their contract: a transducer's triplet, or a CTC encoder.

    encoder  audio_signal f32 [B, 64, T], length i64 [B]        → encoded f32 [B, D, T'], encoded_len i32 [B]
    decoder  x i64 [B, 1], h.1 f32 [1, B, P], c.1 f32 [1, B, P] → dec f32 [B, 1, P], h f32 [1, B, P], c f32 [1, B, P]
    joint    enc f32 [B, D, 1], dec f32 [B, P, 1]               → joint f32 [B, 1, 1, V]
    CTC      features f32 [B, 64, T], feature_lengths i64 [B]   → log_probs f32 [B, T', V]

Tensors are taken by name, and by position where an exporter chose other names (`h`/`c`, `hi`/`ci`). D, P
and V are read off the loaded files. Owned by one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from gigastt.errors import InferenceError, ModelInvalid, ProviderMissing
from gigastt.speech.device import CORE, Device
from gigastt.speech.features import MELS
from gigastt.speech.network import NetworkGraph, TensorSpec
from gigastt.speech.tokens import SUBSAMPLING

Floats: TypeAlias = npt.NDArray[np.float32]
Lengths: TypeAlias = npt.NDArray[np.int64]  # [batch]

_TRIAL_FRAMES = 40  # feature frames run through a model when it is loaded: 0.4 s
_PADDED_FRAMES = 300, 200  # of two rows, for a look at what padding does to the shorter one
_PADDING_TOLERANCE = 0.05  # of a frame; 16-bit rounding moves one by less than 0.01, a missing mask by 0.3


@dataclass(frozen=True, slots=True)
class TripletFiles:
    """The files of one model."""

    encoder: Path
    decoder: Path
    joint: Path
    vocabulary: Path

    @property
    def search_weights(self) -> Path:
        """The optional file beside the decoder that lets the search do without decoder and joint runs."""
        return self.decoder.with_name(f"{self.decoder.stem.partition('_decoder')[0]}_search.npy")


@dataclass(frozen=True, slots=True)
class CtcFiles:
    """The files of a model whose encoder and head are one graph."""

    encoder: Path
    vocabulary: Path


def recogniser_files(
    encoder: Path, decoder: Path | None, joint: Path | None, vocabulary: Path
) -> TripletFiles | CtcFiles:
    """Return the files of a model: of a transducer where there is a decoder, else of a CTC model."""
    if decoder is None or joint is None:
        return CtcFiles(encoder, vocabulary)
    return TripletFiles(encoder, decoder, joint, vocabulary)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predictor's output and recurrent state, float32, each [P]."""

    dec: Floats
    h: Floats
    c: Floats


class Encoder:
    """Features to encoder frames."""

    _INPUTS: ClassVar[Sequence[TensorSpec]] = (
        TensorSpec("audio_signal", "float32", (None, MELS, None)),
        TensorSpec("length", "int64", (None,)),
    )
    _OUTPUTS: ClassVar[Sequence[TensorSpec]] = (
        TensorSpec("encoded", "float32", (None, None, None)),
        TensorSpec("encoded_len", "int32", (None,)),
    )

    def __init__(self, path: Path, *, session_config: Mapping[str, str] | None = None, device: Device = CORE) -> None:
        """Open the encoder and learn D.

        Raises:
            ModelInvalid: the file is missing, unreadable, or breaks its contract.
            ProviderMissing: the device cannot be had.
        """
        self._is_on_card = device.is_card
        self._graph = NetworkGraph(
            path, inputs=self._INPUTS, outputs=self._OUTPUTS, session_config=session_config, device=device
        )
        with _contract_of(self._graph):
            _, self.dim, frames = self._run_trial(1)[0].shape
        declared = self._graph.input_shapes[0][0]
        self.max_batch = declared if isinstance(declared, int) else self._try_batch(frames)

    def _try_batch(self, frames: int) -> int | None:
        """Return None if two rows share a pass, else 1: exporters call a batch dynamic that they traced as one."""
        try:
            encoded, _ = self._run_trial(2)
        except InferenceError:
            return 1
        return None if encoded.shape[2] == frames else 1

    def takes_padding(self) -> bool:
        """Try whether rows of different lengths may share a pass: a padded one gives what it gives alone."""
        longer, shorter = _PADDED_FRAMES
        features = np.random.default_rng(0).normal(-7.0, 3.0, (2, MELS, longer)).astype(np.float32)
        features[1, :, shorter:] = 0.0
        try:
            together, _ = self.encode(features, np.array(_PADDED_FRAMES, dtype=np.int64))
            alone, lengths = self.encode(features[1:, :, :shorter], np.array([shorter], dtype=np.int64))
        except InferenceError:
            return False
        expected, got = alone[0, :, : lengths[0]], together[1, :, : lengths[0]]
        if expected.shape != got.shape:
            return False
        errors = np.linalg.norm(expected - got, axis=0) / np.linalg.norm(expected, axis=0)
        return bool(errors.max() <= _PADDING_TOLERANCE)

    def _run_trial(self, rows: int) -> tuple[Floats, npt.NDArray[np.int32]]:
        return self.encode(*_trial(rows))

    def encode(self, features: Floats, lengths: Lengths) -> tuple[Floats, npt.NDArray[np.int32]]:
        """Run the encoder once over a batch of equal windows.

        Args:
            features: log-mel, float32 [batch, mel=64, frames], 10 ms per frame.
            lengths: valid feature frames, int64 [batch].

        Returns:
            Encoder frames, float32 [batch, dim, time], 40 ms each, and valid lengths, int32 [batch].

        Raises:
            InferenceError: onnxruntime refused the input; the session stays usable.
            ProviderMissing: the card does not compute any more; only another process can use it again.
        """
        try:
            encoded, encoded_len = self._run(features, lengths)
        except InferenceError as exc:
            if self._is_on_card and not self._still_computes():
                raise ProviderMissing(f"The card does not compute any more: {exc}") from exc
            raise
        if len(encoded) != len(features) or len(encoded_len) != len(features):
            raise InferenceError(f"Expected {len(features)} windows from {self._graph.name}, but got {len(encoded)}.")
        if int(encoded_len.max(initial=0)) > encoded.shape[2]:
            raise InferenceError(f"Expected encoded_len of {self._graph.name} to be at most {encoded.shape[2]}.")
        return encoded, encoded_len

    def _still_computes(self) -> bool:
        """Tell whether a plain pass works: some faults of a card spoil every pass after them."""
        try:
            self._run(*_trial(1))
        except InferenceError:
            return False
        return True

    def _run(self, features: Floats, lengths: Lengths) -> tuple[Floats, npt.NDArray[np.int32]]:
        encoded, encoded_len = self._graph.run(features, lengths)
        return encoded, encoded_len


class CtcEncoder(Encoder):
    """An encoder with its head: features to log-probabilities, D being the vocabulary's size.

    Such a graph tells no lengths: a frame of 40 ms stands for four feature frames begun.
    """

    _INPUTS: ClassVar[Sequence[TensorSpec]] = (
        TensorSpec("features", "float32", (None, MELS, None)),
        TensorSpec("feature_lengths", "int64", (None,)),
    )
    _OUTPUTS: ClassVar[Sequence[TensorSpec]] = (TensorSpec("log_probs", "float32", (None, None, None)),)

    def _run(self, features: Floats, lengths: Lengths) -> tuple[Floats, npt.NDArray[np.int32]]:
        (scores,) = self._graph.run(features, lengths)
        return scores.transpose(0, 2, 1), ((lengths - 1) // SUBSAMPLING + 1).astype(np.int32)


class Decoder:
    """The prediction network: one step for each emitted token."""

    def __init__(self, path: Path) -> None:
        """Open the decoder and learn P.

        Raises:
            ModelInvalid: the file is missing, unreadable, or breaks its contract.
        """
        state = (1, None, None)
        self._graph = NetworkGraph(
            path,
            inputs=(
                TensorSpec("x", "int64", (None, 1)),
                TensorSpec("h.1", "float32", state),
                TensorSpec("c.1", "float32", state),
            ),
            outputs=(
                TensorSpec("dec", "float32", (None, 1, None)),
                TensorSpec("h", "float32", state),
                TensorSpec("c", "float32", state),
            ),
        )
        size = self._graph.input_shapes[1][-1]
        if not isinstance(size, int):
            raise ModelInvalid(f"Expected a state of fixed size in {path.name}, but its last dimension is {size!r}.")
        self.state_size = size
        with _contract_of(self._graph):
            self.predict(0, np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32))

    def predict(self, token: int, h: Floats, c: Floats) -> Prediction:
        """Run one step from state `h`, `c` (each [P]) over the token just emitted, or blank at the start.

        Raises:
            InferenceError: onnxruntime refused the input; the session stays usable.
        """
        size = self.state_size
        outputs = self._graph.run(np.array([[token]], dtype=np.int64), h.reshape(1, 1, size), c.reshape(1, 1, size))
        if any(output.size != size for output in outputs):
            shapes = [list(output.shape) for output in outputs]
            raise InferenceError(f"Expected outputs of {size} numbers from {self._graph.name}, but got {shapes}.")
        dec, h_next, c_next = (output.reshape(size) for output in outputs)
        return Prediction(dec, h_next, c_next)


class Joint:
    """Encoder frame and prediction to scores."""

    def __init__(self, path: Path, *, encoder_dim: int, state_size: int) -> None:
        """Open the joint and learn V.

        Raises:
            ModelInvalid: the file is missing, unreadable, or takes other sizes than encoder and decoder give.
        """
        self._graph = NetworkGraph(
            path,
            inputs=(TensorSpec("enc", "float32", (None, None, 1)), TensorSpec("dec", "float32", (None, None, 1))),
            outputs=(TensorSpec("joint", "float32", (None, 1, 1, None)),),
        )
        with _contract_of(self._graph):
            trial = self.join(np.zeros(encoder_dim, dtype=np.float32), np.zeros(state_size, dtype=np.float32))
        self.vocabulary_size = len(trial)

    def join(self, encoder_frame: Floats, dec: Floats) -> Floats:
        """Score one encoder frame [D] against one predictor output [P]; return scores [V].

        Raises:
            InferenceError: onnxruntime refused the input; the session stays usable.
        """
        (scores,) = self._graph.run(encoder_frame.reshape(1, -1, 1), dec.reshape(1, -1, 1))
        flat: Floats = scores.reshape(-1)
        return flat


@dataclass(frozen=True, slots=True)
class Triplet:
    """The three graphs of one model."""

    encoder: Encoder
    decoder: Decoder
    joint: Joint

    @classmethod
    def load(
        cls, files: TripletFiles, *, session_config: Mapping[str, str] | None = None, device: Device = CORE
    ) -> Triplet:
        """Open the three files and run each once.

        Args:
            files: where they are.
            session_config: further onnxruntime session config entries for the encoder (mapped weights).
            device: where the encoder runs; decoder and joint run on the core.

        Raises:
            ModelInvalid: a file is missing, unreadable, or breaks its contract, or they do not fit together.
        """
        encoder = Encoder(files.encoder, session_config=session_config, device=device)
        decoder = Decoder(files.decoder)
        joint = Joint(files.joint, encoder_dim=encoder.dim, state_size=decoder.state_size)
        return cls(encoder, decoder, joint)


def _trial(rows: int) -> tuple[Floats, Lengths]:
    return np.zeros((rows, MELS, _TRIAL_FRAMES), np.float32), np.full(rows, _TRIAL_FRAMES, np.int64)


class _contract_of:  # noqa: N801 - reads as a statement: `with _contract_of(graph):`
    """Turn the failure of a model's trial run into a sentence about the model."""

    def __init__(self, graph: NetworkGraph) -> None:
        self._graph = graph

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, InferenceError):
            raise ModelInvalid(f"{self._graph.name} fails its trial run: {error}") from error
