"""The segmenter: activity levels in, cuts out.

Owns the rule by which a stream becomes utterances. Pure: one level of 0 to 255 per block of 40 ms, in order,
decides everything, so the same audio is cut at the same places however it arrived. Positions are blocks, counted
from the client's first sample.

    levels   ▁▁▁▁▁▁▁▁▁▁▁▁▁▆▇▇▇▅▇▇▇▇▆▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
                     │◄pre─►│◄──speech─►│◄tail►│      │
                     first                    last    endpoint: the cut is made here
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal, TypeAlias

BLOCK_MS = 40
FULL_LEVEL = 255  # probability 1
ON_LEVEL = 102  # speech begins at probability 0.4
OFF_LEVEL = 51  # and ends below 0.2
SURE_LEVEL = 200  # what never reaches probability 0.78 is no speech: speech is above it most of the time
CLEAR_LEVEL = 253  # speech reaches probability 0.992 somewhere, most music nowhere,
CLEAR_MEAN = 0.6  # and its mean is above this, even in noise of 5 dB
EARLY_MEAN = 0.5  # all that is asked in the first second: the detector has no measure of the room yet
PRE_ROLL_BLOCKS = 6  # 240 ms before the onset
TAIL_BLOCKS = 8  # 320 ms after the last speech
ROOM_BLOCKS = 4  # 160 ms: what the recogniser needs before the onset, or it loses the first word
LEAD_BLOCKS = 25  # an onset in the first second of a stream reaches back to its beginning
MAX_BLOCKS = 500  # 20 s
SHORTEST_FORCED_BLOCKS = 250  # a forced cut leaves at least 10 s
DIP_BLOCKS = 6  # a pause is weighed over 240 ms
BREATH_BLOCKS = 5  # 200 ms without speech: the detector still hears the speaker's pauses
DENSE_BLOCKS = 150  # after 6 s without a breath the recogniser is asked whether anyone still speaks
CHECK_BLOCKS = 50  # and again every 2 s
DOUBT_BLOCKS = 10  # it must have heard nothing for 400 ms longer than the endpoint silence
CHECK_CONTEXT_BLOCKS = 75  # and is shown 3 s more
LAST_WORD_BLOCKS = 13  # 520 ms: a token may come so long before its word ends

Reason: TypeAlias = Literal["silence", "max_duration", "stop"]

_STATE = struct.Struct("<qqqqqBHH")
_CLOSED = -1


@dataclass(frozen=True, slots=True)
class Activity:
    """How sure the detector is of an utterance, from its onset to its last speech.

    mean: probability, 0 to 1.
    peak: the highest level, 0 to 255.
    is_early: whether it began in the first second of the stream.
    """

    mean: float
    peak: int
    is_early: bool = False

    @property
    def is_speech(self) -> bool:
        """Whether it is worth a pass at all."""
        return self.peak >= SURE_LEVEL

    @property
    def is_clear(self) -> bool:
        """Whether the detector has no doubt: it is worth a pass before it has ended, and its words are believed."""
        if self.is_early:
            return self.is_speech and self.mean >= EARLY_MEAN
        return self.peak >= CLEAR_LEVEL and self.mean >= CLEAR_MEAN


@dataclass(frozen=True, slots=True)
class Cut:
    """One utterance: blocks `first` to before `last`.

    padding: blocks that its tail lacks, because the stream or a short endpoint ended it early.
    activity: what the detector made of it.
    lead: blocks that it lacks before its onset, because the stream or the utterance before left it less than it needs.
    """

    first: int
    last: int
    padding: int
    reason: Reason
    activity: Activity
    lead: int = 0


class Segmenter:
    """Cut one stream into utterances.

    Args:
        endpoint_silence_ms: silence that ends an utterance.
        position: the first block that will be pushed.
    """

    def __init__(self, endpoint_silence_ms: int, position: int = 0) -> None:
        self._endpoint = max(1, round(endpoint_silence_ms / BLOCK_MS))
        self._position = position
        self._floor = position  # no utterance begins before this block
        self._reach = LEAD_BLOCKS  # how far an utterance may begin before its onset
        self._start = _CLOSED
        self._speech_end = position
        self._speech = False
        self._levels = bytearray()  # of the open utterance
        self._quiet = 0  # blocks without speech, up to this one
        self._check_at = position  # where the recogniser is asked next

    @property
    def position(self) -> int:
        """The next block."""
        return self._position

    @property
    def is_open(self) -> bool:
        """Whether an utterance has begun and not been cut."""
        return self._start != _CLOSED

    @property
    def needed_from(self) -> int:
        """The first block that an utterance still to be cut may begin with."""
        if self.is_open:
            return self._start
        return max(self._floor, self._position - self._reach)

    @property
    def tail_end(self) -> int | None:
        """The last block plus one of the open utterance if silence goes on; None before its tail is complete."""
        end = self._speech_end + min(TAIL_BLOCKS, self._endpoint)
        return end if self.is_open and self._position >= end else None

    @property
    def lead(self) -> int:
        """Blocks that the open utterance lacks before its onset."""
        return max(0, ROOM_BLOCKS - (len(self._levels) - len(self._levels.lstrip(b"\0"))))

    @property
    def activity(self) -> Activity:
        """The detector's view of the open utterance so far."""
        return self._measure(self._speech_end) if self.is_open else measure_activity(b"")

    @property
    def check_from(self) -> int | None:
        """The first block of the window that the recogniser is asked about now; None when it is not asked.

        In babble and music the detector never hears a pause. Answer with `accept_check` before the next block.
        """
        if not self.is_open or self._position != self._check_at:
            return None
        return max(self._start, self._position - self._endpoint - DOUBT_BLOCKS - CHECK_CONTEXT_BLOCKS)

    def accept_check(self, last_word: int | None) -> Cut | None:
        """Take the recogniser's answer; return the utterance it ends, if any.

        Args:
            last_word: the block after the last spoken token in the window; None if there was none.
        """
        if last_word is None:
            last = self._position - PRE_ROLL_BLOCKS
        else:
            last = last_word + LAST_WORD_BLOCKS
            silent, needed = self._position - last_word, self._endpoint + DOUBT_BLOCKS
            if silent < needed:  # ask when this silence would be long enough, if it is one
                self._check_at = self._position + (needed - silent if silent >= DOUBT_BLOCKS else CHECK_BLOCKS)
                return None
        return self._cut(min(last, self._position), 0, "silence")

    def push(self, level: int) -> Cut | None:
        """Take the level of the next block; return the utterance it ends, if any."""
        block = self._position
        self._position = block + 1
        self._speech = level >= (OFF_LEVEL if self._speech else ON_LEVEL)
        if not self.is_open:
            if self._speech:
                self._begin(block)
            elif self._reach > PRE_ROLL_BLOCKS and self._position - self._floor >= LEAD_BLOCKS:
                self._reach = PRE_ROLL_BLOCKS
        if not self.is_open:
            return None
        self._levels.append(level)
        self._quiet = 0 if self._speech else self._quiet + 1
        if self._quiet >= BREATH_BLOCKS:
            self._check_at = self._position + DENSE_BLOCKS
        if self._speech:
            self._speech_end = self._position
        elif self._position - self._speech_end >= self._endpoint:
            return self._end("silence")
        if self._position - self._start >= MAX_BLOCKS:
            return self._force()
        return None

    def finish(self) -> Cut:
        """End the stream; the last utterance may be empty (`first == last`)."""
        if not self.is_open:
            return Cut(self._position, self._position, 0, "stop", measure_activity(b""))
        return self._end("stop")

    def get_state(self) -> bytes:
        """Return everything that decides about the blocks to come."""
        head = _STATE.pack(
            self._position,
            self._floor,
            self._start,
            self._speech_end,
            self._check_at,
            self._speech,
            self._reach,
            self._quiet,
        )
        return head + bytes(self._levels)

    def set_state(self, state: bytes) -> None:
        """Continue from a state of `get_state`.

        Raises:
            ValueError: not such a state.
        """
        if len(state) < _STATE.size:
            raise ValueError(f"Expected at least {_STATE.size} bytes of segmenter state, but got {len(state)}.")
        position, floor, start, speech_end, check_at, speech, reach, quiet = _STATE.unpack_from(state)
        levels = state[_STATE.size :]
        closed = start == _CLOSED and not levels
        opened = 0 <= floor <= start <= speech_end <= position and position - start == len(levels) < MAX_BLOCKS
        if (
            not (closed or opened)
            or not 0 <= floor <= position
            or speech > 1
            or reach not in (PRE_ROLL_BLOCKS, LEAD_BLOCKS)
        ):
            raise ValueError("Expected a consistent segmenter state.")
        self._position, self._floor, self._start, self._speech_end = position, floor, start, speech_end
        self._speech, self._reach, self._levels = bool(speech), reach, bytearray(levels)
        self._check_at, self._quiet = check_at, quiet

    def _begin(self, block: int) -> None:
        self._start = max(self._floor, block - self._reach)
        self._levels = bytearray(block - self._start)
        self._check_at = block + DENSE_BLOCKS
        self._quiet = 0

    def _end(self, reason: Reason) -> Cut:
        tail_end = self._speech_end + TAIL_BLOCKS
        return self._cut(min(self._position, tail_end), max(0, tail_end - self._position), reason)

    def _cut(self, last: int, padding: int, reason: Reason) -> Cut:
        activity = self._measure(min(last, self._speech_end))
        cut = Cut(self._start, last, padding, reason, activity, self.lead)
        self._close(last)
        return cut

    def _measure(self, end: int) -> Activity:
        """Weigh the open utterance up to a block."""
        return measure_activity(self._levels[: end - self._start], is_early=self._reach > PRE_ROLL_BLOCKS)

    def _close(self, floor: int) -> None:
        self._floor = floor
        self._reach = PRE_ROLL_BLOCKS
        self._start = _CLOSED
        self._levels = bytearray()

    def _force(self) -> Cut:
        """Cut at the best pause; what follows it begins the next utterance, if it holds speech."""
        start, pause = self._start, best_pause(self._levels)
        rest = self._levels[pause:]
        cut = self._cut(start + pause, 0, "max_duration")
        if self._speech or any(level >= ON_LEVEL for level in rest):
            self._start = start + pause
            self._levels = rest
            self._speech_end = max(self._speech_end, self._start)
            self._check_at = self._position + CHECK_BLOCKS
        return cut


def measure_activity(levels: bytes | bytearray, *, is_early: bool = False) -> Activity:
    """Weigh the levels of an utterance; the zeros of its pre-roll do not count."""
    heard = levels.lstrip(b"\0")
    mean = sum(heard) / len(heard) / FULL_LEVEL if heard else 0.0
    return Activity(mean, max(heard, default=0), is_early)


def best_pause(levels: bytes | bytearray) -> int:
    """Return where to cut a long utterance: amid the 240 ms with the lowest levels, the latest of equals."""
    half = DIP_BLOCKS // 2
    places = range(SHORTEST_FORCED_BLOCKS, len(levels) - half + 1)
    return min(reversed(places), key=lambda place: sum(levels[place - half : place + half]))
