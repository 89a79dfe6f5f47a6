"""Transcribe a WAV file as if someone were speaking, with OpenAI's own library and its Realtime API.

pip install "openai[realtime]"
python realtime.py speech.wav --url http://127.0.0.1:9876/v1
"""

import argparse
import asyncio
import base64
import wave
from pathlib import Path

from openai import AsyncOpenAI

FRAME_SECONDS = 0.1


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path, help="16-bit mono WAV of 8, 16, 24 or 48 kHz")
    parser.add_argument("--url", default="http://127.0.0.1:9876/v1")
    parser.add_argument("--key", default="none", help="one of the server's keys, where it asks for them")
    parser.add_argument("--fast", action="store_true", help="do not wait between the frames")
    arguments = parser.parse_args()

    client = AsyncOpenAI(base_url=arguments.url, api_key=arguments.key)
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        sending = asyncio.create_task(send(connection, arguments))
        async for event in connection:
            match event.type:
                case "conversation.item.input_audio_transcription.delta":
                    print(event.delta, end="", flush=True)
                case "conversation.item.input_audio_transcription.completed":
                    print(f"\r{event.transcript}")
                    if sending.done():
                        break
                case "error":
                    raise SystemExit(event.error.message)


async def send(connection, arguments) -> None:
    with wave.open(str(arguments.file)) as file:
        rate = file.getframerate()
        source = {"format": {"type": "audio/pcm", "rate": rate}, "turn_detection": None}
        await connection.session.update(session={"type": "transcription", "audio": {"input": source}})
        while frame := file.readframes(int(rate * FRAME_SECONDS)):
            await connection.input_audio_buffer.append(audio=base64.b64encode(frame).decode())
            await asyncio.sleep(0 if arguments.fast else FRAME_SECONDS)
    await connection.input_audio_buffer.commit()


if __name__ == "__main__":
    asyncio.run(main())
