"""OpenAI's own clients, unmodified, hear over the Realtime API what `POST /v1/transcribe` says."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from websockets.asyncio.client import ClientConnection, connect

from tests.clients.conftest import interpreter, node
from tests.clips import Clip, load_clips, normalise
from tests.server import ServerProcess
from tests.shared import require_program

HERE = Path(__file__).resolve().parent
CLIP = load_clips()[0]
COMPLETED = "conversation.item.input_audio_transcription.completed"


async def run(*command: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(environment or {})}
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err.decode()
    answer: dict[str, Any] = json.loads(out)
    return answer


async def listen(server: ServerProcess, audio: Path, *options: str, environment: str = "newest") -> dict[str, Any]:
    script = str(HERE / "openai_realtime.py")
    return await run(interpreter(environment), script, f"{server.url}/v1", str(audio), *options)


@pytest.fixture
def raw_audio(tmp_path: Path) -> Path:
    """The clip as samples of 16 kHz."""
    path = tmp_path / "speech.pcm"
    path.write_bytes(CLIP.pcm)
    return path


def by_file(server: ServerProcess, clip: Clip = CLIP) -> str:
    text: str = server.post("/v1/transcribe", clip.path.read_bytes()).json()["text"]
    return text


def check(heard: dict[str, Any], expected: str) -> None:
    assert heard["errors"] == []
    assert " ".join(transcript for _, transcript in heard["transcripts"]) == expected
    for item, transcript in heard["transcripts"]:
        deltas = "".join(delta for of, delta in heard["deltas"] if of == item)
        assert normalise(deltas) == normalise(transcript)


@pytest.mark.parametrize("environment", ["newest", "openai-2.15", "openai-1"])
@pytest.mark.parametrize("frame_ms", ["20", "1000"])
async def test_turns_of_the_server(server: ServerProcess, raw_audio: Path, environment: str, frame_ms: str) -> None:
    options = ("--rate", "16000", "--frame-ms", frame_ms, "--items", "2")
    heard = await listen(server, raw_audio, *options, environment=environment)
    check(heard, by_file(server))
    assert heard["types"][:2] == ["session.created", "session.updated"]
    order = [kind.rpartition(".")[2] for kind in heard["types"] if not kind.endswith((".delta", "updated", "created"))]
    assert order == ["speech_started", "speech_stopped", "committed", "added", "done", "completed"] * 2


@pytest.mark.parametrize("clip", load_clips(), ids=lambda clip: clip.path.stem)
async def test_turns_of_the_client_have_the_words_of_the_file(
    server: ServerProcess, clip: Clip, tmp_path: Path
) -> None:
    (tmp_path / "speech.pcm").write_bytes(clip.pcm)
    options = ("--rate", "16000", "--frame-ms", "100", "--turns", "client")
    check(await listen(server, tmp_path / "speech.pcm", *options), by_file(server, clip))


async def test_a_client_of_the_beta(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "speech.pcm").write_bytes(at_24_khz(CLIP.pcm))
    heard = await listen(server, tmp_path / "speech.pcm", "--beta", "--items", "2", environment="openai-1")
    check(heard, by_file(server))
    assert heard["types"][:2] == ["transcription_session.created", "transcription_session.updated"]
    assert heard["session"]["input_audio_format"] == "pcm16"


@pytest.mark.parametrize("environment", ["newest", "openai-2.15", "openai-1"])
async def test_a_client_secret_opens_a_session_with_its_settings(
    raw_audio: Path, environment: str, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    with ServerProcess("--pool-size", "1", "--api-keys-file", str(tmp_path / "keys")) as server:
        options = ("--secret", "--key", "secret-key-1", "--rate", "16000", "--turns", "client")
        heard = await listen(server, raw_audio, *options, environment=environment)
    check(heard, CLIP.reference)
    assert heard["secret"]["value"].startswith("ek_")
    assert heard["secret"]["type"] == "transcription"
    assert heard["types"][0] == "session.created"
    assert "session.updated" not in heard["types"]


@pytest.mark.parametrize("frame_ms", [20, 1000])
async def test_a_worker_killed_in_the_middle_is_not_noticed(frame_ms: int) -> None:
    size = 32 * frame_ms
    frames = [CLIP.pcm[begin : begin + size] for begin in range(0, len(CLIP.pcm), size)]
    source = {"format": {"type": "audio/pcm", "rate": 16_000}, "turn_detection": None}
    with ServerProcess("--pool-size", "2") as server:
        async with connect(server.websocket_url.replace("/ws", "/realtime"), max_queue=None) as socket:
            session = {"type": "transcription", "audio": {"input": source}}
            await socket.send(json.dumps({"type": "session.update", "session": session}))
            for frame in frames[: len(frames) // 2]:
                await socket.send(append(frame))
            heard = [await receive_until(socket, "delta")]
            server.kill_workers()
            for frame in frames[len(frames) // 2 :]:
                await socket.send(append(frame))
            await socket.send('{"type":"input_audio_buffer.commit"}')
            heard.append(await receive_until(socket, "completed"))
        assert server.logged("worker_died")
        events = [event for part in heard for event in part]
        assert [event for event in events if event["type"] == "error" or event["type"].endswith("failed")] == []
        assert events[-1]["transcript"] == by_file(server)


def append(frame: bytes) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(frame).decode()})


async def receive_until(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not events or not events[-1]["type"].endswith(f".{kind}"):
            events.append(json.loads(await socket.recv()))
    return events


async def test_openai_for_node_over_tls(server: ServerProcess, tmp_path: Path) -> None:
    program = node()
    (tmp_path / "speech.pcm").write_bytes(at_24_khz(CLIP.pcm))
    certificate = make_certificate(tmp_path)
    async with tls_before(server, certificate) as port:
        heard = await run(
            *(program, str(HERE / "javascript" / "openai_realtime.mjs")),
            *(f"https://localhost:{port}/v1", str(tmp_path / "speech.pcm")),
            environment={"NODE_EXTRA_CA_CERTS": str(certificate)},
        )
    assert heard["transcript"] == by_file(server)
    assert heard["types"][-1] == COMPLETED


def at_24_khz(pcm: bytes) -> bytes:
    resampled: bytes = soxr.resample(np.frombuffer(pcm, np.int16), 16_000, 24_000).astype("<i2").tobytes()
    return resampled


def make_certificate(folder: Path) -> Path:
    """Make a certificate for localhost, with its key in the same file."""
    subprocess.run(
        [
            *(require_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder / "certificate.pem"


@asynccontextmanager
async def tls_before(server: ServerProcess, certificate: Path) -> AsyncIterator[int]:
    """Stand before a server and take TLS off, on a port of this machine."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer), return_exceptions=True)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    proxy = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with proxy:
        yield proxy.sockets[0].getsockname()[1]
