"""The search from weights: the tokens of the graphs, and the graphs themselves where the weights are not sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gigastt.optimize.search_writer import write_search_weights
from gigastt.speech.features import log_mel
from gigastt.speech.mapped_search import HEADER_FIELDS, WeightNetwork, agree, choose_network
from gigastt.speech.model import Triplet, TripletFiles
from gigastt.speech.search import Network, RunNetwork, Transducer
from gigastt.speech.tokens import EncoderOut, Hypothesis, Vocabulary
from tests.clips import Clip
from tests.fakes.triplet import DIM, write_decoder, write_joint, write_triplet
from tests.recordings import DEMO_MODEL, bundled_clips, files_in, golos_clips, samples_of


def _networks(files: TripletFiles) -> tuple[Network, Network, Triplet]:
    """Return the network that is chosen, the one that runs the graphs, and the model."""
    triplet = Triplet.load(files)
    graphs = RunNetwork(triplet.decoder, triplet.joint)
    return choose_network(files, graphs, triplet.encoder.dim), graphs, triplet


def _tokens(hypothesis: Hypothesis) -> list[tuple[int, int]]:
    return [(token.frame, token.id) for token in hypothesis.tokens]


def _assert_same_search(network: Network, graphs: Network, encoder_out: EncoderOut, vocabulary: Vocabulary) -> None:
    fast = Transducer(network, vocabulary).search(encoder_out)
    slow = Transducer(graphs, vocabulary).search(encoder_out)
    assert _tokens(fast) == _tokens(slow)
    assert [t.probability for t in fast.tokens] == pytest.approx([t.probability for t in slow.tokens], abs=1e-4)
    for one, other in zip(fast.states, slow.states, strict=True):
        np.testing.assert_allclose(one.c, other.c, atol=1e-3)


def _assert_same_resumed(network: Network, graphs: Network, encoder_out: EncoderOut, vocabulary: Vocabulary) -> None:
    """Search on from the middle, each network with the other's state."""
    fast = Transducer(network, vocabulary).search(encoder_out)
    slow = Transducer(graphs, vocabulary).search(encoder_out)
    for half in range(len(fast.tokens) // 2, len(fast.tokens), 5):
        skip = fast.tokens[half].frame // 4 + 1
        resumed = Transducer(network, vocabulary).search(encoder_out, skip=skip, state=slow.states[half])
        expected = Transducer(graphs, vocabulary).search(encoder_out, skip=skip, state=fast.states[half])
        assert _tokens(resumed) == _tokens(expected)


def _assert_same_on(clips: list[Clip]) -> None:
    files = files_in(DEMO_MODEL)
    network, graphs, triplet = _networks(files)
    assert isinstance(network, WeightNetwork)
    vocabulary = Vocabulary.load(files.vocabulary)
    for clip in clips:
        _assert_same_search(network, graphs, _encode(triplet, clip), vocabulary)


def _encode(triplet: Triplet, clip: Clip) -> EncoderOut:
    features = log_mel(samples_of(clip))
    encoded, lengths = triplet.encoder.encode(features.T[None].copy(), np.array([len(features)]))
    return encoded[0, :, : lengths[0]]


def test_bundled_clips_give_the_tokens_of_the_graphs() -> None:
    _assert_same_on(bundled_clips())


def test_a_search_that_goes_on_gives_the_tokens_of_the_graphs() -> None:
    files = files_in(DEMO_MODEL)
    network, graphs, triplet = _networks(files)
    for clip in bundled_clips()[:3]:
        _assert_same_resumed(network, graphs, _encode(triplet, clip), Vocabulary.load(files.vocabulary))


@pytest.mark.slow
def test_all_golos_clips_give_the_tokens_of_the_graphs() -> None:
    _assert_same_on(golos_clips())


@pytest.mark.parametrize("frames", [0, 1, 4, 5, 12, 13, 100])
def test_windows_of_every_length_give_the_tokens_of_the_graphs(tmp_path: Path, frames: int) -> None:
    files = write_triplet(tmp_path)
    write_search_weights(files)
    network, graphs, _ = _networks(files)
    assert isinstance(network, WeightNetwork)
    encoder_out = np.random.default_rng(frames).standard_normal((DIM, frames)).astype(np.float32)
    _assert_same_search(network, graphs, encoder_out, Vocabulary.load(files.vocabulary))


def test_without_the_file_the_graphs_are_run(tmp_path: Path) -> None:
    network, graphs, _ = _networks(write_triplet(tmp_path))
    assert network is graphs


@pytest.mark.parametrize("part", ["decoder", "joint"])
def test_weights_of_other_files_are_not_used(tmp_path: Path, part: str) -> None:
    files = write_triplet(tmp_path)
    write_search_weights(files)
    if part == "decoder":
        write_decoder(files.decoder, batch=1)
    else:
        write_joint(files.joint, batch=1)
    network, graphs, _ = _networks(files)
    assert network is graphs


@pytest.mark.parametrize("content", [b"", b"no array", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_a_broken_file_is_not_used(tmp_path: Path, content: bytes) -> None:
    files = write_triplet(tmp_path)
    files.search_weights.write_bytes(content)
    network, graphs, _ = _networks(files)
    assert network is graphs


def test_a_truncated_file_is_not_used(tmp_path: Path) -> None:
    files = write_triplet(tmp_path)
    whole = write_search_weights(files).read_bytes()
    files.search_weights.write_bytes(whole[:-64])
    network, graphs, _ = _networks(files)
    assert network is graphs


def test_an_array_of_another_layout_is_not_used(tmp_path: Path) -> None:
    files = write_triplet(tmp_path)
    for array in (np.zeros(3, dtype=np.float32), np.zeros(1, dtype=[("gates", np.float32, (2, 4))])):
        np.save(files.search_weights, array)
        network, graphs, _ = _networks(files)
        assert network is graphs


@pytest.mark.parametrize("field", HEADER_FIELDS)
def test_weights_that_disagree_with_the_graphs_are_not_used(tmp_path: Path, field: str) -> None:
    files = write_triplet(tmp_path)
    record = np.load(write_search_weights(files))
    record[field] += np.linspace(0.1, 1.0, record[field].size, dtype=np.float32).reshape(record[field].shape)
    np.save(files.search_weights, record)
    network, graphs, _ = _networks(files)
    assert network is graphs


def test_weights_of_another_encoder_are_not_used(tmp_path: Path) -> None:
    files = write_triplet(tmp_path)
    write_search_weights(files)
    triplet = Triplet.load(files)
    graphs = RunNetwork(triplet.decoder, triplet.joint)
    assert choose_network(files, graphs, DIM + 1) is graphs


def test_a_network_agrees_with_itself(tmp_path: Path) -> None:
    triplet = Triplet.load(write_triplet(tmp_path))
    graphs = RunNetwork(triplet.decoder, triplet.joint)
    assert agree(graphs, graphs, DIM, triplet.joint.vocabulary_size)
