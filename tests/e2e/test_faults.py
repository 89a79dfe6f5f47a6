"""Workers die, and nobody notices; many clients at once all get their finals."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Iterator
from functools import partial

import pytest

from tests.clips import load_clips
from tests.live_client import LiveClient, live_client, transcribe_live
from tests.server import ServerProcess
from tests.waiting import wait_until

CLIPS = load_clips()
SPOKEN = [CLIPS[1], CLIPS[4], CLIPS[0], CLIPS[2]]  # the second is one long sentence
SPEECH = b"".join(clip.pcm + bytes(32_000) for clip in SPOKEN)  # a second of silence after each
SENTENCE = len(SPOKEN[0].pcm) + 32_000  # where it begins, in bytes
CUTS = [SENTENCE + 32_000 * seconds for seconds in (2, 3, 4, 5)]  # amid that sentence; every pass hears a second more


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "2", "--max-sessions", "32") as running:
        yield running


def spoken(client: LiveClient) -> list[tuple[object, ...]]:
    """Return what must be equal in two sessions of the same audio."""
    return [(final["seq"], final["text"], final["start"], final["end"], final["words"]) for final in client.of("final")]


def shows_more(client: LiveClient, *, before: int) -> bool:
    """Whether the newest message is a partial, and not among the first `before`."""
    return len(client.messages) > before and bool(client.messages[-1]["type"] == "partial")


def broken_promises(client: LiveClient) -> list[tuple[list[str], list[str]]]:
    """Return the stable words that a later partial of the same utterance had otherwise, and what it had."""
    broken: list[tuple[list[str], list[str]]] = []
    stable: list[str] = []
    for message in client.messages:
        if message["type"] == "partial":
            shown = [word["word"] for word in message["words"]]
            if shown[: len(stable)] != stable or message["stable"] < len(stable):
                broken.append((stable, shown))
            stable = shown[: message["stable"]]
        elif message["type"] == "final":
            stable = []
    return broken


async def speak_with_a_kill(server: ServerProcess, clients: int) -> list[LiveClient]:
    """Stream into a sentence, kill every worker once some of its words are stable, stream the rest."""
    heard = asyncio.Barrier(clients + 1)
    killed = asyncio.Event()

    async def speak() -> LiveClient:
        async with live_client(server.websocket_url) as client:
            await client.configure(sample_rate=16_000)
            for begin, end in itertools.pairwise([0, *CUTS]):
                before = len(client.messages)
                await client.stream(SPEECH[begin:end])
                await client.wait_for(partial(shows_more, before=before))
            assert client.messages[-1]["stable"]
            await heard.wait()
            await killed.wait()
            await client.stream(SPEECH[CUTS[-1] :])
            await client.stop()
        return client

    speaking = [asyncio.create_task(speak()) for _ in range(clients)]
    await asyncio.wait_for(heard.wait(), 300)
    victims = server.worker_pids()
    assert len(victims) == 2
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    killed.set()
    finished = await asyncio.gather(*speaking)
    await wait_until(lambda: len(server.worker_pids()) == 2 and not set(victims) & set(server.worker_pids()))
    return finished


async def test_four_streams_survive_the_death_of_every_worker(server: ServerProcess) -> None:
    control = await transcribe_live(server.websocket_url, SPEECH)
    assert len(control.finals) >= 4
    deaths = len(server.logged("worker_died"))
    for client in await speak_with_a_kill(server, clients=4):
        assert client.close_code == 1000
        assert client.of("error") == []
        assert spoken(client) == spoken(control)
        assert broken_promises(client) == []
    assert len(server.logged("worker_died")) - deaths == 2


async def test_an_upload_survives_the_death_of_a_worker(server: ServerProcess) -> None:
    clip = CLIPS[2]
    control = await asyncio.to_thread(server.post, "/v1/transcribe", clip.path.read_bytes())
    uploads = [
        asyncio.create_task(asyncio.to_thread(server.post, "/v1/transcribe", clip.path.read_bytes())) for _ in range(4)
    ]
    server.kill_workers()
    for response in await asyncio.gather(*uploads):
        assert response.status_code == 200
        assert response.json() == control.json()


async def test_twenty_clients_on_two_workers_all_get_their_finals(server: ServerProcess) -> None:
    controls = {clip.path.name: await transcribe_live(server.websocket_url, clip.pcm) for clip in CLIPS[:4]}
    clips = [CLIPS[i % 4] for i in range(20)]
    finished = await asyncio.gather(*(transcribe_live(server.websocket_url, clip.pcm) for clip in clips))
    for clip, client in zip(clips, finished, strict=True):
        assert client.close_code == 1000
        assert spoken(client) == spoken(controls[clip.path.name])
