"""A pool, a decoder and a recogniser that do no work: for tests of the HTTP surface."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gigastt.audio.selection import WHOLE, Selection
from gigastt.audio.shared import SharedSegment
from gigastt.config import Limits, Settings
from gigastt.gateway.context import AppContext, ServedModel
from gigastt.gateway.files.decoder_report import DecodedFile
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.admission import Admission
from gigastt.gateway.pool.capacity import CapacityEstimate
from gigastt.gateway.pool.crew import ModelCard, WorkerCommand
from gigastt.gateway.pool.events import Event
from gigastt.gateway.pool.ports import PoolState
from gigastt.gateway.pool.routing import Router
from gigastt.gateway.pool.turnstile import Patience, Slots
from gigastt.speakers import Book
from gigastt.transcript import Final, Gap, HeardTrack, Options, Word

ALPHABET = "".join(map(chr, range(ord("а"), ord("я") + 1)))


class FakePool:
    """Four places that are handed out as the real ones are, and nothing behind them."""

    size = 2
    workers_ready = 2
    fitting = 4

    def __init__(self, places: int = 4) -> None:
        self.metrics = Metrics()
        self.router = Router()
        self.state: PoolState = "ready"
        self.model: ModelCard | None = ModelCard("fake.onnx", 257, "cpu", ALPHABET)
        self.places = Admission(self.metrics)
        self.places.resize(places)
        self.draining = False
        self.drain_listeners: set[Callable[[], None]] = set()
        self.uploads = Slots(4)
        self.capacity = CapacityEstimate(500.0)
        self.replacements = 0
        self.replacement_error: Exception | None = None

    def keep_promise(self, final_latency_ms: float) -> None:
        self.capacity.final_latency_ms = final_latency_ms

    async def replace_workers(self, worker_command: WorkerCommand) -> None:
        if self.replacement_error is not None:
            raise self.replacement_error
        self.replacements += 1

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """Hold every place of live sessions."""
        async with AsyncExitStack() as places:
            for _ in range(self.places.capacity):
                await places.enter_async_context(self.places.admit(0))
            yield

    @asynccontextmanager
    async def full_of_uploads(self) -> AsyncIterator[None]:
        """Hold every place of uploads."""
        async with AsyncExitStack() as places:
            for number in range(self.uploads.capacity):
                await places.enter_async_context(self.uploads.hold(number, Patience(0)))
            yield

    def begin_drain(self) -> None:
        self.state, self.draining = "shutting_down", True
        self.places.close()
        self.uploads.close()
        for listener in list(self.drain_listeners):
            listener()


class FakeSegment(SharedSegment):
    """A segment without memory, that knows whether it was freed."""

    def __init__(self) -> None:
        super().__init__("segment", -1, Path(os.devnull))
        self.freed = False

    def unlink(self) -> None:
        self.freed = True


class FakeDecoder:
    """Takes any body; two bytes are a sample."""

    def __init__(self) -> None:
        self.segments: list[FakeSegment] = []
        self.bodies: list[bytes] = []
        self.error: Exception | None = None
        self.holes: tuple[Gap, ...] = ()
        self.track: HeardTrack | None = None
        self.copies: tuple[int | None, ...] = (None,)  # where a channel is selected
        self.selections: list[Selection] = []
        self.gate = asyncio.Event()  # to be cleared by a test in which decoding takes time
        self.gate.set()

    async def decode(
        self,
        descriptor: int,
        max_seconds: float,
        on_size: Callable[[int], None] = lambda size: None,
        selection: Selection = WHOLE,
    ) -> DecodedFile:
        self.bodies.append(os.pread(descriptor, 1 << 24, 0))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.selections.append(selection)
        copies = () if selection.channel is None else self.copies
        on_size(len(self.bodies[-1]))
        self.segments.append(FakeSegment())
        return DecodedFile(self.segments[-1], len(self.bodies[-1]) // 2, self.holes, self.track, copies)


def final(text: str, seq: int = 0, reason: Any = "silence", start: float = 0.0) -> Final:
    """A final whose words last 0.4 s each."""
    words = [Word(word, start + 0.4 * i, start + 0.4 * i + 0.4, 0.9) for i, word in enumerate(text.split())]
    return Final(text, tuple(words), start, start + 0.4 * len(words), 0.9, reason, seq=seq)


class FakeTranscriber:
    """Plays events, or runs a function that makes them."""

    def __init__(self, events: Sequence[Event] | Callable[[], AsyncGenerator[Event, None]]) -> None:
        self._events = events
        self.request_ids: list[str] = []
        self.options = Options()  # of the last file
        self.closed = 0

    async def __call__(
        self, channels: Sequence[DecodedFile], request_id: str, options: Options, book: Book | None = None
    ) -> AsyncGenerator[Event, None]:
        self.request_ids.append(request_id)
        self.options = options
        try:
            if callable(self._events):
                async for event in self._events():
                    yield event
            else:
                for event in self._events:
                    yield book.label(event) if book is not None and isinstance(event, Final) else event
            if book is not None:
                yield book.settle()
        finally:
            self.closed += 1


@dataclass
class Fakes:
    """What stands behind a fake server."""

    pool: FakePool = field(default_factory=FakePool)
    decoder: FakeDecoder = field(default_factory=FakeDecoder)
    transcriber: FakeTranscriber = field(
        default_factory=lambda: FakeTranscriber([final("Привет, мир."), final("", 1, "stop", 1.0)])
    )
    clock: Callable[[], float] | None = None

    def context(self, limits: Limits | None = None, *, demo: bool = False, **settings: Any) -> AppContext:
        """Build the context of a server with these settings."""
        context = AppContext(
            settings=Settings(limits=limits or Limits(), model_dir=Path("models"), **settings),
            model=ServedModel("gigaam-v3-e2e-rnnt", "GigaAM v3", demo=demo),
            metrics=Metrics(),
            pool=self.pool,
            decoder=self.decoder,
            transcribe=self.transcriber,
        )
        if self.clock is not None:
            context.clock = self.clock
        return context
