"""`gigastt download`: the model files, from the command line.

Runs on the main thread of a process of its own; Ctrl-C at any moment leaves no wrong file under a final name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gigastt.cli.kinds import HttpAddress
from gigastt.cli.options import model_dir_option, model_option, setting
from gigastt.config import Precision


# The figures are those of `room.needs_of` for the default model.
@click.command(
    epilog="Needs, for the default model, weights laid out so that workers share them included: 1.7 GB of disk (0.8 "
    "GB stay) and 3.8 GB of memory while it optimises; with --precision int8: 0.8 GB of disk and 0.6 GB of memory; "
    "with --precision fp32 or --no-optimize: 2.8 GB of disk and 2.3 GB of memory. Both are checked before anything is "
    "fetched. HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured."
)
@model_option
@model_dir_option
@setting(
    "--precision",
    type=click.Choice(["auto", "int8", "fp32", "fp16"]),
    default="auto",
    help="auto: fp32, optimised to int8 here; int8: the published int8 encoder as it is; fp32: as it is; fp16: for "
    "cards, made here.",
)
@setting("--mirror", type=HttpAddress(), help="A mirror of the hub (beats HF_ENDPOINT).")
@setting("--keep-fp32", is_flag=True, help="Keep the fp32 encoder (844 MiB) after optimising it.")
@setting("--optimize/--no-optimize", default=True, help="Optimise the fp32 encoder for this machine.")
def download(
    model: str, model_dir: Path, precision: Precision, mirror: str | None, keep_fp32: bool, optimize: bool
) -> None:
    """Fetch the recogniser's model files: resumed, checked before they get a name, made fast.

    `--model speakers` fetches the model that tells speakers apart.
    """
    from gigastt.cli.progress import DownloadLine
    from gigastt.models.catalog import find
    from gigastt.models.download import DownloadOptions, download_model
    from gigastt.models.speaker_models import SPEAKER_CATALOG, download_speakers
    from gigastt.models.stages import DownloadProgress

    if (speakers := SPEAKER_CATALOG.get(model)) is not None:
        with DownloadLine(sys.stderr) as line:
            path, fetched = download_speakers(speakers, model_dir, mirror, DownloadProgress(line.show))
        click.echo(f"{'Fetched' if fetched else 'Was here already'}: {speakers.title}, in {path}.")
        return
    options = DownloadOptions(precision=precision, mirror=mirror, keep_fp32=keep_fp32, optimize=optimize)
    with DownloadLine(sys.stderr) as line:
        outcome = download_model(find(model), model_dir, options, DownloadProgress(line.show))
    for text in outcome.report:
        click.echo(text)
    files = outcome.files
    click.echo(f"{'Fetched: ' + ', '.join(outcome.fetched) if outcome.fetched else 'Everything was here already'}.")
    click.echo(f"{files.name} is ready in {files.directory}, {files.form} encoder: {files.encoder.name}.")
