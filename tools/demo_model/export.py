"""Export: a checkpoint becomes the files of GigaAM v3 e2e_rnnt, and is compared with what it came from.

    python -m tools.demo_model.export --checkpoint work/last.pt --tokens work/tokens.model --out out

Checked: ONNX against PyTorch, and each utterance of a padded batch against itself alone.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from tools.demo_model.features import Tokens
from tools.demo_model.network import NetworkShape, Transducer

TOLERANCE = 1e-3
_OPSET = 17


class DepthwiseAs1d(nn.Module):
    """The depthwise convolution as a one-dimensional one: the other form only makes training fast."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        channels, kernel = convolution.weight.shape[0], convolution.weight.shape[2]
        self.convolution = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.convolution.weight.data = convolution.weight.data.squeeze(3).clone()
        self.convolution.bias.data = convolution.bias.data.clone()

    def forward(self, hidden: Tensor) -> Tensor:
        mixed: Tensor = self.convolution(hidden.squeeze(3)).unsqueeze(3)
        return mixed


@dataclass(frozen=True, slots=True)
class ExportJob:
    """One file: its module, an example of its inputs, and which axes may change."""

    name: str
    module: nn.Module
    example: tuple[Tensor, ...]
    inputs: list[str]
    outputs: list[str]
    axes: dict[str, dict[int, str]]


def load_checkpoint(checkpoint: Path) -> Transducer:
    """Load trained weights, ready to export."""
    saved = torch.load(checkpoint, weights_only=False)
    model = Transducer(NetworkShape(**saved["shape"]))
    model.load_state_dict(saved["precision"]["weights"])
    for layer in model.encoder.layers:
        layer.convolution.depthwise = DepthwiseAs1d(layer.convolution.depthwise)
    evaluating: Transducer = model.eval()
    return evaluating


def export_jobs(model: Transducer) -> list[ExportJob]:
    """Return the three files of the contract."""
    shape = model.shape
    features, lengths = torch.randn(2, 64, 203) * 3 - 8, torch.tensor([203, 150])
    state = torch.zeros(1, 1, shape.predictor)
    first, second = {0: "batch_size"}, {1: "batch_size"}
    return [
        ExportJob(
            "encoder",
            model.encoder,
            (features, lengths),
            ["audio_signal", "length"],
            ["encoded", "encoded_len"],
            {
                "audio_signal": {0: "batch_size", 2: "seq_len"},
                "length": first,
                "encoded": {0: "batch_size", 2: "enc_len"},
                "encoded_len": first,
            },
        ),
        ExportJob(
            "decoder",
            model.predictor,
            (torch.zeros(1, 1, dtype=torch.long), state, state),
            ["x", "h.1", "c.1"],
            ["dec", "h", "c"],
            {"x": first, "h.1": second, "c.1": second, "dec": first, "h": second, "c": second},
        ),
        ExportJob(
            "joint",
            model.joint,
            (torch.randn(1, shape.width, 1), torch.randn(1, shape.predictor, 1)),
            ["enc", "dec"],
            ["joint"],
            {"enc": first, "dec": first, "joint": first},
        ),
    ]


def export(model: Transducer, tokens: Tokens, folder: Path) -> None:
    """Write the three ONNX files and the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{tokens.piece(token)} {token}" for token in range(tokens.blank)] + [f"<blk> {tokens.blank}"]
    (folder / "v3_e2e_rnnt_vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for job in export_jobs(model):
        path = folder / f"v3_e2e_rnnt_{job.name}.onnx"
        torch.onnx.export(
            job.module,
            job.example,
            str(path),
            input_names=job.inputs,
            output_names=job.outputs,
            dynamic_axes=job.axes,
            opset_version=_OPSET,
            dynamo=False,
            do_constant_folding=True,
        )
        onnx.checker.check_model(onnx.load(str(path)))


def compare(model: Transducer, folder: Path) -> dict[str, float]:
    """Return the largest absolute differences between the files and the model."""
    rng = np.random.default_rng(0)
    lengths = np.array([517, 100, 321, 7], np.int64)
    features = (rng.standard_normal((4, 64, 517)) * 3 - 8).astype(np.float32)
    encoded, encoded_lengths = _run(folder, "encoder", audio_signal=features, length=lengths)
    with torch.no_grad():
        expected, _ = model.encoder(torch.from_numpy(features), torch.from_numpy(lengths))
    rows = [(row, int(frames)) for row, frames in enumerate(encoded_lengths)]
    alone = [
        _run(folder, "encoder", audio_signal=features[row : row + 1, :, :length], length=lengths[row : row + 1])[0][0]
        for row, length in enumerate(lengths)
    ]
    tokens = np.array([[model.shape.vocabulary - 1], [3]])
    hidden, cell = rng.standard_normal((2, 1, 2, model.shape.predictor)).astype(np.float32)
    dec, *state = _run(folder, "decoder", **{"x": tokens, "h.1": hidden, "c.1": cell})
    enc = encoded[:2, :, :1]
    (joint,) = _run(folder, "joint", enc=enc, dec=dec.transpose(0, 2, 1))
    with torch.no_grad():
        expected_state = model.predictor(*map(torch.from_numpy, (tokens, hidden, cell)))
        expected_joint = model.joint(torch.from_numpy(enc), torch.from_numpy(dec.transpose(0, 2, 1).copy()))
    return {
        "encoder, onnx and torch": max(_gap(encoded[row, :, :n], expected[row, :, :n].numpy()) for row, n in rows),
        "encoder, batched and alone": max(_gap(encoded[row, :, :n], alone[row]) for row, n in rows),
        "decoder, onnx and torch": max(
            _gap(got, wanted.numpy()) for got, wanted in zip((dec, *state), expected_state, strict=True)
        ),
        "joint, onnx and torch": _gap(joint, expected_joint.numpy()),
    }


def _run(folder: Path, name: str, **inputs: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    path = str(folder / f"v3_e2e_rnnt_{name}.onnx")
    outputs: list[npt.NDArray[Any]] = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, inputs
    )
    return outputs


def _gap(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> float:
    return float(np.abs(left - right).max())


def main() -> None:
    parser = argparse.ArgumentParser(description="Export the demo model.")
    parser.add_argument("--checkpoint", type=Path, default=Path("work/last.pt"))
    parser.add_argument("--tokens", type=Path, default=Path("work/tokens.model"))
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_checkpoint(options.checkpoint)
    export(model, Tokens(options.tokens), options.out)
    for what, gap in compare(model, options.out).items():
        print(f"{what}: {gap:.2e}")
        if gap > TOLERANCE:
            raise SystemExit(f"{what}: expected a difference of at most {TOLERANCE}, but got {gap}")


if __name__ == "__main__":
    main()
