"""The optimiser on small models of the benchmark's architecture: every pass finds its pattern, and only that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.conformer import FORMS, EncoderShape, Form, write_encoder
from gigastt.errors import ModelInvalid
from gigastt.optimize.encoder import optimize_encoder
from gigastt.optimize.graph import Graph, copy_model
from gigastt.optimize.observe import make_trial, relative_difference, run_graph
from gigastt.optimize.pipeline import PASSES, Pass, run_passes
from gigastt.optimize.quantise import quantise_weight
from gigastt.optimize.report import Report
from gigastt.speech.model import Encoder

SHAPE = EncoderShape(layers=2, width=64, heads=4)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("source"), SHAPE)


@pytest.fixture(scope="module")
def optimized(source: Path) -> tuple[Path, Report]:
    target = source.with_name("v3_e2e_rnnt_encoder.optimized.onnx")
    return target, optimize_encoder(source, target)


def write(directory: Path, shape: EncoderShape) -> Path:
    path = directory / "v3_e2e_rnnt_encoder.onnx"
    onnx.save(write_encoder(shape, seed=3)[0], path)
    return path


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def encode(path: Path, features: np.ndarray, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    encoded, encoded_len = session.run(None, {"audio_signal": features, "length": np.array(lengths)})
    return encoded, encoded_len


def test_every_pass_finds_its_pattern(optimized: tuple[Path, Report]) -> None:
    undone = {step.name for step in optimized[1].passes if step.outcome != "done"}
    assert undone == {"layer norms joined"}  # they are whole in the published form


def test_all_passes_but_the_last_leave_the_output_as_it_was(optimized: tuple[Path, Report]) -> None:
    *exact, quantised = optimized[1].passes
    assert max(step.difference for step in exact) < 1e-5
    assert 0 < quantised.difference < 0.1


def test_one_attention_and_one_rotary_embedding_remain_per_layer(optimized: tuple[Path, Report]) -> None:
    kinds = operators(optimized[0])
    assert kinds.count("MultiHeadAttention") == kinds.count("RotaryEmbedding") == SHAPE.layers
    assert not {"Where", "Softmax", "MatMul", "Neg"} & set(kinds)


def test_every_matrix_product_is_in_eight_bits(optimized: tuple[Path, Report]) -> None:
    kinds = operators(optimized[0])
    assert kinds.count("DynamicQuantizeMatMul") + kinds.count("MatMulIntegerToFloat") == 10 * SHAPE.layers


@pytest.mark.parametrize("frames", [1, 9, 96, 500])
def test_output_is_close_to_that_of_the_source_at_every_length(
    source: Path, optimized: tuple[Path, Report], frames: int
) -> None:
    features = make_trial(1, frames, seed=9)
    expected, expected_len = encode(source, features, [frames])
    got, got_len = encode(optimized[0], features, [frames])
    assert relative_difference(expected, got) < 0.1
    assert got_len.tolist() == expected_len.tolist()


def test_rows_of_one_length_may_share_a_pass(source: Path, optimized: tuple[Path, Report]) -> None:
    features = make_trial(3, 80, seed=4)
    assert relative_difference(encode(source, features, [80] * 3)[0], encode(optimized[0], features, [80] * 3)[0]) < 0.1


def test_report_beside_the_file_says_that_padding_changes_results(optimized: tuple[Path, Report]) -> None:
    content = json.loads(optimized[0].with_suffix(".json").read_text(encoding="utf-8"))
    assert content["padded_batch"] is False
    assert content["onnxruntime"] == onnxruntime.__version__
    assert content["source_sha256"] != content["sha256"]
    assert [window["seconds"] for window in content["measurements"]["times"]] == [0.96, 2.0, 5.0, 20.0]


def test_report_for_people_has_size_speed_and_difference(optimized: tuple[Path, Report]) -> None:
    text = "\n".join(optimized[1].lines())
    assert "Size:" in text
    assert "20.00 s of audio" in text
    assert "Largest difference" in text


@pytest.mark.parametrize("form", FORMS)
def test_every_form_that_exporters_write_is_optimised_whole(tmp_path: Path, form: Form) -> None:
    graph, results = run_passes(Graph.load(write(tmp_path, replace(SHAPE, form=form))))
    left_out = {step.name for step in results if step.outcome != "done"}
    assert left_out == (set() if form == "opset16" else {"layer norms joined"})
    *exact, _ = results
    assert max(step.difference for step in exact) < 1e-5
    kinds = [node.op_type for node in graph.nodes]
    assert kinds.count("MultiHeadAttention") == kinds.count("RotaryEmbedding") == SHAPE.layers
    assert not {"Where", "Softmax", "MatMul", "Neg", "Sqrt", "IsNaN"} & set(kinds)


def test_batch_that_the_exporter_fixed_becomes_dynamic(tmp_path: Path) -> None:
    model, _ = write_encoder(SHAPE, seed=3)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    path = tmp_path / "encoder.onnx"
    onnx.save(model, path)
    graph, _ = run_passes(Graph.load(path), passes=())
    assert run_graph(graph, [make_trial(4, 30)])[0]["encoded"].shape[0] == 4


def test_missing_pattern_is_skipped_and_named(tmp_path: Path) -> None:
    path = write(tmp_path, replace(SHAPE, layers=0))
    report = optimize_encoder(path, tmp_path / "out.onnx")
    assert {"attention fused", "one rotary embedding per layer"} <= {
        step.name for step in report.passes if step.outcome == "not found"
    }
    assert any("Left out" in line and "attention fused" in line for line in report.lines())
    assert encode(tmp_path / "out.onnx", make_trial(1, 40), [40])[0].shape == (1, SHAPE.width, 10)


def test_pass_that_changes_the_result_is_undone(source: Path) -> None:
    def spoil(graph: Graph) -> int:
        name = next(name for name, weight in graph.weights.items() if weight.ndim == 2)
        graph.weights[name] = graph.weights[name] * 1.5
        return 1

    before = Graph.load(source)
    graph, results = run_passes(before, (Pass("spoil", spoil), *PASSES))
    assert results[0].outcome == "undone"
    assert results[0].reason.startswith("it changed the result by")
    assert {step.outcome for step in results[1:]} == {"done", "not found"}
    expected = run_graph(Graph.load(source), [make_trial(1, 50)])[0]["encoded"]
    assert relative_difference(expected, run_graph(graph, [make_trial(1, 50)])[0]["encoded"]) < 0.1


def test_pass_that_breaks_the_graph_is_undone(source: Path) -> None:
    def cut(graph: Graph) -> int:
        graph.nodes = graph.nodes[len(graph.nodes) // 2 :]
        return 1

    def stumble(graph: Graph) -> int:
        raise KeyError("a value that is not there")

    _, results = run_passes(Graph.load(source), (Pass("cut", cut), Pass("stumble", stumble)))
    assert [step.outcome for step in results] == ["undone", "undone"]
    assert results[0].reason
    assert results[1].reason == "KeyError: 'a value that is not there'"


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", b"\x08\x07\x12\x03abc"])
def test_file_that_is_no_model_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "encoder.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelInvalid):
        optimize_encoder(path, tmp_path / "out.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["encoder.onnx"]


def test_weights_in_a_file_that_is_not_there_are_named(tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    onnx.save(write_encoder(SHAPE, seed=3)[0], path, save_as_external_data=True, location="encoder.data")
    (tmp_path / "encoder.data").unlink()
    with pytest.raises(ModelInvalid, match="keeps its weights in another file"):
        optimize_encoder(path, tmp_path / "out.onnx")


def test_a_copied_graph_brings_its_weights_along(source: Path, tmp_path: Path) -> None:
    apart, copied = tmp_path / "apart" / "encoder.onnx", tmp_path / "encoder.onnx"
    apart.parent.mkdir()
    onnx.save(onnx.load(source), apart, save_as_external_data=True, location="encoder.data")
    copy_model(apart, copied)
    features = make_trial(1, 40)
    assert np.array_equal(encode(copied, features, [40])[0], encode(source, features, [40])[0])


def test_outputs_without_a_shape_are_taken(tmp_path: Path) -> None:
    model, _ = write_encoder(SHAPE, seed=3)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    path = tmp_path / "encoder.onnx"
    onnx.save(model, path)
    assert "MultiHeadAttention" in [node.op_type for node in run_passes(Graph.load(path))[0].nodes]
    assert Encoder(path).dim == SHAPE.width


def test_a_batch_that_is_dynamic_in_name_only_is_not_believed(tmp_path: Path) -> None:
    model, _ = write_encoder(SHAPE, seed=3)
    graph = model.graph
    one = onnx.numpy_helper.from_array(np.array([1, 64, -1]), "one_row")
    graph.initializer.append(one)
    graph.node.insert(0, onnx.helper.make_node("Reshape", ["audio_signal", "one_row"], ["only_row"]))
    for node in graph.node[1:]:
        node.input[:] = ["only_row" if name == "audio_signal" else name for name in node.input]
    path, target = tmp_path / "encoder.onnx", tmp_path / "out.onnx"
    onnx.save(model, path)
    optimize_encoder(path, target)
    assert onnx.load(target).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert Encoder(path).max_batch == Encoder(target).max_batch == 1


def test_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid):
        optimize_encoder(tmp_path / "none.onnx", tmp_path / "out.onnx")


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(-8, 8, width=32)),
    st.sampled_from([64, 127]),
)
@example(np.array([[1.2522e-41]], np.float32), 127)
def test_weights_are_off_by_half_a_step_at_most(weight: np.ndarray, limit: int) -> None:
    integers, scales = quantise_weight(weight, limit)
    assert np.abs(integers.astype(int)).max() <= limit
    assert (np.abs(integers * scales - weight) <= scales * 0.5001 + 1e-6).all()
