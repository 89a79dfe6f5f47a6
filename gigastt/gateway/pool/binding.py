"""Track: one channel's audio on its way through any number of workers.

A core without I/O: samples and worker messages go in, messages to send and results come out. Owned by the
pool and a session, on the event loop. A track is bound to one worker at a time, each time under a fresh
stream id; when that worker dies, the next binding begins at the last commit and gets the same samples again.

Deaths. A worker that crashes has named the samples it was looking at. Two crashes over the same samples of a track,
without a commit between them, convict that audio: it is skipped, and declared. Between them the track shares no pass
with others, so that only the guilty is named twice. A kill from outside is no evidence.

Flushes. When the client ends its utterance, the worker's stream ends and another begins: two recordings, with the times
of one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from gigastt import transcript
from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.errors import ProtocolViolation
from gigastt.gateway.pool.events import TrackCheckpoint
from gigastt.gateway.pool.sources import START_STEP, FileSource, LiveSource, credit
from gigastt.ipc.messages import (
    Audio,
    Cancel,
    Closed,
    Failed,
    FinalMessage,
    Finish,
    Found,
    OpenStream,
    PartialMessage,
    Preview,
    Progress,
    Recognised,
    StreamId,
    ToWorker,
)

TrackMessage: TypeAlias = Progress | PartialMessage | FinalMessage | Found | Recognised | Failed | Closed

# 20 ms: smaller pieces wait for more, or a client that sends single bytes would make a packet of each sample.
LEAST_PACKET_SAMPLES = SAMPLE_RATE // 50
MOST_PACKET_SAMPLES = SAMPLE_RATE  # so that a replay lets other streams' packets through


@dataclass(frozen=True, slots=True)
class Span:
    """Samples `start` to `end`."""

    start: int
    end: int

    def overlaps(self, other: Span) -> bool:
        """Whether some sample is in both."""
        return self.start < other.end and other.start < self.end


class Track:
    """One channel's audio, its flow control and its replay."""

    def __init__(
        self,
        source: LiveSource | FileSource,
        options: transcript.Options,
        request_id: str,
        channel: int = 0,
        checkpoint: TrackCheckpoint | None = None,
    ) -> None:
        """Args:
        source: its samples, from the commit of `checkpoint` on if there is one.
        options: how they are recognised.
        request_id: under which its traces are found in logs.
        channel: of its session.
        checkpoint: where another track left off, which this one continues.
        """
        self.source = source
        self.channel = channel
        self.request_id = request_id
        self.finishing = isinstance(source, FileSource)  # no more audio will come
        self.done = False  # the last final has arrived
        begin = checkpoint or TrackCheckpoint(0, 0, 0, b"")
        self.committed = begin.committed
        self.consumed = begin.committed
        self.open_utterance = False  # a partial was shown, and its final was not
        self._options = options
        self._resume = begin.state
        self._silent_until = begin.silent_until
        self._stream: StreamId | None = None
        self._sent = begin.committed
        self._analysed = begin.analysed  # the furthest any binding has consumed
        self._finish_sent = False
        self._promised: list[str] = []  # stable words shown of the open utterance
        self._flushes: deque[int] = deque()  # samples before which streams end and behind which others begin
        self._preview: Literal["no", "wanted", "asked"] = "no"
        self._fatal: Span | None = None  # samples over which a worker crashed since the last commit

    # -- the client's side

    @property
    def room(self) -> int:
        """Samples that may be accepted now; those that were analysed once need no room, as they are sent at once."""
        consumed = max(self.consumed, self._analysed)
        return credit(end=self.source.end, consumed=consumed, committed=self.committed)

    @property
    def checkpoint(self) -> TrackCheckpoint:
        """The state from which another track can go on."""
        return TrackCheckpoint(self.committed, self._analysed, self._silent_until, self._resume)

    @property
    def lag(self) -> int:
        """Samples accepted from a client and not analysed; a file lags behind nobody."""
        return self.source.end - self.consumed if isinstance(self.source, LiveSource) else 0

    @property
    def uncommitted(self) -> int:
        """Samples that a replay would have to send again."""
        return self.source.end - self.committed

    def push(self, pcm: bytes) -> None:
        """Accept the next PCM of a live track; at most `room`, and none after `finish`."""
        assert isinstance(self.source, LiveSource)
        assert not self.finishing
        self.source.append(pcm)
        if self.source.end - len(pcm) // 2 < self._silent_until:
            self.source.silence(self._silent_until)
        self._preview = "no"

    def flush(self) -> None:
        """End the utterance with the audio so far; more may come."""
        self._flushes.append(self.source.end)
        self._preview = "no"

    def preview(self) -> None:
        """Show what the final would be if no more audio came; void when some does."""
        if not self.finishing and not self._flushes:
            self._preview = "wanted"

    def finish(self) -> None:
        """No more audio will come."""
        self.finishing = True

    # -- the worker's side

    @property
    def is_bound(self) -> bool:
        """Whether a worker has it. After a flush none has, until it is bound again."""
        return self._stream is not None

    def bind(self, stream: StreamId) -> ToWorker:
        """Begin at the last commit, on another worker; return the first message."""
        assert self._stream is None
        self._stream = stream
        self._sent = self.consumed = self.committed
        self._finish_sent = isinstance(self.source, FileSource)
        if self._preview == "asked":
            self._preview = "wanted"
        opening = self.source.open(stream, self.committed, self._resume, self._options, self.request_id)
        return replace(opening, alone=self._fatal is not None) if isinstance(opening, OpenStream) else opening

    def outgoing(self) -> ToWorker | None:
        """Return the next message that may be sent now, or None; call again until None."""
        stream, source = self._stream, self.source
        if stream is None or self._finish_sent or isinstance(source, FileSource):
            return None
        ending = self.finishing or bool(self._flushes)
        complete = ending or self._preview == "wanted"
        waiting = self._stream_end - self._sent
        if waiting < LEAST_PACKET_SAMPLES and not complete:
            return None
        # What was analysed once comes without credit: a worker that resumes consumes nothing until it has all the
        # audio that its resume state already knows.
        consumed = max(self.consumed, self._analysed)
        allowed = min(waiting, credit(end=self._sent, consumed=consumed, committed=self.committed))
        if allowed >= LEAST_PACKET_SAMPLES or (allowed and complete):
            count = min(allowed, MOST_PACKET_SAMPLES)
            pcm = source.read(self._sent, self._sent + count)
            self._sent += count
            return Audio(stream, pcm)
        if ending and not waiting:
            self._finish_sent = True
            return Finish(stream)
        if complete and not waiting:
            self._preview = "asked"
            return Preview(stream)
        return None

    @property
    def _stream_end(self) -> int:
        """The end of the worker's stream: a flush, or the samples so far."""
        return self._flushes[0] if self._flushes else self.source.end

    def receive(self, message: TrackMessage) -> Sequence[TrackMessage | Span]:
        """Take a message of the current binding; return what is news for the session.

        Raises:
            ProtocolViolation: its counts or its order are impossible.
        """
        match message:
            case Progress():
                self._advance(message)
            case PartialMessage():
                return self._show(message)
            case FinalMessage():
                is_last = message.final.reason == "stop"
                if is_last and not self._finish_sent:
                    raise ProtocolViolation("Expected no last final before the end of the audio.")
                self._advance(message)
                self._end_utterance()
                if is_last and self._flushes:
                    self._begin_anew(self._flushes.popleft())
                    return [replace(message, final=replace(message.final, reason="flush"))]
                self.done = is_last
            case Closed():
                return self._refused(message.stream)
            case Failed():
                pass
            case Found() | Recognised():
                raise ProtocolViolation("Expected utterances to be found in files only.")
        return [message]

    def release(self) -> ToWorker | None:
        """Leave the worker on purpose; return what to tell it."""
        stream, self._stream = self._stream, None
        return None if stream is None or self.done else Cancel(stream)

    # -- deaths

    def lose(self, touched: Span | None) -> Span | None:
        """The worker died; return the samples that are guilty of it, if that is certain now.

        Args:
            touched: the samples of this track that it was looking at when it crashed; None if it was not, or was
                killed from outside.
        """
        self._stream = None
        before, self._fatal = self._fatal, touched or self._fatal
        if touched is None or before is None or not before.overlaps(touched):
            return None
        end = max(min(before.end, touched.end), self.committed + START_STEP)
        return Span(self.committed, self.source.lost_until(min(end, self._stream_end)))

    def skip(self, guilty: Span) -> Sequence[TrackMessage | Span]:
        """Give up audio that kills workers; the next binding begins behind it and knows nothing of it.

        Returns:
            The news for the session.
        """
        assert self._stream is None
        self.committed = self.consumed = self.source.skip(guilty.end)
        self._silent_until = guilty.end
        self._resume, self._fatal = b"", None
        self._end_utterance()
        return [guilty]

    # -- messages

    def _begin_anew(self, start: int) -> None:
        """A stream has ended at a flush: what follows is for the next one, which knows nothing of what was before."""
        self._stream = None
        self._resume = b""
        self.committed = self.consumed = self.source.skip(start)
        self._silent_until = start
        self._fatal = None

    def _advance(self, news: Progress | FinalMessage | Found) -> None:
        limit = self.source.end if isinstance(self.source, FileSource) else self._sent
        if not (self.committed <= news.committed <= news.consumed and self.consumed <= news.consumed <= limit):
            raise ProtocolViolation(
                f"Expected commit {self.committed} ... and consumption {self.consumed} ... {limit}, "
                f"but got {news.committed} and {news.consumed}."
            )
        self.consumed = news.consumed
        self._analysed = max(self._analysed, news.consumed)
        # A worker repeats a commit in its progress without the state that belongs to it.
        if not isinstance(news, Progress) or news.committed > self.committed:
            self._resume = news.resume
        if news.committed > self.committed:
            self.committed = news.committed
            if not self._flushes:  # else a stream may begin a little before where this one ends
                self.source.trim(news.committed)
            self._fatal = None

    def _show(self, message: PartialMessage) -> list[TrackMessage]:
        """Let a partial through unless it would change words that were promised not to change.

        After a replay the new worker's first partials may be shorter than what the client has seen.
        """
        partial = message.partial
        if partial.as_final:
            return self._show_preview(message)
        promised = len(self._promised)
        texts = [word.text for word in partial.words]
        if texts[:promised] != self._promised:
            return []
        stable = max(partial.stable, promised)
        self._promised = texts[:stable]
        self.open_utterance = True
        return [message if stable == partial.stable else replace(message, partial=replace(partial, stable=stable))]

    def _show_preview(self, message: PartialMessage) -> list[TrackMessage]:
        """Let a preview through if it is still true; like a final it may differ from words that were promised."""
        if self._preview != "asked" or not (message.partial.words or self.open_utterance):
            return []
        self._preview = "no"
        self.open_utterance = True
        texts = [word.text for word in message.partial.words]
        stable = len(self._promised) if texts[: len(self._promised)] == self._promised else 0
        return [replace(message, partial=replace(message.partial, stable=stable))]

    def _end_utterance(self) -> None:
        self._promised = []
        self.open_utterance = False

    def _refused(self, stream: StreamId) -> list[TrackMessage]:
        """A worker closed the stream without its last final: declare the rest and end it here."""
        self.done = True
        start, end = self.committed / SAMPLE_RATE, self.source.end / SAMPLE_RATE
        last = transcript.Final("", (), end, end, 0.0, "stop")
        return [
            Failed(stream, transcript.Gap("inference_error", start, end)),
            FinalMessage(stream, last, self.source.end, self.source.end, b""),
        ]
