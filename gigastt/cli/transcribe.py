"""`gigastt transcribe`: files in, transcripts out; a bad file does not stop the others.

Runs on the main thread. Transcripts go to standard output or, with `--output-dir`, into files; progress and
complaints to standard error. `batch` does the work, by one of the ways of `hearing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gigastt.cli.archive import find_files, mirror_targets, open_manifest, watch_files
from gigastt.cli.batch import Batch, Writing, each_of
from gigastt.cli.diarization import Diarization, find_speaker_model
from gigastt.cli.hearing import OpenBackend, open_here
from gigastt.cli.kinds import FOLDER_PATH, CountOrAuto, HttpAddress, NamedFile
from gigastt.cli.options import (
    NonEmptyOption,
    hotwords_file_option,
    min_confidence_option,
    model_options,
    setting,
    speaker_likeness_option,
    speaker_model_option,
)
from gigastt.cli.ray_plan import RayPlan, transcribe_through_ray
from gigastt.cli.targets import STANDARD_INPUT, plan_targets, prepare_targets
from gigastt.config import MOST_TOLD_APART, Precision, Settings, default_pool_size
from gigastt.errors import InvalidParameter
from gigastt.hotwords import read_hotwords, read_hotwords_file
from gigastt.transcript import MOST_ALTERNATIVES, Hotword, Options

if TYPE_CHECKING:
    from gigastt.rendering import TranscriptForm
    from gigastt.spelling import Casing, Numbers

_MUCH_BYTES = 4_000_000
_SUFFIXES = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt", "md": ".md"}


def _check_track(context: click.Context, parameter: click.Parameter, track: str) -> str:
    """Check the form of a track's name before any file is opened."""
    from gigastt.audio.selection import read_choice

    try:
        return read_choice({"track": track}).track
    except InvalidParameter as exc:
        raise click.BadParameter(str(exc), context, parameter) from exc


def _read_hotwords(context: click.Context, parameter: click.Parameter, text: str) -> tuple[Hotword, ...]:
    """Read a list of phrases as the server's field of this name."""
    try:
        return read_hotwords(text)
    except InvalidParameter as exc:
        raise click.BadParameter(str(exc), context, parameter) from exc


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
    type=FOLDER_PATH,
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
@click.option(
    "--channels",
    type=click.Choice(["mix", "split"]),
    default="mix",
    show_default=True,
    help="split: each channel by itself, with its number; one that is a copy of another only once.",
)
@click.option(
    "--track",
    default="",
    metavar="N|LANGUAGE",
    callback=_check_track,
    help="The audio track to hear, by its number from 0 or its language; else the default, else a Russian one.",
)
@click.option(
    "--jobs",
    type=CountOrAuto(),
    default="auto",
    show_default=True,
    help="Workers, a core each; auto: one, and for more than 4 MB of files one for each core. "
    "With --server: files sent at once.",
)
@click.option(
    "--server",
    type=HttpAddress(),
    multiple=True,
    help="Have running servers do it, each file the one with most room; repeatable.",
)
@setting("--server-key", show_default=False, help="Key for --server.")
@click.option(
    "--ray",
    metavar="ADDRESS|local",
    help="Have a Ray cluster do it, or one that is started here; needs the extra ray. Names may be s3://BUCKET/FOLDER.",
)
@click.option("--watch", is_flag=True, help="Go on with files that come into the folders, until Ctrl-C.")
@click.option("--diarization", is_flag=True, help="Tell who speaks; the transcript then comes when all is heard.")
@click.option("--speakers", type=click.IntRange(1, MOST_TOLD_APART), help="How many speakers there are.")
@click.option(
    "--max-speakers", type=click.IntRange(1, MOST_TOLD_APART), default=MOST_TOLD_APART, help="How many there may be."
)
@click.option(
    "--known-speaker",
    type=NamedFile(),
    multiple=True,
    help="A speaker to call by name, and a recording of the voice, a minute at most; repeatable.",
)
@speaker_model_option
@speaker_likeness_option
@click.option(
    "--hotwords",
    default="",
    metavar="PHRASES",
    callback=_read_hotwords,
    help="Phrases that are preferred to what sounds like them: with commas between them, or as JSON with weights.",
)
@hotwords_file_option
@click.option(
    "--alternatives",
    type=click.IntRange(1, MOST_ALTERNATIVES),
    default=1,
    show_default=True,
    help="How many transcripts of each utterance to tell, in the JSON.",
)
@click.option("--punctuation/--no-punctuation", default=True, help="Write it, or leave it out.")
@click.option("--casing", type=click.Choice(["original", "lower"]), default="original", help="Capitals, or none.")
@click.option("--numbers", type=click.Choice(["words", "digits"]), default="words", help="Spoken ones, or figures.")
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
    channels: str,
    track: str,
    diarization: bool,
    speakers: int | None,
    max_speakers: int,
    known_speaker: tuple[tuple[str, Path], ...],
    speaker_model: str,
    speaker_likeness: float | None,
    hotwords: tuple[Hotword, ...],
    hotwords_file: Path | None,
    alternatives: int,
    punctuation: bool,
    casing: Casing,
    numbers: Numbers,
    dropped: bool,
    jobs: int | None,
    server: tuple[str, ...],
    server_key: str | None,
    ray: str | None,
    watch: bool,
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
    names = files
    if ray is not None and (not (recursive and resume) or server or watch):
        raise click.UsageError("--ray needs --recursive, --resume and --output-dir, and no --server or --watch.")
    if recursive and ray is None:
        files = tuple(find_files(names, output_dir, may_be_empty=watch))
    if form in ("srt", "vtt") and len(files) > 1 and output_dir is None:
        raise click.UsageError(f"--format {form} of several files needs --output-dir: each becomes a file of its own.")
    if overwrite and output_dir is None:
        raise click.UsageError("--overwrite needs --output-dir: without it nothing is written to files.")
    if resume and (output_dir is None or overwrite or STANDARD_INPUT in files):
        raise click.UsageError("--resume needs --output-dir and files, and goes without --overwrite.")
    if watch and not (recursive and resume):
        raise click.UsageError("--watch needs --recursive and --resume.")
    if server_key is not None and not server:
        raise click.UsageError("--server-key needs --server.")
    if dropped and form != "json":
        raise click.UsageError("--dropped needs --format json.")
    if alternatives > 1 and form != "json":
        raise click.UsageError("--alternatives needs --format json.")
    if (speakers or known_speaker) and not diarization:
        raise click.UsageError("--speakers and --known-speaker need --diarization.")
    from gigastt.audio.selection import FileChoice
    from gigastt.spelling import Spelling

    choice = FileChoice(track, splits_channels=channels == "split")
    spelling = Spelling(punctuation, casing, numbers)
    voices = find_speaker_model(speaker_model, model_dir, speaker_likeness) if diarization and not server else None
    speaking = Diarization(voices, speakers or 0, max_speakers, dict(known_speaker)) if diarization else None
    phrases = (read_hotwords_file(hotwords_file) if hotwords_file is not None else ()) + hotwords
    options = Options(partials=False, hotwords=phrases, most_alternatives=alternatives)
    here: OpenBackend = partial(open_here, model, model_dir, precision, min_confidence, voices, options)
    if ray is not None and output_dir is not None:
        if speaking is not None and known_speaker:
            asyncio.run(_learn(speaking, here))
        plan = RayPlan(output_dir, form, choice, dropped, model, model_dir, precision, min_confidence, spelling,
                       speaking, options)  # fmt: skip
        return transcribe_through_ray(ray, jobs, names, _SUFFIXES[form], plan)
    targets: dict[str, Path] = {}
    if output_dir is not None and recursive:
        targets = mirror_targets(files, names, output_dir, _SUFFIXES[form])
    elif output_dir is not None:
        targets = plan_targets(files, output_dir, _SUFFIXES[form])

    how = Writing(form, choice, tells_dropped=dropped, overwrite=overwrite, diarization=speaking, spelling=spelling)
    workers = jobs or (default_pool_size() if watch or _is_much(files) else 1)
    open_backend = here
    if server:
        from gigastt.cli.servers import open_servers

        open_backend = partial(open_servers, server, server_key, jobs, speaking, options)
    elif workers > 1:
        from gigastt.cli.local_workers import open_local_workers

        settings = Settings(model=model, model_dir=model_dir, precision=precision, min_confidence=min_confidence,
                            speaker_model=speaker_model if diarization else "off",
                            pool_size=workers, log_level="error")  # fmt: skip
        open_backend = partial(open_local_workers, settings, options)

    def run(batch: Batch, names: AsyncIterator[str]) -> int:
        with asyncio.Runner() as runner:
            return runner.run(batch.run(names))

    if not resume or output_dir is None:
        prepare_targets(targets, overwrite=overwrite)
        return run(Batch(open_backend, how, targets.__getitem__ if targets else None, count=len(files)), each_of(files))

    def target_of(name: str) -> Path:
        if name not in targets:
            targets.update(mirror_targets([name], names, output_dir, _SUFFIXES[form]))
        return targets[name]

    with open_manifest(output_dir) as manifest:
        batch = Batch(open_backend, how, target_of, manifest, None if watch else len(files))
        look = partial(find_files, names, output_dir, may_be_empty=True)
        code = run(batch, watch_files(look) if watch else each_of(files))
        click.echo(f"gigastt: {batch.done} of {len(files)} files are done, {batch.failed} with an error.", err=True)
        return code


async def _learn(diarization: Diarization, open_backend: OpenBackend) -> None:
    """Learn the voices of known speakers with a backend that is opened for that."""
    async with open_backend() as backend:
        await diarization.learn(backend)


def _is_much(files: Sequence[str]) -> bool:
    """Tell whether files are worth the start of workers."""
    paths = [Path(name) for name in files if name != STANDARD_INPUT]
    return sum(path.stat().st_size for path in paths if path.is_file()) > _MUCH_BYTES
