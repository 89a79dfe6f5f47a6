"""Mutated requests leave no traceback, no task and no connection behind.

`HOSTILE_REQUESTS=20000 HOSTILE_SEED=7 pytest tests/hostile/test_fuzz.py` sends more of them, or others.
"""

from __future__ import annotations

import asyncio
import os

import httpx

from gigastt.gateway.app import create_app
from gigastt.gateway.server.deadlines import Deadlines
from tests.fakes.pool import Fakes
from tests.hostile.fuzz import fuzz
from tests.hostile.raw_http import noting, on_uvloop
from tests.waiting import wait_until

COUNT = int(os.environ.get("HOSTILE_REQUESTS", "1000"))
SEED = int(os.environ.get("HOSTILE_SEED", "20"))
QUICK = Deadlines(head=1.0, body=1.0, linger=0.2, unread=1.0, ping=1.0, probe=0.1)


@on_uvloop
async def test_mutated_requests_leave_nothing_behind() -> None:
    fakes = Fakes()
    async with noting(QUICK, create_app(fakes.context(metrics=True))) as bench:  # which looks at the log and the loop
        await asyncio.wait_for(fuzz(bench.port, COUNT, SEED), 60 + COUNT / 20)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{bench.port}") as client:
            assert (await client.get("/health")).status_code == 200
        await wait_until(lambda: not bench.server.server_state.tasks, timeout=30)
        await wait_until(lambda: not bench.server.server_state.connections, timeout=30)
        assert fakes.pool.places.active == 0
        assert all(file.freed for file in fakes.decoder.segments)
