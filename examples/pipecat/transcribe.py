"""Transcribe a WAV file as if someone were speaking, in a Pipecat pipeline.

    pip install "pipecat-ai[openai]"
    python transcribe.py speech.wav --url ws://127.0.0.1:9876/v1/realtime

In a bot the frames come from its transport instead; the rest is the same.
"""

import argparse
import asyncio
import wave
from pathlib import Path

from pipecat.frames.frames import EndFrame, ErrorFrame, Frame, InputAudioRawFrame, TranscriptionFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.stt import OpenAIRealtimeSTTService
from pipecat.transcriptions.language import Language

FRAME_SECONDS = 0.02
SILENCE_SECONDS = 1.5


class Printer(FrameProcessor):
    """Prints what was said."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            print(frame.text, flush=True)
        elif isinstance(frame, ErrorFrame):
            print(f"error: {frame.error}", flush=True)
        await self.push_frame(frame, direction)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path, help="16-bit mono WAV")
    parser.add_argument("--url", default="ws://127.0.0.1:9876/v1/realtime")
    parser.add_argument("--key", default="none", help="one of the server's keys, where it asks for them")
    arguments = parser.parse_args()
    with wave.open(str(arguments.file)) as file:
        rate, samples = file.getframerate(), file.readframes(file.getnframes())

    recogniser = OpenAIRealtimeSTTService(
        api_key=arguments.key,
        base_url=arguments.url,
        turn_detection={"type": "server_vad"},
        settings=OpenAIRealtimeSTTService.Settings(language=Language.RU),
    )
    task = PipelineTask(Pipeline([recogniser, Printer()]), params=PipelineParams(audio_in_sample_rate=rate))

    @recogniser.event_handler("on_connected")
    async def speak(_: OpenAIRealtimeSTTService) -> None:
        speaking = asyncio.create_task(send(task, samples + bytes(int(rate * SILENCE_SECONDS) * 2), rate))
        speaking.add_done_callback(lambda done: done.result())

    await PipelineRunner(handle_sigint=False).run(task)


async def send(task: PipelineTask, samples: bytes, rate: int) -> None:
    await asyncio.sleep(0.5)  # until the session is configured
    size = int(rate * FRAME_SECONDS) * 2
    for begin in range(0, len(samples), size):
        await task.queue_frame(InputAudioRawFrame(samples[begin : begin + size], sample_rate=rate, num_channels=1))
        await asyncio.sleep(FRAME_SECONDS)
    await asyncio.sleep(0.5)
    await task.queue_frame(EndFrame())


if __name__ == "__main__":
    asyncio.run(main())
