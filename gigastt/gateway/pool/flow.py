"""Flow control: what is kept for a replay, how much may be on its way, and how fast a client may send.

Cores without I/O, owned by one track or one connection on the event loop. All counts are absolute samples
at 16 kHz from the client's first one.

Three bounds, each with the same effect: the endpoint stops reading and TCP pushes back; nothing is dropped.

    committed            consumed              sent        end
        │ kept for a replay  │  on its way       │ waiting   │
        ├────────────────────┴───────────────────┴───────────┤
        │←────────────── at most KEPT_SAMPLES ──────────────→│
                             │←─ at most CREDIT_SAMPLES ────→│
"""

from __future__ import annotations

from collections import deque

from gigastt.audio.pcm import SAMPLE_RATE

CREDIT_SAMPLES = 5 * SAMPLE_RATE  # accepted from a client, or sent to a worker, and not analysed
# An utterance is cut at 20 s and an endpoint silence lasts at most 5 s, so a worker that holds 40 s can always
# commit some of it: this bound can make a client wait, but not for ever. 1.3 MB a channel.
KEPT_SAMPLES = 40 * SAMPLE_RATE
_SMALL_BYTES = SAMPLE_RATE // 25  # 20 ms: smaller pieces are joined, or samples would take twenty times their room
PACE_RATIO = 16.0  # a client may send this many times faster than real time ...
PACE_BURST_SECONDS = 10.0  # ... after this much audio at any speed


class ReplayBuffer:
    """The samples from the last commit to the newest one accepted, as PCM16 little-endian."""

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


def credit(*, end: int, consumed: int, committed: int) -> int:
    """How many more samples may be accepted or sent, if `end` are; perhaps none, never negative."""
    return max(0, min(consumed + CREDIT_SAMPLES, committed + KEPT_SAMPLES) - end)


class Pace:
    """A client's speed limit: sixteen times real time after a burst of ten seconds."""

    def __init__(self, now: float) -> None:
        self._due = now  # when all audio so far would have come at this speed

    def delay(self, seconds: float, now: float) -> float:
        """Count `seconds` of audio; return how long to wait before reading more."""
        self._due = max(self._due, now) + seconds / PACE_RATIO  # time without audio is not saved up
        return max(0.0, self._due - now - PACE_BURST_SECONDS / PACE_RATIO)


class Arrivals:
    """When each sample of a track arrived, as far back as latencies need it."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque(maxlen=2048)  # (samples so far, when)

    def mark(self, end: int, now: float) -> None:
        """Note that samples up to `end` are there."""
        self._marks.append((end, now))

    def at(self, sample: int) -> float | None:
        """When `sample` arrived; None when that is forgotten."""
        found = None
        for end, when in reversed(self._marks):
            if end < sample:
                break
            found = when
        return found
