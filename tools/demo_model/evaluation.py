"""Evaluation: word error rates of an exported model through onnx-asr, an independent decoder; one JSON object.

python -m tools.demo_model.evaluation out evaluation out/test
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiwer
import onnx_asr
import onnxruntime
import soundfile

from tools.demo_model.synthesis import normalise

_PARTS = ("encoder.onnx", "decoder.onnx", "joint.onnx", "vocab.txt")


@dataclass(slots=True)
class Score:
    """References and hypotheses of one set of files."""

    references: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)

    def rates(self) -> dict[str, float | int]:
        """Return percentages; `formatted_wer` counts case and punctuation, the others do not, and ё is е."""
        references = [normalise(text) for text in self.references]
        hypotheses = [normalise(text) for text in self.hypotheses]
        return {
            "utterances": len(references),
            "words": sum(len(text.split()) for text in references),
            "wer": round(100 * jiwer.wer(references, hypotheses), 2),
            "cer": round(100 * jiwer.cer(references, hypotheses), 2),
            "formatted_wer": round(100 * jiwer.wer(self.references, self.hypotheses), 2),
        }


def evaluate(model: Any, folder: Path) -> dict[str, Any]:
    """Recognise every file of a folder's manifest, each in one pass."""
    scores: dict[str, Score] = {}
    audio_seconds, taken = 0.0, 0.0
    for row in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        waveform, rate = soundfile.read(folder / row["filename"], dtype="float32")
        begun = time.perf_counter()
        hypothesis = str(model.recognize(waveform, sample_rate=rate))
        taken += time.perf_counter() - begun
        audio_seconds += len(waveform) / rate
        score = scores.setdefault(f"{row.get('engine', 'speech')}_{row.get('text', 'own')}", Score())
        score.references.append(row["reference"])
        score.hypotheses.append(hypothesis)
    rates = {name: score.rates() for name, score in sorted(scores.items())}
    return {"sets": rates, "real_time_factor": round(taken / audio_seconds, 4)}


def load(folder: Path) -> Any:
    """Load the fp32 model of a folder into onnx-asr, on one thread."""
    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = session.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as links:
        for part in _PARTS:
            (Path(links) / f"v3_e2e_rnnt_{part}").symlink_to((folder / f"v3_e2e_rnnt_{part}").resolve())
        (Path(links) / "config.json").write_text('{"version": "v3"}', encoding="utf-8")  # else it takes v2's front end
        return onnx_asr.load_model(
            "gigaam-v3-e2e-rnnt", links, sess_options=session, providers=["CPUExecutionProvider"]
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure an exported model.")
    parser.add_argument("model", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of audio with a manifest.json")
    options = parser.parse_args()
    model = load(options.model)
    print(json.dumps({str(folder): evaluate(model, folder) for folder in options.folders}, ensure_ascii=False))


if __name__ == "__main__":
    main()
