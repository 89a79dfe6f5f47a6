"""Ordering: in which order a session's results are told, and under which number.

A core without I/O or clock, owned by a session. One lane for each channel.

- Finals are numbered as they are released, over all channels.
- A final without words that no partial announced is not told, except that a flush is always answered, and that the
  last one a session tells is always the last of its channel, whatever is in it: it says why the session ended.
- The finals of two channels come in the order in which they end, as far as that is decided: a final waits while
  the other channel has undecided audio from before its end, but at most `HOLD_SECONDS`, and not when the other
  channel's current partial already reaches beyond it. Results behind a waiting final in its channel wait too.
- Those of a file, for which nobody waits, come in the order in which they begin, however long that takes to decide.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from gigastt import transcript
from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.gateway.pool.events import EndReason, Event
from gigastt.ipc.messages import FinalMessage, PartialMessage

HOLD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _HeldFinal:
    final: transcript.Final
    until: float


_Entry: TypeAlias = _HeldFinal | transcript.Partial | transcript.Gap


@dataclass(slots=True)
class _Lane:
    """One channel.

    decided: seconds; every final still to come most likely ends later.
    closed: its last final has come.
    unsaid: that final, if it is not told: it has no words, and no partial announced it.
    """

    channel: int
    entries: deque[_Entry] = field(default_factory=deque)
    decided: float = 0.0
    announced: bool = False
    closed: bool = False
    unsaid: transcript.Final | None = None


class Sequencer:
    """The results of one session on their way to the client.

    Args:
        first_seq: the number of the first final.
        is_file: whether the channels are those of a file.
    """

    def __init__(self, channels: int, first_seq: int = 0, *, is_file: bool = False) -> None:
        self._is_file = is_file
        self.end_reason: EndReason = "stop"
        self.ended = False  # the last final has been released
        self._lanes = [_Lane(channel) for channel in range(channels)]
        self._seq = first_seq
        self._ends_closing = False  # what was told last is the last final of its channel

    def partial(self, channel: int, message: PartialMessage) -> None:
        """Take a partial."""
        lane = self._lanes[channel]
        partial = message.partial if channel == 0 else replace(message.partial, channel=channel)
        if lane.entries and isinstance(lane.entries[-1], transcript.Partial):
            lane.entries.pop()
        lane.entries.append(partial)
        lane.announced = True
        if partial.words:
            lane.decided = max(lane.decided, partial.words[-1].end)

    def final(self, channel: int, message: FinalMessage, now: float) -> None:
        """Take a final."""
        lane = self._lanes[channel]
        final = replace(message.final, channel=channel)
        lane.closed = final.reason == "stop"
        if final.words or lane.announced or final.reason == "flush":
            lane.entries.append(_HeldFinal(final, math.inf if self._is_file else now + HOLD_SECONDS))
        elif lane.closed:
            lane.unsaid = final
        lane.announced = False
        lane.decided = max(lane.decided, message.committed / SAMPLE_RATE)

    def committed(self, channel: int, samples: int) -> None:
        """Take note that a channel has decided everything before `samples`."""
        lane = self._lanes[channel]
        lane.decided = max(lane.decided, samples / SAMPLE_RATE)

    def failed(self, gap: transcript.Gap) -> None:
        """Take a span without words; a skipped one also takes the place of the final its partial announced."""
        lane = self._lanes[gap.channel]
        lane.entries.append(gap)
        if gap.code == "segment_failed":
            lane.announced = False

    @property
    def next_seq(self) -> int:
        """The number of the next final."""
        return self._seq

    @property
    def decided(self) -> float:
        """Seconds that all channels have decided."""
        return min(lane.decided for lane in self._lanes)

    @property
    def waits(self) -> bool:
        """Whether anything is held back."""
        return any(lane.entries for lane in self._lanes)

    @property
    def deadline(self) -> float | None:
        """When to call `release` again although nothing new came; None when nothing waits."""
        held = [entry.until for lane in self._lanes for entry in lane.entries if isinstance(entry, _HeldFinal)]
        return min(filter(math.isfinite, held), default=None)

    def release(self, now: float) -> list[Event]:
        """Return what may be told now, in order."""
        released: list[Event] = []
        while (lane := self._next_lane(now)) is not None:
            entry = lane.entries.popleft()
            if isinstance(entry, _HeldFinal):
                released.append(self._number(entry.final))
            else:
                released.append(entry)
                self._ends_closing = False
        if not self.ended and all(lane.closed and not lane.entries for lane in self._lanes):
            self.ended = True
            if not self._ends_closing:
                released.append(self._empty_last())
        return released

    def _next_lane(self, now: float) -> _Lane | None:
        """Return the lane whose first entry is next; None when all must wait."""
        finals: list[tuple[float, _Lane, _HeldFinal]] = []
        for lane in self._lanes:
            if not lane.entries:
                continue
            entry = lane.entries[0]
            if not isinstance(entry, _HeldFinal):
                return lane
            finals.append((entry.final.start if self._is_file else entry.final.end, lane, entry))
        if not finals:
            return None
        moment, lane, entry = min(finals, key=lambda item: item[0])
        others = [other for other in self._lanes if other is not lane and not other.entries]
        undecided = any(not other.closed and other.decided < moment for other in others)
        return None if undecided and now < entry.until else lane

    def _number(self, final: transcript.Final) -> transcript.Final:
        self._ends_closing = final.reason == "stop"
        seq, self._seq = self._seq, self._seq + 1
        return replace(final, seq=seq, reason=self.end_reason if final.reason == "stop" else final.reason)

    def _empty_last(self) -> transcript.Final:
        """Return a last final that says why the session ended, when what was told last does not.

        In its channel that was followed by an end without words, so there is always an end that was not told.
        """
        unsaid = [lane.unsaid for lane in self._lanes if lane.unsaid is not None]
        return self._number(max(unsaid, key=lambda final: final.end))
