"""Mutated files, given to the decoder of uploads: `python -m benchmarks.fuzz_files [--files 10000] [--seed 0]`.

Files of 34 formats are damaged in seven ways: bytes changed, a piece left out, doubled, cut off, moved, headers made
large, two files mixed. Each must be decoded or refused with a reason, in time: no crash, no fault of our own, no hang.
With strace (`--trace`), what the decoder's processes open and connect to is listed as well; there must be nothing.
Prints one JSON object; exit code 1 if any of this does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gigastt import log
from gigastt.audio.selection import Selection
from gigastt.errors import RequestError
from gigastt.gateway.files.decoder import FileDecoder
from gigastt.processes import python_command
from tests.fakes.audio_files import encode_audio, make_tone

FORMATS = [  # codec, container, rate
    *((codec, "wav", 16_000) for codec in ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_alaw", "pcm_mulaw")),
    *((codec, "wav", 16_000) for codec in ("adpcm_ms", "adpcm_ima_wav", "adpcm_yamaha", "g722")),
    *((codec, "aiff", 16_000) for codec in ("pcm_s16be", "pcm_s24be", "pcm_f64be")),
    *((codec, "caf", 16_000) for codec in ("pcm_s8", "adpcm_ima_qt")),
    *(("libopencore_amrnb", container, 8_000) for container in ("amr", "3gp")),
    *(("aac", container, 44_100) for container in ("adts", "ipod", "mp4", "mpegts", "matroska")),
    *(("libopus", container, 48_000) for container in ("ogg", "webm", "matroska")),
    *(("libmp3lame", container, 44_100) for container in ("mp3", "avi")),
    *((codec, codec, 48_000) for codec in ("ac3", "eac3", "mp2")),
    ("flac", "flac", 16_000),
    ("flac", "ogg", 16_000),
    ("alac", "ipod", 16_000),
    ("vorbis", "ogg", 48_000),
    ("wmav2", "asf", 44_100),
    ("pcm_s16be", "au", 16_000),
    ("pcm_s16le", "w64", 16_000),
]
_AT_ONCE = 4
_MOST_SECONDS = 60.0  # of audio
_HANG_SECONDS = 30.0
_DONE = re.compile(r"^.*\b(?:open|openat|connect|socket|execve|sendto)\([^=]*= \d+", re.M)  # calls that worked
_EVENTS = ("upload_killed_decoder", "decoding_failed", "decoder_lost", "decoder_hangs", "decoder_too_slow")


def mutate(raw: bytes, other: bytes, chance: random.Random) -> bytes:
    """Damage a file in one way or two."""
    data = bytearray(raw)
    for _ in range(chance.randint(1, 2)):
        data = chance.choice(_WAYS)(data, other, chance)
    return bytes(data)


def _change(data: bytearray, other: bytes, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 3, 20, 300))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return data


def _change_head(data: bytearray, other: bytes, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 2, 8))):
        data[chance.randrange(min(200, len(data)))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    return data


def _leave_out(data: bytearray, other: bytes, chance: random.Random) -> bytearray:
    begin, end = _piece(data, chance)
    return data[:begin] + data[end:] or data


def _double(data: bytearray, other: bytes, chance: random.Random) -> bytearray:
    begin, end = _piece(data, chance)
    return data[:end] + data[begin:]


def _cut_off(data: bytearray, other: bytes, chance: random.Random) -> bytearray:
    return data[: chance.randint(1, len(data))]


def _move(data: bytearray, other: bytes, chance: random.Random) -> bytearray:
    begin, end = _piece(data, chance)
    piece, rest = data[begin:end], data[:begin] + data[end:]
    place = chance.randint(0, len(rest))
    return rest[:place] + piece + rest[place:]


def _mix(data: bytearray, other: bytes, chance: random.Random) -> bytearray:
    place = chance.randint(0, len(data))
    return data[:place] + bytearray(other[chance.randint(0, len(other)) :]) or data


def _piece(data: bytearray, chance: random.Random) -> tuple[int, int]:
    begin = chance.randint(0, len(data))
    return begin, chance.randint(begin, min(len(data), begin + 2_000))


_WAYS: Sequence[Callable[[bytearray, bytes, random.Random], bytearray]] = (
    *(_change, _change_head, _leave_out, _double, _cut_off, _move, _mix),
)


async def fuzz(files: int, seed: int, command: Sequence[str]) -> dict[str, Any]:
    """Give mutated files to a decoder; return what became of them."""
    chance = random.Random(seed)
    tone = {rate: make_tone(0.5, rate) for _, _, rate in FORMATS}
    whole = [
        encode_audio(tone[rate], container, codec, rate=rate, channels=2 if codec == "vorbis" else 1)
        for codec, container, rate in FORMATS
    ]
    answers: Counter[str] = Counter()
    slowest = 0.0
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(decoder: FileDecoder, raw: bytes, selection: Selection) -> None:
        nonlocal slowest
        descriptor = os.memfd_create("fuzz")
        os.write(descriptor, raw)
        began = time.monotonic()
        try:
            async with asyncio.timeout(_HANG_SECONDS):
                file = await decoder.decode(descriptor, _MOST_SECONDS, selection=selection)
            file.unlink()
            answers["decoded"] += 1
        except RequestError as exc:
            answers[exc.code] += 1
        except TimeoutError:
            answers["hang"] += 1
        finally:
            os.close(descriptor)
            slowest = max(slowest, time.monotonic() - began)
            turns.release()

    with tempfile.TemporaryDirectory(dir="/dev/shm") as segments:
        async with FileDecoder(Path(segments), command=command) as decoder, asyncio.TaskGroup() as tasks:
            for number in range(files):
                await turns.acquire()
                raw = mutate(whole[number % len(whole)], chance.choice(whole), chance)
                selection = Selection(channel=0) if number % 5 == 0 else Selection()
                tasks.create_task(one(decoder, raw, selection))
        left = len(os.listdir(segments))  # noqa: PTH208
    return {"files": files, "formats": len(FORMATS), "answers": dict(answers), "slowest_seconds": round(slowest, 2),
            "segments_left": left}  # fmt: skip


def outside_calls(trace: Path) -> list[str]:
    """Return what the children that decode have opened, connected to or started, of an strace."""
    parents = {path.suffix for path in trace.glob("trace.*") if "execve(" in path.read_text(errors="replace")}
    calls = []
    for path in trace.glob("trace.*"):
        if path.suffix not in parents:
            calls += re.findall(
                r"^.*\b(?:open|openat|connect|socket|execve|sendto)\([^=]*= \d+", path.read_text(), re.M
            )
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_files", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trace", action="store_true", help="watch the decoder's processes with strace")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        heard = Path(folder, "log")
        stream = heard.open("w", buffering=1)
        log.configure("info", "json", stream)
        command = python_command("gigastt.gateway.files.decoder_main")
        if options.trace:
            calls = "trace=open,openat,connect,socket,execve,sendto"
            command = ["strace", "-ff", "-qq", "-e", calls, "-o", str(Path(folder, "trace")), *command]
        result = asyncio.run(fuzz(options.files, options.seed, command))
        events = [json.loads(line) for line in heard.read_text().splitlines()]
        told = Counter((event["event"], event.get("kind", event.get("exit_code", ""))) for event in events)
        result["events"] = {f"{name} {kind}".strip(): count for (name, kind), count in told.items() if name in _EVENTS}
        result["tracebacks"] = heard.read_text().count('"exception"')
        if options.trace:
            result["outside"] = outside_calls(Path(folder))[:10]
    is_well = not (result["answers"].get("hang") or result["tracebacks"] or result["segments_left"])
    is_well = (
        is_well
        and not result.get("outside")
        and not any(event.startswith("decoding_failed") for event in result["events"])
    )
    print(json.dumps(result))
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
