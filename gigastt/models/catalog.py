"""The models this program knows: their names, files, origins and digests.

Facts only, no disk and no network. A transducer is four files, a CTC model two (their tensors: `speech.model`); the
encoder comes in several forms, of which one is enough:

    v3_e2e_rnnt_encoder.optimized.onnx   int8, made on this machine by `gigastt optimize`
    v3_e2e_rnnt_encoder.int8.onnx        int8, as published
    v3_e2e_rnnt_encoder.onnx             fp32, as published
    v3_e2e_rnnt_encoder_int8.onnx        int8, as the original server's `quantize` made it
    v3_e2e_rnnt_encoder.fp16.onnx        for cards, made on any machine by `gigastt optimize --precision fp16`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gigastt.config import AUTO_MODEL, DEFAULT_MODEL, DEMO_MODEL, Precision
from gigastt.errors import ConfigError

Form: TypeAlias = Literal["optimized", "int8", "fp32", "fp16"]
FORMS: dict[Precision, tuple[Form, ...]] = {
    "auto": ("optimized", "int8", "fp32"),
    "int8": ("optimized", "int8"),
    "fp32": ("fp32",),
    "fp16": ("fp16",),
}

ENCODER_FP32 = "v3_e2e_rnnt_encoder.onnx"
ENCODER_INT8 = "v3_e2e_rnnt_encoder.int8.onnx"
ENCODER_INT8_ORIGINAL = "v3_e2e_rnnt_encoder_int8.onnx"
ENCODER_OPTIMIZED = "v3_e2e_rnnt_encoder.optimized.onnx"
DECODER = "v3_e2e_rnnt_decoder.onnx"
JOINT = "v3_e2e_rnnt_joint.onnx"
VOCABULARY = "v3_e2e_rnnt_vocab.txt"


@dataclass(frozen=True, slots=True)
class FileNames:
    """The names of a model's files.

    decoder, joint: of a transducer; None for a CTC model, whose encoder has its head in it.
    """

    encoder: str = ENCODER_FP32
    vocabulary: str = VOCABULARY
    decoder: str | None = DECODER
    joint: str | None = JOINT

    @property
    def forms(self) -> tuple[tuple[str, Form], ...]:
        """The encoder's forms, the best first."""
        stem = self.encoder.removesuffix(".onnx")
        return (
            (f"{stem}.optimized.onnx", "optimized"),
            (f"{stem}.int8.onnx", "int8"),
            (self.encoder, "fp32"),
            (f"{stem}_int8.onnx", "int8"),  # weights only: slower than fp32, so the last choice
            (f"{stem}.fp16.onnx", "fp16"),
        )

    @property
    def optimized(self) -> str:
        """The encoder that is made on this machine, for its processor."""
        return self.forms[0][0]

    @property
    def halved(self) -> str:
        """The encoder that is made for cards."""
        return self.forms[-1][0]

    @property
    def common(self) -> tuple[str, ...]:
        """The files besides the encoder."""
        return tuple(name for name in (self.decoder, self.joint, self.vocabulary) if name is not None)


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
    vocabulary: RemoteFile
    decoder: RemoteFile | None = None
    joint: RemoteFile | None = None

    @property
    def names(self) -> FileNames:
        """The names of its files."""
        decoder, joint = (file.name if file else None for file in (self.decoder, self.joint))
        return FileNames(self.encoder.name, self.vocabulary.name, decoder, joint)

    @property
    def common(self) -> tuple[RemoteFile, ...]:
        """The files besides the encoder."""
        return tuple(file for file in (self.decoder, self.joint, self.vocabulary) if file is not None)

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """Every file of the model, both encoders included."""
        return (self.encoder, self.encoder_int8, *self.common)

    def digest(self, name: str) -> str | None:
        """Return the SHA-256 of a file of this model, if it is known without asking the hub."""
        return next((file.sha256 for file in self.files if file.name == name), None)


_REPOSITORY, _REVISION = "istupakov/gigaam-v3-onnx", "322c3b29492673eb7d0b434bfa9dfb8653e34d02"
_NEWEST = "main"  # of repositories whose revisions could not be looked at: their digests come from the hub alone

GIGAAM = CatalogEntry(
    name=DEFAULT_MODEL,
    title="GigaAM v3 e2e_rnnt: Russian, punctuated and capitalised",
    repository=_REPOSITORY,
    revision=_REVISION,
    encoder=RemoteFile(ENCODER_FP32, 885_000_000, "cd60b3764a832e8560ae6d3ad0b10adc1a42ffae412b9476f25620aae4f4a508"),
    encoder_int8=RemoteFile(ENCODER_INT8, 225_000_000),
    decoder=RemoteFile(DECODER, 4_700_000, "7b0a16d67fd2cb37061decc93c69e364a9ab27afee3c57495d55b1c974cf7231"),
    joint=RemoteFile(JOINT, 2_800_000, "602ff7017a93311aad34df1437c8d7f49911353c13d6eae7a6ee7b041339465c"),
    vocabulary=RemoteFile(VOCABULARY, 14_000, "39abae20e692998290c574e606f11a9edef2902a1995463fcff63d1490cf22b7"),
)


def _ctc(name: str, title: str, stem: str, vocabulary: str, repository: str = _REPOSITORY) -> CatalogEntry:
    """Return the entry of a model of one graph, called `stem`."""
    size = 2_300_000_000 if "large" in stem else 885_000_000
    return CatalogEntry(
        name=name,
        title=title,
        repository=repository,
        revision=_REVISION if repository == _REPOSITORY else _NEWEST,
        encoder=RemoteFile(f"{stem}.onnx", size),
        encoder_int8=RemoteFile(f"{stem}.int8.onnx", size // 4),
        vocabulary=RemoteFile(vocabulary, 14_000),
    )


_ENTRIES = (
    GIGAAM,
    _ctc("gigaam-v3-e2e-ctc", "GigaAM v3 e2e_ctc: as e2e_rnnt, in one graph", "v3_e2e_ctc", "v3_e2e_ctc_vocab.txt"),
    CatalogEntry(
        name="gigaam-v3-rnnt",
        title="GigaAM v3 rnnt: Russian, letters only",
        repository=_REPOSITORY,
        revision=_REVISION,
        encoder=RemoteFile("v3_rnnt_encoder.onnx", 885_000_000),
        encoder_int8=RemoteFile("v3_rnnt_encoder.int8.onnx", 225_000_000),
        decoder=RemoteFile("v3_rnnt_decoder.onnx", 4_700_000),
        joint=RemoteFile("v3_rnnt_joint.onnx", 2_800_000),
        vocabulary=RemoteFile("v3_vocab.txt", 200),
    ),
    _ctc("gigaam-v3-ctc", "GigaAM v3 ctc: Russian, letters only, in one graph", "v3_ctc", "v3_vocab.txt"),
    *(
        _ctc(
            f"gigaam-multilingual-{size}ctc",
            f"GigaAM multilingual {size}ctc".replace("-", " "),
            f"multilingual_{size}ctc".replace("-", "_"),
            "multilingual_vocab.txt",
            f"istupakov/gigaam-multilingual-{size}ctc-onnx",
        )
        for size in ("", "large-")
    ),
)
CATALOG: dict[str, CatalogEntry] = {entry.name: entry for entry in _ENTRIES}

DEMO_TITLE = "Demonstration model: synthetic voices only, 85 % of the words wrong on real people"


def find(name: str) -> CatalogEntry:
    """Return the downloadable model of that name; raise ConfigError if there is none (demo needs no download)."""
    if name == DEMO_MODEL:
        raise ConfigError("The demonstration model comes with the program and needs no download: use `--model demo`.")
    entry = CATALOG.get(name)
    if entry is None:
        names = ", ".join([*CATALOG, DEMO_MODEL, AUTO_MODEL])
        raise ConfigError(f"Expected a model name out of {names}, but got {name!r}.")
    return entry


def names_of(model: str) -> FileNames:
    """Return what the files of a model are called, the demonstration model's too; raise ConfigError as `find`."""
    return FileNames() if model == DEMO_MODEL else find(model).names
