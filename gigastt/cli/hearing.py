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
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias

import click

from gigastt.errors import UnsupportedByModel
from gigastt.hotwords import unusable
from gigastt.transcript import FINALS_ONLY, Options

if TYPE_CHECKING:
    from gigastt.audio.selection import FileChoice
    from gigastt.config import Precision
    from gigastt.models.speaker_models import SpeakerModel
    from gigastt.speech.recognizer import Recognizer
    from gigastt.speech.voices import VoiceModel
    from gigastt.transcript import Final, Transcript

OnProgress: TypeAlias = Callable[[float, float], None]  # seconds that are done, and the share of the file


class HeardFile(Protocol):
    """One file on its way."""

    def segments(self) -> AsyncIterator[Final]:
        """Yield each utterance that has words, as soon as it is known.

        Raises:
            RequestError: it is no file to transcribe.
        """
        ...

    def transcript(self, finals: Sequence[Final]) -> Transcript:
        """Return what was said, once `segments` has yielded these."""
        ...


class Backend(Protocol):
    """A way to hear files, `places` of them at once."""

    places: int

    def hear(self, source: BinaryIO, choice: FileChoice, on_progress: OnProgress) -> HeardFile: ...


OpenBackend: TypeAlias = Callable[[], AbstractAsyncContextManager[Backend]]


class Here:
    """Hears files in this process, which does nothing else meanwhile."""

    places = 1

    def __init__(
        self, recognizer: Recognizer, min_confidence: float, voices: VoiceModel | None, options: Options
    ) -> None:
        self._recognizer = recognizer
        self._min_confidence = min_confidence
        self._voices = voices
        self._options = options

    def hear(self, source: BinaryIO, choice: FileChoice, on_progress: OnProgress) -> HeardFile:
        return _HeardHere(
            source, choice, on_progress, self._recognizer, self._min_confidence, self._voices, self._options
        )


class _HeardHere:
    def __init__(
        self,
        source: BinaryIO,
        choice: FileChoice,
        on_progress: OnProgress,
        recognizer: Recognizer,
        min_confidence: float,
        voices: VoiceModel | None,
        options: Options,
    ) -> None:
        from gigastt.transcribe import TranscribedFile

        size = source.seek(0, os.SEEK_END)
        source.seek(0)

        def tell(seconds: float) -> None:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError  # Ctrl-C, while nothing is awaited
            on_progress(seconds, source.tell() / max(size, 1))

        self._file = TranscribedFile(source, recognizer, tell, min_confidence, choice, voices, options)

    async def segments(self) -> AsyncIterator[Final]:
        for final in self._file.segments():
            yield final
            await asyncio.sleep(0)

    def transcript(self, finals: Sequence[Final]) -> Transcript:
        return self._file.transcript(finals)


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
