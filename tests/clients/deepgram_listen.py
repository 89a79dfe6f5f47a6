"""What an unmodified deepgram-sdk hears of a file, and of the same as live audio: one JSON object.

    python deepgram_listen.py http://127.0.0.1:9876 speech.wav speech.pcm --frame-ms 20 [--key KEY]

Run as a program, by an interpreter that does not have this project: it imports nothing of it. The samples are 16-bit of
16 kHz; after half of them a `Finalize` is sent if that is asked for.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from deepgram import AsyncDeepgramClient
from deepgram.environment import DeepgramClientEnvironment


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--frame-ms", type=int, default=20)
    parser.add_argument("--finalize", action="store_true")
    parser.add_argument("--key", default="any-key-will-do")
    return parser.parse_args()


async def main(wanted: argparse.Namespace) -> dict[str, Any]:
    live = wanted.url.replace("http", "ws", 1)
    addresses = DeepgramClientEnvironment(base=wanted.url, production=live, agent=live, agent_rest=wanted.url)
    client = AsyncDeepgramClient(api_key=wanted.key, environment=addresses)
    whole = await client.listen.v1.media.transcribe_file(
        request=wanted.file.read_bytes(), model="nova-3", language="ru", smart_format=True
    )
    samples = wanted.samples.read_bytes()
    size = 32 * wanted.frame_ms
    messages: list[Any] = []
    async with client.listen.v1.connect(
        model="nova-3",
        language="ru",
        encoding="linear16",
        sample_rate=16_000,
        smart_format=True,
        interim_results=True,
        utterance_end_ms=1000,
        vad_events=True,
    ) as connection:

        async def send() -> None:
            await connection.send_keep_alive()
            for begin in range(0, len(samples), size):
                if wanted.finalize and begin <= len(samples) // 2 < begin + size:
                    await connection.send_finalize()
                await connection.send_media(samples[begin : begin + size])
            await connection.send_close_stream()

        sending = asyncio.create_task(send())
        async for message in connection:
            messages.append(message)
        await sending
    return {
        "file": [one.alternatives[0].transcript for one in whole.results.channels],
        "duration": whole.metadata.duration,
        "classes": [type(message).__name__ for message in messages],
        "messages": [json.loads(message.json()) for message in messages],
    }


if __name__ == "__main__":
    json.dump(asyncio.run(main(parse())), sys.stdout)
