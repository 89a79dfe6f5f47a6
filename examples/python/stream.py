"""Stream a WAV file to gigastt as a microphone would, and print what comes back.

    python stream.py clip.wav [--url ws://127.0.0.1:9876/v1/ws] [--fast]

Needs 16-bit mono PCM at 8, 16, 24, 44.1 or 48 kHz, and the package websockets, which the server's own environment has
(.venv/bin/python after `make serve`). Partials go to standard error, finals to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import wave
from pathlib import Path

try:
    from websockets.asyncio.client import ClientConnection, connect
except ImportError:
    sys.exit("This example needs websockets: `pip install websockets`, or run it with the server's .venv/bin/python.")

CHUNK_SECONDS = 0.1


async def send_audio(socket: ClientConnection, path: Path, *, fast: bool) -> None:
    """Send `configure`, the samples at the pace of speech (or at once), and `stop`."""
    with wave.open(str(path)) as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            sys.exit(f"{path}: expected 16-bit mono PCM")
        rate = file.getframerate()
        await socket.send(json.dumps({"type": "configure", "sample_rate": rate}))
        while chunk := file.readframes(int(rate * CHUNK_SECONDS)):
            await socket.send(chunk)
            if not fast:
                await asyncio.sleep(CHUNK_SECONDS)
    await socket.send(json.dumps({"type": "stop"}))


async def print_transcript(socket: ClientConnection) -> bool:
    """Print every message until the server closes; tell whether it went without an error."""
    good = True
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "partial":
            print(f"\r… {message['text']}", end="", file=sys.stderr, flush=True)
        elif message["type"] == "final" and message["text"]:
            print("\r", end="", file=sys.stderr, flush=True)
            print(f"[{message['start']:.2f}–{message['end']:.2f}] {message['text']}", flush=True)
        elif message["type"] == "error":
            print(f"\n{message['code']}: {message['message']}", file=sys.stderr)
            good = False
    return good


async def main() -> int:
    parser = argparse.ArgumentParser(description="Stream a WAV file to gigastt.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="ws://127.0.0.1:9876/v1/ws")
    parser.add_argument("--fast", action="store_true", help="send as fast as the server reads")
    arguments = parser.parse_args()
    async with connect(arguments.url, compression=None) as socket:
        ready = json.loads(await socket.recv())
        if ready["type"] != "ready":
            print(f"{ready['code']}: {ready['message']}", file=sys.stderr)
            return 1
        print(f"{ready['model']} is ready", file=sys.stderr)
        sending = asyncio.create_task(send_audio(socket, arguments.file, fast=arguments.fast))
        good = await print_transcript(socket)
        await sending
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
