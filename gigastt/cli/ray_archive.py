"""Archives on several machines: `gigastt transcribe --ray ADDRESS`, with the extra `ray`.

Each actor of Ray holds one core and the model with mapped weights, reads a file (of a disk that all machines share, or
of a store that pyarrow knows, such as s3://BUCKET/FOLDER), writes its transcript and notes it in a list of its own. So
an actor or a driver that is killed costs only the files that were on their way, and a run resumes another.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import click
import pyarrow.fs
import ray
import ray.data

from gigastt.cli.archive import Manifest
from gigastt.cli.ray_actor import RayActor
from gigastt.cli.ray_plan import RayPlan

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
