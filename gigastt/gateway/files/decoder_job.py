"""One upload in a process of its own: untrusted bytes in, samples into a segment, one line about how it went.

Runs in a child that `decoder_template` forks for this one file and that ends with it. The child holds the file, its own
segment and its line to the gateway, and gives up everything else before it reads the first byte. What it reports is
not believed beyond what can be checked. Processor time follows progress: some to begin with, and more with every
second of audio that has come out.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Final, Protocol

from gigastt import sandbox
from gigastt.audio.pcm import SAMPLE_RATE, Samples
from gigastt.audio.selection import WHOLE, Findings, Selection
from gigastt.audio.shared import SharedSegment
from gigastt.errors import InternalError, InvalidAudio, RequestError

BASE_CPU_SECONDS: Final = 8.0
LEAST_SPEED: Final = 20.0  # seconds of audio for each further second of processor time; a slow core manages 100
NOT_ENTERED: Final = 3  # exit code of a process that could not enter the sandbox, and has read nothing
_SEGMENT_SLACK_BYTES = 16 * 1024 * 1024  # reserved ahead, and a resampler's tail


class Decode(Protocol):
    """How a file becomes samples."""

    def __call__(
        self, source: BinaryIO, max_seconds: float, findings: Findings, selection: Selection
    ) -> Iterator[Samples]:
        """Yield the file's samples, and fill in the findings.

        Raises:
            InvalidAudio, AudioTooLong, InvalidParameter: it is not a file to recognise.
        """
        ...


@dataclass(frozen=True, slots=True)
class DecoderJob:
    """How much may be spent on one upload.

    max_seconds: how long its audio may be.
    base_cpu_seconds: processor time that it has before any audio has come out.
    selection: what of it is heard.
    """

    max_seconds: float
    base_cpu_seconds: float = BASE_CPU_SECONDS
    selection: Selection = WHOLE

    def to_json(self) -> bytes:
        """Encode for the pipe."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> DecoderJob:
        """Decode what the gateway has sent."""
        fields = json.loads(text)
        return cls(fields["max_seconds"], fields["base_cpu_seconds"], Selection(**fields["selection"]))


def run_job(job: DecoderJob, *, body: int, segment: int, report: int, decode: Decode) -> None:
    """Give up everything but three descriptors, decode the file behind `body` into `segment`, write the report."""
    file = open(body, "rb", buffering=0)  # noqa: SIM115 - a descriptor; it ends with the process
    file.seek(0)
    _limit(job)
    try:
        sandbox.enter((body, segment, report))
    except OSError:
        os._exit(NOT_ENTERED)
    result = _decode(job, file, SharedSegment.adopt(segment), decode)
    os.write(report, json.dumps(result).encode() + b"\n")


def _limit(job: DecoderJob) -> None:
    """Limit what a hostile file can make this process use, in all; memory is limited since before the fork."""
    seconds = math.ceil(job.base_cpu_seconds + job.max_seconds / LEAST_SPEED)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    size = int(job.max_seconds * 2 * SAMPLE_RATE) + _SEGMENT_SLACK_BYTES
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _decode(job: DecoderJob, file: BinaryIO, segment: SharedSegment, decode: Decode) -> dict[str, Any]:
    samples = 0
    findings = Findings()
    _grant_time(job, 0.0)
    try:
        for piece in decode(file, job.max_seconds, findings, job.selection):
            segment.append(piece)
            samples += len(piece)
            _grant_time(job, samples / SAMPLE_RATE)
    except MemoryError:
        return {"code": InvalidAudio.code, "message": "Decoding the file takes more memory than it may."}
    except RequestError as exc:
        return {"code": exc.code, "message": str(exc), "retry_after_ms": exc.retry_after_ms, "param": exc.param}
    except Exception as exc:  # noqa: BLE001 - the border of a job; the text of the error could hold the file's words
        return {"code": InternalError.code, "message": type(exc).__name__}
    holes = [[round(hole.start, 3), round(hole.end, 3), hole.code] for hole in findings.holes]
    report: dict[str, Any] = {"samples": samples, "holes": holes}
    if findings.track is not None:
        report["track"] = asdict(findings.track)
    if job.selection.channel is not None:
        report["copies"] = findings.channels.copies()
    return report


def _grant_time(job: DecoderJob, seconds: float) -> None:
    """Have SIGPROF end this process when it has used up what so many seconds of audio are worth."""
    left = job.base_cpu_seconds + seconds / LEAST_SPEED - time.process_time()
    signal.setitimer(signal.ITIMER_PROF, max(left, 0.001))
