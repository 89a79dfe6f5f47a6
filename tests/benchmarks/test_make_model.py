"""The benchmark model has GigaAM v3's exact sizes, and speaks when spoken to, as a trained model does."""

from __future__ import annotations

import json
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cues, make_model
from benchmarks.conformer import EncoderShape, write_encoder
from benchmarks.graph_writer import GraphWriter
from benchmarks.prediction import VOCABULARY, JointInput, deal_tokens, vocabulary, write_decoder, write_joint
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.speech.features import log_mel
from gigastt.speech.model import TripletFiles
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.tokens import FRAME_SAMPLES, SUBSAMPLING, Token, Window

SMALL = EncoderShape(layers=2, width=64, heads=4)
CLIPS = Path(__file__).parents[1] / "data"
FRAMES_PER_SECOND = SAMPLE_RATE // FRAME_SAMPLES


@dataclass(frozen=True, slots=True)
class Spoken:
    """A clip: its samples, where its sentences begin and end in seconds, and the tokens found in it."""

    samples: Samples
    sentences: list[tuple[float, float]]
    tokens: tuple[Token, ...]

    def times(self) -> list[float]:
        return [token.frame / FRAMES_PER_SECOND for token in self.tokens]


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("small")
    make_model.make_model(directory, SMALL, seed=1, fitted_seconds=5.0)
    return directory


@pytest.fixture(scope="module")
def recognizer(small_model: Path) -> Recognizer:
    names = (f"v3_e2e_rnnt_{part}" for part in ("encoder.onnx", "decoder.onnx", "joint.onnx", "vocab.txt"))
    return Recognizer.load(TripletFiles(*(small_model / name for name in names)))


@pytest.fixture(scope="module")
def spoken(recognizer: Recognizer) -> list[Spoken]:
    return list(transcribe_clips(recognizer))


def transcribe_clips(recognizer: Recognizer) -> Iterator[Spoken]:
    for row in json.loads((CLIPS / "manifest.json").read_text(encoding="utf-8")):
        with wave.open(str(CLIPS / row["filename"])) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        sentences = [(sentence["start"], sentence["end"]) for sentence in row["sentences"]]
        yield Spoken(samples, sentences, find_tokens(recognizer, samples))


def find_tokens(recognizer: Recognizer, samples: Samples) -> tuple[Token, ...]:
    features = log_mel(samples)
    return recognizer.transcribe(Window(features[: len(features) // SUBSAMPLING * SUBSAMPLING], 0)).tokens


def test_encoder_of_sixteen_layers_has_the_published_number_of_parameters() -> None:
    none = write_encoder(EncoderShape(layers=0), seed=0)[1]
    one = write_encoder(EncoderShape(layers=1), seed=0)[1]
    assert none + 16 * (one - none) == make_model.ENCODER_PARAMETERS == 220_681_728


def test_decoder_and_joint_have_the_published_numbers_of_parameters() -> None:
    flat = JointInput(mean=np.zeros(768, np.float32), spread=1.0, scale=1.0)
    tokens = deal_tokens(seed=0)
    assert write_decoder(tokens, seed=0)[1] == make_model.DECODER_PARAMETERS == 1_149_760
    assert write_joint(flat, tokens, seed=0)[1] == make_model.JOINT_PARAMETERS == 677_825


def test_vocabulary_has_1025_different_pieces_and_ends_with_the_blank() -> None:
    pieces = vocabulary()
    assert len(pieces) == len(set(pieces)) == VOCABULARY == 1025
    assert pieces[0] == "<unk>"
    assert pieces[-1] == "<blk>"


def test_same_seed_writes_the_same_files(small_model: Path, tmp_path: Path) -> None:
    make_model.make_model(tmp_path, SMALL, seed=1, fitted_seconds=5.0)
    for path in small_model.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_speech_gives_some_tokens_a_second(spoken: list[Spoken]) -> None:
    seconds = sum(len(clip.samples) for clip in spoken) / SAMPLE_RATE
    assert 3.0 < sum(len(clip.tokens) for clip in spoken) / seconds < 7.0


def test_first_token_comes_soon_after_the_onset_of_speech(spoken: list[Spoken]) -> None:
    for clip in spoken:
        for start, _ in clip.sentences:
            assert min(at for at in clip.times() if at > start - 0.1) < start + 0.3


def test_no_token_comes_in_silence(spoken: list[Spoken]) -> None:
    for clip in spoken:
        for at in clip.times():
            assert any(start - 0.15 < at < end + 0.3 for start, end in clip.sentences), at


def test_noise_of_a_room_gives_no_token(recognizer: Recognizer) -> None:
    noise = np.random.default_rng(0).normal(0.0, 30.0, 5 * SAMPLE_RATE)
    assert not find_tokens(recognizer, noise.astype(np.int16))


def test_one_frame_gives_one_token_at_most(spoken: list[Spoken]) -> None:
    for clip in spoken:
        frames = [token.frame for token in clip.tokens]
        assert len(frames) == len(set(frames))


def test_tokens_are_sure_and_of_many_kinds(spoken: list[Spoken]) -> None:
    tokens = [token for clip in spoken for token in clip.tokens]
    assert float(np.median([token.probability for token in tokens])) > 0.95
    assert len({token.id for token in tokens}) > len(tokens) / 4


def test_two_in_five_tokens_begin_a_word(spoken: list[Spoken]) -> None:
    tokens = [token for clip in spoken for token in clip.tokens]
    assert 0.3 < sum(token.piece.startswith("▁") for token in tokens) / len(tokens) < 0.5


def test_window_that_ends_earlier_gives_the_same_tokens_up_to_there(
    recognizer: Recognizer, spoken: list[Spoken]
) -> None:
    clip = max(spoken, key=lambda clip: len(clip.samples))
    for seconds in (1, 2, 3):
        part = find_tokens(recognizer, clip.samples[: seconds * SAMPLE_RATE])
        assert [token.frame for token in part] == [token.frame for token in clip.tokens[: len(part)]]


def test_blank_and_punctuation_belong_to_no_kind_of_token() -> None:
    tokens = deal_tokens(seed=0)
    pieces = vocabulary()
    silent = [pieces.index(piece) for piece in ("<unk>", ".", ",", "▁", "<blk>")]
    assert not tokens.scores[:, silent].any()
    assert tokens.bias[-1] == 0.0
    assert tokens.memory.shape == (VOCABULARY, cues.MEMORY)


def test_table_of_positions_is_no_parameter() -> None:
    writer = GraphWriter("g", seed=0)
    writer.stored(np.zeros((10, 4), np.float32), "table", trained=False)
    writer.stored(np.zeros((3, 4), np.float32), "weight")
    assert writer.parameters == 12


def test_weakened_outputs_leave_a_hundredth() -> None:
    writer = GraphWriter("g", seed=0)
    writer.stored(np.ones((2, 4), np.float32), "weight")
    writer.weaken("weight", 1)
    changed = writer.change("weight", lambda values: values)
    assert np.allclose(changed, [[0.01, 1.0, 1.0, 1.0]] * 2)
