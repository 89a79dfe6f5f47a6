"""Reading: a file's track, whose utterances are recognised by any workers and told in order.

A core without I/O. One worker's stream finds the utterances; the dispatcher hands them out; they are told in the order
in which they lie in the file, and with each the commit that belongs to it. When the worker of the stream dies, another
goes on finding from the last utterance found; those that were found stay. An utterance over which two workers have
crashed is given up, and declared.

    found, in order:   told │ recognised │ out │ recognised │ out │ waiting │ waiting │ still to be found
                            └── what is told next            └── kept until those before it are told
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gigastt import transcript
from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.gateway.pool.binding import Span, Track, TrackMessage
from gigastt.gateway.pool.sources import FileSource
from gigastt.ipc.messages import (
    AttachAudio,
    Excerpt,
    Failed,
    FinalMessage,
    Found,
    Proceed,
    Progress,
    Recognise,
    Recognised,
    StreamId,
    ToWorker,
)
from gigastt.transcript import Options

_FRAME_SAMPLES = SAMPLE_RATE // 100
CRASHES = 2  # over one utterance, until it is given up


@dataclass(slots=True, eq=False)
class Portion:
    """An utterance that was found, or anything else that is told in its turn.

    found: the utterance; None where there is nothing to recognise.
    news: what is to be told; complete once it `is_known`.
    is_out: a worker has it.
    crashes: of workers that looked at it.
    """

    found: Found | None = None
    news: Sequence[TrackMessage | Span] = ()
    is_known: bool = False
    is_out: bool = False
    crashes: int = 0

    @property
    def excerpt(self) -> Excerpt:
        assert self.found is not None, "only utterances are handed out"
        return self.found.excerpt


class FileReading(Track):
    """The track of a whole file.

    ahead: how many utterances may be found and not be recognised.
    """

    def __init__(self, source: FileSource, options: Options, request_id: str, channel: int = 0) -> None:
        super().__init__(source, options, request_id, channel)
        self.ahead = 1
        self.is_background = source.is_background
        self.committed = self.consumed = source.first_start
        self._resume = source.first_resume
        self._file = source
        self._portions: deque[Portion] = deque()
        self._allowed = 0  # utterances that the stream may find, and has not been told of

    # -- the worker that finds

    def bind(self, stream: StreamId) -> ToWorker:
        opening = super().bind(stream)
        assert isinstance(opening, AttachAudio)
        self._allowed = 0
        unknown = sum(not portion.is_known for portion in self._portions)
        return replace(opening, ahead=self.ahead - unknown)

    def outgoing(self) -> ToWorker | None:
        if self._stream is None or not self._allowed:
            return None
        self._allowed -= 1
        return Proceed(self._stream)

    def receive(self, message: TrackMessage) -> Sequence[TrackMessage | Span]:
        if isinstance(message, Found):
            self._advance(message)
            self.done = message.excerpt.final.reason == "stop"
            self._portions.append(Portion(message))
        elif not isinstance(message, Progress):
            self._portions.append(Portion(news=super().receive(message), is_known=True))
        else:
            news = super().receive(message)
            return [] if self._portions else news  # what lies before it is not told yet
        return self._take_known()

    def skip(self, guilty: Span) -> list[TrackMessage | Span]:
        self._portions.append(Portion(news=super().skip(guilty), is_known=True))
        return self._take_known()

    # -- the workers that recognise

    def take(self) -> Portion | None:
        """Return the next utterance that nobody has, and count it as handed out."""
        for portion in self._portions:
            if not (portion.is_known or portion.is_out):
                portion.is_out = True
                return portion
        return None

    def request(self, portion: Portion, stream: StreamId) -> Recognise:
        """Return what asks a worker for it."""
        excerpt, alone = portion.excerpt, portion.crashes > 0
        return Recognise(stream, self._file.segment, self._file.end, excerpt, self._options, alone)

    def accept(self, portion: Portion, message: Recognised | Failed) -> list[TrackMessage | Span]:
        """Take what a worker says of an utterance; return what may be told now."""
        if isinstance(message, Failed):
            portion.news = [message]
            return []
        return self._decide(portion, message.final)

    def give_back(self, portion: Portion, *, crashed: bool) -> list[TrackMessage | Span]:
        """A worker that had an utterance is gone; return what may be told now, if it is given up.

        Args:
            crashed: whether it looked at this utterance when it crashed.
        """
        portion.is_out = False
        portion.news = ()
        portion.crashes += crashed
        if portion.crashes < CRASHES:
            return []
        excerpt = portion.excerpt
        end = min(excerpt.last_frame * _FRAME_SAMPLES, self._file.end)
        portion.news = [Span(excerpt.first_frame * _FRAME_SAMPLES, end)]
        return self._decide(portion, excerpt.final)

    def _decide(self, portion: Portion, final: transcript.Final) -> list[TrackMessage | Span]:
        found = portion.found
        assert found is not None, "only utterances are handed out"
        portion.news = [*portion.news, FinalMessage(found.stream, final, found.consumed, found.committed, found.resume)]
        portion.is_known = True
        self._allowed += 1
        return self._take_known()

    def _take_known(self) -> list[TrackMessage | Span]:
        news: list[TrackMessage | Span] = []
        while self._portions and self._portions[0].is_known:
            news += self._portions.popleft().news
        return news
