"""Workers as on cards, with a processor standing in: the same words in any company, and a card or a sentence."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import hear_file, hear_live
from gigastt.audio.pcm import Samples
from gigastt.config import DEMO_MODEL, Settings
from gigastt.errors import ProviderMissing
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.pool import Pool
from gigastt.ipc.messages import Ready
from gigastt.optimize.half import halve_encoder
from gigastt.speech.recognizer import ON_CARD
from gigastt.workers.config import WorkerConfig
from tests.clips import load_clips
from tests.fakes.worker import demo_config, spawn_worker


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> WorkerConfig:
    """The demo model in 16 bits, computed by a processor as a card would."""
    demo = demo_config()
    encoder = tmp_path_factory.mktemp("model") / "v3_e2e_rnnt_encoder.fp16.onnx"
    halve_encoder(Path(demo.encoder), encoder)
    return replace(demo, encoder=str(encoder), provider="cuda", stands_in=True)


@asynccontextmanager
async def card_pool(config: WorkerConfig, workers: int) -> AsyncIterator[Pool]:
    pool = Pool(Settings(model=DEMO_MODEL, pool_size=workers, max_sessions=64), Metrics())
    async with asyncio.timeout(300), pool.at_work(config.command):
        yield pool


def talks() -> list[Samples]:
    """Return clips, each with a second of silence behind it."""
    pause = np.zeros(16_000, dtype=np.int16)
    return [np.concatenate([np.frombuffer(clip.pcm, dtype="<i2"), pause]) for clip in load_clips()]


def test_a_worker_says_what_runs_its_encoder_and_how_much_a_pass_holds(config: WorkerConfig) -> None:
    with spawn_worker(config) as worker:
        ready = worker.receive_a(Ready)
    assert (ready.provider, ready.encoder, ready.width) == ("cuda", "v3_e2e_rnnt_encoder.fp16", ON_CARD.width)
    assert all(timed.cpu_seconds == pytest.approx(timed.seconds, rel=0.5) for timed in ready.passes)


async def test_people_at_once_and_files_have_the_same_words_while_a_worker_is_killed(config: WorkerConfig) -> None:
    async with card_pool(config, workers=2) as pool:
        files = [await hear_file(pool, talk) for talk in talks()]
        undisturbed = await hear_file(pool, np.concatenate(talks()))
        listening = asyncio.gather(*(hear_live(pool, talk) for talk in talks() * 2))
        lecture = asyncio.create_task(hear_file(pool, np.concatenate(talks())))
        await asyncio.sleep(0)
        os.kill(pool.pids[0], signal.SIGKILL)
        live, together = await listening, await lecture
        card = pool.model
        registry = pool.metrics.registry
        windows, passes = (registry.get_sample_value(f"gigastt_batch_size_{part}") or 0 for part in ("sum", "count"))
    assert live == files * 2
    assert together == undisturbed
    assert card is not None
    assert card.provider == "cuda"
    assert windows > passes


def test_a_worker_whose_card_cannot_be_had_ends_with_a_sentence(config: WorkerConfig) -> None:
    with spawn_worker(replace(config, stands_in=False)) as worker:
        with pytest.raises(EOFError):
            worker.receive()
        assert worker.process.wait(timeout=60) == ProviderMissing.exit_code
        assert worker.process.stderr is not None
        assert b"CUDAExecutionProvider" in worker.process.stderr.read()
