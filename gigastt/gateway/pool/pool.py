"""The pool: worker processes kept alive, and what the rest of the gateway asks of them.

On the event loop. One task per worker spawns it, waits for its end and spawns it again; one more watches for
workers that hang. If any of these tasks fails, the pool has failed: `watch` says so. Routing, admission, restarts and
signs of life are decided elsewhere (`routing`, `admission`, `restart`, `vitals`); this module brings them together with
the clock and the processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.config import Settings
from gigastt.errors import ProtocolViolation, WorkerBootFailed
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.admission import Admission, Guest
from gigastt.gateway.pool.binding import Track
from gigastt.gateway.pool.descriptors import DescriptorReserve
from gigastt.gateway.pool.lifesigns import Vitals
from gigastt.gateway.pool.link import Death, WorkerProcess
from gigastt.gateway.pool.restart import RestartPolicy
from gigastt.gateway.pool.routing import Router, Sink
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import Ready, Stats, ToGateway
from gigastt.log import get_logger

log = get_logger(__name__)

PoolState: TypeAlias = Literal["initializing", "ready", "crash_loop", "shutting_down"]
WorkerCommand: TypeAlias = Callable[[int], list[str]]

WATCH_SECONDS = 0.2
LATE_SECONDS = 0.1
BOOT_SECONDS = 120.0  # loading 844 MB from a cold, slow disk


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the workers say about the model they loaded."""

    encoder: str
    vocab_size: int
    provider: str


@dataclass(slots=True)
class _Slot:
    """One worker's place in the pool, through all its lives; `vitals` from when it is ready."""

    worker: WorkerProcess | None = None
    spawned_at: float = 0.0
    vitals: Vitals | None = None
    capacity: int = 0  # 0 while it is not ready
    ever_ready: bool = False


class Pool:
    """N workers that recognise speech."""

    def __init__(self, settings: Settings, worker_command: WorkerCommand, metrics: Metrics) -> None:
        self.metrics = metrics
        self.model: ModelCard | None = None
        self.draining = False
        self.drain_listeners: set[Callable[[], None]] = set()  # called once, when the drain begins
        self._command = worker_command
        self._max_sessions = settings.max_sessions
        self._slots = [_Slot() for _ in range(settings.pool_size)]
        self._policy = RestartPolicy(settings.pool_size)
        self._router = Router()
        self._admission = Admission(metrics)
        self._reserve = DescriptorReserve()
        self._running: asyncio.Task[None] | None = None
        self._booted: asyncio.Future[None] | None = None

    # -- life

    async def start(self) -> None:
        """Begin to spawn workers; `wait_ready` tells how it went."""
        self._booted = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run(), name="pool")

    async def _run(self) -> None:
        self._reserve.fill()
        async with asyncio.TaskGroup() as tasks:
            for index in range(self.size):
                tasks.create_task(self._keep(index), name=f"worker-{index}")
            tasks.create_task(self._watch_workers(), name="worker-watch")

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
        assert self._booted is not None, "start the pool first"
        assert self._running is not None, "start the pool first"
        await asyncio.wait({self._booted, self._running}, return_when=asyncio.FIRST_COMPLETED)
        if self._booted.done():
            self._booted.result()
        else:
            self._running.result()

    def begin_drain(self) -> None:
        """Admit nobody any more, and tell those who listen."""
        if self.draining:
            return
        self.draining = True
        self._admission.close()
        for listener in list(self.drain_listeners):
            listener()

    async def close(self) -> None:
        """Stop the workers."""
        self.begin_drain()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._reserve.empty()
        if self._booted is not None:
            self._booted.cancel()

    # -- what it says about itself

    @property
    def state(self) -> PoolState:
        if self.draining:
            return "shutting_down"
        if self._policy.crash_loop(time.monotonic()):
            return "crash_loop"
        return "ready" if all(slot.ever_ready for slot in self._slots) else "initializing"

    @property
    def size(self) -> int:
        """Workers there are meant to be."""
        return len(self._slots)

    @property
    def workers_ready(self) -> int:
        return sum(slot.capacity > 0 for slot in self._slots)

    @property
    def total(self) -> int:
        """Sessions that fit."""
        return self._admission.capacity

    @property
    def available(self) -> int:
        return self._admission.available

    @property
    def waiters(self) -> int:
        return self._admission.waiters

    @property
    def saturation(self) -> float:
        return self._admission.saturation

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are ready."""
        return [slot.worker.pid for slot in self._slots if slot.worker is not None and slot.capacity]

    # -- sessions

    def admit(self, timeout: float, guest: Guest | None = None) -> AbstractAsyncContextManager[None]:
        """Hold a place for one session, which may be asked to make room for others while it is silent.

        Raises:
            CapacityTimeout: there was none in time.
            ShuttingDown: the server is draining.
        """
        return self._admission.admit(timeout, guest)

    def open_track(self, track: Track, sink: Sink) -> None:
        """Have a track recognised."""
        self._router.open(track, sink)

    def pump_track(self, track: Track) -> None:
        """Send on what a track has accepted."""
        self._router.pump(track)

    def close_track(self, track: Track) -> None:
        """Forget a track."""
        self._router.close(track)

    # -- workers

    async def _keep(self, index: int) -> None:
        """Keep one worker running."""
        while True:
            death = await self._live_once(index)
            delay = self._policy.died(index, time.monotonic(), killed=death.reason == "killed")
            if self._policy.boot_failed:
                self._give_up()
                return
            self.metrics.worker_restarts.labels(reason=death.reason).inc()
            log.warning("worker_died", worker=index, reason=death.reason, respawn_seconds=delay)
            await asyncio.sleep(delay)

    async def _live_once(self, index: int) -> Death:
        """Spawn a worker and see it through to its end."""
        slot = self._slots[index]
        worker = WorkerProcess(index, self._receive, self._router.writable)
        slot.worker, slot.spawned_at = worker, time.monotonic()
        spawning = asyncio.ensure_future(self._spawn(worker))
        try:
            await asyncio.shield(spawning)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):  # a worker that was just being started must not stay behind
                await spawning
                await worker.stop()
            raise
        except OSError as exc:
            log.error("worker_spawn_failed", worker=index, cause=str(exc))
            slot.worker = None
            return Death("spawn")
        try:
            death = await worker.wait()
        except asyncio.CancelledError:
            self._bury(slot, worker, ())
            await worker.stop()
            raise
        self._bury(slot, worker, death.touches)
        return death

    async def _spawn(self, worker: WorkerProcess) -> None:
        with self._reserve.lent():
            await worker.start(self._command)

    def _bury(self, slot: _Slot, worker: WorkerProcess, touches: Sequence[Touch]) -> None:
        slot.worker, slot.vitals, slot.capacity = None, None, 0
        replays = self._router.replays
        self._router.remove(worker, touches)
        self.metrics.replays.inc(self._router.replays - replays)
        self._reserve.fill()
        self._resize()

    def _give_up(self) -> None:
        if self._booted is not None and not self._booted.done():
            log.error("workers_do_not_start")
            self._booted.set_exception(
                WorkerBootFailed("The inference workers end before they are ready; their own messages say why.")
            )
            self._booted.exception()  # whoever waits is told; nobody has to

    def _receive(self, worker: WorkerProcess, message: ToGateway) -> None:
        slot = self._slots[worker.index]
        if slot.worker is not worker:
            return
        now = time.monotonic()
        if isinstance(message, Ready):
            self._welcome(slot, worker, message, now)
            return
        if slot.vitals is None:
            raise ProtocolViolation("Expected Ready from a worker before anything else.")
        slot.vitals.heard(now)
        if isinstance(message, Stats):
            self._record(slot.vitals, worker, message)
        else:
            self._router.receive(worker, message.stream, message)

    def _welcome(self, slot: _Slot, worker: WorkerProcess, ready: Ready, now: float) -> None:
        if slot.capacity:
            raise ProtocolViolation("Expected only one Ready from a worker.")
        log.info("worker_ready", worker=worker.index, pid=worker.pid, load_seconds=round(ready.load_seconds, 2))
        slot.capacity, slot.ever_ready = max(1, ready.capacity), True
        slot.vitals = Vitals(now, ready.passes)
        self.model = self.model or ModelCard(ready.encoder, ready.vocab_size, ready.provider)
        self._policy.ready(worker.index, now)
        self._router.add(worker)
        self._resize()
        if self._booted is not None and not self._booted.done() and all(slot.ever_ready for slot in self._slots):
            self._booted.set_result(None)

    def _record(self, vitals: Vitals, worker: WorkerProcess, stats: Stats) -> None:
        vitals.passes(stats.passes)
        self.metrics.worker_memory_bytes.labels(worker=str(worker.index)).set(stats.memory_bytes)
        for record in stats.passes:
            self.metrics.inference_duration_seconds.labels(kind=record.kind).observe(record.seconds)
            self.metrics.batch_size.observe(record.batch)

    def _resize(self) -> None:
        """Tell admission what fits: the places asked for, or the sum of what the workers can carry."""
        measured = sum(slot.capacity for slot in self._slots)
        any_ever_ready = any(slot.ever_ready for slot in self._slots)
        self._admission.resize(measured if self._max_sessions is None else self._max_sessions * any_ever_ready)
        self.metrics.workers_ready.set(self.workers_ready)

    async def _watch_workers(self) -> None:
        """Kill workers that hang or never get ready; keep the load even."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = time.monotonic()
            late, before = now - before - WATCH_SECONDS, now
            self._reserve.fill()  # what others took while a worker was being started
            self._router.balance()
            for slot in self._slots:
                self._examine(slot, now, late)
            self.metrics.session_lag_seconds.set(self._router.most_lag / SAMPLE_RATE)

    def _examine(self, slot: _Slot, now: float, late: float) -> None:
        worker, vitals = slot.worker, slot.vitals
        if worker is None:
            return
        if vitals is None:
            if now - slot.spawned_at > BOOT_SECONDS:
                worker.kill("boot_timeout")
            return
        if late > LATE_SECONDS:  # what the worker said meanwhile is still unread
            vitals.excuse(late)
            return
        state = worker.observe()
        verdict = "alive" if state is None else vitals.judge(state, now, in_pass=worker.in_pass)
        if verdict != "alive":
            log.error("worker_hangs", worker=worker.index, pid=worker.pid, verdict=verdict)
            worker.kill(verdict)
