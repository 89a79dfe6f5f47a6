"""Intake: a live client's bytes become samples of its session.

Decodes and resamples (statefully, once), or leaves alone what is as it should be, and holds the client to its speed.
Runs in the connection's task; one per session. Waits where the session has no room, so the connection reads no
further.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gigastt.audio.pcm import SAMPLE_RATE, PcmDecoder, Samples
from gigastt.audio.resample import Resampler
from gigastt.gateway.configure import ClientOptions
from gigastt.gateway.flow import Pace
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.session import Session

_PIECE_BYTES = 64 * 1024  # so that one large frame does not hold up the loop


class Intake:
    """The way of the audio from a connection to its session."""

    def __init__(self, session: Session, options: ClientOptions, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._session = session
        self._metrics = metrics
        self._clock = clock
        self._decoder = PcmDecoder(options.encoding, options.channels)
        self._as_it_is = options.encoding == "pcm_s16le" and options.sample_rate == SAMPLE_RATE
        self._resamplers = [Resampler(options.sample_rate) for _ in range(options.channels)]
        self._rate = options.sample_rate
        self._pace = Pace(clock())
        self._whole = True  # everything decoded so far was accepted

    async def feed(self, data: bytes) -> None:
        """Accept the bytes of one frame. Cancelled, it leaves off in the middle; then only `finish` may follow."""
        self._whole = False
        for begin in range(0, len(data), _PIECE_BYTES):
            piece = data[begin : begin + _PIECE_BYTES]
            pcm = self._decoder.push_int16(piece) if self._as_it_is else self._decoder.push(piece)
            delay = self._pace.delay(pcm.shape[1] / self._rate, self._clock())
            if delay or begin:  # between the pieces of a large frame others have their turn
                await asyncio.sleep(delay)
            for channel, resampler in enumerate(self._resamplers):
                await self._accept(channel, pcm[channel] if self._as_it_is else resampler.push(pcm[channel]))
        self._whole = True

    async def flush(self) -> None:
        """Accept what the resamplers hold back: the end of the audio."""
        if not self._whole:
            return
        for channel, resampler in enumerate(self._resamplers):
            await self._accept(channel, resampler.flush())

    async def _accept(self, channel: int, samples: Samples) -> None:
        await self._session.send(channel, samples)
        self._metrics.audio_seconds.inc(len(samples) / SAMPLE_RATE)
