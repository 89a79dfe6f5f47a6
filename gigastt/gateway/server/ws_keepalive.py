"""Keepalive: pings that show whether a WebSocket peer is there, and whether it reads. Runs on the event loop.

`Reading` is a core without I/O: `now` is an argument, in seconds of the event loop's clock.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from websockets.frames import CloseCode, Frame

from gigastt.gateway.server.deadlines import Deadlines
from gigastt.gateway.server.turns import Turns
from gigastt.gateway.server.ws_frames import FrameProtocol
from gigastt.log import get_logger

log = get_logger(__name__)

MISSED_PINGS: Final = 2
# A pong waits behind the audio that was sent ahead: for a client on this machine the systems' buffers hold 4.5 MB.
MOST_BEFORE_PONG_BYTES: Final = 4_800_000

LOOKS: Final = 6  # for one pong
ALMOST: Final = 0.99  # timers are exact to a millisecond

PeerVerdict: TypeAlias = Literal["patient", "silent", "unread"]


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


class Keepalive:
    """Pings in place of those of uvicorn's protocol; to be mixed into it, before it.

        quiet ─something was sent, or `ping` is over→ pinged ─pong→ quiet
                                                        └──looked at, until patience ends──→ hung up

    Attributes:
        reading: judges by its pongs whether the peer reads.
        received: bytes of the peer, in all.
        sent_any: something was sent to it since its last pong.
        input_ended: it cannot answer any more; a ping only shows whether it is there.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    conn: FrameProtocol
    deadlines: Deadlines
    close_sent: bool
    ping_timer: asyncio.TimerHandle | None
    pending_ping_payload: bytes | None
    reading: Reading
    received: int = 0
    sent_any: bool = False
    input_ended: bool = False
    _turns: Turns
    _received_before: int = 0
    _ping_due: float = 0.0

    def start_keepalive(self) -> None:
        """Begin, at the upgrade; the first ping goes out soon, to find early a peer that never reads."""
        self._ping_due = self.loop.time()
        self._schedule(self.reading.seconds_to_look)

    def stop_keepalive(self) -> None:
        """Ping no more."""
        self.pending_ping_payload = None
        if self.ping_timer is not None:
            self.ping_timer.cancel()
            self.ping_timer = None

    def handle_pong(self, event: Frame) -> None:
        """Take the pong to the last ping, and ignore any other."""
        if self.pending_ping_payload is not None and bytes(event.data) == self.pending_ping_payload:
            self.stop_keepalive()
            self._received_before, self.sent_any = self.received, False
            self._ping_due = self.loop.time() + self.deadlines.ping
            self._schedule(self._seconds_to_ping)

    @property
    def _seconds_to_ping(self) -> float:
        return min(self.deadlines.busy_ping, self.deadlines.ping)

    def _schedule(self, seconds: float) -> None:
        self.ping_timer = self.loop.call_later(seconds, self._keep_alive)

    def _keep_alive(self) -> None:
        self.ping_timer = None
        if self.close_sent or self.transport.is_closing():
            return
        now = self.loop.time()
        quiet = self.received == self._received_before and not self.sent_any
        if self.input_ended:
            self._ping(b"")
        elif self.pending_ping_payload is not None:
            self._look(self.pending_ping_payload, now)
        elif quiet and now < self._ping_due:
            self._schedule(self._seconds_to_ping)
        else:
            self.pending_ping_payload = random.randbytes(4)
            self.reading.pinged(self.received, now)
            self._ping(self.pending_ping_payload)

    def _look(self, payload: bytes, now: float) -> None:
        match self.reading.look(self.received, now, waiting=self._turns.waiting > 0):
            case "unread":
                log.warning("slow_consumer")
                self.conn.send_close(CloseCode.POLICY_VIOLATION, "slow_consumer")
                self._flush()
                self.transport.abort()
            case "silent":
                self.transport.abort()
            case "patient" if self._turns.waiting:  # while nothing is read, only writing shows that the peer has gone
                self._ping(payload)
            case "patient":
                self._schedule(self.reading.seconds_to_look)

    def _ping(self, payload: bytes) -> None:
        self.conn.send_ping(payload)
        self._flush()
        self._schedule(self.reading.seconds_to_look)

    def _send_answers(self, answers: Sequence[str | bytes]) -> None:
        """Send the answers to a message, without waiting for a peer that does not read, as its pongs will show."""
        if self.close_sent:
            return
        for answer in answers:
            if isinstance(answer, str):
                self.conn.send_text(answer.encode())
            else:
                self.conn.send_binary(answer)
        self.sent_any = True
        self._flush()

    def _flush(self) -> None:
        """Send the protocol's output, unless the transport is closing."""
        output = b"".join(self.conn.data_to_send())
        if output and not self.transport.is_closing():
            self.transport.write(output)
