"""`gigastt transcribe`: files in, transcripts out, in this process; a bad file does not stop the others.

Runs on the main thread. Transcripts go to standard output or, with `--output-dir`, into files; progress and
complaints to standard error.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import click

from gigastt.cli.archive import Manifest, find_files, mirror_targets, open_manifest
from gigastt.cli.options import (
    NonEmptyOption,
    min_confidence_option,
    model_options,
    speaker_likeness_option,
    speaker_model_option,
)
from gigastt.cli.progress import ProgressLine
from gigastt.cli.targets import STANDARD_INPUT, plan_targets, prepare_targets, writing
from gigastt.errors import ConfigError, RequestError
from gigastt.processes import use_one_thread

if TYPE_CHECKING:
    from gigastt.config import Precision
    from gigastt.rendering import TranscriptForm
    from gigastt.speakers import SpeakerBook
    from gigastt.speech.recognizer import Recognizer
    from gigastt.speech.voices import VoiceModel
    from gigastt.transcript import Final

MOST_SPEAKERS = 20
_SUFFIXES = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt", "md": ".md"}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_SUFFIXES)),
    default="text",
    show_default=True,
    help="A line a segment, one JSON object a file, captions, or Markdown with times.",
)
@click.option(
    "--output-dir",
    cls=NonEmptyOption,
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a file for each input into this folder (talk.wav becomes talk.srt) instead of to standard output; "
    "inputs of the same name keep their folders.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there already in --output-dir.")
@click.option(
    "--recursive",
    is_flag=True,
    help="Take the files of folders, at any depth. Their transcripts keep the folders and the whole name "
    "(a/talk.wav becomes a/talk.wav.txt).",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on where a run with the same --output-dir stopped: what it has done, by its list there (.gigastt.jsonl), "
    "is not done again. A transcript that is not in the list is not replaced.",
)
@click.option("--diarization", is_flag=True, help="Tell who speaks; the transcript then comes when all is heard.")
@click.option("--speakers", type=click.IntRange(1, MOST_SPEAKERS), help="How many speakers there are.")
@click.option(
    "--max-speakers",
    type=click.IntRange(1, MOST_SPEAKERS),
    default=MOST_SPEAKERS,
    help="How many there may be.",
)
@speaker_model_option
@speaker_likeness_option
@click.option("--dropped", is_flag=True, help="Tell in the JSON what was left out, and why.")
@min_confidence_option
@model_options
def transcribe(
    files: tuple[str, ...],
    form: TranscriptForm,
    output_dir: Path | None,
    overwrite: bool,
    recursive: bool,
    resume: bool,
    diarization: bool,
    speakers: int | None,
    max_speakers: int,
    speaker_model: str,
    speaker_likeness: float | None,
    dropped: bool,
    min_confidence: float,
    model: str,
    model_dir: Path,
    precision: Precision,
) -> int:
    """Transcribe audio files without a server; - is standard input.

    Formats: WAV, FLAC, MP3, Ogg, Opus, M4A, AAC, WebM, MP4, MKV, 3GP, AMR, WMA, AVI, TS, AIFF, CAF, AU, W64, AC3, EAC3,
    DTS, MP2. The content decides, not the name.

    Exit code 1 if a file, or a part of one, could not be transcribed; the others are still done.
    """
    names, files = files, tuple(find_files(files, output_dir)) if recursive else files
    if form in ("srt", "vtt") and len(files) > 1 and output_dir is None:
        raise click.UsageError(f"--format {form} of several files needs --output-dir: each becomes a file of its own.")
    if overwrite and output_dir is None:
        raise click.UsageError("--overwrite needs --output-dir: without it nothing is written to files.")
    if resume and (output_dir is None or overwrite or STANDARD_INPUT in files):
        raise click.UsageError("--resume needs --output-dir and files, and goes without --overwrite.")
    if dropped and form != "json":
        raise click.UsageError("--dropped needs --format json.")
    if speakers and not diarization:
        raise click.UsageError("--speakers needs --diarization.")
    targets: dict[str, Path] = {}
    if output_dir is not None and recursive:
        targets = mirror_targets(files, names, output_dir, _SUFFIXES[form])
    elif output_dir is not None:
        targets = plan_targets(files, output_dir, _SUFFIXES[form])

    def load() -> _How:
        recognizer = open_recognizer(model, model_dir, precision)
        books = (
            open_voices(speaker_model, model_dir, speaker_likeness, speakers or 0, max_speakers)
            if diarization
            else None
        )
        return _How(form, recognizer, min_confidence, tells_dropped=dropped, books=books)

    if resume and output_dir is not None:
        with open_manifest(output_dir) as manifest:
            return _resume(targets, manifest, load)
    prepare_targets(targets, overwrite=overwrite)
    how = load()
    failed = 0
    for name in files:
        try:
            with writing(targets[name], overwrite=overwrite) if targets else nullcontext(sys.stdout) as target:
                several = len(files) > 1 and not targets
                failed += not _transcribe_one(name, how, target, several=several)
        except BrokenPipeError:
            raise
        except (RequestError, OSError) as exc:
            failed += 1
            click.echo(f"gigastt: {name}: {_reason(exc, name)}", err=True)
    return 1 if failed else 0


def _resume(targets: Mapping[str, Path], manifest: Manifest, load: Callable[[], _How]) -> int:
    """Transcribe the files that the list does not have; return the exit code."""
    how: _How | None = None
    failed = done = 0
    for number, (name, target) in enumerate(targets.items(), 1):
        source = Path(name)
        try:
            if manifest.is_done(source, target):
                done += 1
                continue
            how = how or load()
            target.parent.mkdir(parents=True, exist_ok=True)
            manifest.remove_unfinished(target)
            record = partial(manifest.record, source, target)
            with writing(target, overwrite=target.exists(), before_naming=record) as file:
                whole = _transcribe_one(name, how, file, of_all=f"[{number}/{len(targets)}] ")
            failed += not whole
            done += 1
        except (RequestError, OSError) as exc:
            failed += 1
            reason = _reason(exc, name)
            manifest.record_error(target, reason)
            click.echo(f"gigastt: {name}: {reason}", err=True)
    click.echo(f"gigastt: {done} of {len(targets)} files are done, {failed} with an error.", err=True)
    return 1 if failed else 0


def _reason(exc: RequestError | OSError, name: str) -> str:
    """Say what went wrong with a file; where it was another file than the one that is named, say which."""
    if isinstance(exc, RequestError) or not exc.strerror:
        return str(exc)
    other = exc.filename2 or exc.filename
    return exc.strerror if other in (None, name) else f"{other}: {exc.strerror}"


GAPS = {
    "audio_damaged": "the audio is damaged",
    "audio_missing": "the audio is missing",
    "inference_error": "this could not be recognised",
}


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


@dataclass(frozen=True, slots=True)
class _Books:
    """What tells voices apart, and a book for the speakers of each file."""

    voices: VoiceModel
    open: Callable[[], SpeakerBook]


def open_voices(choice: str, model_dir: Path, likeness: float | None, speakers: int, most: int) -> _Books:
    """Load the speaker model.

    Raises:
        ConfigError: the choice is none, or `off` (exit 2).
        ModelMissing, ModelInvalid: it cannot be had (exit 3).
    """
    from gigastt.models.speaker_models import resolve_speakers
    from gigastt.speakers import SpeakerBook, SpeakerWishes
    from gigastt.speech.voices import VoiceModel

    model = resolve_speakers(choice, model_dir, likeness)
    if model is None:
        raise ConfigError("--diarization needs a speaker model: leave out --speaker-model off.")
    wishes = SpeakerWishes(speakers=speakers, most=most)
    return _Books(VoiceModel(model.embedding, model.segmentation), partial(SpeakerBook, wishes, model.likeness))


@dataclass(frozen=True, slots=True)
class _How:
    """What is the same for every file."""

    form: TranscriptForm
    recognizer: Recognizer
    min_confidence: float
    tells_dropped: bool
    books: _Books | None = None


def _transcribe_one(name: str, how: _How, target: TextIO, *, several: bool = False, of_all: str = "") -> bool:
    """Write the transcript of one file; return whether all of it could be recognised, and say what could not.

    Args:
        several: whether other files' transcripts go to the same target.
        of_all: what the progress line says before the name.
    """
    from gigastt.rendering import render_transcript
    from gigastt.transcribe import TranscribedFile

    with _open_source(name) as source, ProgressLine(sys.stderr, of_all + name, _share_read(source)) as progress:
        voices, book = (how.books.voices, how.books.open()) if how.books else (None, None)
        recording = TranscribedFile(source, how.recognizer, progress.update, how.min_confidence, voices, book)
        segments = recording.segments()
        first = list(islice(segments, 1))  # a file that is no audio fails here, before anything is written
        if several and how.form == "text":
            progress.clear()
            target.write(f"==> {name} <==\n")
        shown = _clear_before(chain(first, segments), progress) if target.isatty() else chain(first, segments)
        pieces = render_transcript(
            how.form,
            shown,
            lambda: recording.seconds,
            name if several else None,
            lambda: recording.gaps,
            (lambda: recording.dropped) if how.tells_dropped else None,
            lambda: recording.speakers,
        )
        for piece in pieces:
            target.write(piece)
            target.flush()
        progress.clear()
    for gap in recording.gaps:
        click.echo(f"gigastt: {name}: {gap.start:.2f} to {gap.end:.2f} s: {GAPS[gap.code]}", err=True)
    return not recording.failed


def _clear_before(segments: Iterable[Final], progress: ProgressLine) -> Iterator[Final]:
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


def _share_read(source: BinaryIO) -> Callable[[], float]:
    """Return what tells how much of a file has been read, 0 to 1."""
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return lambda: source.tell() / max(size, 1)
