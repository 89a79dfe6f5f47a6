"""A pool whose workers are objects: real routing and admission, no process, and deaths on demand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import Ready, Stats, ToGateway, ToWorker
from tests.fakes.pool import FakePool
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


class MemoryPool(FakePool):
    """Workers in memory.

    automatic: they work by themselves, as soon as the event loop comes by.
    width: windows of full length that one pass of each holds.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        sessions: int = 8,
        automatic: bool = False,
        poison: int | None = POISON,
        width: int = 1,
    ) -> None:
        super().__init__(sessions)
        self.workers: list[MemoryWorker] = []
        self.deaths = 0
        self._poison = poison
        self._automatic = automatic
        self._width = width
        for _ in range(workers):
            self.add_worker()

    # -- what a test does

    def add_worker(self) -> MemoryWorker:
        """A worker is ready."""
        worker = MemoryWorker(len(self.workers) + self.deaths, self._poison)
        if self._automatic:
            worker.on_send = lambda: self._soon(worker)
        self.workers.append(worker)
        self.router.add(worker, self._width)
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
