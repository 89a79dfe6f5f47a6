"""Spans that the recogniser refuses: declared by the command line as the server declares them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from gigastt.cli.main import run_command
from tests.clips import CLIPS
from tests.recordings import DEMO_MODEL

pytestmark = pytest.mark.slow

SHORT, SHORT_AND_LONG = CLIPS / "espeak_03.wav", CLIPS / "festival_11.wav"
LONGEST_FRAMES = 400  # 4 s


@pytest.fixture
def short_winded_model(tmp_path: Path) -> Path:
    """The demo model, with an encoder that fails on windows of more than four seconds."""
    folder = tmp_path / "model"
    shutil.copytree(DEMO_MODEL, folder)
    path = folder / "v3_e2e_rnnt_encoder.onnx"
    model = onnx.load(str(path))
    graph = model.graph
    output = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["encoded_before" if name == output else name for name in node.output]
    zeros = np.zeros(LONGEST_FRAMES + 1, dtype=np.float32)
    graph.initializer.extend(
        [numpy_helper.from_array(zeros, "zeros"), numpy_helper.from_array(np.array(2, dtype=np.int64), "time")]
    )
    graph.node.extend(
        [
            helper.make_node("Shape", [graph.input[0].name], ["shape"]),
            helper.make_node("Gather", ["shape", "time"], ["frames"]),
            helper.make_node("Gather", ["zeros", "frames"], ["zero"]),  # there is none for a longer window
            helper.make_node("Add", ["encoded_before", "zero"], [output]),
        ]
    )
    onnx.save(model, str(path))
    return folder


def transcribe(model: Path, *arguments: str | Path) -> int:
    return run_command(["transcribe", "--model-dir", str(model), *map(str, arguments)])


def test_json_says_which_spans_failed(short_winded_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe(short_winded_model, "--format", "json", SHORT_AND_LONG) == 1
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    [gap] = answer["failed"]
    assert gap == {"code": "inference_error", "start": gap["start"], "end": gap["end"]}
    assert 2 < gap["start"] < gap["end"] <= answer["duration"]
    assert answer["text"] == "Где можно купить лук?"
    span = f"{gap['start']:.2f} to {gap['end']:.2f} s"
    assert captured.err.splitlines()[-1] == f"gigastt: {SHORT_AND_LONG}: {span}: this could not be recognised"


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_what_is_left_is_written_and_the_exit_code_says_that_it_is_not_all(
    form: str, short_winded_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transcribe(short_winded_model, "--format", form, SHORT_AND_LONG) == 1
    captured = capsys.readouterr()
    assert "Где можно купить лук?" in captured.out
    assert "recognised" not in captured.out
    assert captured.err.count("could not be recognised") == 1


def test_other_files_are_still_done(short_winded_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe(short_winded_model, "--format", "json", SHORT_AND_LONG, SHORT) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(first["failed"]) == 1
    assert second["text"] == "Закрой шторы в спальне."
    assert "failed" not in second
