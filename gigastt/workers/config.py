"""The settings of a worker, one JSON object on its command line.

Built by `serve` from the model files it found, read by the worker's `main`. Imports nothing heavy, so that
building a command costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from gigastt.config import Provider
from gigastt.errors import ConfigError
from gigastt.processes import python_command


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """One worker's model and log.

    Paths are strings, so that the object is its own JSON. Files that make the search faster are found beside
    the decoder.

    decoder, joint: None where the encoder has its head in it.

    provider: what runs the encoder, `cpu` or `cuda`; there each worker has the card of its place in the pool.
    stands_in: the processor computes what a card would.
    session_config: onnxruntime session config entries for the encoder (weights mapped by all workers).
    min_confidence: of the surest word, below which an utterance is left out.
    speaker_model, segmentation_model: that tell voices apart, loaded when a client wants that; None for neither.
    hotwords: phrases that every final prefers, and their weights.
    """

    model: str
    encoder: str
    vocabulary: str
    decoder: str | None = None
    joint: str | None = None
    session_config: Mapping[str, str] = field(default_factory=dict)
    min_confidence: float = 0.0
    speaker_model: str | None = None
    segmentation_model: str | None = None
    hotwords: tuple[tuple[str, float], ...] = ()
    provider: Provider = "cpu"
    stands_in: bool = False
    log_level: str = "info"
    log_format: str = "auto"

    def to_json(self) -> str:
        """Encode for the command line."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> WorkerConfig:
        """Decode what `to_json` made.

        Raises:
            ConfigError: it is not such an object.
        """
        try:
            fields = json.loads(text)
            return cls(**{**fields, "hotwords": tuple(map(tuple, fields.get("hotwords", ())))})
        except (ValueError, TypeError, AttributeError) as exc:
            raise ConfigError(f"Expected the configuration of a worker as one JSON object: {exc}") from exc

    def command(self, descriptor: int) -> list[str]:
        """Return the command that starts a worker on an inherited socket."""
        return python_command("gigastt.workers", "--fd", str(descriptor), "--config", self.to_json())
