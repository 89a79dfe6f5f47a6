"""Sources: where a track's samples are, how a worker gets them, and how many may be on their way.

There are two kinds: samples that arrive from a client and go through the pipe, and those of a whole file in a shared
segment, which the worker maps. Cores without I/O, each owned by one track. All counts are absolute samples at 16 kHz
from the client's first one. At a bound the endpoint stops reading and TCP pushes back; nothing is dropped.

    committed            consumed              sent        end
        │ kept for a replay  │  on its way       │ waiting   │
        ├────────────────────┴───────────────────┴───────────┤
        │←────────────── at most KEPT_SAMPLES ──────────────→│
                             │←─ at most CREDIT_SAMPLES ────→│
"""

from __future__ import annotations

from collections import deque

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.ipc.messages import AttachAudio, OpenStream, StreamId, ToWorker
from gigastt.transcript import Options

CREDIT_SAMPLES = 5 * SAMPLE_RATE  # accepted from a client, or sent to a worker, and not analysed
# An utterance is cut at 20 s and an endpoint silence lasts at most 5 s, so a worker that holds 40 s can always
# commit some of it: this bound can make a client wait, but not for ever. 1.3 MB a channel.
KEPT_SAMPLES = 40 * SAMPLE_RATE
START_STEP = 640  # a stream may begin at any multiple of one encoder frame (40 ms)
_SMALL_BYTES = SAMPLE_RATE // 25  # 20 ms: smaller pieces are joined, or samples would take twenty times their room


class LiveSource:
    """Samples that arrive and go through the pipe: those from the last commit on, as PCM16 little-endian."""

    def __init__(self, start: int = 0) -> None:
        self._pieces: deque[bytes] = deque()
        self.start = start
        self.end = start

    def append(self, pcm: bytes) -> None:
        """Keep the next samples."""
        self.end += len(pcm) // 2
        if self._pieces and len(self._pieces[-1]) < _SMALL_BYTES:
            self._pieces[-1] += pcm
        elif pcm:
            self._pieces.append(pcm)

    def trim(self, committed: int) -> None:
        """Forget what lies before `committed`."""
        while self.start < committed and self._pieces:
            first = self._pieces[0]
            surplus = committed - self.start
            if 2 * surplus < len(first):
                self._pieces[0] = first[2 * surplus :]
                self.start = committed
            else:
                self._pieces.popleft()
                self.start += len(first) // 2

    def silence(self, until: int) -> None:
        """Overwrite what is kept before `until` with silence."""
        start, until = self.start, min(until, self.end)
        self.trim(until)
        if until > start:
            self._pieces.appendleft(bytes(2 * (until - start)))
            self.start = start

    def read(self, start: int, end: int) -> bytes:
        """Return samples `start` to `end`."""
        assert self.start <= start <= end <= self.end
        parts: deque[bytes] = deque()
        after = self.end
        for piece in reversed(self._pieces):  # what is read is nearly always the newest
            before = after - len(piece) // 2
            if before < end:
                parts.appendleft(piece[2 * max(0, start - before) : 2 * (end - before)])
            if before <= start:
                break
            after = before
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def open(self, stream: StreamId, start: int, resume: bytes, options: Options, request_id: str) -> ToWorker:
        """Return the message that begins a binding."""
        return OpenStream(stream, start, resume, options, request_id)

    def lost_until(self, until: int) -> int:
        """Return the end of what is lost when everything before `until` is skipped."""
        return until

    def skip(self, until: int) -> int:
        """Let no worker see a sample before `until` again; return the step before it, with silence up to `until`."""
        start = until - until % START_STEP
        self.trim(start)
        self.silence(until)
        return start


class FileSource:
    """Samples of a whole file in a shared segment, which the worker reads itself.

    Args:
        segment: the segment's name.
        samples: how many of it are audio.
        start, resume: a commit of an earlier reading, at which this one goes on.
        is_background: all other files go first.
    """

    def __init__(
        self, segment: str, samples: int, *, start: int = 0, resume: bytes = b"", is_background: bool = False
    ) -> None:
        self.segment = segment
        self.end = samples
        self.first_start = start
        self.first_resume = resume
        self.is_background = is_background

    def open(self, stream: StreamId, start: int, resume: bytes, options: Options, request_id: str) -> ToWorker:
        """Return the message that begins a binding."""
        return AttachAudio(stream, self.segment, self.end, start, resume, options, request_id)

    def trim(self, committed: int) -> None:
        """Nothing to do: the segment lives as long as the upload."""

    def lost_until(self, until: int) -> int:
        """Return the end of what is lost when everything before `until` is skipped: the next step, or the end."""
        return min(until + -until % START_STEP, self.end)

    def skip(self, until: int) -> int:
        """Return the step behind `until`, from which to go on; if the file has none, it ends at the step before."""
        start = until + -until % START_STEP
        if start > self.end:
            start -= START_STEP
            self.end = start
        return start


def credit(*, end: int, consumed: int, committed: int) -> int:
    """How many more samples may be accepted or sent, if `end` are; perhaps none, never negative."""
    return max(0, min(consumed + CREDIT_SAMPLES, committed + KEPT_SAMPLES) - end)
