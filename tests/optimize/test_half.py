"""The encoder for cards: 16-bit numbers, the same output, and rows of any lengths that share a pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from benchmarks.conformer import FORMS, EncoderShape, Form, write_encoder
from gigastt.errors import ModelInvalid
from gigastt.optimize.graph import Graph
from gigastt.optimize.half import FOR_CARDS, halve_encoder
from gigastt.optimize.observe import make_trial, relative_difference
from gigastt.optimize.pipeline import run_passes
from gigastt.speech.model import Encoder

SHAPE = EncoderShape(layers=2, width=64, heads=4)


def write(directory: Path, form: Form) -> Path:
    path = directory / "v3_e2e_rnnt_encoder.onnx"
    onnx.save(write_encoder(replace(SHAPE, form=form), seed=3)[0], path)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_that_exporters_write_has_a_close_twin_that_takes_rows_of_any_lengths(
    tmp_path: Path, form: Form
) -> None:
    source, target = write(tmp_path, form), tmp_path / "encoder.fp16.onnx"

    lines = halve_encoder(source, target)

    assert any("may share" in line for line in lines)
    before, after = Encoder(source), Encoder(target)
    trial = make_trial(3, 400, seed=5)
    lengths = np.array([400, 123, 37])
    for row, length in enumerate(lengths):
        trial[row, :, length:] = 0.0
    together, together_len = after.encode(trial, lengths)
    for row, length in enumerate(lengths):
        alone, alone_len = before.encode(trial[row : row + 1, :, :length], lengths[row : row + 1])
        assert alone_len[0] == together_len[row]
        assert relative_difference(alone[0], together[row, :, : alone_len[0]]) < 0.01


def test_all_that_is_computed_from_the_audio_has_sixteen_bits_and_nothing_else(tmp_path: Path) -> None:
    graph, results = run_passes(Graph.load(write(tmp_path, "published")), FOR_CARDS)
    model, _ = graph.model(external=False)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    products = [node.output[0] for node in model.graph.node if node.op_type in ("MatMul", "Conv", "Softmax")]
    assert {kinds[name] for name in products} == {TensorProto.FLOAT16}
    floors = [node.output[0] for node in model.graph.node if node.op_type == "Floor"]
    assert {kinds[name] for name in floors} == {TensorProto.FLOAT}
    assert [step.name for step in results if step.outcome == "undone"] == []


def test_lengths_are_counted_exactly_up_to_the_longest_window(tmp_path: Path) -> None:
    source, target = write(tmp_path, "published"), tmp_path / "encoder.fp16.onnx"
    halve_encoder(source, target)
    encoder = Encoder(target)
    for frames in (2047, 2049, 2050):
        _, lengths = encoder.encode(make_trial(1, frames), np.array([frames]))
        assert lengths.tolist() == [(frames + 3) // 4]


def test_a_file_that_is_no_encoder_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    source = tmp_path / "encoder.onnx"
    source.write_bytes(b"nothing")
    with pytest.raises(ModelInvalid):
        halve_encoder(source, tmp_path / "encoder.fp16.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.onnx"]
