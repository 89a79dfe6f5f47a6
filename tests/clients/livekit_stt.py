"""What an unmodified plugin of LiveKit hears: its stream, and a whole recording. One JSON object.

    python livekit_stt.py openai http://127.0.0.1:9876/v1 speech-24khz.pcm
    python livekit_stt.py deepgram http://127.0.0.1:9876/v1/listen speech-24khz.pcm

Run as a program, by an interpreter that does not have this project: it imports nothing of it.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
from livekit import rtc
from livekit.plugins import deepgram, openai

RATE = 24_000
FRAME_BYTES = 2 * RATE // 50
UTTERANCES = 2


def recognisers(plugin: str, url: str, http: aiohttp.ClientSession) -> tuple[Any, Any]:
    """Return one for live audio and one for recordings."""
    options = {"language": "ru", "base_url": url, "api_key": "none"}
    if plugin == "deepgram":
        live = deepgram.STT(model="nova-3", sample_rate=RATE, http_session=http, **options)
        return live, live
    live = openai.STT(model="gpt-4o-transcribe", use_realtime=True, **options)
    live._session = http  # inside an agent it is given one
    return live, openai.STT(model="whisper-1", use_realtime=False, **options)


async def main(plugin: str, url: str, audio: bytes) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http:
        live, whole = recognisers(plugin, url, http)
        stream = live.stream()
        sending = asyncio.create_task(send(stream, audio + bytes(4 * RATE)))
        events = []
        async for event in stream:
            events.append((str(event.type.value), [each.text for each in event.alternatives]))
            if sum(kind == "final_transcript" for kind, _ in events) == UTTERANCES:
                break
        sending.cancel()
        await stream.aclose()
        recognised = await whole.recognize([rtc.AudioFrame(audio, RATE, 1, len(audio) // 2)])
    return {
        "kinds": [kind for kind, _ in events],
        "finals": [texts[0] for kind, texts in events if kind == "final_transcript"],
        "whole": recognised.alternatives[0].text,
    }


async def send(stream: Any, audio: bytes) -> None:
    for begin in range(0, len(audio) - FRAME_BYTES, FRAME_BYTES):
        frame = audio[begin : begin + FRAME_BYTES]
        stream.push_frame(rtc.AudioFrame(frame, RATE, 1, FRAME_BYTES // 2))
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    json.dump(asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_bytes())), sys.stdout)
