"""The device of an encoder: what was asked for, or a sentence; a processor that stands in works as a card would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gigastt.errors import InferenceError, ProviderMissing
from gigastt.models.store import resolve
from gigastt.speech.device import CORE, choose_device
from gigastt.speech.features import log_mel
from gigastt.speech.model import Encoder, Floats, Lengths, TripletFiles, recogniser_files
from gigastt.speech.recognizer import ON_CARD, ON_CORE, Recognizer
from gigastt.speech.tokens import Window
from tests.clips import load_clips
from tests.fakes.triplet import write_encoder, write_triplet

CARD = choose_device("cuda", 0, stands_in=True)


class SpoiltEncoder(Encoder):
    """An encoder whose every pass fails, once it is spoilt."""

    is_spoilt = False

    def _run(self, features: Floats, lengths: Lengths) -> tuple[Floats, npt.NDArray[np.int32]]:
        if self.is_spoilt:
            raise InferenceError("CUDA failure 700: an illegal memory access was encountered")
        return super()._run(features, lengths)


def demo_files() -> TripletFiles:
    found = resolve("demo", Path("none"))
    files = recogniser_files(found.encoder, found.decoder, found.joint, found.vocabulary)
    assert isinstance(files, TripletFiles)
    return files


def test_a_worker_has_the_card_of_its_place() -> None:
    device = choose_device("cuda", 3)
    assert (device.provider, device.options["device_id"], device.is_card) == ("CUDAExecutionProvider", "3", True)
    assert choose_device("cpu", 3) is CORE


def test_a_card_that_cannot_be_had_is_an_error_and_not_a_slow_encoder(tmp_path: Path) -> None:
    with pytest.raises(ProviderMissing, match="CUDAExecutionProvider"):
        Recognizer.load(write_triplet(tmp_path), device=choose_device("cuda", 0))


def test_what_an_encoder_takes_at_once_is_tried_when_it_is_loaded(tmp_path: Path) -> None:
    files = write_triplet(tmp_path)
    assert Recognizer.load(files).sharing == ON_CORE
    sharing = Recognizer.load(files, device=CARD).sharing
    assert (sharing.finals, sharing.width, sharing.windows) == (True, ON_CARD.width, ON_CARD.windows)
    write_encoder(files.encoder, batch=1)
    assert Recognizer.load(files, device=CARD).sharing.windows == 1


@pytest.mark.slow
def test_people_and_files_have_the_same_words_whatever_is_in_their_pass() -> None:
    recognizer = Recognizer.load(demo_files(), device=CARD)
    windows = [Window(log_mel(np.frombuffer(clip.pcm, "<i2")), 0) for clip in load_clips()[:6]]
    assert recognizer.sharing.pads
    together = recognizer.transcribe_batch(windows)
    alone = [recognizer.transcribe(window) for window in windows]
    assert [[(token.id, token.frame) for token in each.tokens] for each in together] == [
        [(token.id, token.frame) for token in each.tokens] for each in alone
    ]
    differences = [
        abs(one.probability - other.probability)
        for each, lone in zip(together, alone, strict=True)
        for one, other in zip(each.tokens, lone.tokens, strict=True)
    ]
    assert max(differences) < 1e-3


def test_windows_of_one_length_give_together_what_they_give_alone_bit_by_bit() -> None:
    encoder = Encoder(demo_files().encoder, device=CARD)
    features = np.random.default_rng(1).normal(-7.0, 3.0, (5, 64, 200)).astype(np.float32)
    together, _ = encoder.encode(features, np.full(5, 200))
    alone = [encoder.encode(row[None], np.array([200]))[0][0] for row in features]
    assert np.array_equal(together, np.stack(alone))


def test_a_pass_that_fails_leaves_a_card_that_still_computes(tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    write_encoder(path, batch=1)
    encoder = SpoiltEncoder(path, device=CARD)
    with pytest.raises(InferenceError):
        encoder.encode(np.zeros((2, 64, 40), np.float32), np.full(2, 40))


def test_a_card_that_does_not_compute_any_more_ends_its_process(tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    write_encoder(path)
    encoder = SpoiltEncoder(path, device=CARD)
    encoder.is_spoilt = True
    with pytest.raises(ProviderMissing, match="does not compute any more: CUDA failure 700"):
        encoder.encode(np.zeros((1, 64, 40), np.float32), np.full(1, 40))
