"""Dispatch: which worker recognises which utterance of which file.

Owned by the router, on the event loop; awaits nothing and has no clock. Each worker has at most two utterances in hand,
so that it never waits for the next one, and a worker that is busy with live speech takes as many as it gets done; where
a pass holds many, it has two passes' worth. Files
take turns, those in the background when no other has anything to hand out. While somebody speaks to a worker, it gets
none that another could take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gigastt.gateway.pool.binding import Span, TrackMessage
from gigastt.gateway.pool.reading import FileReading, Portion
from gigastt.ipc.messages import Cancel, Failed, Recognised, StreamId, ToWorker

IN_HAND = 2  # utterances, for each window of full length that a pass of the worker holds
# Utterances of a file, likewise, that are found before they are recognised; with half as many, workers waited for the
# one that finds for a tenth of their time, on a busy machine.
AHEAD = 4 * IN_HAND


class Hand(Protocol):
    """A worker, as far as it is handed utterances."""

    @property
    def writable(self) -> bool: ...

    def send(self, message: ToWorker) -> None: ...


Worker = TypeVar("Worker", bound=Hand)


@dataclass(frozen=True, slots=True)
class FileNews:
    """News of a file that may be told now."""

    reading: FileReading
    news: list[TrackMessage | Span]


class Dispatcher(Generic[Worker]):
    """The utterances that workers have in hand.

    Args:
        ids: names for what is sent to workers, shared with other senders.
        is_spoken_to: whether somebody speaks to a worker now.
    """

    def __init__(self, ids: Iterator[int], is_spoken_to: Callable[[Worker], bool]) -> None:
        self._ids = ids
        self._is_spoken_to = is_spoken_to
        self._hands: dict[Worker, dict[StreamId, tuple[FileReading, Portion]]] = {}
        self._widths: dict[Worker, int] = {}
        self._readings: deque[FileReading] = deque()  # in the order of their turns

    @property
    def width(self) -> int:
        """Windows of full length that passes of all workers hold together."""
        return sum(self._widths.values())

    @property
    def ahead(self) -> int:
        """How many utterances of a file may be found and not be recognised."""
        return AHEAD * max(1, self.width)

    def open(self, reading: FileReading) -> None:
        """Take a file."""
        self._readings.append(reading)

    def close(self, reading: FileReading) -> None:
        """Forget a file."""
        self._readings.remove(reading)
        for worker, hand in self._hands.items():
            for stream in [stream for stream, (whose, _) in hand.items() if whose is reading]:
                worker.send(Cancel(stream))
                del hand[stream]
        self.dispatch()

    def add(self, worker: Worker, width: int) -> None:
        """A worker is ready, whose passes hold so many windows of full length."""
        self._hands[worker], self._widths[worker] = {}, width
        self.dispatch()

    def remove(self, worker: Worker, touched: Iterable[StreamId]) -> list[FileNews]:
        """A worker is gone: take back what it had. Dispatch when the results are told.

        Args:
            touched: what it was looking at when it crashed.
        """
        guilty = set(touched)
        self._widths.pop(worker, None)
        return [
            FileNews(reading, reading.give_back(portion, crashed=stream in guilty))
            for stream, (reading, portion) in self._hands.pop(worker, {}).items()
        ]

    def receive(self, worker: Worker, stream: StreamId, message: TrackMessage) -> FileNews | None:
        """Take what a worker says of an utterance; None where it has none of that name. Dispatch afterwards."""
        hand = self._hands.get(worker, {})
        if stream not in hand or not isinstance(message, Recognised | Failed):
            return None
        reading, portion = hand[stream]
        if isinstance(message, Recognised):
            del hand[stream]
        return FileNews(reading, reading.accept(portion, message))

    def dispatch(self) -> None:
        """Hand out utterances to the workers that have room."""
        if not self._readings:
            return
        quiet = [worker for worker in self._hands if not self._is_spoken_to(worker)]
        for worker in sorted(quiet or self._hands, key=lambda worker: len(self._hands[worker])):
            hand = self._hands[worker]
            while len(hand) < IN_HAND * self._widths[worker] and worker.writable:
                taken = self._take()
                if taken is None:
                    return
                reading, portion = taken
                stream = StreamId(next(self._ids))
                hand[stream] = taken
                worker.send(reading.request(portion, stream))

    def _take(self) -> tuple[FileReading, Portion] | None:
        """Return the next utterance of the file whose turn it is."""
        for reading in sorted(self._readings, key=lambda reading: reading.is_background):  # else in order of turns
            if (portion := reading.take()) is not None:
                self._readings.remove(reading)
                self._readings.append(reading)
                return reading, portion
        return None
