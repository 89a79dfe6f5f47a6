"""Prepacked encoders: weights laid out for this processor in a file that every worker maps.

onnxruntime rearranges weights when it loads a model, into private memory: 300 MiB a worker. Saved once, the
rearranged weights are file pages that all workers share. Such a file belongs to one processor type and one
onnxruntime version, and to the encoder it was made from:

    prepacked/<processor>-ort<version>/<encoder>.onnx        the optimised graph
                                       <encoder>.onnx.data   its weights, plain and prepacked
                                       made_from.json        sizes and times of all three files, when it was made

beside the encoder, or below the user's cache directory where that cannot be written. What does not match is not
used: the plain file always works. `plan_load` is cheap and imports neither onnx nor onnxruntime; `prepack` loads
the model, and so runs in a child of a server (`python -m gigastt.models.prepacked ENCODER`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

FOLDER = "prepacked"
SMALLEST_BYTES = 64 * 1024 * 1024  # below, a worker's private copy costs less than the trouble
_MADE_FROM = "made_from.json"
_IDENTITY = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU part", "Features")
_TIMEOUT_SECONDS = 60.0
_ROOM = 4  # times the encoder's size must be free: both forms of the weights, and as much again for others


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Which file a worker should load as its encoder, and whether its weights are shared between workers."""

    encoder: Path
    prepacked: bool


def plan_load(encoder: Path) -> LoadPlan:
    """Choose the prepacked form of an encoder where a good one exists, and the plain file otherwise."""
    for folder in _folders(encoder):
        made = folder / encoder.name
        if _recorded(folder) == _describe(encoder, folder):
            return LoadPlan(made, prepacked=True)
    return LoadPlan(encoder, prepacked=False)


def prepare_load(encoder: Path) -> LoadPlan:
    """As `plan_load`, but make the prepacked form first where there is none yet, in a child process.

    Never fails: a machine without room for it loads the plain file.
    """
    plan = plan_load(encoder)
    size = encoder.stat().st_size
    if plan.prepacked or size < SMALLEST_BYTES or shutil.disk_usage(encoder.parent).free < _ROOM * size:
        return plan
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = [sys.executable, "-m", "gigastt.models.prepacked", str(encoder)]
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_SECONDS)
    return plan_load(encoder)


def prepack(encoder: Path) -> Path | None:
    """Make the prepacked form; returns its folder, or None where no place for it can be written.

    Whole or not at all: it is made in a folder of another name.
    """
    for folder in _folders(encoder):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _scratch(folder.parent) as scratch:
                _save_prepacked(encoder, scratch / encoder.name)
                (scratch / _MADE_FROM).write_text(json.dumps(_describe(encoder, scratch)), encoding="utf-8")
                shutil.rmtree(folder, ignore_errors=True)
                scratch.rename(folder)
                _remove_older(folder)
        except OSError:
            continue
        return folder
    return None


def cpu_name() -> str:
    """A name for this processor type: same name, same prepacked files."""
    facts = [platform.machine()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split("\n\n")[0].splitlines()
        facts += [line for line in lines if line.partition("\t")[0].strip() in _IDENTITY]
    return f"{platform.machine()}-{hashlib.sha256('|'.join(facts).encode()).hexdigest()[:12]}"


def _folders(encoder: Path) -> tuple[Path, ...]:
    """Where the prepacked form of an encoder may lie, the best place first."""
    key = f"{cpu_name()}-ort{version('onnxruntime')}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = hashlib.sha256(str(encoder.resolve().parent).encode()).hexdigest()[:16]
    return (encoder.parent / FOLDER / key, cache / "gigastt" / FOLDER / place / key)


def _describe(encoder: Path, folder: Path) -> dict[str, list[int]] | None:
    """Size and modification time of the encoder and of what was made from it; None where one is missing."""
    paths = {"source": encoder, "graph": folder / encoder.name, "weights": folder / f"{encoder.name}.data"}
    try:
        stats = {name: path.stat() for name, path in paths.items()}
    except OSError:
        return None
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _recorded(folder: Path) -> object:
    """What was true when the folder was made; something that equals nothing where it is unreadable."""
    try:
        return json.loads((folder / _MADE_FROM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _remove_older(folder: Path) -> None:
    """Remove what other versions of onnxruntime left for this processor."""
    for other in folder.parent.glob(f"{cpu_name()}-ort*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A folder that is gone afterwards unless it was renamed."""
    scratch = Path(tempfile.mkdtemp(prefix=".prepacking-", dir=parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _save_prepacked(encoder: Path, target: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.optimized_model_filepath = str(target)
    entries = {
        "session.optimized_model_external_initializers_file_name": f"{target.name}.data",
        "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
        "session.save_external_prepacked_constant_initializers": "1",
    }
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    onnxruntime.InferenceSession(str(encoder), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    prepack(Path(sys.argv[1]))
