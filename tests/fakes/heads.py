"""Tiny models of every head in the catalogue, with random weights, under the names of the published files.

The encoder of a transducer is `fakes.triplet`'s; a CTC model is one convolution, a projection and log-softmax.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto

from gigastt.models.catalog import FileNames
from tests.fakes.triplet import DIM, GraphWriter, write_decoder, write_encoder, write_joint

CHARACTERS = ("▁", "а", "б", "в", "г", "<unk>", "<blk>")  # as many as the tiny joint scores


def write_ctc(path: Path, *, vocabulary: int = len(CHARACTERS), seed: int = 5) -> None:
    """Write a CTC model: four feature frames a frame, the last one padded."""
    graph = GraphWriter(seed)
    x = graph.op("Pad", ["features", graph.store(np.array([0, 0, 0, 0, 0, 3], dtype=np.int64))])
    x = graph.op("Conv", [x, graph.weight(DIM, 64, 4)], strides=[4])
    x = graph.op("Transpose", [x], perm=[0, 2, 1])
    x = graph.op("MatMul", [x, graph.weight(DIM, vocabulary)])
    graph.op("LogSoftmax", [x], ["log_probs"], axis=-1)
    unused = graph.op("Identity", ["feature_lengths"])
    del unused  # onnxruntime keeps an input that some node takes
    graph.save(
        path,
        [("features", TensorProto.FLOAT, ["b", 64, "t"]), ("feature_lengths", TensorProto.INT64, ["b"])],
        [("log_probs", TensorProto.FLOAT, ["b", "frames", vocabulary])],
    )


def write_model(folder: Path, names: FileNames) -> None:
    """Write a model of the head that the names tell, and the `config.json` of the published repositories."""
    folder.mkdir(parents=True, exist_ok=True)
    if names.decoder is None or names.joint is None:
        write_ctc(folder / names.encoder)
    else:
        write_encoder(folder / names.encoder)
        write_decoder(folder / names.decoder)
        write_joint(folder / names.joint)
    lines = (f"{piece} {number}\n" for number, piece in enumerate(CHARACTERS))
    (folder / names.vocabulary).write_text("".join(lines), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"version": "v3", "max_tokens_per_step": 3}), encoding="utf-8")
