"""What waiting jobs cost: `python -m benchmarks.jobs [--jobs 1000]`. Prints one JSON object.

A server of the demo model is given two jobs of an hour, which keep it busy, and then so many of two seconds: the
gateway's proportional memory before and after these, and how long it takes to add one and to look at the last one.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from benchmarks.long_files import as_wav
from benchmarks.pinned import machine
from benchmarks.server_process import serve

CLIP = Path("tests/data/espeak_03.wav")


def measure(jobs: int) -> dict[str, Any]:
    """Return the figures of one server."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--model", "demo", "--pool-size", "1", "--jobs-dir", folder]
        with serve(flags) as server, httpx2.Client(base_url=server.http, timeout=60.0) as client:
            body = CLIP.read_bytes()
            with wave.open(io.BytesIO(body)) as clip:
                pcm = clip.readframes(clip.getnframes())
            for _ in range(2):
                client.post("/v1/jobs", content=as_wav(np.tile(np.frombuffer(pcm, np.int16), 3600 // 2)))
            before = server.usage().gateway_pss_mib
            times, last = [], ""
            for _ in range(jobs):
                began = time.perf_counter()
                last = client.post("/v1/jobs", content=body).raise_for_status().json()["id"]
                times.append(time.perf_counter() - began)
            after = server.usage().gateway_pss_mib
            began = time.perf_counter()
            shown = client.get(f"/v1/jobs/{last}").json()
            seconds = time.perf_counter() - began
    return {
        "jobs": jobs,
        "position": shown["position"],
        "gateway_mib": {"before": round(before, 1), "more": round(after - before, 1)},
        "milliseconds": {
            "add": round(1e3 * statistics.median(times), 1),
            "look": round(1e3 * seconds, 1),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000)
    options = parser.parse_args()
    print(json.dumps({**machine(0), **measure(options.jobs)}))


if __name__ == "__main__":
    main()
