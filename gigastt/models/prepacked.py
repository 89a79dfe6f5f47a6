"""Prepacked encoders: weights laid out for this processor in a file that every worker maps.

onnxruntime rearranges weights when it loads a model, into private memory: 300 MiB a worker. Saved once, the
rearranged weights are file pages that all workers share. Such a file belongs to one processor type and one
onnxruntime version, and to the encoder it was made from:

    prepacked/<processor>-ort<version>/<encoder>.onnx        the optimised graph
                                       <encoder>.onnx.data   its weights, plain and prepacked
                                       made_from.json        sizes and times of all three files, when it was made

beside the encoder, or below the user's cache directory if that cannot be written. A form that does not match is not
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
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gigastt.cards import runtime_version
from gigastt.errors import NotEnoughRoom
from gigastt.models.room import SMALLEST_PREPACKED, THIS_MACHINE, FreeRoom, needs_of
from gigastt.processes import prepare_child, python_command

FOLDER = "prepacked"
_MADE_FROM = "made_from.json"
_IDENTITY = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU part", "Features")
_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The file that a worker should load as its encoder, and whether all workers share its weights."""

    encoder: Path
    prepacked: bool


def plan_load(encoder: Path) -> LoadPlan:
    """Choose the prepacked form of an encoder if a good one exists, else the plain file."""
    for folder in _folders(encoder):
        if _is_good(encoder, folder):
            return LoadPlan(folder / encoder.name, prepacked=True)
    return LoadPlan(encoder, prepacked=False)


async def prepare_load(encoder: Path) -> LoadPlan:
    """As `plan_load`, but make the prepacked form first if there is none yet, in a child process.

    Never fails: a machine without room for it loads the plain file. Cancelling ends the child.
    """
    plan = plan_load(encoder)
    if plan.prepacked or _is_small(encoder):
        return plan
    import asyncio  # here: `plan_load` alone does without it

    with contextlib.suppress(OSError):
        nowhere = asyncio.subprocess.DEVNULL
        command = python_command("gigastt.models.prepacked", str(encoder))
        child = await asyncio.create_subprocess_exec(*command, stdin=nowhere, stdout=nowhere, stderr=nowhere)
        try:
            await asyncio.wait_for(child.wait(), _TIMEOUT_SECONDS)
        except TimeoutError:
            pass
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    return plan_load(encoder)


def _is_small(encoder: Path) -> bool:
    return encoder.stat().st_size < SMALLEST_PREPACKED


def prepack(encoder: Path, room: FreeRoom = THIS_MACHINE) -> Path | None:
    """Make the prepacked form; return its folder, or None if there is no room for it, or no place that can be written.

    Whole or not at all: it is made in a folder of another name. Of several processes, one makes it.
    """
    from filelock import FileLock  # costs 60 ms, and only this child needs it

    for folder in _folders(encoder):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with (
                FileLock(folder.parent.with_name(f".{FOLDER}.lock")),
                tempfile.TemporaryDirectory(prefix=".prepacking-", dir=folder.parent) as name,
            ):
                if _is_good(encoder, folder):
                    return folder
                room.require(folder.parent, needs_of(encoder.stat().st_size, optimizing=False))
                scratch = Path(name)
                scratch.chmod(0o755)  # as readable as the model: the server may run as another user
                _save_prepacked(encoder, scratch / encoder.name)
                (scratch / _MADE_FROM).write_text(json.dumps(_describe(encoder, scratch)), encoding="utf-8")
                shutil.rmtree(folder, ignore_errors=True)
                scratch.rename(folder)
                _remove_older(folder)
        except (OSError, NotEnoughRoom):
            continue
        return folder
    return None


def cpu_name() -> str:
    """Return a name for this processor type: same name, same prepacked files."""
    facts = [platform.machine()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split("\n\n")[0].splitlines()
        facts += [line for line in lines if line.partition("\t")[0].strip() in _IDENTITY]
    return f"{platform.machine()}-{hashlib.sha256('|'.join(facts).encode()).hexdigest()[:12]}"


def _folders(encoder: Path) -> tuple[Path, ...]:
    """Return the folders in which an encoder's prepacked form may lie, the best first."""
    key = f"{cpu_name()}-ort{runtime_version()}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = hashlib.sha256(str(encoder.resolve().parent).encode()).hexdigest()[:16]
    return (encoder.parent / FOLDER / key, cache / "gigastt" / FOLDER / place / key)


def _is_good(encoder: Path, folder: Path) -> bool:
    """Tell whether a folder holds this encoder's prepacked form, all files as they were when it was made."""
    try:
        recorded: object = json.loads((folder / _MADE_FROM).read_text(encoding="utf-8"))
        return recorded == _describe(encoder, folder)
    except (OSError, ValueError):
        return False


def _describe(encoder: Path, folder: Path) -> dict[str, list[int]]:
    """Return size and modification time of the encoder and of the files made from it."""
    paths = {"source": encoder, "graph": folder / encoder.name, "weights": folder / f"{encoder.name}.data"}
    stats = {name: path.stat() for name, path in paths.items()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _remove_older(folder: Path) -> None:
    """Remove the forms that other versions of onnxruntime made for this processor."""
    for other in folder.parent.glob(f"{cpu_name()}-ort*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


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
    prepare_child()
    prepack(Path(sys.argv[1]))
