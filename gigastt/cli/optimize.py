"""`gigastt optimize`, also called `quantize`: the fast encoder, out of an fp32 one that is here already.

Runs on the main thread of a process of its own; Ctrl-C at any moment leaves no wrong file under a final name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gigastt.cli.kinds import FOLDER_PATH
from gigastt.cli.options import NonEmptyOption, model_dir_option, model_option


@click.command()
@model_option
@model_dir_option
@click.option(
    "--output",
    cls=NonEmptyOption,
    type=FOLDER_PATH,
    help="Write a complete set of files there (to be used as --model-dir) instead of beside the fp32 encoder.",
)
@click.option(
    "--precision",
    type=click.Choice(["int8", "fp16"]),
    default="int8",
    show_default=True,
    help="int8: for this machine's processor; fp16: for cards.",
)
def optimize(model: str, model_dir: Path, output: Path | None, precision: str) -> None:
    """Make the fastest encoder for this machine, or one for cards, out of the fp32 one, and say what it cost."""
    from gigastt.cli.progress import DownloadLine
    from gigastt.errors import ConfigError
    from gigastt.models.install import optimize_files
    from gigastt.models.stages import DownloadProgress
    from gigastt.models.store import resolve

    files = resolve(model, model_dir, "fp32")
    if files.demo:
        raise ConfigError("The demonstration model is small enough: there is nothing to optimise.")
    with DownloadLine(sys.stderr) as line:
        progress = DownloadProgress(line.show)
        folder, report = optimize_files(files, output, progress, for_cards=precision == "fp16")
    for text in report:
        click.echo(text)
    click.echo(f"{model} is optimised in {folder}.")
