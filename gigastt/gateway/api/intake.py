"""Intake: a live client's bytes become samples of its session.

Decodes and resamples (statefully, once), or leaves alone what is as it should be, and holds the client to its speed.
Runs in the connection's task; one per session. Waits where the session has no room, so the connection reads no
further.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gigastt.audio.pcm import SAMPLE_RATE, PcmDecoder, to_bytes
from gigastt.audio.resample import Resampler
from gigastt.gateway.api.dialect import Configuration
from gigastt.gateway.pool.flow import Pace
from gigastt.gateway.pool.session import Session

_PIECE_BYTES = 64 * 1024  # so that one large frame does not hold up the loop


class Intake:
    """The way of the audio from a connection to its session."""

    def __init__(self, session: Session, configuration: Configuration, clock: Callable[[], float]) -> None:
        self._session = session
        self._configuration = configuration
        self._clock = clock
        self._decoder = PcmDecoder(configuration.encoding, configuration.channels)
        self._as_it_is = configuration.encoding == "pcm_s16le" and configuration.sample_rate == SAMPLE_RATE
        self._resamplers = self._begin_resampling()
        self._bytes_per_second = configuration.bytes_per_second
        self._pace = Pace(clock())
        self._next_at = 0.0  # when the client's pace allows more
        self._whole = True  # everything decoded so far was accepted

    async def feed(self, data: bytes) -> None:
        """Accept the bytes of one frame. Cancelled, it leaves off in the middle; then only `finish` may follow."""
        self._whole = False
        for begin in range(0, len(data), _PIECE_BYTES):
            delay = max(0.0, self._next_at - self._clock())
            if delay or begin:  # between the pieces of a large frame others have their turn
                await asyncio.sleep(delay)
            for channel, pcm in enumerate(self._decode(data[begin : begin + _PIECE_BYTES], self._clock())):
                await self._session.send(channel, pcm)
        self._whole = True

    def feed_at_once(self, data: bytes, now: float) -> bool:
        """Accept the bytes of one frame if that has to wait for nothing; return whether they were accepted."""
        if (
            not self._whole
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
        if not self._whole:
            return
        resamplers, self._resamplers = self._resamplers, self._begin_resampling()
        for channel, resampler in enumerate(resamplers):
            await self._session.send(channel, to_bytes(resampler.flush()))

    def _begin_resampling(self) -> list[Resampler]:
        return [Resampler(self._configuration.sample_rate) for _ in range(self._configuration.channels)]

    def _decode(self, data: bytes, now: float) -> list[bytes]:
        """Return the PCM of each channel, and note when more may come."""
        self._next_at = now + self._pace.delay(len(data) / self._bytes_per_second, now)
        if self._as_it_is:
            return self._decoder.push_int16(data)
        return [to_bytes(r.push(w)) for r, w in zip(self._resamplers, self._decoder.push(data), strict=True)]
