"""Webhook calls: who is to be told of a job's end, when, and how often it was tried; kept in the store."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gigastt.errors import InvalidParameter, JobsFull
from gigastt.gateway.jobs.bell import Bell, wait_for_ring
from gigastt.gateway.jobs.job import Job
from gigastt.gateway.jobs.store import JobStore
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.webhook import call_webhook, check_url

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True)
class WebhookCalls:
    """The calls of all jobs.

    hosts: that may be called.
    pauses: seconds between the tries of a call.
    describe: renders a job.
    """

    store: JobStore
    client: httpx2.AsyncClient
    hosts: Collection[str]
    pauses: Sequence[float]
    describe: Callable[[Job], Awaitable[Mapping[str, Any]]]
    metrics: Metrics

    async def run(self, bell: Bell) -> None:
        """Make calls when they are due, until cancelled; the bell rings when a job has ended."""
        while True:
            ring, due = bell.next_ring, None
            with contextlib.suppress(JobsFull):
                due = await self.store.next_webhook()
            if due is not None and due[0] <= time.time():
                with contextlib.suppress(JobsFull):
                    await self._call(due[2], due[1])
                continue
            await wait_for_ring(ring, max(0.1, due[0] - time.time()) if due else None)

    async def _call(self, job: Job, tries: int) -> None:
        order = job.order
        try:
            check_url(order.webhook, self.hosts, "webhook")
        except InvalidParameter:  # the operator has taken the host from the list
            await self.store.set_webhook(job.id, tries, None)
            return
        body = json.dumps(await self.describe(job), ensure_ascii=False).encode()
        event = f"job.{job.state}"
        taken = await call_webhook(self.client, order.webhook, event, body, order.webhook_secret, self.metrics)
        again = None if taken or tries >= len(self.pauses) else time.time() + self.pauses[tries]
        await self.store.set_webhook(job.id, tries + 1, again)
