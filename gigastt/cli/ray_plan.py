"""Before and after Ray, in `gigastt transcribe --ray`: the files, their targets, and the list of what is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gigastt.cli.archive import find_files, mirror_targets, open_manifest
from gigastt.errors import ConfigError
from gigastt.transcript import FINALS_ONLY, Options

if TYPE_CHECKING:
    from gigastt.audio.selection import FileChoice
    from gigastt.cli.diarization import Diarization
    from gigastt.config import Precision
    from gigastt.rendering import TranscriptForm
    from gigastt.spelling import Spelling


@dataclass(frozen=True, slots=True)
class RayPlan:
    """The settings of all actors; the model's folder and the output are the same on all machines."""

    output_dir: Path
    form: TranscriptForm
    choice: FileChoice
    tells_dropped: bool
    model: str
    model_dir: Path
    precision: Precision
    min_confidence: float
    spelling: Spelling
    diarization: Diarization | None
    options: Options = FINALS_ONLY


def transcribe_through_ray(address: str, actors: int | None, names: Sequence[str], suffix: str, plan: RayPlan) -> int:
    """Transcribe files of folders and of stores; return the exit code.

    Raises:
        ConfigError: Ray is not installed, or there is no file.
    """
    try:
        from gigastt.cli.ray_archive import list_remote, transcribe_with_ray
    except ImportError as exc:
        raise ConfigError("--ray needs Ray: pip install 'gigastt-server[ray]'.") from exc
    plan = replace(plan, output_dir=plan.output_dir.resolve(), model_dir=plan.model_dir.resolve())
    local = [os.path.abspath(name) for name in names if not is_remote(name)]  # noqa: PTH100
    targets: dict[str, Path] = {}
    if local:
        targets = mirror_targets(find_files(local, plan.output_dir), local, plan.output_dir, suffix)
    for name in names:
        if is_remote(name):
            targets |= {file: remote_target(file, plan.output_dir, suffix) for file in list_remote(name)}
    if not targets:
        raise ConfigError(f"There is no file in {', '.join(names)}.")
    with open_manifest(plan.output_dir) as manifest:
        done, failed = transcribe_with_ray(address, actors, targets, manifest, plan)
        manifest.take_over_parts()
    click.echo(f"gigastt: {done} of {len(targets)} files are done, {failed} with an error.", err=True)
    return 1 if failed or done < len(targets) else 0


def is_remote(name: str) -> bool:
    """Tell whether a name is that of a file in a store."""
    return "://" in name


def remote_target(name: str, output_dir: Path, suffix: str) -> Path:
    """Return the path of the transcript of a file in a store: its address below the output folder."""
    parts = [part for part in name.partition("://")[2].split("/") if part not in ("", ".", "..")]
    return output_dir.joinpath(*parts[:-1], parts[-1] + suffix)
