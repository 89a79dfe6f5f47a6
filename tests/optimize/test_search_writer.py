"""Reading the search's weights out of the graphs: which forms are known, and that nothing wrong is ever written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gigastt.errors import ModelInvalid
from gigastt.optimize.search_writer import UnknownGraph, write_search_weights
from gigastt.speech.mapped_search import WeightNetwork, choose_network
from gigastt.speech.model import Triplet
from gigastt.speech.search import RunNetwork
from tests.fakes.triplet import write_decoder, write_joint, write_triplet
from tests.recordings import DEMO_MODEL, files_in


@pytest.mark.parametrize("form", ["matmul", "bias_first", "transposed", "gemm", "no_bias"])
@pytest.mark.parametrize("log_softmax", [True, False])
@pytest.mark.parametrize("names", [("enc", "dec", "joint"), ("frames", "prediction", "scores")])
def test_every_way_of_writing_the_joint_is_read(
    tmp_path: Path, form: str, log_softmax: bool, names: tuple[str, ...]
) -> None:
    files = write_triplet(tmp_path)
    write_joint(files.joint, form=form, log_softmax=log_softmax, names=names, batch=1)
    write_search_weights(files)
    triplet = Triplet.load(files)
    graphs = RunNetwork(triplet.decoder, triplet.joint)
    assert isinstance(choose_network(files, graphs, triplet.encoder.dim), WeightNetwork)


@pytest.mark.parametrize(
    ("decoder", "joint"),
    [
        ({"direction": "reverse"}, {}),
        ({"clip": 0.5}, {}),
        ({"scale": 2.0}, {}),
        ({}, {"activation": "Tanh"}),
    ],
)
def test_a_graph_of_another_form_is_refused_and_nothing_is_written(
    tmp_path: Path, decoder: dict[str, Any], joint: dict[str, Any]
) -> None:
    files = write_triplet(tmp_path)
    write_decoder(files.decoder, **decoder)
    write_joint(files.joint, **joint)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UnknownGraph):
        write_search_weights(files)
    assert sorted(tmp_path.iterdir()) == before


def test_a_decoder_that_is_no_onnx_graph_is_refused(tmp_path: Path) -> None:
    files = write_triplet(tmp_path)
    files.decoder.write_bytes(b"<html>")
    with pytest.raises(ModelInvalid, match="tiny_decoder"):
        write_search_weights(files)


def test_the_demo_model_ships_with_its_own_weights() -> None:
    files = files_in(DEMO_MODEL)
    triplet = Triplet.load(files)
    graphs = RunNetwork(triplet.decoder, triplet.joint)
    assert isinstance(choose_network(files, graphs, triplet.encoder.dim), WeightNetwork)


def test_the_shipped_weights_are_what_would_be_written(tmp_path: Path) -> None:
    shipped = files_in(DEMO_MODEL)
    for path in (shipped.decoder, shipped.joint):
        (tmp_path / path.name).symlink_to(path)
    made = write_search_weights(files_in(tmp_path))
    assert made.read_bytes() == shipped.search_weights.read_bytes()
