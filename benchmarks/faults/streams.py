"""Streams: people who speak over a cable that is cut, and what each of them was told."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.playlist import SAMPLE_RATE, Playlist
from examples.python.gigastt_client import ConnectionFailed, Session

CHUNK_SECONDS = 0.1
Told = tuple[Any, ...]


@dataclass(slots=True)
class Record:
    """What one stream was told.

    finals: number, text, start, end and words of each.
    connections: by what happened to them.
    began: when its audio began, by the monotonic clock.
    shown: when each word was shown first, in seconds from then on.
    failure: why the session came to no end; empty if it did.
    """

    finals: list[Told] = field(default_factory=list)
    connections: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    began: float = 0.0
    shown: list[float] = field(default_factory=list)
    most_kept_seconds: float = 0.0
    failure: str = ""

    def show(self, words: int) -> None:
        """Note that so many words are shown behind the finals before."""
        new = len(self.words) + words - len(self.shown)
        self.shown += [time.monotonic() - self.began] * new

    @property
    def words(self) -> list[str]:
        return [word for final in self.finals for word in str(final[1]).split()]


async def speak(url: str, playlist: Playlist, *, speed: float, patience: float = 120.0) -> Record:
    """Stream a playlist `speed` times as fast as it was spoken, over as many connections as it takes."""
    record = Record()
    async with Session(url, sample_rate=SAMPLE_RATE, patience=patience) as session:
        sending = asyncio.create_task(_send(session, playlist, speed, record))
        try:
            async for message in session.events():
                if message["type"] in ("partial", "final"):
                    record.show(len(message["words"]))
                match message["type"]:
                    case "final":
                        words = [(w["word"], w["start"], w["end"], w["confidence"]) for w in message["words"]]
                        record.finals.append((message["seq"], message["text"], message["start"], message["end"], words))
                    case "connection":
                        record.connections[message["state"]] += 1
                    case "error":
                        record.errors.append(message["code"])
            await sending
        except ConnectionFailed as exc:
            record.failure = str(exc)
        finally:
            sending.cancel()
    return record


async def _send(session: Session, playlist: Playlist, speed: float, record: Record) -> None:
    pcm = playlist.samples.astype("<i2").tobytes()
    size = 2 * int(SAMPLE_RATE * CHUNK_SECONDS)
    record.began = began = time.monotonic()
    for index, begin in enumerate(range(0, len(pcm), size)):
        await session.send(pcm[begin : begin + size])
        record.most_kept_seconds = max(record.most_kept_seconds, session.kept_seconds)
        await asyncio.sleep(max(0.0, began + (index + 1) * CHUNK_SECONDS / speed - time.monotonic()))
    await session.stop()


@dataclass(frozen=True, slots=True)
class Difference:
    """How a disturbed stream differs from its control run, in words and in finals."""

    lost: int
    repeated: int
    different_finals: int

    @classmethod
    def between(cls, control: Record, disturbed: Record) -> Difference:
        """Compare two streams of one playlist."""
        expected, found = Counter(control.words), Counter(disturbed.words)
        same = sum(one == other for one, other in zip(control.finals, disturbed.finals, strict=False))
        return cls(
            (expected - found).total(),
            (found - expected).total(),
            max(len(control.finals), len(disturbed.finals)) - same,
        )


def delays(control: Record, disturbed: Record) -> list[float]:
    """Return how much later than undisturbed each word was shown first, in seconds."""
    return [max(0.0, came - expected) for expected, came in zip(control.shown, disturbed.shown, strict=False)]


def delay_behind(control: Record, disturbed: Record, since: float) -> float | None:
    """Return the delay of the first word that came, undisturbed, after a moment of the stream; None: there is none."""
    for expected, came in zip(control.shown, disturbed.shown, strict=False):
        if expected > since:
            return max(0.0, came - expected)
    return None
