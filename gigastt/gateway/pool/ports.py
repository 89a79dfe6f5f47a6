"""The ports of the pool, for sessions and for the server; the real pool and one in memory have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.admission import Admission
from gigastt.gateway.pool.capacity import CapacityEstimate
from gigastt.gateway.pool.crew import ModelCard, WorkerCommand
from gigastt.gateway.pool.routing import Router
from gigastt.gateway.pool.turnstile import Slots

PoolState: TypeAlias = Literal["initializing", "ready", "crash_loop", "shutting_down"]


class TrackCarrier(Protocol):
    """The part of the pool that sessions use.

    router: has its tracks recognised.
    capacity: is told how late finals are.
    """

    @property
    def metrics(self) -> Metrics: ...
    @property
    def router(self) -> Router: ...
    @property
    def capacity(self) -> CapacityEstimate: ...


class ServingPool(TrackCarrier, Protocol):
    """The part of the pool that the server uses; `pool.Pool` describes each member."""

    @property
    def places(self) -> Admission: ...
    @property
    def uploads(self) -> Slots: ...
    @property
    def drain_listeners(self) -> set[Callable[[], None]]: ...
    @property
    def draining(self) -> bool: ...
    @property
    def state(self) -> PoolState: ...
    @property
    def model(self) -> ModelCard | None: ...
    @property
    def size(self) -> int: ...
    @property
    def workers_ready(self) -> int: ...
    @property
    def fitting(self) -> int: ...

    def begin_drain(self) -> None: ...
    def keep_promise(self, final_latency_ms: float) -> None: ...
    async def replace_workers(self, worker_command: WorkerCommand) -> None: ...
