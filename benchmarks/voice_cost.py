"""What speakers cost a worker: `python -m benchmarks.voice_cost --golos DIR --clips DIR [--speaker-model …]`.

Gives the conversations of `benchmarks.speakers` to a worker's engine in this process, 100 ms at a time as a microphone
does, with speakers and without, and lets it do all there is to do between two pieces. Everything is counted in
processor time, which others on the machine do not use up. Prints one JSON object:

    cpu_ms_per_second_of_speech   more of it than without speakers; speech is the length of utterances that have words
    final_ms                      from the piece that ends an utterance to its final: p50 and p95, without and with
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conversations import make_talk
from benchmarks.speakers import choose_voices, collect_voices
from gigastt.audio.pcm import Samples
from gigastt.ipc.messages import Audio, FinalMessage, Finish, OpenStream, StreamId
from gigastt.models.speaker_models import resolve_speakers
from gigastt.speech.activity import ActivityDetector, ActivityModel
from gigastt.speech.stream import Stream
from gigastt.speech.voices import VoiceModel
from gigastt.transcribe import load_recognizer
from gigastt.transcript import Options
from gigastt.workers.engine import Engine

_PIECE = 1_600
_PIECE_SECONDS = 0.1


def play(engine: Engine, samples: Samples, *, diarization: bool) -> tuple[float, list[float], float]:
    """Play a conversation; return its processor time, that of each final with words, and the seconds of these."""
    stream, speech, finals, total = StreamId(1), 0.0, list[float](), 0.0
    engine.handle(OpenStream(stream, 0, b"", Options(diarization=diarization), "benchmark"))
    pieces = [samples[at : at + _PIECE] for at in range(0, len(samples), _PIECE)]
    for number, piece in enumerate([*pieces, None]):
        begun, now = time.process_time(), number * _PIECE_SECONDS
        engine.handle(Finish(stream) if piece is None else Audio(stream, piece.astype("<i2").tobytes()))
        messages = engine.collect()
        while True:
            for message in messages:
                if isinstance(message, FinalMessage) and message.final.words:
                    speech += message.final.end - message.final.start
                    if piece is not None:
                        finals.append(time.process_time() - begun)
            if engine.wait_seconds(now) != 0.0:
                break
            messages = engine.step(now)
            engine.account(0.0, 0.0)
        total += time.process_time() - begun
    return total, finals, speech


def main() -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description="What speakers cost a worker.")
    parser.add_argument("--golos", type=Path, required=True)
    parser.add_argument("--clips", type=Path, default=Path("tests/data"))
    parser.add_argument("--speaker-model", default="small")
    parser.add_argument("--talks", type=int, default=6)
    options = parser.parse_args()
    _, recognizer = load_recognizer("demo", Path())
    files = resolve_speakers(options.speaker_model, Path())
    assert files is not None, "a model is named"
    voices = VoiceModel(files.embedding, files.segmentation)
    detector = partial(ActivityDetector, ActivityModel.load())

    def open_stream(stream: Options, start: int, resume: bytes) -> Stream:
        return Stream(stream, detector, start, resume)

    def no_files(name: str, count: int) -> Samples:
        raise OSError(f"Expected no file, but was asked for {count} samples of {name}.")

    people = collect_voices(options.golos, options.clips)
    costs: dict[bool, list[tuple[float, list[float], float]]] = {False: [], True: []}
    for seed in range(options.talks):
        talk = make_talk(choose_voices(people, 2 + seed % 3, seed), seed)
        for diarization in (False, True):
            engine = Engine(recognizer, open_stream, no_files, load_voices=lambda: voices)
            costs[diarization].append(play(engine, talk.samples, diarization=diarization))
    speech = sum(cost[2] for cost in costs[True])
    more = sum(cost[0] for cost in costs[True]) - sum(cost[0] for cost in costs[False])
    result: dict[str, Any] = {
        "speaker_model": files.name,
        "seconds_of_speech": round(speech, 1),
        "cpu_ms_per_second_of_speech": round(1000 * more / speech, 2),
    }
    for diarization, name in ((False, "without"), (True, "with")):
        times = 1000 * np.concatenate([cost[1] for cost in costs[diarization]])
        p50, p95 = np.percentile(times, (50, 95))
        result[f"final_ms_{name}"] = {"finals": len(times), "p50": round(float(p50), 1), "p95": round(float(p95), 1)}
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
