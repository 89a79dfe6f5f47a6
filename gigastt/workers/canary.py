"""The canary: a short built-in sound through the whole pipeline, before a worker says that it is ready.

It shows that the model's files work together on this machine and warms them up; how long a second pass then takes
says how many live streams the worker can carry. Runs once, on the worker's main thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gigastt.errors import ModelInvalid
from gigastt.ipc.messages import Audio, Closed, Failed, Final, Finish, OpenStream, PassRecord, StreamId
from gigastt.speech.features import log_mel
from gigastt.speech.recognizer import Transcriber
from gigastt.speech.tokens import SAMPLE_RATE, Samples, Window
from gigastt.transcript import Options
from gigastt.workers.engine import Engine

SHORT_SECONDS = 2.0
LONG_OVER_SHORT = 2.2  # t(5 s) / t(2 s): measured 2.2 with the optimised encoder, 2.0 with fp32
TARGET_LOAD = 0.75  # of the worker's time: queues grow without bound as it nears 1
SPEECH_SHARE = 0.5  # of a live stream's time somebody speaks
PARTIALS_PER_SECOND = 1.0
FINALS_PER_SECOND = 1 / 4  # of speech: an utterance of four seconds, encoded with its margins
LISTENING_SECONDS = 0.002  # features, detector and packets of one second of audio

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
    sound = make_sound(SHORT_SECONDS)
    engine.handle(OpenStream(_CANARY, 0, b"", Options(), "canary"))
    engine.handle(Audio(_CANARY, np.concatenate([sound, np.zeros(SAMPLE_RATE, np.int16)]).astype("<i2").tobytes()))
    engine.handle(Finish(_CANARY))
    messages = engine.collect()
    while engine.streams:
        messages += engine.step(now=0.0)
    final = any(isinstance(message, Final) for message in messages)
    if not final or any(isinstance(message, Failed) for message in messages) or Closed(_CANARY) not in messages:
        raise ModelInvalid("The model gave no transcript of the built-in test sound.")


def time_pass(recognizer: Transcriber, clock: Callable[[], float], cpu_clock: Callable[[], float]) -> PassRecord:
    """Time a pass of a warm recogniser over the sound, by the clock and by the processor time of this process."""
    window = Window(log_mel(make_sound(SHORT_SECONDS)), first_frame=0)
    begun, cpu_begun = clock(), cpu_clock()
    recognizer.transcribe(window)
    return PassRecord("final", 1, clock() - begun, SHORT_SECONDS, cpu_clock() - cpu_begun)


def capacity_of(short_pass: float) -> int:
    """Return the live streams that fit into a worker, from the seconds that a pass over 2 s of audio takes.

    While somebody speaks, a second of a live stream costs one partial, which sees a short window, and its part
    of a final, which sees a long one:

        load of a stream  = SPEECH_SHARE × (PARTIALS_PER_SECOND × t(2 s) + FINALS_PER_SECOND × t(5 s))
                            + LISTENING_SECONDS
        streams that fit  = TARGET_LOAD / load of a stream, at least one
    """
    final = LONG_OVER_SHORT * short_pass
    load = SPEECH_SHARE * (PARTIALS_PER_SECOND * short_pass + FINALS_PER_SECOND * final) + LISTENING_SECONDS
    return max(1, int(TARGET_LOAD / load))
