"""Hearing: the ways in which `gigastt transcribe` has a file recognised.

Here          in this process, in bounded memory, a file at a time
LocalWorkers  by worker processes on this machine, each file by all of them (`local_workers`)
Servers       by running servers (`servers`)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias

import click

from gigastt.errors import UnsupportedByModel
from gigastt.hotwords import unusable
from gigastt.transcript import FINALS_ONLY, Final, Options, Transcript

if TYPE_CHECKING:
    from gigastt.audio.selection import FileChoice
    from gigastt.config import Precision
    from gigastt.models.speaker_models import SpeakerModel
    from gigastt.speech.recognizer import Recognizer
    from gigastt.speech.voices import VoiceModel

OnProgress: TypeAlias = Callable[[float, float], None]  # seconds that are done, and the share of the file
Heard: TypeAlias = AsyncIterator[Final | Transcript]


class Backend(Protocol):
    """A way to hear files, `places` of them at once."""

    @property
    def places(self) -> int: ...

    def hear(self, source: BinaryIO, choice: FileChoice, on_progress: OnProgress) -> Heard:
        """Yield each utterance of a file that has words, as soon as it is known, and last the transcript.

        Raises:
            RequestError: it is no file to transcribe.
        """
        ...


OpenBackend: TypeAlias = Callable[[], AbstractAsyncContextManager[Backend]]


@dataclass(frozen=True, slots=True)
class Here:
    """Hears files in this process, which does nothing else meanwhile."""

    recognizer: Recognizer
    min_confidence: float
    voices: VoiceModel | None
    options: Options
    places: int = field(default=1, init=False)

    async def hear(self, source: BinaryIO, choice: FileChoice, on_progress: OnProgress) -> Heard:
        from gigastt.transcribe import TranscribedFile

        size = source.seek(0, os.SEEK_END)
        source.seek(0)

        def tell(seconds: float) -> None:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError  # Ctrl-C, while nothing is awaited
            on_progress(seconds, source.tell() / max(size, 1))

        file = TranscribedFile(source, self.recognizer, tell, self.min_confidence, choice, self.voices, self.options)
        finals: list[Final] = []
        for final in file.segments():
            finals.append(final)
            yield final
            await asyncio.sleep(0)
        yield file.transcript(finals)


@asynccontextmanager
async def open_here(
    model: str,
    model_dir: Path,
    precision: Precision,
    min_confidence: float,
    speakers: SpeakerModel | None = None,
    options: Options = FINALS_ONLY,
) -> AsyncIterator[Backend]:
    """Load the models into this process.

    Raises:
        ModelMissing, ModelInvalid: one cannot be had.
        UnsupportedByModel: it cannot do what is asked for.
    """
    recognizer = open_recognizer(model, model_dir, precision)
    check_search(options, recognizer.alphabet)
    from gigastt.speech.voices import VoiceModel

    voices = VoiceModel(speakers.embedding, speakers.segmentation) if speakers is not None else None
    yield Here(recognizer, min_confidence, voices, options)


def open_recognizer(model: str, model_dir: Path, precision: Precision) -> Recognizer:
    """Load the model; the demo model says on standard error what it is.

    Raises:
        ModelMissing, ModelInvalid: it cannot be had (exit 3).
    """
    from gigastt.transcribe import load_recognizer

    found, recognizer = load_recognizer(model, model_dir, precision)
    if found.demo:
        warn_of_demo_model()
    return recognizer


def check_search(options: Options, alphabet: str) -> None:
    """Name the hotwords that a model with these letters cannot write. UnsupportedByModel: it searches greedily only."""
    if not alphabet and (options.hotwords or options.most_alternatives > 1):
        raise UnsupportedByModel
    warn_of_unusable(unusable(options.hotwords, alphabet))


def warn_of_unusable(phrases: Sequence[str]) -> None:
    """Say which hotwords do nothing."""
    if phrases:
        click.echo(f"gigastt: the model cannot write these hotwords: {', '.join(phrases)}.", err=True)


def warn_of_demo_model() -> None:
    """Say what the demo model is."""
    click.echo(
        "gigastt: this is the demo model: it knows synthetic voices only and gets most words of people wrong.", err=True
    )
