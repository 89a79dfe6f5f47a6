"""Stream a WAV file to gigastt as a microphone would, and print what comes back.

    python stream.py clip.wav [--url ws://127.0.0.1:9876/v1/ws] [--key KEY] [--fast]

A connection that is lost is made again, and no word is: `gigastt_client.py` beside this file does that. Needs 16-bit
mono PCM at 8, 16, 24, 44.1 or 48 kHz, and the package websockets, which the server's own environment has
(.venv/bin/python after `make serve`). Partials go to standard error, finals to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import wave
from pathlib import Path

try:
    from gigastt_client import ConnectionFailed, Session
except ModuleNotFoundError:
    sys.exit("This example needs websockets: `pip install websockets`, or run it with the server's .venv/bin/python.")

CHUNK_SECONDS = 0.1


async def send_audio(session: Session, file: wave.Wave_read, *, fast: bool) -> None:
    """Send the samples at the pace of speech (or at once), and stop."""
    while chunk := file.readframes(int(file.getframerate() * CHUNK_SECONDS)):
        await session.send(chunk)
        if not fast:
            await asyncio.sleep(CHUNK_SECONDS)
    await session.stop()


async def print_transcript(session: Session) -> bool:
    """Print every message until the session is over; tell whether it went without an error."""
    good = True
    async for message in session.events():
        if message["type"] == "ready":
            print(f"{message['model']} is ready", file=sys.stderr)
        elif message["type"] == "partial":
            print(f"\r… {message['text']}", end="", file=sys.stderr, flush=True)
        elif message["type"] == "final" and message["text"]:
            print("\r", end="", file=sys.stderr, flush=True)
            print(f"[{message['start']:.2f}–{message['end']:.2f}] {message['text']}", flush=True)
        elif message["type"] == "connection":
            print(f"\nthe connection is {message['state']}", message.get("code", ""), file=sys.stderr)
        elif message["type"] == "error":
            print(f"\n{message['code']}: {message['message']}", file=sys.stderr)
            good = False
    return good


async def main() -> int:
    parser = argparse.ArgumentParser(description="Stream a WAV file to gigastt.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="ws://127.0.0.1:9876/v1/ws")
    parser.add_argument("--key", help="an API key, where the server asks for one")
    parser.add_argument("--fast", action="store_true", help="send as fast as the server reads")
    arguments = parser.parse_args()
    with wave.open(str(arguments.file)) as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            sys.exit(f"{arguments.file}: expected 16-bit mono PCM")
        async with Session(arguments.url, sample_rate=file.getframerate(), key=arguments.key, patience=5.0) as session:
            sending = asyncio.create_task(send_audio(session, file, fast=arguments.fast))
            try:
                good = await print_transcript(session)
                await sending
            except ConnectionFailed as exc:
                print(exc, file=sys.stderr)
                return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
