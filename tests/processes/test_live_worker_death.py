"""Live sessions and uploads over real workers with the demonstration model, while workers are killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from gigastt.audio.pcm import Samples
from gigastt.audio.shared import SharedSegment
from gigastt.config import DEMO_MODEL, Settings
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.events import Event
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.pool.session import Session, transcribe_files
from gigastt.gateway.pool.sources import FileSource
from gigastt.transcript import Final, Gap, Options, Partial
from tests.fakes.worker import demo_config
from tests.waiting import wait_until

DATA = Path(__file__).resolve().parent.parent / "data"
CHUNK = 1600  # 100 ms


def clips() -> dict[str, Samples]:
    """Return the clips with a second of silence behind each, so that each has an endpoint."""
    found: dict[str, Samples] = {}
    for path in sorted(DATA.glob("*.wav")):
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        found[path.stem] = np.concatenate([samples, np.zeros(16_000, dtype=np.int16)])
    return found


@asynccontextmanager
async def demo_pool(workers: int) -> AsyncIterator[Pool]:
    settings = Settings(model=DEMO_MODEL, pool_size=workers, max_sessions=64)
    pool = Pool(settings, Metrics())
    await pool.start(demo_config().command)
    try:
        async with asyncio.timeout(300):
            await pool.wait_ready()
        yield pool
    finally:
        await pool.close()


async def play(session: Session, samples: Samples, pause: float = 0.0) -> None:
    for begin in range(0, len(samples), CHUNK):
        await session.send(0, samples[begin : begin + CHUNK].tobytes())
        await asyncio.sleep(pause)
    session.finish()


def told(events: list[Event]) -> list[tuple[int, str, list[float], str]]:
    """Return what a client keeps of the finals."""
    return [
        (event.seq, event.text, [word.start for word in event.words], event.reason)
        for event in events
        if isinstance(event, Final)
    ]


async def listen(pool: Pool, samples: Samples, pause: float = 0.0) -> list[Event]:
    session = Session(pool, Options())
    playing = asyncio.create_task(play(session, samples, pause))
    try:
        return [event async for event in session.events()]
    finally:
        await playing
        session.cancel()


@pytest.mark.parametrize(
    ("number", "pause"), [(signal.SIGKILL, 0.8), (signal.SIGKILL, 0.3), (signal.SIGSEGV, 0.8)], ids=str
)
async def test_finals_are_those_of_an_undisturbed_run_however_workers_are_killed(
    number: signal.Signals, pause: float
) -> None:
    material = list(clips().values())
    # Streams of different lengths and beginnings, so that kills meet them in every state.
    streams = [np.concatenate(material[at:] + material[:at])[: 16_000 * 25] for at in range(len(material))]
    async with demo_pool(2) as pool, asyncio.timeout(600):
        control = await asyncio.gather(*(listen(pool, samples) for samples in streams))
        rng = np.random.default_rng(3)
        killed: set[int] = set()
        playing = asyncio.gather(*(listen(pool, samples, pause=0.025) for samples in streams))
        while not playing.done():
            if pool.pids and len(killed) < 8:
                victim = pool.pids[int(rng.integers(len(pool.pids)))]
                with contextlib.suppress(ProcessLookupError):  # it is dead already, and not yet buried
                    os.kill(victim, number)
                    killed.add(victim)
            await asyncio.wait({playing}, timeout=pause)
        tortured = await playing
        replays = pool.metrics.registry.get_sample_value("gigastt_replays_total") or 0
    assert [told(events) for events in tortured] == [told(events) for events in control]
    assert any(text for events in control for _, text, _, _ in told(events))
    assert pool.metrics.registry.get_sample_value("gigastt_audio_samples_lost_total") == 0
    assert len(killed) >= 4
    assert replays >= len(streams)
    assert not [event for events in tortured for event in events if isinstance(event, Gap)]


async def test_an_upload_gives_the_finals_of_a_live_session_even_if_its_worker_dies() -> None:
    samples = np.concatenate(list(clips().values()))
    async with demo_pool(1) as pool, asyncio.timeout(300):
        live = await listen(pool, samples)
        with SharedSegment.create() as segment:
            try:
                segment.append(samples)
                events: list[Event] = []
                killed = False
                async for event in transcribe_files(pool, [FileSource(segment.name, len(samples))], Options()):
                    events.append(event)
                    if isinstance(event, Final) and not killed:
                        killed = True
                        os.kill(pool.pids[0], signal.SIGKILL)
            finally:
                segment.unlink()
    assert killed
    assert told(events) == told(live)


async def test_results_come_back_after_a_death() -> None:
    samples = np.tile(next(iter(clips().values()))[:-16_000], 4)
    async with demo_pool(2) as pool, asyncio.timeout(300):
        sessions = [Session(pool, Options()) for _ in range(2)]  # one on each worker
        playing = [asyncio.create_task(play(session, samples, pause=0.1)) for session in sessions]
        await asyncio.gather(*(hear_beyond(session, 1.0) for session in sessions))
        os.kill(pool.pids[0], signal.SIGKILL)
        died = time.monotonic()
        await wait_until(lambda: pool.metrics.registry.get_sample_value("gigastt_replays_total"))
        await asyncio.gather(*(hear_beyond(session, 0.0) for session in sessions))
        elapsed = time.monotonic() - died
        for session, task in zip(sessions, playing, strict=True):
            task.cancel()
            session.cancel()
        await asyncio.gather(*playing, return_exceptions=True)
    print(f"from the death of a worker to the first result of both sessions: {elapsed:.3f} s")


async def hear_beyond(session: Session, seconds: float) -> None:
    """Read events up to a result with a word that ends later than this."""
    async for event in session.events():
        if isinstance(event, Partial | Final) and event.words and event.words[-1].end > seconds:
            return
