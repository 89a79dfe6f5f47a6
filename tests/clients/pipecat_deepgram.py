"""What an unmodified Deepgram service of Pipecat hears of a WAV file at the pace of speech: a line an utterance.

    python pipecat_deepgram.py speech.wav 127.0.0.1:9876

Run as a program, by an interpreter that does not have this project: it imports nothing of it.
"""

import asyncio
import sys
import wave

from pipecat.frames.frames import EndFrame, ErrorFrame, Frame, InputAudioRawFrame, TranscriptionFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.transcriptions.language import Language

FRAME_SECONDS = 0.02


class Printer(FrameProcessor):  # type: ignore[misc]  # untyped where Pipecat is not installed
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            print(frame.text, flush=True)
        elif isinstance(frame, ErrorFrame):
            print(f"error: {frame.error}", flush=True)
        await self.push_frame(frame, direction)


async def main(path: str, address: str) -> None:
    with wave.open(path) as file:
        rate, samples = file.getframerate(), file.readframes(file.getnframes())
    recogniser = DeepgramSTTService(
        api_key="none",
        base_url=f"http://{address}",
        settings=DeepgramSTTService.Settings(model="nova-3", language=Language.RU, smart_format=True),
    )
    task = PipelineTask(Pipeline([recogniser, Printer()]), params=PipelineParams(audio_in_sample_rate=rate))

    async def speak() -> None:
        size, silence = int(rate * FRAME_SECONDS) * 2, bytes(3 * rate)
        for begin in range(0, len(samples + silence), size):
            frame = (samples + silence)[begin : begin + size]
            await task.queue_frame(InputAudioRawFrame(frame, sample_rate=rate, num_channels=1))
            await asyncio.sleep(FRAME_SECONDS)
        await task.queue_frame(EndFrame())

    speaking = asyncio.create_task(speak())
    await PipelineRunner(handle_sigint=False).run(task)
    await speaking


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
