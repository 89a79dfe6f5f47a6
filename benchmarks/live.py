"""Live recognition under load: `python -m benchmarks.live [--model demo] [--streams 8] [--find-capacity]`.

Starts the real server, plays N streams at the pace of microphones, uploads the same audio as files, and
prints one JSON object: how many were served, how right, how soon, and what it cost.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import jiwer

from benchmarks.live_stream import Record, play
from benchmarks.playlist import Playlist, load_clips, make_playlist
from benchmarks.server_process import ServerProcess, Usage, model_flags, serve
from benchmarks.wording import unmatched
from gigastt.scoring import normalise

_BOUND_SECONDS = 0.5  # of --find-capacity: p95 of end of speech to final, beyond the endpoint silence
_ENDPOINT_SECONDS = 0.6
_TAIL_SECONDS = 0.32  # of silence that a final's `end` includes


async def measure(server: ServerProcess, playlists: Sequence[Playlist], options: argparse.Namespace) -> dict[str, Any]:
    """Play every playlist at once and describe what came back."""
    before = server.usage()
    fields = {"diarization": True} if options.diarization else {}
    streams = [
        asyncio.create_task(
            play(server.websocket, playlist, chunk_ms=options.chunk_ms, paced=not options.fast, fields=fields)
        )
        for playlist in playlists
    ]
    loader = asyncio.create_task(upload_without_end(server, playlists)) if options.uploads else None
    records = await asyncio.gather(*streams)
    after = server.usage()
    if loader is not None:
        loader.cancel()
    served = [r for r in records if r.finals]
    audio_seconds = sum(r.playlist.seconds for r in served) or 1.0
    result: dict[str, Any] = {
        "streams": len(records),
        "served": len(served),
        "refused": sum(bool(r.refused) for r in records),
        "errors": sorted({error for r in records for error in r.errors}),
        "audio_seconds": round(audio_seconds, 1),
        **latencies(served),
        **stability(served),
        "partial_passes_per_second_of_speech": _partial_rate(before, after, served),
        "gateway_cpu_per_audio_second": round(
            (after.gateway_cpu_seconds - before.gateway_cpu_seconds) / audio_seconds, 5
        ),
        "worker_cpu_per_audio_second": round((after.worker_cpu_seconds - before.worker_cpu_seconds) / audio_seconds, 5),
        "gateway_core_share": _core_share(after.gateway_cpu_seconds - before.gateway_cpu_seconds, served),
        "gateway_pss_mib": round(after.gateway_pss_mib, 1),
        "worker_pss_mib": round(after.worker_pss_mib, 1),
    }
    if not options.no_files:
        result |= await accuracy(server, served)
    return result


async def accuracy(server: ServerProcess, records: Sequence[Record]) -> dict[str, Any]:
    """WER of the live transcripts and of the same audio uploaded as files, and whether their words are equal."""
    if not records:
        return {}
    async with httpx.AsyncClient(timeout=600) as client:
        files = [await upload(client, server, record.playlist) for record in records]
    references = [normalise(r.playlist.reference) for r in records]
    return {
        "wer_live": round(100 * jiwer.wer(references, [normalise(r.text) for r in records]), 2),
        "wer_file": round(100 * jiwer.wer(references, [normalise(f["text"]) for f in files]), 2),
        "transcripts_equal_to_file": sum(r.text == f["text"] for r, f in zip(records, files, strict=True)),
    }


async def upload(client: httpx.AsyncClient, server: ServerProcess, playlist: Playlist) -> dict[str, Any]:
    """Transcribe a playlist as a file."""
    response = await client.post(f"{server.http}/v1/transcribe", content=playlist.wav())
    response.raise_for_status()
    body: dict[str, Any] = response.json()
    return body


async def upload_without_end(server: ServerProcess, playlists: Sequence[Playlist]) -> None:
    """Upload one playlist after the other until cancelled."""
    async with httpx.AsyncClient(timeout=600) as client:
        while True:
            for playlist in playlists:
                await upload(client, server, playlist)


def latencies(records: Sequence[Record]) -> dict[str, Any]:
    """Seconds: first partial after the onset, final after the endpoint silence, final after stop, partial cadence.

    `final_beyond_endpoint_silence` counts from where the reference ends its sentence; `final_after_decision` from the
    audio that lets the server decide, by its own idea of where speech ended. `word_shown` counts from a word's start.
    """
    first, endpoint, decided, stop, cadence, shown_words = [], [], [], [], [], []
    for record in records:
        decided += decision_latencies(record)
        for span in record.playlist.spans:
            onset, silence_over = record.sent_at(span.start), record.sent_at(span.end + _ENDPOINT_SECONDS)
            shown = [at for at, p in record.partials if at >= onset and any(w["end"] > span.start for w in p["words"])]
            if shown and shown[0] <= record.sent_at(span.end) + _ENDPOINT_SECONDS:
                first.append(shown[0] - onset)
            ended = [
                at
                for at, f in record.finals
                if f["endpoint_reason"] == "silence" and span.end - 0.3 <= f["end"] <= span.end + 1.0
            ]
            if ended:
                endpoint.append(ended[0] - silence_over)
        stop.append(record.finals[-1][0] - record.stopped)
        for utterance in record.partials_of_final:
            times = [at for at, _ in utterance]
            cadence += [later - earlier for earlier, later in itertools.pairwise(times)]
            known = 0
            for at, partial in utterance:
                shown_words += [at - record.sent_at(word["start"]) for word in partial["words"][known:]]
                known = max(known, len(partial["words"]))
    return {
        "first_partial_seconds": percentiles(first),
        "final_beyond_endpoint_silence_seconds": percentiles(endpoint),
        "final_after_decision_seconds": percentiles(decided),
        "stop_to_final_seconds": percentiles(stop),
        "word_shown_seconds": percentiles(shown_words),
        "partial_cadence_seconds": percentiles(cadence),
        "partials": sum(len(r.partials) for r in records),
    }


def decision_latencies(record: Record) -> list[float]:
    """Seconds from the audio that lets the server end an utterance to its final, of one stream."""
    return [
        at - record.sent_at(final["end"] + _ENDPOINT_SECONDS - _TAIL_SECONDS)
        for at, final in record.finals
        if final["endpoint_reason"] == "silence"
    ]


def stability(records: Sequence[Record]) -> dict[str, Any]:
    """How many words were stable before their final, and how many stable ones changed later."""
    words = stable_words = by_partial = by_final = by_place = 0
    for record in records:
        for (_, final), partials in zip(record.finals, record.partials_of_final, strict=True):
            stable: list[dict[str, Any]] = []
            for _, partial in partials:
                by_partial += _changed(stable, partial["words"])
                stable = partial["words"][: partial["stable"]]
            fixed, ended = ([w["word"] for w in of] for of in (stable, final["words"]))
            by_final += unmatched(fixed, ended)
            by_place += _changed(fixed, ended)
            words += len(ended)
            stable_words += len(fixed)
    return {
        "words": words,
        "stable_before_final_percent": round(100 * stable_words / max(1, words), 1),
        "stable_changed_by_partial": by_partial,
        "stable_changed_by_final": by_final,
        "stable_changed_by_final_percent": round(100 * by_final / max(1, stable_words), 2),
        "stable_moved_by_final": by_place,  # counted by place: a word that comes or goes moves all behind it
    }


def _changed(stable: Sequence[Any], later: Sequence[Any]) -> int:
    """Count stable words that are not the same, or not there, in what came later."""
    differing = sum(bool(a != b) for a, b in zip(stable, later, strict=False))
    return differing + max(0, len(stable) - len(later))


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """p50, p95 and p99, rounded to milliseconds; None without values."""
    if not values:
        return None
    if len(values) == 1:
        return dict.fromkeys(("p50", "p95", "p99"), round(values[0], 3))
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": round(cuts[49], 3), "p95": round(cuts[94], 3), "p99": round(cuts[98], 3)}


def _core_share(cpu_seconds: float, records: Sequence[Record]) -> float | None:
    if not records:
        return None
    wall = max(r.finals[-1][0] for r in records) - min(r.began for r in records)
    return round(cpu_seconds / wall, 4)


def _partial_rate(before: Usage, after: Usage, records: Sequence[Record]) -> float | None:
    """Partial passes for each second in which one of the streams speaks; None without sentence times."""
    speech = sum(span.end - span.start for record in records for span in record.playlist.spans)
    return round((after.partial_passes - before.partial_passes) / speech, 2) if speech else None


def fits(result: dict[str, Any]) -> bool:
    """Whether a load is carried: nobody refused, no error, finals in time."""
    late = result["final_beyond_endpoint_silence_seconds"]
    return result["refused"] == 0 and not result["errors"] and late is not None and late["p95"] <= _BOUND_SECONDS


async def find_capacity(
    server: ServerProcess, playlists: Sequence[Playlist], options: argparse.Namespace
) -> dict[str, Any]:
    """Raise the number of streams until a bound breaks, and describe the last load that held."""
    steps: list[dict[str, Any]] = []
    held: dict[str, Any] | None = None
    for count in range(options.streams, len(playlists) + 1, options.step):
        result = await measure(server, playlists[:count], options)
        print(f"{count} streams: {result['final_beyond_endpoint_silence_seconds']}", file=sys.stderr)
        steps.append(
            {k: result[k] for k in ("streams", "final_beyond_endpoint_silence_seconds", "partial_cadence_seconds")}
        )
        if not fits(result):
            break
        held = result
    return {"streams_per_core": (held["streams"] / options.pool_size if held else 0), "held": held, "steps": steps}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--model", default="demo", help="demo, or a folder of model files")
    parser.add_argument(
        "--clips", type=Path, default=Path("tests/data"), help="folder with manifest.json and WAV files"
    )
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0, help="audio of each stream")
    parser.add_argument("--speech-share", type=float, default=0.5)
    parser.add_argument("--chunk-ms", type=int, default=100)
    parser.add_argument("--pool-size", type=int, default=1)
    parser.add_argument("--cores", default="", help="processors of the server, such as 0 or 0,1; empty = all")
    parser.add_argument("--client-cores", default="", help="processors of the streams; empty = all")
    parser.add_argument("--diarization", action="store_true", help="every stream wants its speakers told apart")
    parser.add_argument("--speaker-model", default="auto")
    parser.add_argument("--fast", action="store_true", help="as fast as the server takes it, instead of paced")
    parser.add_argument("--uploads", action="store_true", help="files are uploaded alongside, without a break")
    parser.add_argument("--no-files", action="store_true", help="do not upload the same audio for comparison")
    parser.add_argument("--find-capacity", action="store_true", help="raise --streams until the bound breaks")
    parser.add_argument("--step", type=int, default=2)
    parser.add_argument("--most", type=int, default=60, help="streams to try at most with --find-capacity")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def cores(text: str) -> list[int] | None:
    return [int(core) for core in text.split(",")] if text else None


def main() -> None:
    options = parse()
    if mine := cores(options.client_cores):
        os.sched_setaffinity(0, mine)
    clips = load_clips(options.clips)
    count = options.most if options.find_capacity else options.streams
    playlists = [
        make_playlist(clips, options.seconds, options.seed + n, speech_share=options.speech_share) for n in range(count)
    ]
    model = model_flags(options.model)
    sessions = str(2 * count + 8)  # the benchmark looks for the bound itself, not for the server's own
    flags = [*model, "--pool-size", str(options.pool_size), "--max-sessions", sessions, "--metrics"]
    flags += ["--speaker-model", options.speaker_model]
    with serve(flags, cores=cores(options.cores)) as server:
        run = find_capacity if options.find_capacity else measure
        result = asyncio.run(run(server, playlists, options))
    print(json.dumps({"model": options.model, "pool_size": options.pool_size, "chunk_ms": options.chunk_ms} | result))


if __name__ == "__main__":
    main()
