"""Local workers: the pool and the decoder of a server, without the server, for `gigastt transcribe --jobs N`."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import BinaryIO

from gigastt import log
from gigastt.audio.selection import FileChoice
from gigastt.cli.hearing import Backend, Heard, OnProgress, check_search, warn_of_demo_model
from gigastt.config import Settings
from gigastt.gateway.files.decoder import FileDecoder
from gigastt.gateway.files.decoding import Decoding
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.events import ChannelEvent, ProgressEvent
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.pool.session import transcribe_files
from gigastt.gateway.pool.sources import FileSource
from gigastt.gateway.pool.turnstile import Patience
from gigastt.model_loading import plan_workers
from gigastt.models.store import resolve
from gigastt.transcribe import MAX_SECONDS
from gigastt.transcript import Final, Gap, Options, Transcript


@asynccontextmanager
async def open_local_workers(settings: Settings, wanted: Options) -> AsyncIterator[Backend]:
    """Start `pool_size` workers, and end them at the end.

    Args:
        wanted: what is looked for in each utterance.

    Raises:
        ModelMissing, ModelInvalid: there is no model for them.
        UnsupportedByModel: it cannot do what is asked for.
        WorkerBootFailed: they end before they are ready.
    """
    log.configure(settings.log_level, "auto")
    model = resolve(settings.model, settings.model_dir, settings.precision)
    if model.demo:
        warn_of_demo_model()
    pool = Pool(settings, Metrics())
    async with FileDecoder() as decoder, pool.at_work(await plan_workers(settings, model)):
        check_search(wanted, pool.model.alphabet if pool.model is not None else "")
        options = replace(wanted, diarization=settings.speaker_model != "off")
        yield LocalWorkers(pool, Decoding(decoder, lambda: MAX_SECONDS), options)


class LocalWorkers:
    """Hears files with worker processes: each file on all of them, and one more is decoded meanwhile."""

    def __init__(self, pool: Pool, decoding: Decoding, options: Options) -> None:
        self.places = pool.size + 1
        self._options = options
        self._pool = pool
        self._decoding = decoding

    async def hear(self, source: BinaryIO, choice: FileChoice, on_progress: OnProgress) -> Heard:
        finals: list[Final] = []
        dropped: list[Final] = []
        async with self._decoding.decode(_OpenFile(source), choice, Patience(math.inf)) as file:
            gaps = [*file.holes]
            numbers = list(file.channels)
            sources = [FileSource(each.name, each.samples) for each in file.channels.values()]
            options = replace(self._options, diarization=self._options.diarization and len(numbers) == 1)
            async for event in transcribe_files(self._pool, sources, options):
                if isinstance(event, ProgressEvent):
                    on_progress(event.seconds, event.seconds / file.seconds)
                if not isinstance(event, ChannelEvent):
                    continue
                told = replace(event, channel=numbers[event.channel])
                if isinstance(told, Gap):
                    gaps.append(told)
                elif isinstance(told, Final) and told.text:
                    finals.append(told)
                    yield told
                elif isinstance(told, Final) and told.drop:
                    dropped.append(told)
        gaps.sort(key=lambda gap: gap.start)
        yield Transcript(finals, file.seconds, gaps, dropped, file.track, file.copies)


class _OpenFile:
    """A file of this process, for the decoder."""

    client = "this command"

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def open(self) -> int:
        return self._source.fileno()
