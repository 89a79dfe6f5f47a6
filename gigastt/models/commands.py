"""`gigastt download` and `gigastt optimize`: model files, from the command line.

Runs on the main thread of a process of its own; Ctrl-C at any moment leaves no wrong file under a final name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from gigastt.commands.options import setting
from gigastt.config import DEFAULT_MODEL, Precision, Settings


def _check_mirror(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.BadParameter(f"expected http(s)://host[:port][/path], but got {value!r}", context, parameter)
    return value


_model = setting("--model", default=DEFAULT_MODEL, help="Which model.")
_model_dir = setting(
    "--model-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: Settings().model_dir,
    show_default="~/.gigastt/models",
    help="Where the model files are; each model has a folder there.",
)


@click.command(
    epilog="Needs, for the default model: 1.7 GB of disk and 3.6 GB of memory while it works (885 MB are fetched, "
    "0.8 GB stay), and a minute; with --precision int8: 0.3 GB of disk; with --precision fp32 or --no-optimize: 1 GB; "
    "twice as much again, where it is free, for weights laid out so that workers share them. Disk and memory are "
    "checked before anything is fetched. HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured."
)
@_model
@_model_dir
@setting(
    "--precision",
    type=click.Choice(["auto", "int8", "fp32"]),
    default="auto",
    help="auto: fp32, optimised to int8 here; int8: the published int8 encoder as it is; fp32: as it is.",
)
@setting("--mirror", metavar="URL", callback=_check_mirror, help="A mirror of the hub (beats HF_ENDPOINT).")
@setting("--keep-fp32", is_flag=True, help="Keep the fp32 encoder (844 MiB) after optimising it.")
@setting("--optimize/--no-optimize", default=True, help="Optimise the fp32 encoder for this machine.")
def download(
    model: str, model_dir: Path, precision: Precision, mirror: str | None, keep_fp32: bool, optimize: bool
) -> None:
    """Fetch the recogniser's model files: resumed, checked before they get a name, made fast."""
    from gigastt.models.catalog import find
    from gigastt.models.console import ConsoleProgress
    from gigastt.models.download import DownloadOptions
    from gigastt.models.download import download as run_download
    from gigastt.models.optimizer import load_optimizer
    from gigastt.models.progress import DownloadProgress

    options = DownloadOptions(
        precision=precision,
        mirror=mirror,
        keep_fp32=keep_fp32,
        optimizer=load_optimizer(encoder=optimize),
    )
    with ConsoleProgress(sys.stderr) as console:
        outcome = run_download(find(model), model_dir, options, DownloadProgress(console.show))
    for line in outcome.report:
        click.echo(line)
    files = outcome.files
    click.echo(f"{'Fetched: ' + ', '.join(outcome.fetched) if outcome.fetched else 'Everything was here already'}.")
    click.echo(f"{files.name} is ready in {files.directory}, {files.form} encoder: {files.encoder.name}.")


@click.command()
@_model
@_model_dir
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a complete set of files there (to be used as --model-dir) instead of beside the fp32 encoder.",
)
def optimize(model: str, model_dir: Path, output: Path | None) -> None:
    """Make the fastest int8 encoder for this machine out of the fp32 one, and say what it gained and cost."""
    from gigastt.errors import ConfigError
    from gigastt.models.console import ConsoleProgress
    from gigastt.models.optimizer import load_optimizer, optimize_files
    from gigastt.models.progress import DownloadProgress
    from gigastt.models.store import resolve

    files = resolve(model, model_dir, "fp32")
    if files.demo:
        raise ConfigError("The demonstration model is small enough: there is nothing to optimise.")
    with ConsoleProgress(sys.stderr) as console:
        progress = DownloadProgress(console.show)
        folder, report = optimize_files(files, output, load_optimizer(encoder=True), progress)
    for line in report:
        click.echo(line)
    click.echo(f"{model} is optimised in {folder}.")
