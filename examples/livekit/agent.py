"""An agent of LiveKit that writes down what people in a room say.

    pip install "livekit-agents[openai]"
    LIVEKIT_URL=… LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=… python agent.py dev

Only the line with `openai.STT` is of this server; an agent that answers adds `llm=` and `tts=` to its session.
"""

import os

from livekit.agents import Agent, AgentSession, JobContext, UserInputTranscribedEvent, WorkerOptions, cli
from livekit.plugins import openai

URL = os.environ.get("GIGASTT_URL", "http://127.0.0.1:9876/v1")


def recogniser() -> openai.STT:
    """Return speech-to-text by a gigastt server, live."""
    key = os.environ.get("GIGASTT_KEY", "none")
    return openai.STT(model="gpt-4o-transcribe", language="ru", base_url=URL, api_key=key, use_realtime=True)


async def entrypoint(context: JobContext) -> None:
    session: AgentSession[None] = AgentSession(stt=recogniser())

    @session.on("user_input_transcribed")
    def show(event: UserInputTranscribedEvent) -> None:
        if event.is_final:
            print(event.transcript, flush=True)

    await session.start(Agent(instructions="Listen."), room=context.room)
    await context.connect()


if __name__ == "__main__":
    cli.run_app(WorkerOptions(entrypoint_fnc=entrypoint))
