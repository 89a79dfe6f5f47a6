"""Weigh real workers: how long until one is ready, and what one and four of them hold in memory together.

    python -m benchmarks.memory DIR [--workers 4] [--rounds 3]

DIR holds a model (see `benchmarks.encoder`). Forms: the optimised encoder mapped by all workers (prepacked), the
same as a plain file, and fp32; and for comparison processes that hold onnx-asr with the same files. Memory is the
proportional set size: a page shared by four processes counts a quarter in each. `ready_cpu_seconds` is the
processor time that it took to be ready: on an idle core the clock says the same, on a shared one more. Prints one
JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import optimized_encoder
from benchmarks.pinned import machine
from gigastt.ipc.blackbox import BlackBox
from gigastt.ipc.messages import Ready
from gigastt.ipc.packets import PacketDecoder, decode_to_gateway
from gigastt.models.catalog import DECODER, ENCODER_FP32, JOINT, VOCABULARY
from gigastt.models.prepacked import prepare_load
from gigastt.workers.config import WorkerConfig

_PEER = """
import sys
from pathlib import Path
from benchmarks.peers import load_onnx_asr
import numpy as np
model = load_onnx_asr(Path(sys.argv[1]), Path(sys.argv[2]))
for seconds in (2, 5):
    model.recognize(np.random.default_rng(0).standard_normal(seconds * 16000).astype(np.float32) * 0.1)
print("ready", flush=True)
sys.stdin.read()
"""
_READY_SECONDS = 120.0


@dataclass(slots=True)
class Running:
    """A process that is ready, and the seconds from its spawn until it was, by the clock and of its own work."""

    process: subprocess.Popen[bytes]
    seconds: float
    cpu_seconds: float
    load_seconds: float | None = None


Start = Callable[[contextlib.ExitStack], Running]


def start_worker(config: WorkerConfig, stack: contextlib.ExitStack) -> Running:
    """Spawn one real worker and wait for its `Ready`; the stack ends it."""
    ours, theirs = socket.socketpair()
    stack.callback(ours.close)
    begin = time.perf_counter()
    box = BlackBox.create()
    process = subprocess.Popen(
        [*config.command(theirs.fileno()), "--box", str(box)],
        pass_fds=[theirs.fileno(), box],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    theirs.close()
    os.close(box)
    stack.callback(_end, process)
    ours.settimeout(_READY_SECONDS)
    for body in _bodies(ours):
        message = decode_to_gateway(body)
        if isinstance(message, Ready):
            return Running(process, time.perf_counter() - begin, cpu_seconds(process.pid), message.load_seconds)
    raise RuntimeError("The worker ended before it was ready.")


def start_peer(directory: Path, encoder: Path, stack: contextlib.ExitStack) -> Running:
    """Spawn a process that holds onnx-asr with the same files, warmed up alike."""
    begin = time.perf_counter()
    command = [sys.executable, "-c", _PEER, str(directory), str(encoder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    stack.callback(_end, process)
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError("The peer ended before it was ready.")
    return Running(process, time.perf_counter() - begin, cpu_seconds(process.pid))


def weigh(start: Start, workers: int, rounds: int) -> dict[str, object]:
    """Start processes one by one; returns seconds to ready, and MiB of one and of all."""
    ready: list[float] = []
    worked: list[float] = []
    loads: list[float] = []
    alone: list[float] = []
    together: list[float] = []
    for _ in range(rounds):
        with contextlib.ExitStack() as stack:
            running: list[Running] = []
            for _ in range(workers):
                running.append(start(stack))
                if len(running) == 1:
                    alone.append(pss_mib(running[0].process.pid))
            ready += [process.seconds for process in running]
            worked += [process.cpu_seconds for process in running]
            loads += [process.load_seconds for process in running if process.load_seconds is not None]
            together.append(sum(pss_mib(process.process.pid) for process in running))
    figures: dict[str, object] = {
        "ready_seconds": round(statistics.median(ready), 2),
        "ready_cpu_seconds": round(statistics.median(worked), 2),
        "one_mib": round(statistics.median(alone), 1),
        "all_mib": round(statistics.median(together), 1),
        "all_over_one": round(statistics.median(together) / statistics.median(alone), 2),
    }
    return figures | ({"load_seconds": round(statistics.median(loads), 2)} if loads else {})


def pss_mib(pid: int) -> float:
    """The proportional set size of a process."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has had so far, in the kernel and out of it."""
    # The second field is the command in parentheses and may contain anything.
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _bodies(connection: socket.socket) -> Iterator[bytes]:
    decoder = PacketDecoder()
    while piece := connection.recv(65536):
        yield from decoder.feed(piece)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def measure(directory: Path, temporary: Path, workers: int, rounds: int) -> dict[str, object]:
    """Weigh every form of the encoder in processes of its own."""
    optimized, fp32 = optimized_encoder(directory, temporary), directory / ENCODER_FP32
    mapped = asyncio.run(prepare_load(optimized))

    def config(encoder: Path) -> WorkerConfig:
        return WorkerConfig(
            model="benchmark",
            encoder=str(encoder),
            decoder=str(directory / DECODER),
            joint=str(directory / JOINT),
            vocabulary=str(directory / VOCABULARY),
        )

    forms: dict[str, Start] = {
        "optimized, mapped": lambda stack: start_worker(config(mapped.encoder), stack),
        "optimized, plain": lambda stack: start_worker(config(optimized), stack),
        "fp32": lambda stack: start_worker(config(fp32), stack),
        "onnx-asr optimized": lambda stack: start_peer(directory, optimized, stack),
        "onnx-asr fp32": lambda stack: start_peer(directory, fp32, stack),
    }
    if not mapped.prepacked:  # a small model: the two are the same
        del forms["optimized, mapped"]
    return {"workers": workers, "forms": {name: weigh(start, workers, rounds) for name, start in forms.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description="Weigh real workers, one and several, in every form of the encoder.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure(arguments.directory, Path(temporary), arguments.workers, arguments.rounds)
    print(json.dumps({"machine": machine(None), **figures}))


if __name__ == "__main__":
    main()
