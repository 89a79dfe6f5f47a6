"""Patience with a WebSocket peer: how fast it may send, and whether it reads.

Cores without I/O: `now` is an argument, in seconds of the event loop's clock. One of each for a connection.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from websockets.frames import CTRL_OPCODES, Frame, Opcode

from gigastt.gateway.rate import Rate, take_token
from gigastt.gateway.server.deadlines import Deadlines

MISSED_PINGS: Final = 2
MAX_FRAGMENTS: Final = 1_024
MOST_QUEUED_MESSAGES: Final = 4  # the application takes them in one go, and so do a hundred others in the same pass
MOST_QUEUED_BYTES: Final = 64 * 1024
TINY_BYTES: Final = 32  # 2 ms of the leanest audio there is (8 kHz, 8 bits, two channels); nobody cuts it like that
# Frames of 20 ms at sixteen times real time are 800 a second, and 10 s of frames of 10 ms are a thousand at once.
FRAMES: Final = Rate(per_minute=60 * 1_000, burst=2_000)
TINY_FRAMES: Final = Rate(per_minute=60 * 500, burst=2_000)
TEXTS: Final = Rate(per_minute=60 * 20, burst=300)
SHORT_TEXT_BYTES: Final = 128  # a longer text may be audio in base64: 10 ms of 8 kHz and 8 bits in JSON are 150
CONTROLS: Final = Rate(per_minute=60 * 50, burst=2_000)

# A pong waits behind the audio that was sent ahead: for a client on this machine the systems' buffers hold 4.5 MB.
MOST_BEFORE_PONG_BYTES: Final = 4_800_000

LOOKS: Final = 6  # for one pong
ALMOST: Final = 0.99  # timers are exact to a millisecond

PeerVerdict: TypeAlias = Literal["patient", "silent", "unread"]


class Allowance:
    """How fast a peer may send: four token buckets.

    Too many pings or short texts close the connection; audio only has to wait, whatever it is cut into or written as.
    """

    __slots__ = ("_controls", "_frames", "_texts", "_tiny", "wait_until")

    def __init__(self) -> None:
        self._frames = self._tiny = self._texts = self._controls = 0.0
        self.wait_until = 0.0  # when the next frame may be looked at

    def take(self, frame: Frame, now: float) -> bool:
        """Count a frame; return whether the peer is still within bounds."""
        wait = 0.0
        if frame.opcode in CTRL_OPCODES:
            self._controls, wait = take_token(CONTROLS, self._controls, now)
        elif frame.opcode is Opcode.TEXT and len(frame.data) < SHORT_TEXT_BYTES:
            self._texts, wait = take_token(TEXTS, self._texts, now)
        elif len(frame.data) < TINY_BYTES:
            self._tiny = max(self._tiny, now) + TINY_FRAMES.interval
            self.wait_until = self._tiny - TINY_FRAMES.span
        else:
            self._frames = max(self._frames, now) + FRAMES.interval
            self.wait_until = self._frames - FRAMES.span
        return not wait


class Reading:
    """Whether a peer reads, by the pongs it owes.

    A pong comes behind all that the peer had sent before it read the ping. So time counts only while its data arrives
    and is not held back here; besides, an amount of data counts. A peer that sends nothing at all may be a phone in a
    tunnel, and is given longer.
    """

    __slots__ = ("_before", "_deadlines", "_held", "_held_since", "_looked_at", "_overdue", "_received", "_silent")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._before = self._received = 0
        self._looked_at = self._overdue = self._silent = self._held = 0.0
        self._held_since: float | None = None

    @property
    def seconds_to_look(self) -> float:
        """How long after a ping, or a look, to look again."""
        return min(self._deadlines.pong, self._deadlines.ping) / LOOKS

    def pinged(self, received: int, now: float) -> None:
        """A ping goes out, after `received` bytes of the peer; all earlier pings are answered."""
        self._before = self._received = received
        self._looked_at = now
        self._overdue = self._silent = self._held = 0.0
        if self._held_since is not None:
            self._held_since = now

    def hold(self, now: float) -> None:
        """Its data is held back from now on."""
        if self._held_since is None:
            self._held_since = now

    def release(self, now: float) -> None:
        """Its data is taken again."""
        if self._held_since is not None:
            self._held += now - self._held_since
            self._held_since = None

    def look(self, received: int, now: float, *, waiting: bool = False) -> PeerVerdict:
        """Judge the time since the last look, with still no pong and `received` bytes in all.

        Args:
            waiting: some of them have not been taken yet.
        """
        if self._held_since is not None:
            self.release(now)
            self._held_since = now
        since = min(now - self._looked_at, self.seconds_to_look)  # this process may have been late, not the peer
        counts = max(0.0, since - self._held)
        if received > self._received or waiting:
            self._overdue += counts
            self._silent = 0.0
        else:
            self._silent += counts
        self._looked_at, self._held, self._received = now, 0.0, received
        if self._overdue >= ALMOST * self._deadlines.pong or received - self._before > MOST_BEFORE_PONG_BYTES:
            return "unread"
        return "silent" if self._silent >= ALMOST * MISSED_PINGS * self._deadlines.ping else "patient"
