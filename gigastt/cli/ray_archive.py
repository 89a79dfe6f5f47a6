"""Archives on several machines: `gigastt transcribe --ray ADDRESS`, with the extra `ray`.

Each actor of Ray holds one core and the model with mapped weights, reads a file (of a disk that all machines share, or
of a store that pyarrow knows, such as s3://BUCKET/FOLDER), writes its transcript and notes it in a list of its own. So
an actor or a driver that is killed costs only the files that were on their way, and a run resumes another.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click
import pyarrow.fs
import ray
import ray.data

from gigastt.cli.archive import Manifest, SourceStamp, open_part
from gigastt.cli.hearing import open_recognizer
from gigastt.cli.ray_plan import RayPlan, is_remote
from gigastt.cli.targets import writing
from gigastt.errors import RequestError
from gigastt.rendering import Renderer
from gigastt.speech.voices import VoiceModel
from gigastt.transcribe import TranscribedFile

_CPUS = 0.9  # of a core for each actor: whole ones leave nothing for the stages of Ray's own, which then wait for ever
_MOST_BLOCKS = 1_000


def list_remote(name: str) -> list[str]:
    """Return the files of a store's folder, at any depth, or the one file of that name."""
    store, path = pyarrow.fs.FileSystem.from_uri(name)
    if store.get_file_info(path).type == pyarrow.fs.FileType.File:
        return [name]
    found = store.get_file_info(pyarrow.fs.FileSelector(path, recursive=True))
    prefix = name.rstrip("/")
    files = [each.path.removeprefix(path.rstrip("/")) for each in found if each.type == pyarrow.fs.FileType.File]
    return [prefix + file for file in sorted(files) if not any(part.startswith(".") for part in file.split("/"))]


def transcribe_with_ray(
    address: str, actors: int | None, targets: Mapping[str, Path], manifest: Manifest, plan: RayPlan
) -> tuple[int, int]:
    """Transcribe what is not done yet; return how many files are done, and how many have an error.

    Args:
        address: of a cluster, or `local`: one that is started on this machine for the run.
        actors: at most; None: one for each core of the cluster.
    """
    todo = [{"name": name, "target": str(target)} for name, target in targets.items()]
    done = failed = 0
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.init(None if address == "local" else address, log_to_driver=False, logging_level="error")
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        count = actors or max(1, int(ray.cluster_resources().get("CPU", 1)))
        dataset = ray.data.from_items(todo, override_num_blocks=min(len(todo), _MOST_BLOCKS)).map(
            RayActor,
            fn_constructor_args=(plan,),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=count),
            num_cpus=_CPUS,
        )
        for row in dataset.iter_rows():
            done += row["is_done"]
            failed += not row["is_whole"]
            if row["reason"]:
                click.echo(f"gigastt: {row['name']}: {row['reason']}", err=True)
                if not row["is_done"]:
                    manifest.record_error(Path(row["target"]), row["reason"])
    finally:
        ray.shutdown()
    return done, failed


class RayActor:
    """One actor: a core, a model, a list."""

    def __init__(self, plan: RayPlan) -> None:
        self._plan = plan
        self._recognizer = open_recognizer(plan.model, plan.model_dir, plan.precision)
        speakers = plan.diarization.model if plan.diarization is not None else None
        self._voices = VoiceModel(speakers.embedding, speakers.segmentation) if speakers is not None else None
        self._stack = ExitStack()
        part = open_part(plan.output_dir, f"{socket.gethostname()}-{os.getpid()}")
        self._manifest = self._stack.enter_context(part)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Transcribe one file; what goes wrong with it is told and ends nothing."""
        is_done = is_whole = False
        reason = ""
        try:
            is_whole = self._transcribe(row["name"], Path(row["target"]))
            is_done = True
        except (RequestError, OSError) as exc:
            reason = str(exc)
        if is_done and not is_whole:
            reason = "not all of it could be recognised"
        return {**row, "is_done": is_done, "is_whole": is_whole, "reason": reason}

    def _transcribe(self, name: str, target: Path) -> bool:
        plan = self._plan
        with ExitStack() as stack:
            stamp, source = _open(name, stack)
            self._manifest.read_again()  # another actor, or another run, may have written it
            if self._manifest.is_done(stamp, target):
                return True
            target.parent.mkdir(parents=True, exist_ok=True)
            self._manifest.remove_unfinished(target)
            recording = TranscribedFile(
                source, self._recognizer, min_confidence=plan.min_confidence, choice=plan.choice, voices=self._voices
            )
            heard = recording.transcript(list(recording.segments()))
            if plan.diarization is not None:
                heard = plan.diarization.tell_speakers(heard)
            heard = plan.spelling.of(heard)
            renderer = Renderer(plan.form, tells_channels=bool(heard.copies), tells_dropped=plan.tells_dropped)
            record = partial(self._manifest.record, stamp, target)
            with writing(target, overwrite=target.exists(), before_naming=record) as file:
                file.write("".join([renderer.begin(), *map(renderer.segment, heard.finals), renderer.end(heard)]))
            return not recording.failed


def _open(name: str, stack: ExitStack) -> tuple[SourceStamp, BinaryIO]:
    """Open a file, wherever it is."""
    if not is_remote(name):
        return SourceStamp.of(Path(name)), stack.enter_context(Path(name).open("rb"))
    store, path = pyarrow.fs.FileSystem.from_uri(name)
    info = store.get_file_info(path)
    source: BinaryIO = stack.enter_context(store.open_input_file(path))
    return SourceStamp(info.size, info.mtime_ns or 0), source
