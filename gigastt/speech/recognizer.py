"""The recogniser: windows of log-mel in, hypotheses out.

Owned by the main thread of one worker process, or by `gigastt transcribe`. It encodes and searches what
it is given and remembers nothing between calls; it must not know streams, segments or load.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, TypeAlias, TypeVar

import numpy as np

from gigastt.errors import InferenceError, ModelInvalid
from gigastt.speech.ctc import CtcSearch
from gigastt.speech.device import CORE, Device
from gigastt.speech.features import MELS
from gigastt.speech.mapped_search import choose_network
from gigastt.speech.model import CtcEncoder, CtcFiles, Encoder, Triplet, TripletFiles
from gigastt.speech.phrases import alphabet_of
from gigastt.speech.search import MAX_SYMBOLS, RunNetwork, Transducer
from gigastt.speech.tokens import EncoderOut, Hypothesis, SearchState, Vocabulary, Window
from gigastt.transcript import Hotword, Options

MAX_WINDOW_FRAMES: Final = 2050  # 20.5 s; beyond about 30 s a full-context encoder degrades
_BUCKET: Final = 1.25  # the longest window of a bucket over the shortest: so much padding at most

Member = TypeVar("Member")
Attempt: TypeAlias = Hypothesis | InferenceError


@dataclass(frozen=True, slots=True)
class Sharing:
    """The windows that an encoder takes in one pass.

    windows: in one pass, at most.
    longest: feature frames of a window that shares a pass.
    width: windows of full length that one pass holds; no pass holds more frames.
    finals: a window's result is the same, up to rounding, whatever else is in its pass.
    pads: windows of different lengths may share one.
    """

    windows: int = 4
    longest: int = 160  # 1.6 s: beyond, a batch gains nothing on a core
    width: int = 1
    finals: bool = False
    pads: bool = False

    def choose(self, items: Iterable[Member], frames_of: Callable[[Member], int]) -> list[Member]:
        """Choose the items of one pass: the first, and those behind it that may share it.

        Reads no further than it must: nothing behind the first when that is long.
        """
        chosen: list[Member] = []
        room = 0
        for item in items:
            frames = frames_of(item)
            if not chosen:
                bucket, room = self._bucket(frames), self._room(frames)
            if not chosen or self._bucket(frames) == bucket:
                chosen.append(item)
            if len(chosen) >= room:
                break
        return chosen

    def _bucket(self, frames: int) -> int:
        return math.ceil(math.log(frames, _BUCKET)) if self.pads and frames > 0 else frames

    def _room(self, frames: int) -> int:
        """Return how many windows like this one a pass holds."""
        if frames > self.longest:
            return 1
        most = frames * _BUCKET if self.pads else frames
        return max(1, min(self.windows, int(self.width * MAX_WINDOW_FRAMES / max(most, 1))))


ON_CORE: Final = Sharing()
ON_CARD: Final = Sharing(windows=32, longest=MAX_WINDOW_FRAMES, width=16, finals=True)


class Transcriber(Protocol):
    """The port through which the worker engine uses a recogniser; tests put a fake in its place."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def encoder_name(self) -> str: ...

    @property
    def sharing(self) -> Sharing: ...

    def transcribe(self, window: Window) -> Hypothesis: ...

    def transcribe_batch(self, windows: Sequence[Window]) -> list[Hypothesis]: ...


def transcribe_each(recognizer: Transcriber, windows: Sequence[Window]) -> list[Attempt]:
    """Transcribe windows in one pass; where that fails, each alone: one that cannot be costs the others nothing."""
    if len(windows) > 1:
        try:
            return [*recognizer.transcribe_batch(windows)]
        except InferenceError:
            pass
    attempts: list[Attempt] = []
    for window in windows:
        try:
            attempts.append(recognizer.transcribe(window))
        except InferenceError as exc:
            attempts.append(exc)
    return attempts


class Search(Protocol):
    """How encoder frames become tokens: one class for each kind of head.

    takes_hotwords: whether `options` make a difference.
    """

    @property
    def takes_hotwords(self) -> bool: ...
    def search(
        self,
        encoder_out: EncoderOut,
        first_frame: int = 0,
        skip: int = 0,
        state: SearchState | None = None,
        options: Options | None = None,
    ) -> Hypothesis: ...


class Recognizer:
    """One model, ready to transcribe windows."""

    def __init__(
        self,
        encoder: Encoder,
        search: Search,
        vocabulary: Vocabulary,
        encoder_name: str,
        *,
        runs_graphs: bool = False,
        sharing: Sharing = ON_CORE,
    ) -> None:
        """Take the parts; `runs_graphs` tells that the search runs decoder and joint graphs, its slower way."""
        self.runs_graphs = runs_graphs
        self.sharing = sharing
        self.alphabet = alphabet_of(vocabulary.pieces) if search.takes_hotwords else ""
        self.vocabulary = vocabulary
        self.encoder_name = encoder_name
        self._encoder = encoder
        self._search = search

    @classmethod
    def load(
        cls,
        files: TripletFiles | CtcFiles,
        *,
        session_config: Mapping[str, str] | None = None,
        hotwords: tuple[Hotword, ...] = (),
        device: Device = CORE,
    ) -> Recognizer:
        """Load the model files and check them against each other.

        Args:
            files: where they are; a `config.json` beside them may say how many tokens a frame may emit.
            session_config: further onnxruntime session config entries for the encoder (mapped weights).
            hotwords: that every final prefers, besides those of its client.
            device: where the encoder runs; the search runs on the core.

        Raises:
            ModelInvalid: a file is not what its name says, or they do not belong together.
            ProviderMissing: the device cannot be had.
        """
        vocabulary = Vocabulary.load(files.vocabulary)
        if isinstance(files, CtcFiles):
            ctc = CtcEncoder(files.encoder, session_config=session_config, device=device)
            _check_size(ctc.dim, files.encoder, vocabulary, files.vocabulary)
            sharing = _find_sharing(ctc, device)
            return cls(ctc, CtcSearch(vocabulary), vocabulary, files.encoder.stem, sharing=sharing)
        triplet = Triplet.load(files, session_config=session_config, device=device)
        _check_size(triplet.joint.vocabulary_size, files.joint, vocabulary, files.vocabulary)
        graphs = RunNetwork(triplet.decoder, triplet.joint)
        network = choose_network(files, graphs, triplet.encoder.dim)
        most = _read_max_symbols(files.vocabulary.parent)
        transducer = Transducer(network, vocabulary, max_symbols=most, hotwords=hotwords)
        encoder, name = triplet.encoder, files.encoder.stem
        sharing = _find_sharing(encoder, device)
        return cls(encoder, transducer, vocabulary, name, runs_graphs=network is graphs, sharing=sharing)

    def transcribe(self, window: Window) -> Hypothesis:
        """Encode and search one window, alone: the one function behind finals and file segments.

        Raises:
            InferenceError: the window is empty or over 20.5 s, or onnxruntime refused it.
        """
        return self._transcribe([window])[0]

    def transcribe_batch(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """Encode several windows in one pass, of one length unless `sharing` says otherwise.

        Unless `sharing.finals`, results are for partials only: an int8 encoder scales its activations per tensor, so
        they depend on the batch mates.

        Raises:
            InferenceError: as `transcribe`, or the windows differ in length.
        """
        return self._transcribe(windows) if windows else []

    def _transcribe(self, windows: Sequence[Window]) -> list[Hypothesis]:
        frames = [len(window.features) for window in windows]
        if len(set(frames)) != 1 and not self.sharing.pads:
            raise InferenceError(f"Expected windows of one length in a batch, but got {frames} feature frames.")
        if not all(0 < count <= MAX_WINDOW_FRAMES for count in frames):
            raise InferenceError(f"Expected windows of 1 to {MAX_WINDOW_FRAMES} feature frames, but got {frames}.")
        at_once = self._encoder.max_batch or len(windows)
        hypotheses: list[Hypothesis] = []
        for begin in range(0, len(windows), at_once):
            hypotheses += self._run_pass(windows[begin : begin + at_once])
        return hypotheses

    def _run_pass(self, windows: Sequence[Window]) -> list[Hypothesis]:
        lengths = np.array([len(window.features) for window in windows], dtype=np.int64)
        features = np.zeros((len(windows), MELS, lengths.max()), dtype=np.float32)
        for row, window in zip(features, windows, strict=True):
            row[:, : len(window.features)] = window.features.T
        encoded, encoded_len = self._encoder.encode(features, lengths)
        return [
            self._search.search(encoder_out[:, :length], window.first_frame, window.skip, window.state, window.options)
            for window, encoder_out, length in zip(windows, encoded, encoded_len.tolist(), strict=True)
        ]


def _find_sharing(encoder: Encoder, device: Device) -> Sharing:
    """Return what an encoder takes at once on a device."""
    if not device.is_card:
        return ON_CORE
    several = encoder.max_batch is None
    return replace(ON_CARD, windows=ON_CARD.windows if several else 1, pads=several and encoder.takes_padding())


def _check_size(scores: int, head: Path, vocabulary: Vocabulary, path: Path) -> None:
    if scores != len(vocabulary):
        raise ModelInvalid(
            f"Expected {scores} pieces in {path.name}, as many as {head.name} scores, but got {len(vocabulary)}."
        )


def _read_max_symbols(folder: Path) -> int:
    """Return how many tokens a frame may emit: `max_tokens_per_step` of `config.json`, if there is one."""
    path = folder / "config.json"
    try:
        most = json.loads(path.read_bytes()).get("max_tokens_per_step", MAX_SYMBOLS)
    except FileNotFoundError:
        return MAX_SYMBOLS
    except (OSError, ValueError, AttributeError) as exc:
        raise ModelInvalid(f"Expected a JSON object in {path}.") from exc
    if type(most) is not int or most < 1:
        raise ModelInvalid(f"Expected a whole number from 1 on as max_tokens_per_step in {path}, but got {most!r}.")
    return most
