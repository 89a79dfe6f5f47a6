"""Transcribe a WAV file as Home Assistant does a voice command: over the Wyoming protocol.

    pip install wyoming
    python transcribe.py speech.wav --uri tcp://127.0.0.1:10300

Home Assistant itself needs no code: Settings, Devices & services, Add integration, Wyoming Protocol, with the host and
the port of `gigastt serve --wyoming HOST:PORT`; then choose it as speech-to-text under Settings, Voice assistants.
"""

import argparse
import asyncio
import wave

from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import wav_to_chunks
from wyoming.client import AsyncClient
from wyoming.error import Error


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", help="WAV of any rate, width and number of channels")
    parser.add_argument("--uri", default="tcp://127.0.0.1:10300")
    arguments = parser.parse_args()
    async with AsyncClient.from_uri(arguments.uri) as client:
        await client.write_event(Transcribe(language="ru").event())
        with wave.open(arguments.file, "rb") as file:
            for each in wav_to_chunks(file, samples_per_chunk=1024, start_event=True, stop_event=True):
                await client.write_event(each.event())
        while (event := await client.read_event()) is not None:
            if TranscriptChunk.is_type(event.type):  # stable words, as they come
                print(f"…{TranscriptChunk.from_event(event).text}", flush=True)
            elif Error.is_type(event.type):
                raise SystemExit(Error.from_event(event).text)
            elif Transcript.is_type(event.type):
                print(Transcript.from_event(event).text)
                return
    raise SystemExit("The server hung up before the transcript.")


if __name__ == "__main__":
    asyncio.run(main())
