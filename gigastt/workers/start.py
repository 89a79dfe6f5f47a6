"""The start of a worker: its model is loaded, and a short built-in sound goes through the whole pipeline: the canary.

That shows that the model's files work together on this machine, and warms them up; how long further passes then take is
a first guess at what live streams will cost. Runs once, on the worker's main thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np

from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.audio.shared import SharedSegment
from gigastt.errors import ModelInvalid
from gigastt.ipc.messages import Audio, Closed, Failed, FinalMessage, Finish, OpenStream, PassRecord, Ready, StreamId
from gigastt.log import get_logger
from gigastt.processes import return_free_memory
from gigastt.speech.activity import ActivityDetector, ActivityModel
from gigastt.speech.device import choose_device
from gigastt.speech.features import log_mel
from gigastt.speech.model import recogniser_files
from gigastt.speech.recognizer import Recognizer, Transcriber
from gigastt.speech.stream import Stream
from gigastt.speech.tokens import Window
from gigastt.speech.voices import VoiceModel
from gigastt.transcript import Hotword, Options
from gigastt.workers.config import WorkerConfig
from gigastt.workers.engine import Engine
from gigastt.workers.file_work import TouchFunction
from gigastt.workers.voices import LoadVoices

log = get_logger(__name__)

SOUND_SECONDS = 2.0
TIMED_PASSES = 2

_CANARY = StreamId(0)  # the gateway counts from one


def start_engine(config: WorkerConfig, place: int, touch: TouchFunction) -> tuple[Engine, Ready]:
    """Load the model and run the canary; return the engine, and what the gateway is to know of it.

    Args:
        place: of the worker in the pool, from 0 on: its card.
        touch: as `Engine` takes it.

    Raises:
        ModelInvalid: a file is not what its name says, or gave no transcript of the sound.
        ProviderMissing: the card cannot be had.
    """
    begun = time.monotonic()
    decoder, joint = (Path(path) if path else None for path in (config.decoder, config.joint))
    files = recogniser_files(Path(config.encoder), decoder, joint, Path(config.vocabulary))
    device = choose_device(config.provider, place, stands_in=config.stands_in)
    hotwords = tuple(Hotword(phrase, weight) for phrase, weight in config.hotwords)
    recognizer = Recognizer.load(files, session_config=config.session_config, hotwords=hotwords, device=device)
    detector = partial(ActivityDetector, ActivityModel.load())

    def open_stream(options: Options, start: int, resume: bytes) -> Stream:
        # without partials nobody waits for the next block: a file, as a rule
        recorded = partial(detector, is_recorded=not options.partials)
        return Stream(options, recorded, start, resume, config.min_confidence)

    run_canary(Engine(recognizer, open_stream, attach))
    # A card's time is the worker's: while it computes, the processor may seem to have nothing to do.
    timed = time_passes(recognizer, time.perf_counter, time.perf_counter if device.is_card else time.process_time)
    return_free_memory()
    seconds = time.monotonic() - begun
    pieces = len(recognizer.vocabulary.pieces)
    alphabet, width = recognizer.alphabet, recognizer.sharing.width
    ready = Ready(os.getpid(), seconds, recognizer.encoder_name, pieces, config.provider, timed, alphabet, width)
    log.debug("worker_loaded", model=config.model, load_seconds=round(seconds, 3))
    return Engine(recognizer, open_stream, attach, touch, config.min_confidence, _voices_of(config)), ready


def _voices_of(config: WorkerConfig) -> LoadVoices:
    """Return what loads the speaker model at its first call; words are told without speakers if it cannot."""

    @cache
    def load() -> VoiceModel | None:
        if config.speaker_model is None or config.segmentation_model is None:
            return None
        try:
            return VoiceModel(Path(config.speaker_model), Path(config.segmentation_model))
        except ModelInvalid as exc:
            log.error("speaker_model_invalid", reason=str(exc))
            return None

    return load


def attach(name: str, samples: int) -> Samples:
    """Map the first samples of a shared segment.

    Raises:
        OSError: it is gone.
        ValueError: it holds fewer.
    """
    with SharedSegment.attach(name) as segment:
        return segment.map(samples)


def make_sound(seconds: float) -> Samples:
    """Make something like a voice: harmonics of 120 Hz in four syllables a second; the same on every machine."""
    moments = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    voice = np.sum([np.sin(2 * np.pi * 120 * k * moments) / k for k in range(1, 25)], axis=0)
    syllables = np.clip(np.sin(2 * np.pi * 4 * moments), 0, None)
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
