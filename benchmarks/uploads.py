"""What short uploads cost beside the recogniser, what decoding costs, and ten at once: `python -m benchmarks.uploads`.

    python -m benchmarks.uploads [--model demo] [--rounds 30] [--workers 2] [--minutes 10] [--original PYTHON]

- 6 s clips, one after the other, the formats in turns: milliseconds of processor time outside the workers for each, in
  the gateway and in the decoder's processes.
- Ten of these clips at once: seconds of audio a second by the clock, beside those that the same recogniser reaches in
  this process with nothing around it, times the workers (`bare`), and that the original's does (`--original`).
- Recordings of minutes, decoded in this process: milliseconds of processor time a second of audio, and libav's own
  share of it, without which nothing is decoded.

Prints one JSON object.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np
import soxr

from benchmarks.original import run_original
from benchmarks.pinned import machine
from benchmarks.playlist import load_clips
from benchmarks.server_process import ServerProcess, model_flags, serve
from gigastt.audio.decode import decode
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.config import DEMO_MODEL, Settings
from gigastt.transcribe import TranscribedFile, load_recognizer
from tests.fakes.audio_files import encode_audio

CLIPS = Path(__file__).resolve().parent.parent / "tests" / "data"
CLIP_SECONDS = 6
TOGETHER = 10
# container, codec, rate, channels
FORMATS = {
    "wav": ("wav", "pcm_s16le", 16_000, 1),
    "wav, 48 kHz stereo": ("wav", "pcm_s16le", 48_000, 2),
    "flac": ("flac", "flac", 16_000, 1),
    "mp3, 44.1 kHz stereo": ("mp3", "libmp3lame", 44_100, 2),
    "opus, mono": ("ogg", "libopus", 48_000, 1),
    "opus, stereo": ("ogg", "libopus", 48_000, 2),
    "m4a, 44.1 kHz mono": ("ipod", "aac", 44_100, 1),
}


def make_recording(seconds: float) -> Samples:
    """Join the clips of the tests until the length is reached."""
    joined = np.concatenate([clip.samples for clip in load_clips(CLIPS)])
    return np.resize(joined, round(seconds * SAMPLE_RATE))


def encode(samples: Samples, name: str) -> bytes:
    """Write samples in one of `FORMATS`."""
    container, codec, rate, channels = FORMATS[name]
    wide = samples if rate == SAMPLE_RATE else soxr.resample(samples, SAMPLE_RATE, rate)
    return encode_audio(wide, container, codec, rate=rate, channels=channels)


def upload(server: ServerProcess, body: bytes) -> None:
    """Have a file transcribed."""
    with urllib.request.urlopen(f"{server.http}/v1/transcribe", body, timeout=120) as response:
        json.load(response)


def measure_clips(server: ServerProcess, rounds: int) -> dict[str, dict[str, float]]:
    """Return milliseconds of processor time by format: of the gateway, and of the decoder's processes."""
    bodies = {name: encode(make_recording(CLIP_SECONDS), name) for name in FORMATS}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in FORMATS}
    batch = 5  # uploads between two looks: the kernel counts in steps of 10 ms
    for turn in range(rounds // batch + 1):
        for name, body in bodies.items():
            before = server.outside_seconds()
            for _ in range(batch):
                upload(server, body)
            after = server.outside_seconds()
            if turn:
                gateway, decoder = (1e3 * (now - then) / batch for now, then in zip(after, before, strict=True))
                spent[name].append((gateway, decoder))
    return {
        name: {
            "gateway_ms": round(statistics.fmean(gateway for gateway, _ in rows), 2),
            "decoder_ms": round(statistics.fmean(decoder for _, decoder in rows), 2),
            "outside_workers_ms": round(statistics.fmean(map(sum, rows)), 2),
        }
        for name, rows in spent.items()
    }


def measure_together(server: ServerProcess, options: argparse.Namespace) -> dict[str, float]:
    """Return how many seconds of audio a second ten clips at once get, and so for the others, in turns.

    Milliseconds are processor time, for a clip: other programs count only in times real time.
    """
    model, workers = options.model, options.workers
    bodies = [encode(clip, "wav") for clip in np.split(make_recording(TOGETHER * CLIP_SECONDS), TOGETHER)]
    _, recognizer = load_recognizer(*((model, Path()) if model == DEMO_MODEL else (Settings().model, Path(model))))
    spent: dict[str, list[tuple[float, float]]] = {}

    def serve_all() -> tuple[float, float]:
        began, before = time.monotonic(), server.usage().worker_cpu_seconds
        list(threads.map(partial(upload, server), bodies))
        return time.monotonic() - began, server.usage().worker_cpu_seconds - before

    def recognise_all() -> tuple[float, float]:
        began = time.process_time()
        for body in bodies:
            list(TranscribedFile(io.BytesIO(body), recognizer).segments())
        seconds = time.process_time() - began
        return seconds / workers, seconds

    with contextlib.ExitStack() as stack:
        threads = stack.enter_context(concurrent.futures.ThreadPoolExecutor(TOGETHER))
        contenders = {"gigastt": serve_all, "bare": recognise_all}
        if options.original:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            paths = [folder / f"{number}.wav" for number in range(TOGETHER)]
            for path, body in zip(paths, bodies, strict=True):
                path.write_bytes(body)
            (links := folder / "model").mkdir()
            original = stack.enter_context(run_original(options.original, Path(model), workers, paths, links))
            contenders["original"] = original.transcribe
        for turn in range(options.rounds + 1):
            for name, run in contenders.items():
                figures = run()
                if turn:
                    spent.setdefault(name, []).append(figures)
    result = {}
    for name, rows in spent.items():
        result[f"{name}_times_real_time"] = round(
            TOGETHER * CLIP_SECONDS / statistics.median(clock for clock, _ in rows), 1
        )
        result[f"{name}_ms_per_clip"] = round(1e3 * statistics.fmean(cpu for _, cpu in rows) / TOGETHER, 1)
    return result


def measure_decoding(minutes: float) -> dict[str, dict[str, float]]:
    """Return milliseconds a second of audio by format: of all decoding, and of libav alone."""
    recording = make_recording(60 * minutes)
    figures = {}
    for name in FORMATS:
        body = encode(recording, name)
        whole, libav = _best(partial(_exhaust, body)), _best(partial(_decode_only, body))
        scale = 1e3 / (60 * minutes)
        figures[name] = {"ms_per_second": round(whole * scale, 3), "libav_ms_per_second": round(libav * scale, 3)}
    return figures


def _best(run: Callable[[], None]) -> float:
    times = []
    for _ in range(3):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return min(times)


def _exhaust(body: bytes) -> None:
    for _ in decode(io.BytesIO(body), 24 * 3600.0):
        pass


def _decode_only(body: bytes) -> None:
    with av.open(io.BytesIO(body), mode="r") as container:
        for _ in container.decode(container.streams.audio[0]):
            pass


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uploads", description=__doc__)
    parser.add_argument("--model", default=DEMO_MODEL, help="demo, or a folder of model files")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--original", type=Path, help="a Python with the original's bindings, see benchmarks.original")
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    flags = [*model_flags(options.model), "--pool-size", str(options.workers)]
    with serve(flags) as server:
        figures = {
            "clips": measure_clips(server, options.rounds),
            "ten_at_once": measure_together(server, options),
        }
    print(json.dumps({"machine": machine(None), **figures, "decoding": measure_decoding(options.minutes)}, indent=2))


if __name__ == "__main__":
    main()
