"""Live equals file, at every load: `python -m benchmarks.live_matrix [--clips DIR] [--cores 0,1]`.

Starts the real server and plays every clip in every cell of a matrix: 1, 8 and 24 streams, chunks of 20 ms,
100 ms and 1 s, at the pace of microphones and as fast as the server reads, while files upload alongside. Prints
one JSON object with a row for each cell; `holds` says whether every transcript was the file's, word for word with
times, no stable word was changed by a later partial and at most 1 % by the final, and at least 80 % of the
words were stable before their final.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jiwer

from benchmarks.live import cores, stability, upload, upload_without_end
from benchmarks.live_stream import Record, play
from benchmarks.playlist import SAMPLE_RATE, Clip, Playlist, join_clips, load_clips
from benchmarks.server_process import ServerProcess, model_flags, serve
from gigastt.scoring import normalise

_SPEECH_SHARE = 0.8  # with the clips' own silence, pauses of a second or two
_CHANGED_BY_FINAL_PERCENT = 1.0
_STABLE_PERCENT = 80.0
_LOADERS = 2  # files uploading at any moment


@dataclass(frozen=True, slots=True)
class Cell:
    """One load."""

    streams: int
    chunk_ms: int
    paced: bool


def share_clips(clips: list[Clip], streams: int, seconds: float) -> list[Playlist]:
    """Give every stream its share of the clips, and others behind them until its `seconds` are full."""
    playlists: list[Playlist] = []
    for number in range(streams):
        order = list(clips[number::streams])
        others = itertools.cycle(clips[number + 1 :] + clips[: number + 1])
        while sum(len(clip.samples) for clip in order) < seconds * SAMPLE_RATE * _SPEECH_SHARE:
            order.append(next(others))
        playlists.append(join_clips(order, number, begins=0.1 * number, speech_share=_SPEECH_SHARE))
    return playlists


async def measure(server: ServerProcess, cell: Cell, playlists: list[Playlist]) -> dict[str, Any]:
    """Play a cell with files uploading alongside, and compare it with the same audio as files."""
    loaders = [asyncio.create_task(upload_without_end(server, playlists[n:] + playlists[:n])) for n in range(_LOADERS)]
    streams = (play(server.websocket, p, chunk_ms=cell.chunk_ms, paced=cell.paced) for p in playlists)
    records = await asyncio.gather(*streams)
    for loader in loaders:
        loader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loader
    async with httpx.AsyncClient(timeout=600) as client:
        files = [await upload(client, server, playlist) for playlist in playlists]
    return describe(cell, records, files)


def describe(cell: Cell, records: Sequence[Record], files: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of a cell."""
    references = [normalise(record.playlist.reference) for record in records]
    row = {
        "streams": cell.streams,
        "chunk_ms": cell.chunk_ms,
        "paced": cell.paced,
        "audio_seconds": round(sum(record.playlist.seconds for record in records), 1),
        "transcripts": len(records),
        "equal_to_file": sum(_spoken(r) == f["words"] for r, f in zip(records, files, strict=True)),
        "wer_live": round(100 * jiwer.wer(references, [normalise(r.text) for r in records]), 2),
        "wer_file": round(100 * jiwer.wer(references, [normalise(f["text"]) for f in files]), 2),
        "errors": sorted({error for r in records for error in [*r.errors, r.refused] if error}),
        "partials": sum(len(r.partials) for r in records),
        **stability(records),
    }
    return row | {"holds": holds(row)}


def _spoken(record: Record) -> list[dict[str, Any]]:
    return [word for _, final in record.finals for word in final["words"]]


def holds(row: dict[str, Any]) -> bool:
    """Tell whether a cell kept every promise."""
    return (
        row["equal_to_file"] == row["transcripts"]
        and row["wer_live"] == row["wer_file"]
        and not row["errors"]
        and row["stable_changed_by_partial"] == 0
        and row["stable_changed_by_final_percent"] <= _CHANGED_BY_FINAL_PERCENT
        and row["stable_before_final_percent"] >= _STABLE_PERCENT
    )


async def run(server: ServerProcess, cells: Sequence[Cell], clips: list[Clip], seconds: float) -> dict[str, Any]:
    """Measure every cell, one after the other."""
    rows: list[dict[str, Any]] = []
    for cell in cells:
        rows.append(await measure(server, cell, share_clips(clips, cell.streams, seconds)))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return {"clips": len(clips), "holds": all(row["holds"] for row in rows), "cells": rows}


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_matrix", description=__doc__)
    parser.add_argument("--model", default="demo", help="demo, or a folder of model files")
    parser.add_argument(
        "--clips", type=Path, default=Path("tests/data"), help="folder with manifest.json and WAV files"
    )
    parser.add_argument("--streams", type=numbers, default=[1, 8, 24])
    parser.add_argument("--chunk-ms", type=numbers, default=[20, 100, 1000])
    parser.add_argument("--pace", choices=("fast", "paced", "both"), default="both")
    parser.add_argument("--seconds", type=float, default=45.0, help="audio of each stream at least")
    parser.add_argument("--pool-size", type=int, default=2)
    parser.add_argument("--cores", default="", help="processors of the server, such as 0 or 0,1; empty = all")
    parser.add_argument("--client-cores", default="", help="processors of the streams; empty = all")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if mine := cores(options.client_cores):
        os.sched_setaffinity(0, mine)
    paces = {"fast": [False], "paced": [True], "both": [False, True]}[options.pace]
    cells = [Cell(n, ms, paced) for paced in paces for n in options.streams for ms in options.chunk_ms]
    model = model_flags(options.model)
    flags = [*model, "--pool-size", str(options.pool_size), "--max-sessions", str(max(options.streams) + 8)]
    with serve(flags, cores=cores(options.cores)) as server:
        result = asyncio.run(run(server, cells, load_clips(options.clips), options.seconds))
    print(json.dumps({"model": options.model, "pool_size": options.pool_size} | result))


if __name__ == "__main__":
    main()
