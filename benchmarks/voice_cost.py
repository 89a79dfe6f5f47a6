"""What speakers cost a worker: `python -m benchmarks.voice_cost --golos DIR --clips DIR [--speaker-model …]`.

Gives the conversations of `benchmarks.speakers` to a worker's engine in this process, several at once and 100 ms at a
time as microphones do: first without speakers, then every second one with. Its clock is one of processor time: it goes
on by what the engine uses, and by waiting for the next piece where there is nothing to do. So this is what a worker
with a core of its own does, whatever else the machine has to do; `benchmarks.speaker_latency` shows the machine's own
clock. Prints one JSON object:

    cpu_ms_per_second_of_speech   more of it than without speakers; speech is the length of utterances that have words
    final_ms                      from the piece that lets an utterance end to its final: p50 and p95, of those that ask
                                  for speakers and of the others, without and with
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.conversations import make_talk
from benchmarks.speakers import choose_voices, collect_voices
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.ipc.messages import Audio, FinalMessage, OpenStream, StreamId, ToGateway
from gigastt.models.speaker_models import resolve_speakers
from gigastt.speech.activity import ActivityDetector, ActivityModel
from gigastt.speech.stream import Stream
from gigastt.speech.voices import VoiceModel
from gigastt.transcribe import load_recognizer
from gigastt.transcript import Options
from gigastt.workers.engine import Engine

_PIECE = 1_600
_PIECE_SECONDS = 0.1
_DECIDED_SECONDS = 0.28  # behind a final's `end`, which has some of the silence that ends it
Result = TypeVar("Result")


class ProcessorClock:
    """Seconds that go on by processor time, and by waiting."""

    def __init__(self) -> None:
        self.now = self.used = 0.0

    def call(self, work: Callable[[], Result]) -> Result:
        """Do some work, which takes its processor time."""
        begun = time.process_time()
        result = work()
        took = time.process_time() - begun
        self.now += took
        self.used += took
        return result


@dataclass(slots=True)
class Played:
    """What came of one stream: milliseconds of its finals with words, and seconds of these utterances."""

    late: list[float] = field(default_factory=list)
    speech: float = 0.0


def play(engine: Engine, talks: Sequence[Samples], *, diarization: bool) -> tuple[float, list[Played]]:
    """Play conversations at once, every second one with speakers if so; return processor time and what came of each."""
    clock, played = ProcessorClock(), [Played() for _ in talks]
    lag = _PIECE_SECONDS / len(talks)  # streams do not send in step

    def arrival(number: int, sample: int) -> float:
        return (sample // _PIECE + 1) * _PIECE_SECONDS + number * lag

    def note(messages: Iterable[ToGateway]) -> None:
        for message in messages:
            if isinstance(message, FinalMessage) and message.final.words:
                final, number = message.final, int(message.stream) - 1
                decided = arrival(number, round((final.end + _DECIDED_SECONDS) * SAMPLE_RATE))
                played[number].late.append(1000 * (clock.now - decided))
                played[number].speech += final.end - final.start

    for number in range(len(talks)):
        options = Options(diarization=diarization and number % 2 == 0)
        engine.handle(OpenStream(StreamId(number + 1), 0, b"", options, "benchmark"))
    pieces = sorted(
        (arrival(number, at), number, at) for number, talk in enumerate(talks) for at in range(0, len(talk), _PIECE)
    )
    coming = 0
    while coming < len(pieces):
        while coming < len(pieces) and pieces[coming][0] <= clock.now:
            _, number, at = pieces[coming]
            pcm = talks[number][at : at + _PIECE].astype("<i2").tobytes()
            clock.call(partial(engine.handle, Audio(StreamId(number + 1), pcm)))
            coming += 1
        note(clock.call(engine.collect))
        wait = engine.wait_seconds(clock.now)
        if wait == 0.0:
            note(clock.call(partial(engine.step, clock.now)))
            engine.account(0.0, 0.0)
        elif coming < len(pieces):
            clock.now = max(clock.now, min(pieces[coming][0], clock.now + (wait or _PIECE_SECONDS)))
    return clock.used, played


def main() -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description="What speakers cost a worker.")
    parser.add_argument("--golos", type=Path, required=True)
    parser.add_argument("--clips", type=Path, default=Path("tests/data"))
    parser.add_argument("--speaker-model", default="small")
    parser.add_argument("--talks", type=int, default=6, help="conversations at once")
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
    talks = [
        make_talk(choose_voices(people, 2 + seed % 3, seed), seed).samples[: 60 * SAMPLE_RATE]
        for seed in range(options.talks)
    ]
    results = {}
    for diarization in (False, True):
        engine = Engine(recognizer, open_stream, no_files, load_voices=lambda: voices)
        results[diarization] = play(engine, talks, diarization=diarization)
    speech = sum(each.speech for each in results[True][1][::2])
    more = results[True][0] - results[False][0]
    report: dict[str, Any] = {
        "speaker_model": files.name,
        "seconds_of_speech": round(speech, 1),
        "cpu_ms_per_second_of_speech": round(1000 * more / speech, 2),
    }
    for first, kind in ((0, "asked"), (1, "others")):
        report[f"final_ms_{kind}"] = {
            name: _percentiles([late for each in results[diarization][1][first::2] for late in each.late])
            for diarization, name in ((False, "without"), (True, "with"))
        }
    print(json.dumps(report, indent=1))
    return 0


def _percentiles(late: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(late, (50, 95))
    return {"finals": len(late), "p50": round(float(p50), 1), "p95": round(float(p95), 1)}


if __name__ == "__main__":
    sys.exit(main())
