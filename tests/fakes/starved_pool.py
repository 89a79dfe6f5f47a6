"""A pool in a process whose descriptors are all taken, as clients may take them. Run as a child.

    python -m tests.fakes.starved_pool LOOP KILLS

Starts a scripted worker on `asyncio` or `uvloop`, takes every descriptor that is left, and kills the worker again and
again; prints how often another one took its place. The last worker is stopped instead, and must be found.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from pathlib import Path

import uvloop

from gigastt.config import Settings
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.pool import Pool
from tests.waiting import wait_until

_DESCRIPTORS = 128


async def starve(kills: int) -> int:
    settings = Settings(pool_size=1, model_dir=Path("none"))
    command = [sys.executable, "-m", "tests.fakes.scripted_worker"]
    pool = Pool(settings, Metrics())
    await pool.start(lambda fd: [*command, "--fd", str(fd)])
    await pool.wait_ready()
    taken: list[int] = []
    for number in range(kills):
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        [pid] = pool.pids
        os.kill(pid, signal.SIGKILL if number < kills - 1 else signal.SIGSTOP)
        await wait_until(lambda dead=pid: pool.pids not in ([], [dead]), 30)  # type: ignore[misc]
    assert len(taken) > _DESCRIPTORS // 3
    for descriptor in taken:
        os.close(descriptor)
    await pool.close()
    return kills


def main() -> None:
    loop, kills = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        print(runner.run(starve(int(kills))))


if __name__ == "__main__":
    main()
