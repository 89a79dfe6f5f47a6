"""The pool: what the rest of the gateway asks of the workers.

On the event loop. Brings together the worker processes (`crew`), which of them recognises which track (`routing`) and
how many sessions there are at once (`admission`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gigastt.config import Settings
from gigastt.errors import WorkerBootFailed
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.admission import Admission
from gigastt.gateway.pool.capacity import CapacityEstimate
from gigastt.gateway.pool.crew import Crew, ModelCard, WorkerCommand
from gigastt.gateway.pool.ports import PoolState
from gigastt.gateway.pool.replacing import Endurance
from gigastt.gateway.pool.routing import Router
from gigastt.gateway.pool.turnstile import Slots
from gigastt.log import get_logger

log = get_logger(__name__)

RECYCLING_SECONDS = 1.0  # between two looks at the workers
RECYCLING_FAILED_SECONDS = 60.0  # after a new worker did not get ready
UPLOADS_PER_WINDOW = 4  # that passes of all workers hold; more would not be done sooner


class Pool:
    """N workers that recognise speech.

    Attributes:
        places: of live sessions, any of which may be asked to make room for others while it is silent.
        uploads: places of uploads, which are recognised beside live sessions; these go first in every worker.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.metrics = metrics
        self.draining = False
        self.drain_listeners: set[Callable[[], None]] = set()  # called once, when the drain begins
        self._max_sessions = settings.max_sessions
        self.router = Router()
        self.places = Admission(metrics)
        self.uploads = Slots(0, metrics.upload_waiters.set)
        self.capacity = CapacityEstimate(settings.limits.final_latency_ms)
        self._endurance = Endurance(settings.worker_memory_mib * 2**20, settings.worker_passes)
        self._crew = Crew(settings.pool_size, self.router, self.capacity, metrics, self._resize)
        self._running: asyncio.Task[None] | None = None
        metrics.workers_configured.set(settings.pool_size)

    # -- life

    @asynccontextmanager
    async def at_work(self, worker_command: WorkerCommand) -> AsyncIterator[None]:
        """Spawn workers by a command, wait until each is ready, and stop them at the end. Raises as `wait_ready`."""
        await self.start(worker_command)
        try:
            await self.wait_ready()
            yield
        finally:
            await self.close()

    async def start(self, worker_command: WorkerCommand) -> None:
        """Begin to spawn workers by a command; `wait_ready` tells how it went."""
        self._running = asyncio.create_task(self._run(worker_command), name="pool")

    async def _run(self, worker_command: WorkerCommand) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._crew.run(worker_command), name="crew")
            tasks.create_task(self._recycle(), name="recycling")

    async def _recycle(self) -> None:
        """Replace workers beyond their endurance, one at a time, for ever; their sessions go on in others."""
        while True:
            await asyncio.sleep(RECYCLING_SECONDS)
            now = time.monotonic()
            for number, wear in self._crew.wear.items():
                if (reason := wear.exceeds(self._endurance, now)) is None:
                    continue
                try:
                    await self._crew.replace(only=number)
                except WorkerBootFailed as exc:
                    log.error("recycling_failed", worker=number, cause=str(exc), message="The old worker goes on.")
                    await asyncio.sleep(RECYCLING_FAILED_SECONDS)
                else:
                    log.info("worker_recycled", worker=number, reason=reason)

    async def watch(self) -> None:
        """Return never, while the pool does what it should.

        Raises:
            Exception: the failure of one of its tasks, without which workers would die or hang unnoticed.
        """
        assert self._running is not None, "start the pool first"
        await asyncio.shield(self._running)

    async def wait_ready(self) -> None:
        """Wait until every worker has been ready once.

        Raises:
            WorkerBootFailed: they end before they are ready.
            Exception: as `watch`.
        """
        assert self._running is not None, "start the pool first"
        booted = self._crew.booted
        await asyncio.wait({booted, self._running}, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done() or booted.cancelled():  # something failed, and all else is being cancelled
            await asyncio.shield(self._running)
        booted.result()

    async def replace_workers(self, worker_command: WorkerCommand) -> None:
        """Put workers of another command in the place of these, one by one, while sessions go on.

        Raises:
            WorkerBootFailed: a new one did not get ready; the workers that were not replaced yet go on.
        """
        await self._crew.replace(worker_command)

    def begin_drain(self) -> None:
        """Admit nobody any more, and tell those who listen."""
        if self.draining:
            return
        self.draining = True
        self.places.close()
        self.uploads.close()
        for listener in list(self.drain_listeners):
            listener()

    async def close(self) -> None:
        """Stop the workers."""
        self.begin_drain()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    # -- what it says about itself

    @property
    def state(self) -> PoolState:
        if self.draining:
            return "shutting_down"
        if self._crew.is_looping:
            return "crash_loop"
        return "ready" if all(self._crew.was_ready) else "initializing"

    @property
    def model(self) -> ModelCard | None:
        """The model that the worker which came last has loaded; None before the first."""
        return self._crew.model

    @property
    def size(self) -> int:
        """Workers there are meant to be."""
        return len(self._crew.was_ready)

    @property
    def workers_ready(self) -> int:
        return len(self._crew.pids)

    @property
    def fitting(self) -> int:
        """Live sessions that these workers are thought to carry; places grow up to it."""
        return self.capacity.fitting(self.workers_ready)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are ready."""
        return self._crew.pids

    # -- capacity

    def keep_promise(self, final_latency_ms: float) -> None:
        """Change how late finals may be; places follow."""
        self.capacity.final_latency_ms = final_latency_ms
        self._resize()

    def _resize(self) -> None:
        """Tell admission what fits: the places asked for, or what the workers carry by what their passes cost."""
        ready = self.workers_ready
        fits = self.capacity.places(ready, self.places.active, self.router.live_tracks)
        if self._max_sessions is not None:
            fits = self._max_sessions * any(self._crew.was_ready)
        self.places.resize(fits)
        self.uploads.resize(UPLOADS_PER_WINDOW * self.router.width)
        self.metrics.workers_ready.set(ready)
        self.metrics.pool_places.set(fits)
