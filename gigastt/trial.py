"""A trial of this machine: real workers, and people who speak to them at their own pace, as many as the pool lets in.

The speech is what comes along for judging encoders: telephone prompts, each followed by as long a pause. The pool is
the server's own, so that the places at the end are those that a server would have after such a minute. Runs on the
event loop of `gigastt capacity`.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from gigastt import transcript
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.config import Settings
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.latency import decided_after
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.pool.session import Session

CHUNK_SECONDS: Final = 0.1
SETTLING_SHARE: Final = 0.5  # of the trial: finals count from then on, with all the sessions that there are at the end
_NOISE = 3.0  # LSB: pauses are quiet rooms
_MORE_THAN_FIT = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of a trial, in seconds and bytes.

    places: that a server would have now. streams: that one worker carries, each speaking half of the time.
    sessions: that there were at the end. finals: how many were timed, and 95 % of them were no later than `final_p95`.
    memory: of the workers together, and of this process, which does what the gateway does.
    """

    workers: int
    places: int
    streams: float
    sessions: int
    finals: int
    final_p95: float | None
    worker_bytes: int
    gateway_bytes: int


async def run_trial(
    settings: Settings,
    worker_command: Callable[[int], list[str]],
    clips: Sequence[Samples],
    seconds: float,
    tell: Callable[[float, int], None],
) -> Outcome:
    """Have people come until no more fit, for so long, and say how that went.

    Args:
        tell: called each second with the seconds that have gone and the sessions that there are.

    Raises:
        WorkerBootFailed: the workers end before they are ready.
    """
    pool = Pool(settings, Metrics())
    lateness: list[float] = []
    async with pool.at_work(worker_command):
        began = time.monotonic()
        counts_from, until = began + SETTLING_SHARE * seconds, began + seconds
        people: list[asyncio.Task[None]] = []
        while (now := time.monotonic()) < until:
            for number in range(len(people), _MORE_THAN_FIT * pool.places.capacity):
                speech = _speak(clips, number)
                people.append(asyncio.create_task(_converse(pool, speech, counts_from, lateness)))
            tell(now - began, pool.places.active)
            await asyncio.sleep(1.0)
        outcome = Outcome(
            workers=pool.workers_ready,
            places=pool.places.capacity,
            streams=pool.capacity.streams,
            sessions=pool.places.active,
            finals=len(lateness),
            final_p95=statistics.quantiles(lateness, n=20)[-1] if len(lateness) > 1 else None,
            worker_bytes=sum(_memory_of(str(pid)) for pid in pool.pids),
            gateway_bytes=_memory_of("self"),
        )
        for one in people:
            one.cancel()
        await asyncio.gather(*people, return_exceptions=True)
    return outcome


async def _converse(pool: Pool, speech: Callable[[], bytes], counts_from: float, lateness: list[float]) -> None:
    """Wait for a place and speak until cancelled; note how late each final came that an endpoint made."""
    options = transcript.Options()
    decided = decided_after(options.endpoint_silence_ms)
    async with pool.places.admit(3600.0):
        session = Session(pool, options)
        began = time.monotonic()

        async def speak() -> None:
            chunks = 0
            while True:
                chunks += 1
                await asyncio.sleep(began + chunks * CHUNK_SECONDS - time.monotonic())
                await session.send(0, speech())

        speaking = asyncio.create_task(speak())
        try:
            async for event in session.events():
                now = time.monotonic()
                if isinstance(event, transcript.Final) and event.reason == "silence" and now >= counts_from:
                    lateness.append(now - began - event.end - decided)
        finally:
            speaking.cancel()
            session.cancel()


def _speak(clips: Sequence[Samples], seed: int) -> Callable[[], bytes]:
    """Return a function that gives one person's next chunk: clips in an order of their own, as long silent as not."""
    choices, noise = random.Random(seed), np.random.default_rng(seed)
    waiting = np.zeros(int(choices.uniform(0.0, 4.0) * SAMPLE_RATE), np.int16)  # people do not begin together

    def next_chunk() -> bytes:
        nonlocal waiting
        size = int(CHUNK_SECONDS * SAMPLE_RATE)
        while len(waiting) < size:
            clip = choices.choice(clips)
            pause = np.rint(noise.standard_normal(len(clip)) * _NOISE).astype(np.int16)
            waiting = np.concatenate((waiting, clip, pause))
        chunk, waiting = waiting[:size], waiting[size:]
        return chunk.astype("<i2").tobytes()

    return next_chunk


def _memory_of(process: str) -> int:
    """Return a process's share of memory (PSS) in bytes; 0 where the kernel does not tell."""
    try:
        rows = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:")), 0)
