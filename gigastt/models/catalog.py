"""The models this program knows: their names, files, origins and digests.

Facts only, no disk and no network. A model is four files (their tensors: `speech.model`); the encoder comes in several
forms, of which one is enough:

    v3_e2e_rnnt_encoder.optimized.onnx   int8, made on this machine by `gigastt optimize`
    v3_e2e_rnnt_encoder.int8.onnx        int8, as published
    v3_e2e_rnnt_encoder.onnx             fp32, as published
    v3_e2e_rnnt_encoder_int8.onnx        int8, as the original server's `quantize` made it
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gigastt.config import DEFAULT_MODEL, DEMO_MODEL
from gigastt.errors import ConfigError

Form: TypeAlias = Literal["optimized", "int8", "fp32"]

ENCODER_FP32 = "v3_e2e_rnnt_encoder.onnx"
ENCODER_INT8 = "v3_e2e_rnnt_encoder.int8.onnx"
ENCODER_INT8_ORIGINAL = "v3_e2e_rnnt_encoder_int8.onnx"
ENCODER_OPTIMIZED = "v3_e2e_rnnt_encoder.optimized.onnx"
DECODER = "v3_e2e_rnnt_decoder.onnx"
JOINT = "v3_e2e_rnnt_joint.onnx"
VOCABULARY = "v3_e2e_rnnt_vocab.txt"

ENCODER_FORMS: tuple[tuple[str, Form], ...] = (
    (ENCODER_OPTIMIZED, "optimized"),
    (ENCODER_INT8, "int8"),
    (ENCODER_FP32, "fp32"),
    (ENCODER_INT8_ORIGINAL, "int8"),  # weights only: slower than fp32, so the last choice
)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a repository.

    Attributes:
        name: its name there and on disk.
        nominal_bytes: its size, roughly, to plan with before the hub is asked.
        sha256: its digest, or None if only the hub's own metadata tells it.
    """

    name: str
    nominal_bytes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One downloadable model: a repository at one fixed revision."""

    name: str
    title: str
    repository: str
    revision: str
    encoder: RemoteFile
    encoder_int8: RemoteFile
    decoder: RemoteFile
    joint: RemoteFile
    vocabulary: RemoteFile

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """Every file of the model, both encoders included."""
        return (self.encoder, self.encoder_int8, self.decoder, self.joint, self.vocabulary)

    def digest(self, name: str) -> str | None:
        """Return the SHA-256 of a file of this model, if it is known without asking the hub."""
        return next((file.sha256 for file in self.files if file.name == name), None)


GIGAAM = CatalogEntry(
    name=DEFAULT_MODEL,
    title="GigaAM v3 e2e_rnnt: Russian, punctuated and capitalised",
    repository="istupakov/gigaam-v3-onnx",
    revision="322c3b29492673eb7d0b434bfa9dfb8653e34d02",
    encoder=RemoteFile(ENCODER_FP32, 885_000_000, "cd60b3764a832e8560ae6d3ad0b10adc1a42ffae412b9476f25620aae4f4a508"),
    encoder_int8=RemoteFile(ENCODER_INT8, 225_000_000),
    decoder=RemoteFile(DECODER, 4_700_000, "7b0a16d67fd2cb37061decc93c69e364a9ab27afee3c57495d55b1c974cf7231"),
    joint=RemoteFile(JOINT, 2_800_000, "602ff7017a93311aad34df1437c8d7f49911353c13d6eae7a6ee7b041339465c"),
    vocabulary=RemoteFile(VOCABULARY, 14_000, "39abae20e692998290c574e606f11a9edef2902a1995463fcff63d1490cf22b7"),
)

CATALOG: dict[str, CatalogEntry] = {GIGAAM.name: GIGAAM}

DEMO_TITLE = "Demonstration model: synthetic voices only, 85 % of the words wrong on real people"


def find(name: str) -> CatalogEntry:
    """Return the downloadable model of that name; raise ConfigError if there is none (demo needs no download)."""
    if name == DEMO_MODEL:
        raise ConfigError("The demonstration model comes with the program and needs no download: use `--model demo`.")
    entry = CATALOG.get(name)
    if entry is None:
        names = ", ".join([*CATALOG, DEMO_MODEL])
        raise ConfigError(f"Expected a model name out of {names}, but got {name!r}.")
    return entry
