"""The canary: a short built-in sound through the whole pipeline, before a worker says that it is ready.

It shows that the model's files work together on this machine and warms them up; how long further passes then take is a
first guess at what live streams will cost. Runs once, on the worker's main thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.errors import ModelInvalid
from gigastt.ipc.messages import Audio, Closed, Failed, FinalMessage, Finish, OpenStream, PassRecord, StreamId
from gigastt.speech.features import log_mel
from gigastt.speech.recognizer import Transcriber
from gigastt.speech.tokens import Window
from gigastt.transcript import Options
from gigastt.workers.engine import Engine

SOUND_SECONDS = 2.0
TIMED_PASSES = 2

_CANARY = StreamId(0)  # the gateway counts from one


def make_sound(seconds: float) -> Samples:
    """Make something like a voice: harmonics of 120 Hz in four syllables a second; the same on every machine."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    voice = np.sum([np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 25)], axis=0)
    syllables = np.clip(np.sin(2 * np.pi * 4 * time), 0, None)
    sound: Samples = np.rint(6_000 * voice * syllables).astype(np.int16)
    return sound


def run_canary(engine: Engine) -> None:
    """Send the sound through an engine once.

    Raises:
        ModelInvalid: the model refused it, or the engine did not bring it to an end.
    """
    sound = make_sound(SOUND_SECONDS)
    engine.handle(OpenStream(_CANARY, 0, b"", Options(), "canary"))
    engine.handle(Audio(_CANARY, np.concatenate([sound, np.zeros(SAMPLE_RATE, np.int16)]).astype("<i2").tobytes()))
    engine.handle(Finish(_CANARY))
    messages = engine.collect()
    while engine.streams:
        messages += engine.step(now=0.0)
    final = any(isinstance(message, FinalMessage) for message in messages)
    if not final or any(isinstance(message, Failed) for message in messages) or Closed(_CANARY) not in messages:
        raise ModelInvalid("The model gave no transcript of the built-in test sound.")


def time_passes(
    recognizer: Transcriber, clock: Callable[[], float], cpu_clock: Callable[[], float]
) -> list[PassRecord]:
    """Time passes of a warm recogniser over the sound, by the clock and by the processor time of this process."""
    window = Window(log_mel(make_sound(SOUND_SECONDS)), first_frame=0)
    passes = []
    for _ in range(TIMED_PASSES):
        begun, cpu_begun = clock(), cpu_clock()
        recognizer.transcribe(window)
        passes.append(PassRecord("final", 1, clock() - begun, SOUND_SECONDS, cpu_clock() - cpu_begun))
    return passes
