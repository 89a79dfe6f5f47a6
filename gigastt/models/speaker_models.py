"""The models that tell speakers apart: which there are, where they lie on this machine, and how they are fetched.

Two files work together: a speaker model, which makes a vector of a voice, and one that marks who is heard when. The
latter and a small speaker model come with the program; better speaker models are fetched. Blocking file access.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from gigastt.errors import ConfigError, DownloadFailed, ModelInvalid, ModelMissing
from gigastt.models.catalog import RemoteFile
from gigastt.models.disk import Seals, exclusive, sha256_of
from gigastt.models.stages import DownloadProgress
from gigastt.models.store import PARTIAL_FOLDER, is_present

SPEAKERS = "speakers"  # the name of the default one for `gigastt download`
AUTO, OFF, SMALL = "auto", "off", "small"
_SHIPPED = Path(__file__).parent / SPEAKERS
_SEGMENTATION = _SHIPPED / "segmentation3.onnx"
_OF_SMALL = 0.35  # after its calibration: `tools/speaker_calibration`
_OF_OTHERS = 0.5  # of a model that nobody has measured here


@dataclass(frozen=True, slots=True)
class SpeakerModel:
    """Two files, and from which mean similarity (cosine) on voices are one person's."""

    name: str
    embedding: Path
    segmentation: Path
    likeness: float


@dataclass(frozen=True, slots=True)
class SpeakerEntry:
    """One speaker model that can be fetched: a file of a repository. Its digest comes from the hub's metadata."""

    name: str
    title: str
    file: RemoteFile
    likeness: float
    repository: str = "csukuangfj/speaker-embedding-models"
    revision: str = "main"


_ENTRIES = (
    SpeakerEntry(
        "campplus-zh-en",
        "3D-Speaker CAM++ of 200,000 Chinese and English speakers",
        RemoteFile("3dspeaker_speech_campplus_sv_zh_en_16k-common_advanced.onnx", 28_300_000),
        0.5,
    ),
    SpeakerEntry(
        "resnet34-lm",
        "WeSpeaker ResNet34-LM of VoxCeleb",
        RemoteFile("wespeaker_en_voxceleb_resnet34_LM.onnx", 26_500_000),
        0.5,
    ),
)
SPEAKER_CATALOG = {entry.name: entry for entry in _ENTRIES} | {SPEAKERS: _ENTRIES[0]}


def resolve_speakers(choice: str, model_dir: Path, likeness: float | None = None) -> SpeakerModel | None:
    """Return the speaker model that a setting names; None for `off`.

    Args:
        choice: `auto` (the default one where it was fetched, else the small one), `off`, `small`, a name of the
            catalogue, or the path of an ONNX file.
        likeness: instead of the model's own.

    Raises:
        ConfigError: it is none of these.
        ModelMissing: it was not fetched.
        ModelInvalid: it has changed since it was fetched.
    """
    if choice == OFF:
        return None
    entry = SPEAKER_CATALOG.get(SPEAKERS if choice == AUTO else choice)
    small = SpeakerModel(SMALL, _SHIPPED / "resemblyzer.onnx", _SEGMENTATION, likeness or _OF_SMALL)
    if choice == SMALL:
        return small
    if entry is not None:
        path = model_dir / SPEAKERS / entry.file.name
        if is_present(path):
            _check_seal(path)
            return SpeakerModel(entry.name, path, _SEGMENTATION, likeness or entry.likeness)
        if choice == AUTO:
            return small
        raise ModelMissing(f"No {path}. Fetch it with `gigastt download --model {choice} --model-dir {model_dir}`.")
    path = Path(choice).expanduser()
    if path.suffix != ".onnx" or not path.is_file():
        names = ", ".join([AUTO, OFF, SMALL, *SPEAKER_CATALOG])
        raise ConfigError(f"--speaker-model {choice}: expected {names}, or the path of an ONNX file.")
    return SpeakerModel(path.stem, path, _SEGMENTATION, likeness or _OF_OTHERS)


def _check_seal(path: Path) -> None:
    """Refuse a file whose content is not the one that was fetched; one that was brought by hand has no seal."""
    seals = Seals(path.parent)
    seal = seals.get(path.name)
    if seal is not None and seals.state(path.name) == "stale" and sha256_of(path) != seal.sha256:
        raise ModelInvalid(f"{path} has changed since it was fetched and checked. Remove it, and fetch it again.")


def download_speakers(
    entry: SpeakerEntry, model_dir: Path, mirror: str | None, progress: DownloadProgress | None = None
) -> tuple[Path, bool]:
    """Make a speaker model's file complete; return where it is, and whether it was fetched.

    Raises:
        DownloadFailed: the hub, the way to it, or its answers are at fault.
        NotEnoughRoom: the disk is full.
    """
    from gigastt.models.hub import Hub, LineBroken
    from gigastt.models.room import THIS_MACHINE
    from gigastt.models.transfer import Retries, Transfer, Wanted

    progress = progress or DownloadProgress()
    folder, name = model_dir / SPEAKERS, entry.file.name
    with exclusive(folder, lambda: progress.begin("waiting")):
        progress.begin("checking")
        seal, path = Seals(folder).get(name), folder / name
        if is_present(path) and (seal is None or sha256_of(path) == seal.sha256):
            return path, False
        transfer = Transfer(Hub(entry, mirror, None), folder, progress, Retries(), THIS_MACHINE)
        try:
            remote = transfer.look_up(name)
        except LineBroken as exc:
            raise DownloadFailed(f"Cannot ask {transfer.hub.endpoint} about {name}: {exc}.") from exc
        if remote.size is None or remote.digest is None:
            raise DownloadFailed(
                f"{transfer.hub.endpoint} does not tell size and digest of {name}, so it is not taken."
            )
        progress.begin("downloading", total_bytes=remote.size)
        transfer.fetch(Wanted(name, remote.size, remote.digest))
        shutil.rmtree(folder / PARTIAL_FOLDER, ignore_errors=True)
        progress.begin("done")
        return path, True
