"""Jobs without workers: sessions that say what a test wants, over recordings that a fake decoder takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gigastt.gateway.api.enrolment import open_file_book
from gigastt.gateway.context import AppContext
from gigastt.gateway.jobs.jobs import Jobs
from gigastt.gateway.jobs.running import OnSettled
from gigastt.gateway.pool.events import Event, ProgressEvent
from gigastt.gateway.pool.sources import FileSource
from gigastt.ipc.messages import FinalMessage, StreamId
from gigastt.transcript import Gap, Options, Voice
from tests.fakes.pool import Fakes, final


@dataclass
class FakeSession:
    """Says a word each second of each channel, from where it is to begin; waits before each for `gate`."""

    files: Sequence[FileSource]
    on_settled: OnSettled
    gate: asyncio.Semaphore
    mark: str = ""
    options: Options = field(default_factory=Options)
    is_cancelled: bool = False

    async def events(self) -> AsyncIterator[Event]:
        for channel, file in enumerate(self.files):
            start = file.first_start
            while start < file.end:
                await self.gate.acquire()
                second = start // 16_000
                end = min(start + 16_000, file.end)
                last = "stop" if end == file.end else "silence"
                said = final(f"{channel}-{second}{self.mark}", reason=last, start=float(second))
                if self.options.diarization:
                    said = replace(said, voices=(self.voice(second),))
                if second == 1:
                    self.on_settled(channel, Gap("inference_error", 1.0, 1.1))
                self.on_settled(channel, FinalMessage(StreamId(1), said, end, end, b"state"))
                start = end
                yield said
                yield ProgressEvent(start / 16_000)

    def voice(self, second: int) -> Voice:
        """One of two voices: the second one in every third second."""
        embedding = np.array([second % 3 < 2, second % 3 == 2], "<f2").tobytes()
        return Voice((second * 100, second * 100 + 100), 1.0, embedding)

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class FakeJobs:
    """Jobs in a folder, in a server of fakes. `gate` lets so many words out; `mark` is behind each."""

    folder: Path
    fakes: Fakes = field(default_factory=Fakes)
    words: int = 1_000_000
    mark: str = ""
    quota: int = 10_000_000
    keep: float = 1_000.0
    body_limit: int = 1_000_000
    fetch_pause: float = 10.0
    webhook_pauses: Sequence[float] = (10.0,)
    likeness: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    sessions: list[FakeSession] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate = asyncio.Semaphore(self.words)

    def open_session(
        self, files: Sequence[FileSource], options: Options, request_id: str, on_settled: OnSettled
    ) -> FakeSession:
        self.sessions.append(FakeSession(files, on_settled, self.gate, self.mark, options))
        return self.sessions[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AppContext]:
        """Run them; yield the context of their server."""
        context = self.fakes.context(jobs_dir=self.folder, **self.settings)
        context.model = replace(context.model, likeness=self.likeness)
        jobs = Jobs(
            self.folder,
            self.quota,
            self.keep,
            context.settings.jobs_url_host,
            lambda: self.body_limit,
            context.decoding,
            self.open_session,
            partial(open_file_book, context),
            context.metrics,
            charge=context.api_keys.charge if context.api_keys is not None else lambda owner, seconds: None,
            seconds_between_tries=self.fetch_pause,
            webhook_pauses=self.webhook_pauses,
        )
        await jobs.take_up()
        context.jobs = jobs
        task = asyncio.create_task(jobs.run())
        try:
            yield context
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            jobs.close()
