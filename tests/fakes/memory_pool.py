"""A pool whose workers are objects: real routing and admission, no process, and deaths on demand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.admission import Admission, Guest
from gigastt.gateway.pool.binding import Track
from gigastt.gateway.pool.routing import Router, Sink
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import Ready, Stats, ToGateway, ToWorker
from tests.fakes.scripted import POISON, FakeRecognizer, Poisoned


class MemoryWorker:
    """A worker that works when told to."""

    def __init__(self, index: int, poison: int | None) -> None:
        self.index = index
        self.writable = True
        self.recognizer = FakeRecognizer(poison)
        self.inbox: deque[ToWorker] = deque()
        self.sent: list[ToWorker] = []
        self.on_send: Callable[[], None] = lambda: None

    def send(self, message: ToWorker) -> None:
        self.inbox.append(message)
        self.sent.append(message)
        self.on_send()


class MemoryPool:
    """Workers in memory. `automatic`: they work by themselves, as soon as the event loop comes by."""

    model = None
    state = "ready"

    def __init__(
        self, workers: int = 2, *, sessions: int = 8, automatic: bool = False, poison: int | None = POISON
    ) -> None:
        self.metrics = Metrics()
        self.draining = False
        self.drain_listeners: set[Callable[[], None]] = set()
        self.router = Router()
        self.admission = Admission(self.metrics)
        self.admission.resize(sessions)
        self.workers: list[MemoryWorker] = []
        self.deaths = 0
        self.latencies: list[float] = []  # of finals of those who speak
        self._poison = poison
        self._automatic = automatic
        for _ in range(workers):
            self.add_worker()

    # -- what a session and a connection use

    def admit(self, timeout: float, guest: Guest | None = None) -> AbstractAsyncContextManager[None]:
        return self.admission.admit(timeout, guest)

    def begin_drain(self) -> None:
        self.draining = True
        self.admission.close()
        for listener in list(self.drain_listeners):
            listener()

    def open_track(self, track: Track, sink: Sink) -> None:
        self.router.open(track, sink)

    def pump_track(self, track: Track) -> None:
        self.router.pump(track)

    def note_final(self, latency: float) -> None:
        self.latencies.append(latency)

    def close_track(self, track: Track) -> None:
        self.router.close(track)

    # -- what a test does

    def add_worker(self) -> MemoryWorker:
        """A worker is ready."""
        worker = MemoryWorker(len(self.workers) + self.deaths, self._poison)
        if self._automatic:
            worker.on_send = lambda: self._soon(worker)
        self.workers.append(worker)
        self.router.add(worker)
        return worker

    def kill(self, worker: MemoryWorker, touches: Sequence[Touch] = ()) -> None:
        """A worker dies, with whatever it has not done, and another takes its place.

        touches: the audio over which it crashed; none if it was killed from outside.
        """
        self.deaths += 1
        self.workers.remove(worker)
        self.router.remove(worker, touches)
        self.add_worker()

    def step(self, worker: MemoryWorker, *, answers: int | None = None) -> bool:
        """Let a worker take one message; return whether there was one.

        answers: how many of the messages it makes arrive before it dies; all, and it lives, if None.
        """
        if not worker.inbox:
            return False
        message = worker.inbox.popleft()
        touches = worker.recognizer.touches_of(message)
        try:
            made = worker.recognizer.handle(message)
        except Poisoned:
            self.kill(worker, touches)
            return True
        for answer in made[:answers]:
            self._deliver(worker, answer)
        if answers is not None:
            self.kill(worker)
        return True

    def run(self) -> None:
        """Let all workers work until there is nothing left to do."""
        self.router.balance()
        while sum(self.step(worker) for worker in list(self.workers)):
            self.router.balance()

    def _deliver(self, worker: MemoryWorker, message: ToGateway) -> None:
        assert not isinstance(message, Ready | Stats)
        self.router.receive(worker, message.stream, message)

    def _soon(self, worker: MemoryWorker) -> None:
        asyncio.get_running_loop().call_soon(self.step, worker)
