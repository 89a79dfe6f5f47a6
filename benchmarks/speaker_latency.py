"""What speakers cost by the clock: `python -m benchmarks.speaker_latency --speaker-model FILE`.

Plays the same streams to the shipped server, at the pace of microphones, in rounds that alternate: nobody asks for
speakers, and every second stream does. Prints one JSON object:

    asked, others   seconds from the audio that lets the server end an utterance to its final (p50, p95, p99), of the
                    streams that ask for speakers and of the others, in rounds without speakers and with
    later_p95_ms    how much later these finals are at p95, with speakers
    cpu_ms_per_second_of_speech
                    more of the workers' processor time, for each second of utterances with words of those that ask
    load            of the machine at the begin and the end of each round
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.live import decision_latencies, percentiles
from benchmarks.live_stream import Record, play
from benchmarks.playlist import Playlist, load_clips, make_playlist
from benchmarks.server_process import ServerProcess, model_flags, serve


async def play_round(
    server: ServerProcess, playlists: list[Playlist], *, with_speakers: bool
) -> tuple[list[Record], float, list[float]]:
    """Play all streams at once; return what they saw, the workers' processor time, and the loads."""
    loads, before = [os.getloadavg()[0]], server.usage().worker_cpu_seconds
    records = await asyncio.gather(
        *(
            play(
                server.websocket,
                playlist,
                chunk_ms=100,
                paced=True,
                fields={"diarization": with_speakers and number % 2 == 0},
            )
            for number, playlist in enumerate(playlists)
        )
    )
    loads.append(os.getloadavg()[0])
    failed = [record.errors or record.refused for record in records if record.errors or record.refused]
    assert not failed, f"every stream must be served, but: {failed}"
    return list(records), server.usage().worker_cpu_seconds - before, [round(load, 1) for load in loads]


async def measure(server: ServerProcess, playlists: list[Playlist], rounds: int) -> dict[str, Any]:
    """Play the rounds, after one that warms the server up."""
    await play_round(server, playlists, with_speakers=True)
    late: dict[tuple[str, bool], list[float]] = {}
    cpu, loads, speech = {False: 0.0, True: 0.0}, list[list[float]](), 0.0
    for _ in range(rounds):
        for with_speakers in (False, True):
            records, seconds, load = await play_round(server, playlists, with_speakers=with_speakers)
            cpu[with_speakers] += seconds
            loads.append(load)
            for number, record in enumerate(records):
                kind = "others" if number % 2 else "asked"
                late.setdefault((kind, with_speakers), []).extend(decision_latencies(record))
                if kind == "asked" and with_speakers:
                    speech += sum(final["end"] - final["start"] for _, final in record.finals if final["words"])
    result: dict[str, Any] = {"finals": {}, "later_p95_ms": {}}
    for kind in ("asked", "others"):
        plain, told = percentiles(late[kind, False]), percentiles(late[kind, True])
        assert plain is not None, "utterances have ended"
        assert told is not None, "utterances have ended"
        result[kind] = {"without": plain, "with": told}
        result["finals"][kind] = len(late[kind, True])
        result["later_p95_ms"][kind] = round(1000 * (told["p95"] - plain["p95"]))
    result["cpu_ms_per_second_of_speech"] = round(1000 * (cpu[True] - cpu[False]) / speech, 1)
    return result | {"seconds_of_speech": round(speech), "load": loads}


def main() -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speaker_latency")
    parser.add_argument("--model", default="demo", help="demo, or a folder of model files")
    parser.add_argument("--clips", type=Path, default=Path("tests/data"))
    parser.add_argument("--speaker-model", default="auto")
    parser.add_argument("--streams", type=int, default=8, help="of which every second one asks for speakers")
    parser.add_argument("--seconds", type=float, default=60.0, help="audio of each stream")
    parser.add_argument("--rounds", type=int, default=4, help="of each kind")
    parser.add_argument("--pool-size", type=int, default=1)
    options = parser.parse_args()
    clips = load_clips(options.clips)
    playlists = [make_playlist(clips, options.seconds, 1 + number) for number in range(options.streams)]
    flags = [*model_flags(options.model), "--pool-size", str(options.pool_size), "--metrics"]
    flags += ["--max-sessions", str(2 * options.streams), "--speaker-model", options.speaker_model]
    with serve(flags) as server:
        result = asyncio.run(measure(server, playlists, options.rounds))
    chosen = {name: getattr(options, name) for name in ("model", "speaker_model", "streams", "pool_size", "rounds")}
    print(json.dumps(chosen | result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
