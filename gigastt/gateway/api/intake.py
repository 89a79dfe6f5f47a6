"""Intake: a live client's bytes become samples of its session.

Decodes and resamples (statefully, once), or leaves alone what is as it should be, holds the client to its speed, and
knows which of the client's samples a sample of the session is. Runs in the connection's task; one per session, also
where the client comes back on another connection. Waits where the session has no room, so the connection reads no
further.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gigastt.audio.pcm import SAMPLE_RATE, PcmDecoder, sample_bytes, to_bytes
from gigastt.audio.resample import Resampler
from gigastt.gateway.api.dialect import Configuration
from gigastt.gateway.pool.session import Session

_PIECE_BYTES = 64 * 1024  # so that one large frame does not hold up the loop
_PACE_RATIO = 16.0  # a client may send this many times faster than real time ...
_PACE_BURST_SECONDS = 10.0  # ... after this much audio at any speed
_RUN_UP = SAMPLE_RATE // 5  # samples after which nothing is left of where a resampler began


@dataclass(frozen=True, slots=True)
class Position:
    """One moment of the audio, in samples of each channel: at the client's rate, and at the session's."""

    client: int = 0
    session: int = 0


class Pace:
    """A client's speed limit: sixteen times real time after a burst of ten seconds."""

    def __init__(self, now: float) -> None:
        self._due = now  # when all audio so far would have come at this speed

    def delay(self, seconds: float, now: float) -> float:
        """Count `seconds` of audio; return how long to wait before reading more."""
        self._due = max(self._due, now) + seconds / _PACE_RATIO  # time without audio is not saved up
        return max(0.0, self._due - now - _PACE_BURST_SECONDS / _PACE_RATIO)


class Intake:
    """The way of the audio from a connection to its session.

    Args:
        session: gets the samples.
        configuration: what the client sends.
        clock: seconds, of the loop's kind.
        begin: the position of the first audio; its part that the session has already is left out.
    """

    def __init__(
        self, session: Session, configuration: Configuration, clock: Callable[[], float], begin: Position = Position()
    ) -> None:
        self._session = session
        self._configuration = configuration
        self._clock = clock
        self._decoder = PcmDecoder(configuration.encoding, configuration.channels)
        self._as_it_is = configuration.encoding == "pcm_s16le" and configuration.sample_rate == SAMPLE_RATE
        self._resamplers = self._begin_resampling()
        self._bytes_per_second = configuration.bytes_per_second
        self._pace = Pace(clock())
        self._next_at = 0.0  # when the client's pace allows more
        self._begin = self._recording = begin  # where the resamplers were begun
        self._frame_bytes = sample_bytes(configuration.encoding) * configuration.channels
        self._taken_bytes = 0
        self._surplus = [2 * (track.source.end - begin.session) for track in session.tracks]  # bytes left out
        self._rest: deque[tuple[int, bytes]] = deque()  # what was decoded and has not been accepted yet, by channel

    async def feed(self, data: bytes) -> None:
        """Accept the bytes of one frame. Cancelled, it leaves off in the middle; `received` tells where."""
        await self._accept()
        for begin in range(0, len(data), _PIECE_BYTES):
            delay = max(0.0, self._next_at - self._clock())
            if delay or begin:  # between the pieces of a large frame others have their turn
                await asyncio.sleep(delay)
            self._rest.extend(enumerate(self._decode(data[begin : begin + _PIECE_BYTES], self._clock())))
            await self._accept()

    def feed_at_once(self, data: bytes, now: float) -> bool:
        """Accept the bytes of one frame if that has to wait for nothing; return whether they were accepted."""
        if (
            self._rest
            or now < self._next_at
            or len(data) > self._bytes_per_second
            or not self._session.has_room(2 * SAMPLE_RATE)  # a resampler may give up what it held back
        ):
            return False
        for channel, pcm in enumerate(self._decode(data, now)):
            self._session.push(channel, pcm)
        return True

    async def flush(self) -> None:
        """Accept what the resamplers hold back: the end of the audio, or of one recording in it."""
        if self._rest:
            return
        resamplers, self._resamplers = self._resamplers, self._begin_resampling()
        self._rest.extend(enumerate(self._leave_out([to_bytes(r.flush()) for r in resamplers])))
        await self._accept()
        self._recording = Position(self.received, self._session.tracks[0].source.end)

    # -- positions

    @property
    def received(self) -> int:
        """The client's samples that have been taken; half of one counts as none."""
        return self._begin.client + self._taken_bytes // self._frame_bytes

    def drop_rest(self) -> None:
        """Forget half a sample: the client begins its next connection with a whole one."""
        self._taken_bytes -= self._decoder.drop_rest()

    def needed_from(self, committed: int) -> Position | None:
        """Return where a client would have to begin again for a session that goes on at `committed`.

        That is a little earlier where the rate is another, and at samples that both rates have. None if it would be in
        an earlier recording: before a flush, behind which resampling began anew.
        """
        behind = committed - self._recording.session
        if behind < 0:
            return None
        rate = self._configuration.sample_rate
        common = math.gcd(rate, SAMPLE_RATE)
        steps = max(0, behind - (_RUN_UP if rate != SAMPLE_RATE else 0)) // (SAMPLE_RATE // common)
        return Position(
            self._recording.client + steps * (rate // common), self._recording.session + steps * (SAMPLE_RATE // common)
        )

    # -- inside

    async def _accept(self) -> None:
        while self._rest:
            channel, pcm = self._rest.popleft()
            rest = self._session.accept(channel, pcm)
            if rest:
                self._rest.appendleft((channel, rest))
                await self._session.wait_for_room()

    def _begin_resampling(self) -> list[Resampler]:
        return [Resampler(self._configuration.sample_rate) for _ in range(self._configuration.channels)]

    def _decode(self, data: bytes, now: float) -> list[bytes]:
        """Return the PCM of each channel, and note when more may come."""
        self._next_at = now + self._pace.delay(len(data) / self._bytes_per_second, now)
        self._taken_bytes += len(data)
        if self._as_it_is:
            return self._leave_out(self._decoder.push_int16(data))
        return self._leave_out(
            [to_bytes(r.push(w)) for r, w in zip(self._resamplers, self._decoder.push(data), strict=True)]
        )

    def _leave_out(self, decoded: list[bytes]) -> list[bytes]:
        """Return what the session needs of the audio behind a new beginning."""
        if not any(self._surplus):
            return decoded
        left_out = [min(len(pcm), surplus) for pcm, surplus in zip(decoded, self._surplus, strict=True)]
        self._surplus = [surplus - less for surplus, less in zip(self._surplus, left_out, strict=True)]
        return [pcm[less:] for pcm, less in zip(decoded, left_out, strict=True)]
