"""What an unmodified openai-python, of whichever version runs this, hears of a Realtime session: one JSON object.

    python openai_realtime.py http://127.0.0.1:9876/v1 speech.pcm --rate 16000 --frame-ms 20 --turns server|client

Run as a program, by interpreters that do not have this project: it imports nothing of it. The audio is raw samples, in
the format of the session. Without server turns it is committed at the end; with them, silence is sent after it.
"""

import argparse
import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import openai

BYTES_PER_SAMPLE = {"audio/pcm": 2, "audio/pcmu": 1, "audio/pcma": 1}
BETA_FORMATS = {"audio/pcm": "pcm16", "audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw"}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("audio", type=Path)
    parser.add_argument("--rate", type=int, default=24_000)
    parser.add_argument("--format", default="audio/pcm", choices=BYTES_PER_SAMPLE)
    parser.add_argument("--frame-ms", type=int, default=100)
    parser.add_argument("--turns", default="server", choices=["server", "client"])
    parser.add_argument("--items", type=int, default=1, help="how many completed transcripts to wait for")
    parser.add_argument("--beta", action="store_true", help="the shape of the API before it was final")
    parser.add_argument("--secret", action="store_true", help="connect with a client secret")
    parser.add_argument("--key", default="any-key-will-do")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds to wait between frames")
    return parser.parse_args()


def settings(wanted: argparse.Namespace) -> dict[str, Any]:
    turns = {"type": "server_vad"} if wanted.turns == "server" else None
    transcription = {"model": "gpt-4o-transcribe", "language": "ru"}
    if wanted.beta:
        return {
            "input_audio_format": BETA_FORMATS[wanted.format],
            "input_audio_transcription": transcription,
            "turn_detection": turns,
        }
    rate = {"rate": wanted.rate} if wanted.format == "audio/pcm" else {}
    source = {"format": {"type": wanted.format, **rate}, "transcription": transcription, "turn_detection": turns}
    include = ["item.input_audio_transcription.logprobs"]
    return {"type": "transcription", "audio": {"input": source}, "include": include}


async def main(wanted: argparse.Namespace) -> dict[str, Any]:
    addresses = {"base_url": wanted.url, "websocket_base_url": wanted.url.replace("http", "ws", 1)}
    client = openai.AsyncOpenAI(**addresses, api_key=wanted.key, max_retries=0)
    secret = None
    if wanted.secret:
        created = await client.realtime.client_secrets.create(session=settings(wanted))  # type: ignore[arg-type]
        secret = {"value": created.value, "expires_at": created.expires_at, "type": created.session.type}
        client = openai.AsyncOpenAI(**addresses, api_key=created.value, max_retries=0)
    api: Any = client.beta if wanted.beta else client
    events: list[Any] = []
    query = {"intent": "transcription"} if wanted.beta else {}
    async with api.realtime.connect(model="gpt-realtime", extra_query=query) as connection:
        if not wanted.secret:
            kind = "transcription_session.update" if wanted.beta else "session.update"
            await connection.send({"type": kind, "session": settings(wanted)})
        sending = asyncio.create_task(send(connection, wanted))
        completed = 0
        async for event in connection:
            events.append(event)
            completed += event.type.endswith("input_audio_transcription.completed")
            if completed == wanted.items or event.type == "error":
                break
        sending.cancel()
    sessions = [event for event in events if event.type.endswith(("session.created", "session.updated"))]
    return {
        "version": openai.__version__,
        "secret": secret,
        "types": [event.type for event in events],
        "classes": sorted({type(event).__name__ for event in events}),
        "errors": [event.error.message for event in events if event.type == "error"],
        "deltas": [[event.item_id, event.delta] for event in events if event.type.endswith("transcription.delta")],
        "transcripts": [
            [event.item_id, event.transcript] for event in events if event.type.endswith("transcription.completed")
        ],
        "session": json.loads(sessions[-1].to_json(warnings=False))["session"],
    }


async def send(connection: Any, wanted: argparse.Namespace) -> None:
    audio = wanted.audio.read_bytes()
    size = wanted.rate * wanted.frame_ms // 1000 * BYTES_PER_SAMPLE[wanted.format]
    for begin in range(0, len(audio), size):
        frame = base64.b64encode(audio[begin : begin + size]).decode()
        await connection.input_audio_buffer.append(audio=frame)
        await asyncio.sleep(wanted.pace)
    if wanted.turns == "client":
        await connection.input_audio_buffer.commit()
        return
    silence = {"audio/pcm": b"\0", "audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}[wanted.format] * size
    for _ in range(3000 // wanted.frame_ms):
        await connection.input_audio_buffer.append(audio=base64.b64encode(silence).decode())
        await asyncio.sleep(wanted.pace)


if __name__ == "__main__":
    json.dump(asyncio.run(main(parse())), sys.stdout)
