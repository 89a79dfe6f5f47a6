"""The client module in JavaScript, which the page uses, loses and repeats nothing, whatever happens to its connections.

It runs in Node, against a server in this process with workers in memory, over a cable that is cut.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.cable import laid
from gigastt.config import Limits
from gigastt.gateway.pages import WEB_FOLDER
from tests.examples.test_examples import require_node
from tests.examples.test_python_client import STALLS, WORDS, expected
from tests.fakes.gateway import Running
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.native import server
from tests.fakes.scripted import both_channels, speech
from tests.gateway.api.test_resumption import sharing
from tests.waiting import wait_until

# Sends samples in pieces as it is told on standard input; prints messages and states as lines of JSON.
_SCRIPT = """
import { createInterface } from "node:readline";
import { LiveSession } from "CLIENT";
const [url, { key, ...options }] = [process.argv[2], JSON.parse(process.argv[3])];
const print = (fields) => console.log(JSON.stringify(fields));
const told = { onMessage: print, onState: (state, why) => print({ type: "state", state, ...why }) };
if (key) options.protocols = () => ["gigastt.v1", `gigastt.bearer.${key}`];
const session = new LiveSession(url, { ...options, ...told });
for await (const line of createInterface({ input: process.stdin })) {
  const { pcm, flush, stop } = JSON.parse(line);
  if (pcm !== undefined) session.send(Buffer.from(pcm, "base64"));
  if (flush) session.flush();
  if (stop) break;
}
session.stop();
const state = await session.finished;
print({ type: "finished", state, reconnects: session.reconnects, kept: session._pieces.length });
process.exit();
"""


class NodeClient:
    """One session in a process of Node."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.messages: list[dict[str, Any]] = []
        self._process = process
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.messages.append(json.loads(line))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def texts(self) -> list[str]:
        finals = self.of("final")
        assert [final["seq"] for final in finals] == list(range(len(finals)))
        return [final["text"] for final in finals if final["text"]]

    def tell(self, **fields: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields).encode() + b"\n")

    def speak(self, *values: int) -> None:
        self.tell(pcm=base64.b64encode(speech(values).tobytes()).decode())

    async def finished(self) -> dict[str, Any]:
        """Stop, and wait for the end."""
        self.tell(stop=True)
        async with asyncio.timeout(60):
            await self._reading
            await self._process.wait()
        [end] = self.of("finished")
        return end


@asynccontextmanager
async def node_client(tmp_path: Path, port: int, **options: Any) -> AsyncIterator[NodeClient]:
    script = tmp_path / "speak.mjs"
    script.write_text(_SCRIPT.replace("CLIENT", (WEB_FOLDER / "client.js").as_uri()), encoding="utf-8")
    configure = {"sample_rate": 16_000, "partials": False, **options.pop("configure", {})}
    arguments = (f"ws://127.0.0.1:{port}/v1/ws", json.dumps({"configure": configure, **options}))
    process = await asyncio.create_subprocess_exec(
        require_node(),
        "--experimental-websocket",
        "--no-warnings",
        str(script),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield NodeClient(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def started(running: Running, client: NodeClient) -> None:
    await wait_until(lambda: client.of("ready"))


async def test_a_session_without_faults(tmp_path: Path) -> None:
    async with server(MemoryPool(automatic=True)) as running, node_client(tmp_path, running.port) as client:
        for begin in range(0, len(WORDS), 10):
            client.speak(*WORDS[begin : begin + 10])
        end = await client.finished()
    assert client.texts == expected(WORDS)
    assert end == {"type": "finished", "state": "done", "reconnects": 0, "kept": 0}
    assert [message["state"] for message in client.of("state")] == ["connecting", "open", "done"]


async def test_both_channels_are_told_to_their_end(tmp_path: Path) -> None:
    pool = MemoryPool(automatic=True)
    async with server(pool) as running, node_client(tmp_path, running.port, configure={"channels": 2}) as client:
        client.tell(pcm=base64.b64encode(both_channels([1, 2], [3, 4]).tobytes()).decode())
        assert (await client.finished())["state"] == "done"
    assert [(final["channel"], final["text"]) for final in client.of("final")] == [(0, "w1 w2"), (1, "w3 w4")]


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_over_a_cable_that_is_cut(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    pool = MemoryPool(automatic=True)
    async with server(pool) as running, laid(running.port) as cable, node_client(tmp_path, cable.port) as client:
        await started(running, client)
        for begin, value in enumerate(WORDS):
            client.speak(value)
            await asyncio.sleep(0.01)
            if begin % 15 == 14:
                cable.disturb(chance, STALLS)
                pool.kill(chance.choice(pool.workers))
                if begin % 30 == 29:
                    client.tell(flush=True)
        end = await client.finished()
    words = " ".join(client.texts).split()
    assert words == [f"w{value}" for value in WORDS if value]
    assert end["state"] == "done"
    assert end["reconnects"] > 0


async def move(folder: Path, secret: Path | None) -> NodeClient:
    """Have a client speak, lose its server amid an utterance, and end at another with the same secret, or with none."""
    async with (
        sharing(secret) as first,
        sharing(secret) as second,
        laid(first.port) as cable,
        node_client(folder, cable.port) as client,
    ):
        client.speak(1, 2, 0, 3)
        await wait_until(lambda: client.of("final"))
        cable.upstream = second.port
        cable.cut()
        client.speak(4, 0, 5)
        assert (await client.finished())["state"] == "done"
    assert client.texts == ["w1 w2", "w3 w4", "w5"]
    return client


async def test_a_session_goes_on_at_another_server(tmp_path: Path, secret: Path) -> None:
    client = await move(tmp_path, secret)
    assert len(client.of("ready")) == 1
    assert [final["start"] for final in client.of("final")] == [0.0, 0.12, 0.24]


async def test_a_server_that_does_not_know_the_token_gets_the_kept_audio(tmp_path: Path) -> None:
    client = await move(tmp_path, None)
    assert len(client.of("ready")) == 2  # another session, with numbers of speakers of its own
    finals = client.of("final")
    assert [round(final["start"], 2) for final in finals] == [0.0, 0.12, 0.24]
    assert [round(word["start"], 2) for word in finals[1]["words"]] == [0.12, 0.16]


async def test_a_server_that_stops_is_left_behind_a_final(tmp_path: Path) -> None:
    async with (
        server(MemoryPool(automatic=True)) as first,
        server(MemoryPool(automatic=True)) as second,
        laid(first.port) as cable,
        node_client(tmp_path, cable.port) as client,
    ):
        client.speak(1, 2)
        await started(first, client)
        cable.upstream = second.port
        first.server.handle_exit(15, None)
        client.speak(0, 3)
        end = await client.finished()
    assert client.texts == ["w1 w2", "w3"]
    assert (end["state"], end["reconnects"]) == ("done", 1)


async def test_silence_ends_a_session_and_more_audio_begins_another(tmp_path: Path) -> None:
    async with (
        server(MemoryPool(automatic=True), Limits(idle_timeout_secs=0.3)) as running,
        node_client(tmp_path, running.port) as client,
    ):
        client.speak(1)
        await wait_until(lambda: client.of("final"))
        client.speak(2)
        await client.finished()
    assert [(final["text"], final["start"]) for final in client.of("final")] == [("w1", 0.0), ("w2", 0.04)]


async def test_refusals_are_told(tmp_path: Path) -> None:
    async with (
        server(MemoryPool(automatic=True)) as running,
        node_client(tmp_path, running.port, configure={"sample_rate": 1}) as client,
    ):
        client.speak(1)
        assert (await client.finished())["state"] == "failed"
        assert client.of("error")[0]["code"] == "invalid_sample_rate"
    async with node_client(tmp_path, 9, patienceSeconds=0.2) as client:
        assert (await client.finished())["state"] == "failed"
