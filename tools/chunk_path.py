"""Count the files of the package that a live chunk passes: `python -m tools.chunk_path`.

A gateway with one worker and the demo model; a client sends two spoken sentences in chunks of 100 ms, at their pace. A
file is passed where one of its functions runs, in either process, from the end of the first sentence's final to the
second's. What timers do beside it does not count. Prints the files that at least four of five chunks pass on their way
in, and those that are passed besides until the final is told: by passes of the encoder, results, and what is rarer.
"""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path
from types import FrameType
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGE = f"{_ROOT}/gigastt/"
SPEECH = _ROOT / "tests" / "data" / "espeak_03.wav"
CHUNK_SECONDS = 0.1
OFTEN = 0.8
# The outermost function of the package on the stack, of a chunk's way and a final's: everything else is a timer's.
WAYS = {
    "WebSocketConnection.data_received", "WorkerProcess.data_received", "Shell._read", "Shell._write",
    "<module>", "read_socket",
}  # fmt: skip

calls: dict[tuple[str, str], set[int]] = {}  # by file and outermost function: tenths of seconds in which one ran


def watch(frame: FrameType, event: str, argument: Any) -> None:
    """Note a call, as `sys.setprofile` has it."""
    if event != "call" or not frame.f_code.co_filename.startswith(_PACKAGE):
        return
    outermost = each = frame
    while (above := each.f_back) is not None:
        each = above
        if each.f_code.co_filename.startswith(_PACKAGE):
            outermost = each
    file = frame.f_code.co_filename.removeprefix(_PACKAGE)
    calls.setdefault((file, outermost.f_code.co_qualname), set()).add(int(time.time() / CHUNK_SECONDS))


def run_worker(report: Path, arguments: list[str]) -> None:
    """Be a worker, and write its calls every half second: it is ended when its pipe is."""

    def write() -> None:
        while True:
            time.sleep(0.5)
            text = json.dumps([[*key, sorted(when)] for key, when in list(calls.items())])
            report.with_suffix(".new").write_text(text)
            report.with_suffix(".new").rename(report)

    threading.Thread(target=write, daemon=True).start()
    sys.setprofile(watch)
    threading.setprofile(watch)
    sys.argv = ["gigastt.workers", *arguments]
    runpy.run_module("gigastt.workers", run_name="__main__")


async def speak(report: Path) -> tuple[int, int]:
    """Run the gateway and the client; return the time of the first final and of the second, as `calls` has them."""
    import websockets

    from gigastt.config import Settings
    from gigastt.gateway.app import NATIVE
    from gigastt.gateway.context import AppContext
    from gigastt.gateway.files.decoder import FileDecoder
    from gigastt.gateway.metrics import Metrics
    from gigastt.gateway.pool.pool import Pool
    from gigastt.model_loading import describe, plan_workers
    from gigastt.models.store import resolve
    from gigastt.serve import FileTranscription
    from tests.fakes.gateway import serving

    settings = Settings(model="demo", pool_size=1)
    files = resolve("demo", settings.model_dir)
    pool = Pool(settings, Metrics())
    planned = await plan_workers(settings, files)

    def command(descriptor: int) -> list[str]:
        words = planned(descriptor)
        behind = words.index("gigastt.workers") + 1
        return [words[0], str(Path(__file__).resolve()), "--worker", str(report), *words[behind:]]

    with wave.open(str(SPEECH)) as file:
        rate, sentence = file.getframerate(), file.readframes(file.getnframes())
    size = 2 * round(rate * CHUNK_SECONDS)
    audio = (sentence + bytes(2 * rate * 2)) * 2
    finals: list[int] = []

    async def receive(client: Any) -> None:
        async for message in client:
            fields = json.loads(message)
            if fields["type"] == "final" and fields["text"]:
                finals.append(int(time.time() / CHUNK_SECONDS))

    async with pool.at_work(command):
        context = AppContext(
            settings, describe(settings, files), pool.metrics, pool, FileDecoder(), FileTranscription(pool)
        )
        async with serving(context, native=NATIVE) as running, websockets.connect(f"{running.ws}/v1/ws") as client:
            await client.send(json.dumps({"type": "configure", "sample_rate": rate}))
            receiving = asyncio.create_task(receive(client))
            sys.setprofile(watch)
            for begin in range(0, len(audio), size):
                await client.send(audio[begin : begin + size])
                await asyncio.sleep(CHUNK_SECONDS)
            sys.setprofile(None)
            await asyncio.sleep(1.0)  # until the worker has written
            receiving.cancel()
    half = len(finals) // 2
    return finals[half - 1], finals[-1]


def main() -> int:
    """Run, and print the files."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "worker.json"
        begin, end = asyncio.run(speak(report))
        of_worker = {(file, way): set(when) for file, way, when in json.loads(report.read_text())}
    counted: dict[str, set[str]] = {}
    for process, ran in (("gateway", calls), ("worker", of_worker)):
        passed: dict[str, set[int]] = {}
        for (file, way), when in ran.items():
            if way in WAYS:
                passed.setdefault(file, set()).update(each for each in when if begin < each <= end)
        most = max(map(len, passed.values()))
        often = {file for file, when in passed.items() if len(when) >= OFTEN * most}
        counted[process] = often
        counted[process + ", besides"] = {file for file, when in passed.items() if when} - often
    for name, files in counted.items():
        print(f"{name}: {len(files)}", *sorted(files), sep="\n  ")
    way_in, both = counted["gateway"] | counted["worker"], set().union(*counted.values())
    print(f"on its way in: {len(way_in)}; until its final is told: {len(both)}")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        sys.path.insert(0, str(_ROOT))
        run_worker(Path(sys.argv[2]), sys.argv[3:])
    else:
        sys.exit(main())
