"""Turns: each connection has its share of the event loop, however its bytes are cut.

    received ─┬─ nothing waits, and the pass has time left ─→ step, step, …
              └─ else ─→ backlog, reading paused ─→ the line ─→ one turn a time ─→ … ─→ reading resumed

A whole read fed to a parser at once (256 KiB may be 40,000 messages) would block the loop. Here the parser is fed in
steps; after `TURN_SECONDS` of them the connection goes to the end of the line, and all connections together use about
`PASS_SECONDS` of each pass of the loop. Memory is bounded: nothing is read while bytes wait.

Bytes also make work elsewhere: a hundred messages, or the ends of a hundred connections, wake a hundred tasks. These
are woken beside the turns, a few in each pass; and a pass that took longer than `WHOLE_PASS_SECONDS`, whatever in it
did, leaves less time for both in the next.

There are two lines: of connections whose last turn was not enough, which have one turn in five, and of all others. So
a request or a microphone does not wait behind the turns of a hundred connections that always have something to do. And
before each turn of these comes one of a connection that has had none: a request does not wait behind a hundred sessions
that begin to speak at once. How many of one address come new is the doorway's business.

One `Rota` for a server, one `Turns` for a connection, both on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter, thread_time
from typing import Final, TypeAlias

TURN_SECONDS: Final = 0.0005  # a turn ends with the step that passes this
PASS_SECONDS: Final = 0.003
LEAST_PASS_SECONDS: Final = TURN_SECONDS  # always one turn
TASK_SECONDS: Final = 0.0002  # what a task is taken to need that is woken, or begun
TEXT_SECONDS: Final = 5e-8  # and for each character of a text, which is mostly JSON
WHOLE_PASS_SECONDS: Final = 0.004  # of processor time, of all that a pass of the loop does
FRESH_PER_LEFT_OVER: Final = 4  # turns

Step: TypeAlias = Callable[[bytes, int], int]
"""Take bytes from an offset on, and return the offset behind those taken; the same offset to be called again only
after `Turns.wake`. One step is a few hundred microseconds of work at most."""


class Rota:
    """The line of connections that have bytes waiting, and the time they share."""

    def __init__(
        self,
        pass_seconds: float = PASS_SECONDS,
        turn_seconds: float = TURN_SECONDS,
        clock: Callable[[], float] = thread_time,
    ) -> None:
        self.turn_seconds = turn_seconds
        self._most_pass_seconds = self._pass_seconds = pass_seconds
        self._clock = clock
        self._began = 0.0  # when the pass was asked for that is due
        self._spent = 0.0
        self._new: deque[Turns] = deque()
        self._fresh: deque[Turns] = deque()
        self._left_over: deque[Turns] = deque()
        self._asleep: deque[asyncio.Future[None]] = deque()  # what tasks wait for that may go on
        self._fresh_turns = 0  # since the last of one that was left over
        self._due = False

    @property
    def has_time(self) -> bool:
        """Whether a connection may take its turn at once in this pass of the loop."""
        return self._spent < self._pass_seconds

    def __len__(self) -> int:
        """Connections that stand in line."""
        return len(self._new) + len(self._fresh) + len(self._left_over)

    @property
    def newcomers(self) -> int:
        """Connections that stand in line for their first turn."""
        return len(self._new)

    def spend(self, seconds: float) -> None:
        """Count time of this pass of the loop."""
        self._spent += seconds
        self._call_soon()

    def append(self, turns: Turns, *, left_over: bool) -> None:
        """Let a connection take its turn after those that wait already; `left_over`: its last one was not enough."""
        (self._left_over if left_over else self._new if turns.is_new else self._fresh).append(turns)
        self._call_soon()

    def wake(self, waited_for: asyncio.Future[None]) -> None:
        """Set the result of what a task waits for, in this pass or a later one."""
        if self.has_time and not self._asleep:
            self._wake(waited_for)
        else:
            self._asleep.append(waited_for)
            self._call_soon()

    def _wake(self, waited_for: asyncio.Future[None]) -> None:
        if not waited_for.done():  # else it was cancelled
            waited_for.set_result(None)
            self.spend(TASK_SECONDS)

    def _call_soon(self) -> None:
        if not self._due:
            self._due = True
            self._began = self._clock()
            asyncio.get_running_loop().call_soon(self._pass)

    def _pass(self) -> None:
        """Begin a new pass: connections in line take their turns while there is time."""
        self._due = False
        self._spent = 0.0
        self._weigh(self._clock() - self._began)
        while self.has_time and (self._asleep or len(self)):
            if self._asleep:
                self._wake(self._asleep.popleft())
            if self._new:
                self._new.popleft().take()
            if self._fresh and (self._fresh_turns < FRESH_PER_LEFT_OVER or not self._left_over):
                self._fresh_turns += 1
                self._fresh.popleft().take()
            elif self._left_over:
                self._fresh_turns = 0
                self._left_over.popleft().take()
        if self._asleep or len(self):
            self._call_soon()

    def _weigh(self, seconds: float) -> None:
        """Leave less time for turns after a pass that took too long, more after any other."""
        if seconds > WHOLE_PASS_SECONDS:
            shorter = max(LEAST_PASS_SECONDS, self._pass_seconds * WHOLE_PASS_SECONDS / seconds)
            self._pass_seconds = min(self._pass_seconds, shorter)
        else:
            self._pass_seconds = min(self._most_pass_seconds, 1.25 * self._pass_seconds)


class Turns:
    """Bytes of one connection on their way to its parser.

    Args:
        rota: the line of its server.
        transport: read from while nothing waits. Nobody else may pause or resume it.
        step: feeds the parser; may call `wake` and `close`.
        is_new: its first turn comes before those of connections that have had one.
    """

    __slots__ = ("_backlog", "_closed", "_in_line", "_offset", "_paused", "_rota", "_step", "_transport", "is_new")

    def __init__(self, rota: Rota, transport: asyncio.Transport, step: Step, *, is_new: bool = False) -> None:
        self.is_new = is_new  # and has had no turn yet
        self._rota = rota
        self._transport = transport
        self._step: Step | None = step
        self._backlog = b""
        self._offset = 0
        self._in_line = False
        self._paused = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """Bytes that were received and not yet taken; while there are any, nothing is read."""
        return len(self._backlog) - self._offset

    def receive(self, data: bytes) -> None:
        """Take what the transport has read."""
        if self._closed:
            return
        if self._backlog:  # read before the pause took effect
            self._backlog = self._backlog[self._offset :] + data
            self._offset = 0
            return
        self._backlog = data
        if self._rota.has_time:
            self.take()
        else:
            self._queue()

    def wake(self) -> None:
        """Go on after a step that took nothing."""
        if self._backlog and not self._closed:
            self._queue()

    def take(self) -> None:
        """Take one turn; called by the rota."""
        self._in_line = self.is_new = False
        step = self._step
        if step is None:
            return
        began = perf_counter()
        late = stuck = False
        while self._offset < len(self._backlog) and not late:
            offset = step(self._backlog, self._offset)
            if self._closed:
                return
            stuck = offset == self._offset
            if stuck:
                break
            self._offset = offset
            late = perf_counter() - began >= self._rota.turn_seconds
        self._rota.spend(perf_counter() - began)
        if self._offset >= len(self._backlog):
            self._backlog = b""
            self._offset = 0
            self._resume()
        else:
            self._pause()
            if not stuck:
                self._queue(left_over=True)

    def close(self) -> None:
        """Drop the waiting bytes, resume reading and take no more; forget the step, which refers back here."""
        self._closed = True
        self._step = None
        self._backlog = b""
        self._offset = 0
        self._resume()

    def _queue(self, *, left_over: bool = False) -> None:
        self._pause()
        if not self._in_line:
            self._in_line = True
            self._rota.append(self, left_over=left_over)

    def _pause(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
