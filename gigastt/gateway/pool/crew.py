"""The crew: the worker processes of a pool, kept alive, watched, and replaced by others while they work.

On the event loop. One task per worker spawns it, waits for its end and spawns it again; one more watches for workers
that hang. If any of these tasks fails, the crew has failed, and `run` raises. Routing, restarts and signs of life are
decided elsewhere (`routing`, `restart`, `lifesigns`); this module joins them with the clock and the processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.errors import ProtocolViolation, WorkerBootFailed
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.capacity import CapacityEstimate
from gigastt.gateway.pool.lifesigns import Vitals
from gigastt.gateway.pool.link import Death, WorkerProcess
from gigastt.gateway.pool.replacing import DescriptorReserve, RestartPolicy, Wear
from gigastt.gateway.pool.routing import Router
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import Ready, Stats, ToGateway
from gigastt.log import get_logger

log = get_logger(__name__)

WorkerCommand: TypeAlias = Callable[[int], list[str]]

WATCH_SECONDS = 0.2
LATE_SECONDS = 0.1
BOOT_SECONDS = 120.0  # loading 844 MB from a cold, slow disk


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The workers' description of the model that they loaded.

    alphabet: the letters that it can write; empty for one that takes no hotwords.
    """

    encoder: str
    vocab_size: int
    provider: str
    alphabet: str


@dataclass(slots=True)
class _Slot:
    """One worker's place, through all its lives; `vitals` and `wear` from when it is ready."""

    index: int
    worker: WorkerProcess | None = None
    spawned_at: float = 0.0
    vitals: Vitals | None = None  # None while it is not ready
    wear: Wear = field(default_factory=lambda: Wear(0.0))
    ever_ready: bool = False


class Crew:
    """A number of workers.

    Args:
        size: how many.
        router: is told of every worker that comes and goes.
        capacity: is told of every pass.
        metrics: of the server.
        on_change: called when a worker has come or gone, and when passes were told.
    """

    def __init__(
        self, size: int, router: Router, capacity: CapacityEstimate, metrics: Metrics, on_change: Callable[[], None]
    ) -> None:
        self.model: ModelCard | None = None
        self._command: WorkerCommand
        self._router = router
        self._capacity = capacity
        self._metrics = metrics
        self._on_change = on_change
        self._slots = [_Slot(index) for index in range(size)]
        self._policy = RestartPolicy(size)
        self._reserve = DescriptorReserve()
        self._replacing = asyncio.Lock()
        self._booted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, command: WorkerCommand) -> None:
        """Keep the workers at work, until cancelled.

        Args:
            command: the argument vector of a worker that talks on an inherited descriptor.

        Raises:
            Exception: a task failed without which workers would die or hang unnoticed.
        """
        self._command = command
        self._reserve.fill()
        try:
            async with asyncio.TaskGroup() as tasks:
                for slot in self._slots:
                    tasks.create_task(self._keep(slot), name=f"worker-{slot.index}")
                tasks.create_task(self._watch(), name="worker-watch")
        finally:
            for slot in self._slots:
                if slot.worker is not None:  # it was put into its place while that was empty
                    await slot.worker.stop()
            self._reserve.empty()
            self._booted.cancel()

    @property
    def booted(self) -> asyncio.Future[None]:
        """Done when every worker has been ready once, or has failed to get so (WorkerBootFailed)."""
        return self._booted

    @property
    def is_looping(self) -> bool:
        """Some worker keeps dying young."""
        return self._policy.crash_loop(time.monotonic())

    @property
    def was_ready(self) -> list[bool]:
        """Of each worker, whether it was ever ready."""
        return [slot.ever_ready for slot in self._slots]

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are ready."""
        return [slot.worker.pid for slot in self._slots if slot.worker is not None and slot.vitals]

    @property
    def wear(self) -> dict[int, Wear]:
        """The wear of each worker that is ready, by its number."""
        return {slot.index: slot.wear for slot in self._slots if slot.vitals}

    # -- replacement

    async def replace(self, command: WorkerCommand | None = None, *, only: int | None = None) -> None:
        """Put workers of another command, or new ones, in the place of these, one by one, while sessions go on.

        Each new worker loads its model beside the old one, whose tracks are then replayed from their last commits. If
        the first does not get ready, everything stays as it is.

        Raises:
            WorkerBootFailed: one did not; the old worker of its place and those behind it go on.
        """
        async with self._replacing:
            command = command or self._command
            for slot in self._slots if only is None else [self._slots[only]]:
                successor, ready = await self._prepare(slot.index, command)
                self._command = command  # one has loaded the model: those that die from now on come back with it
                self._hand_over(slot, successor, ready)

    async def _prepare(self, index: int, command: WorkerCommand) -> tuple[WorkerProcess, Ready]:
        """Start a worker that gets no work yet; return it when it is ready."""
        word: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()

        def receive(worker: WorkerProcess, message: ToGateway) -> None:
            if word.done():
                self._receive(worker, message)
            elif isinstance(message, Ready):
                word.set_result(message)
            else:
                raise ProtocolViolation("Expected Ready from a worker before anything else.")

        worker = WorkerProcess(index, receive, self._router.writable)
        try:
            await self._start(worker, command)
        except OSError as exc:
            raise WorkerBootFailed(f"The system cannot start another worker: {exc.strerror}.") from exc
        ending = asyncio.ensure_future(worker.wait())
        try:
            first: set[asyncio.Future[Any]] = {word, ending}
            await asyncio.wait(first, timeout=BOOT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if word.done() and not ending.done():
                return worker, word.result()
            raise WorkerBootFailed("The new worker did not get ready; its own messages say why.")
        except BaseException:
            worker.kill("boot_timeout")
            await ending
            raise
        finally:
            ending.cancel()

    def _hand_over(self, slot: _Slot, successor: WorkerProcess, ready: Ready) -> None:
        old = slot.worker
        self._welcome(slot, successor, ready)
        if old is not None:
            self._remove(old, ())
            old.kill("replaced")
        self._metrics.worker_replacements.inc()
        self._on_change()

    # -- one worker

    async def _keep(self, slot: _Slot) -> None:
        """Keep one worker running."""
        while True:
            death = await self._live_once(slot)
            if slot.worker is not None:  # another has taken its place
                continue
            delay = self._policy.died(slot.index, time.monotonic(), killed=death.reason == "killed")
            if self._policy.boot_failed:
                self._give_up()
                return
            self._metrics.worker_restarts.labels(reason=death.reason).inc()
            log.warning("worker_died", worker=slot.index, reason=death.reason, respawn_seconds=delay)
            await asyncio.sleep(delay)

    async def _live_once(self, slot: _Slot) -> Death:
        """See a worker through to its end; spawn it if there is none."""
        worker = slot.worker
        if worker is None:
            worker = WorkerProcess(slot.index, self._receive, self._router.writable)
            slot.worker, slot.spawned_at = worker, time.monotonic()
            try:
                await self._start(worker, self._command)
            except BaseException as exc:
                self._bury(slot, worker, ())
                if not isinstance(exc, OSError):
                    raise
                log.error("worker_spawn_failed", worker=slot.index, cause=str(exc))
                return Death("spawn")
        try:
            death = await worker.wait()
        except asyncio.CancelledError:
            self._bury(slot, worker, ())
            await worker.stop()
            raise
        self._bury(slot, worker, death.touches)
        return death

    async def _start(self, worker: WorkerProcess, command: WorkerCommand) -> None:
        """Start a worker's process; where that is cancelled, none stays behind."""
        starting = asyncio.ensure_future(self._spawn(worker, command))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                await starting
                await worker.stop()
            raise

    async def _spawn(self, worker: WorkerProcess, command: WorkerCommand) -> None:
        with self._reserve.lent():
            await worker.start(command)

    def _bury(self, slot: _Slot, worker: WorkerProcess, touches: Sequence[Touch]) -> None:
        if slot.worker is worker:  # else it was replaced, and its tracks are elsewhere
            slot.worker = slot.vitals = None
            self._remove(worker, touches)
            self._on_change()
        self._reserve.fill()

    def _remove(self, worker: WorkerProcess, touches: Sequence[Touch]) -> None:
        replays = self._router.replays
        self._router.remove(worker, touches)
        self._metrics.replays.inc(self._router.replays - replays)

    def _give_up(self) -> None:
        if not self._booted.done():
            log.error("workers_do_not_start")
            self._booted.set_exception(
                WorkerBootFailed("The inference workers end before they are ready; their own messages say why.")
            )
            self._booted.exception()  # whoever waits is told; nobody has to

    # -- what they say

    def _receive(self, worker: WorkerProcess, message: ToGateway) -> None:
        slot = self._slots[worker.index]
        if slot.worker is not worker:
            return
        if isinstance(message, Ready):
            if slot.vitals is not None:
                raise ProtocolViolation("Expected only one Ready from a worker.")
            self._welcome(slot, worker, message)
            self._on_change()
            return
        if slot.vitals is None:
            raise ProtocolViolation("Expected Ready from a worker before anything else.")
        slot.vitals.heard(time.monotonic())
        if isinstance(message, Stats):
            self._record(slot.vitals, worker, message)
        else:
            self._router.receive(worker, message.stream, message)

    def _welcome(self, slot: _Slot, worker: WorkerProcess, ready: Ready) -> None:
        """Give a worker that is ready its place, and work."""
        log.info("worker_ready", worker=worker.index, pid=worker.pid, load_seconds=round(ready.load_seconds, 2))
        now = time.monotonic()
        slot.worker, slot.ever_ready = worker, True
        slot.vitals, slot.wear = Vitals(now, ready.passes, ready.width), Wear(now)
        self.model = ModelCard(ready.encoder, ready.vocab_size, ready.provider, ready.alphabet)
        self._capacity.begin(ready.passes)
        self._policy.ready(worker.index, now)
        self._router.add(worker, ready.width)
        if not self._booted.done() and all(self.was_ready):
            self._booted.set_result(None)

    def _record(self, vitals: Vitals, worker: WorkerProcess, stats: Stats) -> None:
        vitals.passes(stats.passes)
        self._slots[worker.index].wear.record(stats)
        talk, streams = self._router.take_talk(), self._router.live_tracks
        self._capacity.record(stats.passes, talk, stats.listening, streams, len(self.pids))
        self._metrics.worker_memory_bytes.labels(worker=str(worker.index)).set(stats.memory_bytes)
        for record in stats.passes:
            self._metrics.inference_duration_seconds.labels(kind=record.kind).observe(record.seconds)
            self._metrics.batch_size.observe(record.batch)
        if stats.passes:
            self._on_change()

    # -- watch

    async def _watch(self) -> None:
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
            self._metrics.session_lag_seconds.set(self._router.most_lag / SAMPLE_RATE)

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
