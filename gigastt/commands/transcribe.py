"""`gigastt transcribe`: files in, transcripts out, in this process; a bad file does not stop the others.

Runs on the main thread. Transcripts go to standard output or, with `--output-dir`, into files; progress and
complaints to standard error.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import click

from gigastt.commands.options import model_options
from gigastt.commands.progress import ProgressLine
from gigastt.errors import RequestError
from gigastt.processes import use_one_thread

if TYPE_CHECKING:
    from gigastt.commands.output import OutputForm
    from gigastt.config import Precision
    from gigastt.speech.recognizer import Recognizer
    from gigastt.transcribe import Segment

STANDARD_INPUT = "-"
_SUFFIXES = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "srt", "vtt"]),
    default="text",
    show_default=True,
    help="A line a segment, one JSON object a file, or captions.",
)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a file for each input into this folder instead of to standard output.",
)
@model_options
def transcribe(
    files: tuple[str, ...],
    form: OutputForm,
    output_dir: Path | None,
    model: str,
    model_dir: Path,
    precision: Precision,
) -> int:
    """Transcribe audio files (any format; - is standard input) without a server.

    Exit code 1 if a file, or a part of one, could not be transcribed; the others are still done.
    """
    if form in ("srt", "vtt") and len(files) > 1 and output_dir is None:
        raise click.UsageError(f"--format {form} of several files needs --output-dir: each becomes a file of its own.")
    recognizer = open_recognizer(model, model_dir, precision)
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in files:
        try:
            with _open_target(name, form, output_dir) as target:
                several = len(files) > 1 and output_dir is None
                failed += not _transcribe_one(name, form, target, recognizer, several=several)
        except BrokenPipeError:
            raise
        except (RequestError, OSError) as exc:
            failed += 1
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            click.echo(f"gigastt: {name}: {reason}", err=True)
    return 1 if failed else 0


def open_recognizer(model: str, model_dir: Path, precision: Precision) -> Recognizer:
    """Load the model; the demo model says on standard error what it is.

    Raises:
        ModelMissing, ModelInvalid: it cannot be had (exit 3).
    """
    use_one_thread(unless_set=True)
    from gigastt.transcribe import load_recognizer

    found, recognizer = load_recognizer(model, model_dir, precision)
    if found.demo:
        click.echo(
            "gigastt: this is the demo model: it knows synthetic voices only and gets most words of people wrong.",
            err=True,
        )
    return recognizer


def _transcribe_one(name: str, form: OutputForm, target: TextIO, recognizer: Recognizer, *, several: bool) -> bool:
    """Write the transcript of one file; return whether all of it could be recognised, and say what could not."""
    from gigastt.commands.output import write_transcript
    from gigastt.transcribe import Recording

    with _open_source(name) as source, ProgressLine(sys.stderr, name, _share_read(source)) as progress:
        recording = Recording(source, recognizer, progress.update)
        segments = recording.segments()
        first = list(islice(segments, 1))  # a file that is no audio fails here, before anything is written
        if several and form == "text":
            progress.clear()
            target.write(f"==> {name} <==\n")
        shown = _clear_before(chain(first, segments), progress) if target.isatty() else chain(first, segments)
        write_transcript(form, shown, target, lambda: recording.seconds, name if several else None, recording.failed)
        progress.clear()
    for span in recording.failed:
        click.echo(f"gigastt: {name}: {span.start:.2f} to {span.end:.2f} s could not be recognised", err=True)
    return not recording.failed


def _clear_before(segments: Iterable[Segment], progress: ProgressLine) -> Iterator[Segment]:
    """Take the progress line away before a segment is written to the same terminal, and before the end."""
    for segment in segments:
        progress.clear()
        yield segment
    progress.clear()


@contextmanager
def _open_source(name: str) -> Iterator[BinaryIO]:
    """Yield a file that can be sought: standard input is copied to a temporary one first."""
    if name != STANDARD_INPUT:
        with Path(name).open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        yield spool


@contextmanager
def _open_target(name: str, form: OutputForm, output_dir: Path | None) -> Iterator[TextIO]:
    """Yield where the transcript goes; a file gets its name only when it is complete."""
    if output_dir is None:
        yield sys.stdout
        return
    stem = "stdin" if name == STANDARD_INPUT else Path(name).name
    path = output_dir / (stem + _SUFFIXES[form])
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("w", encoding="utf-8") as target:
            yield target
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _share_read(source: BinaryIO) -> Callable[[], float]:
    """Return what tells how much of a file has been read, 0 to 1."""
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return lambda: source.tell() / max(size, 1)
