"""The decoder's process: takes one upload, writes its samples into a shared segment, reports, and ends.

Started by `decoder` ahead of need (`python -m gigastt.gateway.decoder_main --fd N`). It holds nothing that belongs to
anybody else: no session, no model, no network. Its memory, processor time and file size are limited before it
looks at the first byte. Imports neither onnxruntime nor asyncio.

    gateway ── job: JSON, and the body's descriptor beside it ──►
            ◄── one JSON line: {"samples": n} or {"code": …, "message": …, "retry_after_ms": …}, then the end ──
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import socket
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gigastt.processes import prepare_child

MAX_JOB_BYTES = 4096
_MEMORY_BYTES = 256 * 1024 * 1024  # of address space beyond what the process has when the job comes
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Job:
    """One upload: where its samples go, and how much may be spent on it."""

    segment: str
    directory: str
    max_seconds: float
    cpu_seconds: int

    def to_json(self) -> bytes:
        """Encode for the pipe."""
        return json.dumps(asdict(self)).encode()


def main(arguments: list[str]) -> int:
    """Wait for a job, do it, report; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gigastt.gateway.decoder_main")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket to the gateway")
    with socket.socket(fileno=parser.parse_args(arguments).fd) as sock:
        _preload()
        try:
            sock.sendall(b"\n")  # warm
            body, descriptors, _, _ = socket.recv_fds(sock, MAX_JOB_BYTES, 1)
        except OSError:  # a reset is as much an end as any
            return 0
        if not descriptors:
            return 0  # the gateway is gone, or needs no decoder any more
        job = Job(**json.loads(body))
        threading.Thread(target=_end_with_gateway, args=(sock,), daemon=True).start()
        _limit(job)
        sock.sendall(json.dumps(_run(job, descriptors[0])).encode() + b"\n")
    return 0


def _preload() -> None:
    """Import what decoding needs, so that an upload does not wait for it."""
    import gigastt.audio.decode
    import gigastt.audio.shared  # noqa: F401


def _limit(job: Job) -> None:
    """Limit what a hostile file can make this process use."""
    pages = int(_STATM.read_text(encoding="ascii").split()[0])
    memory = pages * resource.getpagesize() + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (job.cpu_seconds, job.cpu_seconds + 1))
    size = int(job.max_seconds * 32_000) + 16 * 1024 * 1024
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    # What libraries print about a file could hold its words; its failure is told by the exit code.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)


def _run(job: Job, descriptor: int) -> dict[str, Any]:
    from gigastt.audio.decode import decode, refuse_if_too_long
    from gigastt.audio.shared import SharedSegment
    from gigastt.errors import InvalidAudio, RequestError

    samples = 0
    try:
        directory = Path(job.directory)
        with (
            open(descriptor, "rb", buffering=0) as file,
            SharedSegment.attach(job.segment, writable=True, directory=directory) as segment,
        ):
            file.seek(0)
            refuse_if_too_long(file, job.max_seconds)
            for piece in decode(file, job.max_seconds):
                segment.append(piece)
                samples += len(piece)
    except MemoryError:
        return {"code": InvalidAudio.code, "message": "Decoding the file takes more memory than it may."}
    except RequestError as exc:
        return {"code": exc.code, "message": str(exc), "retry_after_ms": exc.retry_after_ms}
    return {"samples": samples}


def _end_with_gateway(sock: socket.socket) -> None:
    """End the process when the gateway is gone (watching thread): nobody waits for the samples."""
    try:
        while sock.recv(64):
            pass
    except OSError:
        pass
    os._exit(0)


if __name__ == "__main__":
    prepare_child()
    sys.exit(main(sys.argv[1:]))
