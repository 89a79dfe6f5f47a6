"""Jobs: what the routes ask for, and the lanes that run jobs one after the other.

    added ─► queued ─► running (a lane of `LANES`) ─► done or failed ─► its webhook ─► forgotten after `--jobs-keep`
                ▲           │
                └───────────┴ no room or no disk now, or the server ended: later, from the last commit

On the event loop, as long as the server. A job that runs is `queued` in the store, so that a server that starts finds
all it has to do there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from gigastt.errors import FetchFailed, InternalError, JobsFull, NotFound, PayloadTooLarge, RequestError, ShuttingDown
from gigastt.gateway.files.decoding import Decoding
from gigastt.gateway.jobs.bell import Bell, JobBells, wait_for_ring
from gigastt.gateway.jobs.job import Job, JobOrder
from gigastt.gateway.jobs.running import Fetcher, JobProgress, OpenBook, OpenSession, Runner
from gigastt.gateway.jobs.spool import SPOOL_RETRY_MS, Oversized, Spool, new_job_id
from gigastt.gateway.jobs.store import JobStore
from gigastt.gateway.jobs.turns import JobPace, JobQueue, QueuedJob
from gigastt.gateway.jobs.webhook_calls import WebhookCalls
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.webhook import WEBHOOK_PAUSES
from gigastt.log import get_logger
from gigastt.transcript import HeardSpeakers

log = get_logger(__name__)

LANES: Final = 2  # one is decoded or fetched while another is recognised
_FETCH_TRIES: Final = 3
_SECONDS_BETWEEN_TRIES: Final = 10.0  # of a job for which there was no room, or whose host did not answer
_SWEEP_SECONDS: Final = 600.0


@dataclass(slots=True, eq=False)
class _Run:
    """A job that runs."""

    job: QueuedJob
    progress: JobProgress
    task: asyncio.Task[None]


class Jobs:
    """The jobs of one server.

    Args:
        folder: of the store and the spool.
        quota_bytes: what recordings may take.
        keep_seconds: how long ended jobs stay.
        hosts: from which audio is fetched, and which are told of ends.
        max_bytes: the longest recording.
        charge: counts the seconds of an owner's recording; raises QuotaExceeded where they are too many.
        seconds_between_tries: of a job that cannot be done now.
        webhook_pauses: seconds between the tries of a call.
    """

    def __init__(
        self,
        folder: Path,
        quota_bytes: int,
        keep_seconds: float,
        hosts: Collection[str],
        max_bytes: Callable[[], int],
        decoding: Decoding,
        open_session: OpenSession,
        open_book: OpenBook,
        metrics: Metrics,
        *,
        charge: Callable[[str, float], None] = lambda owner, seconds: None,
        seconds_between_tries: float = _SECONDS_BETWEEN_TRIES,
        webhook_pauses: Sequence[float] = WEBHOOK_PAUSES,
    ) -> None:
        self._spool = Spool(folder, quota_bytes)
        self._store = JobStore(folder)
        self._keep_seconds = keep_seconds
        self._hosts = hosts
        self._max_bytes = max_bytes
        self._decoding = decoding
        self._open_session = open_session
        self._open_book = open_book
        self._charge = charge
        self._seconds_between_tries = seconds_between_tries
        self._webhook_pauses = webhook_pauses
        self._pace = JobPace()
        self._running: dict[str, _Run] = {}
        self._not_before: dict[str, float] = {}  # of jobs for which there was no room
        self._tries: dict[str, int] = {}  # of fetching
        self._bell = Bell()
        self._draining = False
        self._queue = JobQueue(self._running.keys())
        self._bells = JobBells()
        self._number = 0  # of the last job
        self._metrics = metrics
        metrics.jobs.labels("queued").set_function(lambda: len(self._queue) - self._queue.running)
        metrics.jobs.labels("running").set_function(lambda: self._queue.running)
        metrics.jobs_oldest_seconds.set_function(self._oldest_seconds)
        metrics.jobs_spool_bytes.set_function(lambda: self._spool.held_bytes)

    # -- for clients

    async def add(self, order: JobOrder, pieces: AsyncIterator[bytes] | None) -> Job:
        """Take a job, with its recording unless that is to be fetched; the job is kept when this returns.

        Raises:
            JobsFull: there is no room for it.
            ShuttingDown: the server is draining.
        """
        if self._draining:
            raise ShuttingDown()
        if self._queue.is_full_for(order.owner):
            raise JobsFull("There are as many jobs as there may be.", retry_after_ms=SPOOL_RETRY_MS)
        id, size, order_bytes = new_job_id(), 0, order.stored_bytes
        self._spool.hold(order.owner, order_bytes)
        try:
            if pieces is not None:
                size = await self._spool.keep(id, order.owner, pieces, self._max_bytes())
            await self._store.add(id, order, size)
        except BaseException as exc:
            self._spool.give_back(order.owner, order_bytes)
            self._spool.remove(id, order.owner, size)
            if isinstance(exc, Oversized):
                raise PayloadTooLarge(f"The body is over {self._max_bytes()} bytes.") from exc
            raise
        self._number += 1
        self._queue.put(QueuedJob(self._number, id, order.owner, size, time.time(), order_bytes))
        self._bell.ring()
        return await self.find(id, order.owner)

    async def find(self, id: str, owner: str) -> Job:
        """Return a job of an owner. NotFound: it has none of this name."""
        job = await self._store.find(id)
        if job is None or job.order.owner != owner:
            raise NotFound("There is no job of this name.")
        return job

    async def delete(self, job: Job) -> None:
        """End a job, and forget it and its recording."""
        run = self._running.get(job.id)
        if run is not None:
            run.task.cancel()
            await asyncio.wait({run.task})
        await self._store.delete(job.id)
        self._forget(job.id)
        now = await self._bytes_of(job)
        self._spool.remove(job.id, job.order.owner, now)
        self._bell.ring()
        self._bells.ring(job.id)

    async def told(self, job: Job, after: int = 0) -> list[Any]:
        """Return what has been found of a job behind a number: (number, final or gap)."""
        return list(await self._store.told(job.id, after))

    async def speakers(self, job: Job) -> HeardSpeakers | None:
        """Return who was heard, once all is; None where speakers are not told apart."""
        return await self._store.speakers(job.id)

    async def describe(self, job: Job) -> dict[str, Any]:
        """Render a job: what it is at, and as far as that is known how long it will take."""
        fields: dict[str, Any] = {"id": job.id, "status": job.state, "created": round(job.created, 3)}
        duration = job.facts.duration if job.facts else None
        run = self._running.get(job.id)
        if job.state == "queued" and run is not None:
            progress = run.progress
            fields |= {"status": "running", "doing": progress.doing, "seconds": round(progress.seconds, 2)}
            fields["seconds_left"] = self._rounded(self._left_of(run))
        elif job.state == "queued":
            fields["position"], audio_bytes = self._queue.standing(job.id)
            fields["seconds_left"] = self._rounded(self._left_until(audio_bytes))
        else:
            fields["ended"] = round(job.ended, 3)
        if duration is not None:
            fields["duration"] = round(duration, 3)
        if job.error_code:
            fields |= {"error": job.error, "code": job.error_code}
        return fields

    def next_ring(self, id: str) -> asyncio.Event:
        """Return what is set by news of a job but its place in the queue. ShuttingDown: the server is draining."""
        if self._draining:
            raise ShuttingDown()
        return self._bells.next_ring(id)

    # -- life

    async def take_up(self) -> None:
        """Count what an earlier server has left; call it once, before any job is added."""
        queued = await self._store.queued()
        here = self._spool.take_stock((job.id, job.owner, job.audio_bytes) for job in queued)
        for job in queued:
            self._spool.hold(job.owner, job.order_bytes, is_kept=True)
            self._queue.put(job if job.id in here else replace(job, audio_bytes=0))
            self._number = job.number
            if job.audio_bytes and job.id not in here:
                await self._store.set_audio(job.id, 0)
        if queued:
            log.info("jobs_resumed", count=len(queued))

    def begin_drain(self) -> None:
        """Take no job any more, and stop those that run; they go on when a server starts again."""
        self._draining = True
        for run in self._running.values():
            run.task.cancel()
        self._bell.ring()
        self._bells.ring_all()

    async def run(self) -> None:
        """Run jobs, call webhooks and forget what is old, until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            outside = None
            if self._hosts:
                import httpx2

                outside = await stack.enter_async_context(httpx2.AsyncClient(follow_redirects=False))
            fetcher = Fetcher(outside, self._hosts)
            runner = Runner(
                self._store, self._spool, self._decoding, self._open_session, fetcher, self._max_bytes, self._charge,
                self._pace, self._bells.ring, self._open_book,
            )  # fmt: skip
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for _ in range(LANES):
                tasks.create_task(self._lane(runner))
            if outside is not None:
                calls = WebhookCalls(
                    self._store, outside, self._hosts, self._webhook_pauses, self.describe, self._metrics
                )
                tasks.create_task(calls.run(self._bell))
            tasks.create_task(self._sweep())

    def close(self) -> None:
        """Close the store, and let another server have the folder; `run` has ended."""
        self._store.close()
        self._spool.close()

    async def _lane(self, runner: Runner) -> None:
        while True:
            job, progress = await self._next(), JobProgress()
            task = asyncio.create_task(self._run_one(runner, job, progress))
            self._running[job.id] = _Run(job, progress, task)  # before another lane looks for its next one
            self._queue.turn()
            self._bells.ring(job.id)
            try:
                await asyncio.wait({task})
                if not task.cancelled():
                    task.result()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self._running.pop(job.id, None)
                self._queue.turn()
                self._bell.ring()
                self._bells.ring(job.id)

    async def _next(self) -> QueuedJob:
        """Wait for the next job that may run."""
        while True:
            ring = self._bell.next_ring
            if not self._draining:
                now = time.monotonic()
                for job in self._queue.order:
                    if self._not_before.get(job.id, 0.0) <= now and job.id not in self._running:
                        return job
            await wait_for_ring(ring, min(1.0, self._seconds_between_tries) if self._not_before else None)

    async def _run_one(self, runner: Runner, queued: QueuedJob, progress: JobProgress) -> None:
        """Run a job, and note how it ended: for good, or for now."""
        try:
            job = await self._store.find(queued.id)
            if job is None:
                return
            await runner.run(job, progress)
            await self._end(job)
        except RequestError as exc:
            await self._end_or_wait(queued, exc)
        except Exception:  # the border of a job
            log.exception("job_failed", job=queued.id)
            await self._end_or_wait(queued, InternalError("The server could not transcribe the recording."))

    async def _end_or_wait(self, queued: QueuedJob, exc: RequestError) -> None:
        if isinstance(exc, FetchFailed):
            self._tries[queued.id] = self._tries.get(queued.id, 0) + 1
        is_transient = exc.status == 503 or (isinstance(exc, FetchFailed) and self._tries[queued.id] < _FETCH_TRIES)
        job = None
        if not is_transient:
            with contextlib.suppress(JobsFull):
                job = await self._store.find(queued.id)
                if job is not None:
                    await self._end(job, exc.code, str(exc))
                return
        log.warning("job_waits", job=queued.id, code=exc.code)
        self._not_before[queued.id] = time.monotonic() + self._seconds_between_tries

    async def _end(self, job: Job, code: str = "", error: str = "") -> None:
        size = await self._bytes_of(job)
        await self._store.end(job.id, code, error)
        self._spool.remove(job.id, job.order.owner, size)
        if self._forget(job.id):
            self._metrics.jobs_ended.labels("failed" if code else "done").inc()
        self._not_before.pop(job.id, None)
        self._tries.pop(job.id, None)
        log.info("job_ended", job=job.id, **({"code": code} if code else {}))

    async def _bytes_of(self, job: Job) -> int:
        current = await self._store.find(job.id)
        return current.audio_bytes if current else job.audio_bytes

    async def _sweep(self) -> None:
        while True:
            with contextlib.suppress(JobsFull):
                await self._store.delete_ended(time.time() - self._keep_seconds)
            await asyncio.sleep(min(_SWEEP_SECONDS, max(1.0, self._keep_seconds / 4)))

    # -- the queue

    def _forget(self, id: str) -> bool:
        """A job has ended, or is deleted; return whether it had not before."""
        job = self._queue.remove(id)
        if job is not None:
            self._spool.give_back(job.owner, job.order_bytes)
        return job is not None

    def _oldest_seconds(self) -> float:
        now = time.time()
        return max(0.0, now - next((job.created for job in self._queue), now))

    def _left_of(self, run: _Run) -> float | None:
        progress = run.progress
        if progress.duration:
            return self._pace.left(progress.duration - progress.seconds)
        return self._pace.left(0.0, [run.job.audio_bytes])

    def _left_until(self, audio_bytes: int) -> float | None:
        """Return how long it may take until all that runs, and jobs with so many bytes, are done; 0: nobody knows."""
        lefts = [self._left_of(run) for run in self._running.values()]
        lefts.append(self._pace.left(0.0, [audio_bytes]))
        return sum(left for left in lefts if left is not None) if None not in lefts else None

    def _rounded(self, seconds: float | None) -> float | None:
        return None if seconds is None else round(max(0.0, seconds), 1)
