"""Sources: where a track's samples are, and how a worker gets them.

There are two kinds: samples that arrive from a client and go through the pipe, and those of a whole file in a shared
segment, which the worker maps. Cores without I/O, each owned by one track.
"""

from __future__ import annotations

from gigastt.gateway.pool.flow import ReplayBuffer
from gigastt.ipc.messages import AttachAudio, OpenStream, StreamId, ToWorker
from gigastt.transcript import Options

START_STEP = 640  # a stream may begin at any multiple of one encoder frame (40 ms)


class LiveSource(ReplayBuffer):
    """Samples that arrive, and go through the pipe."""

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
