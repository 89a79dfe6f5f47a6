"""The conversation with one live client, in any dialect: a state machine without I/O.

Messages and the passing of time go in, effects come out; `shell` carries them out. No clock (`now` is an argument, in
seconds of any monotonic clock), no socket, no audio but its first bytes.

    waiting ──admitted──→ open ──first audio──→ streaming ──stop, idle, cap, drain──→ finishing ──last final──→ closed
       │                   │                         └──── garbage, too large, no PCM ───────┘                    │
       └─ no capacity ─────┴─ refused by the dialect ─────────────────────────────────────────────────────────────┘

Everything a client can do wrong either is answered and the session goes on, or ends it with a last final and a close
code; the table is in `docs/protocol.md`. A notice that changes nothing is sent once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gigastt.errors import CapacityTimeout, QuotaExceeded, RequestError
from gigastt.gateway.api.containers import examine
from gigastt.gateway.api.dialect import (
    Complain,
    Configuration,
    Configure,
    Dialect,
    EndUtterance,
    Message,
    Problem,
    Refuse,
    Reply,
    Request,
    Resume,
    Speech,
    Stop,
)
from gigastt.gateway.pool.events import EndReason
from gigastt.gateway.rate import Rate, take_token

# Frames that mean nothing, at once and a minute: a client that sends one every second for a day, or an empty one for
# every 20 ms of silence, has done nothing worth a close. Audio makes up for all of them.
MOST_EMPTY_FRAMES = 1_000
EMPTY_FRAMES = Rate(60 * 50, MOST_EMPTY_FRAMES)
MOST_GARBAGE_FRAMES = 100
GARBAGE_FRAMES = Rate(60 * 2, MOST_GARBAGE_FRAMES)

PAUSE_GRACE_SECONDS = 0.4  # networks deliver late; beyond the endpoint silence, or the length of the client's frames
LONGEST_FRAME_SECONDS = 2.0  # of a client's cadence; longer frames are of a recording that is sent at once

CLOSE_NORMAL = 1000
CLOSE_GOING_AWAY = 1001
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_UNSUPPORTED_DATA = 1003
CLOSE_POLICY = 1008
CLOSE_TOO_LARGE = 1009
CLOSE_INTERNAL = 1011
CLOSE_SERVICE_RESTART = 1012
CLOSE_TRY_LATER = 1013

State: TypeAlias = Literal["waiting", "open", "streaming", "finishing", "closed"]


@dataclass(frozen=True, slots=True)
class SendReady:
    """Tell the client that it may begin."""


@dataclass(frozen=True, slots=True)
class SendError:
    """Tell the client what went wrong."""

    code: str
    message: str
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FeedAudio:
    """Recognise these bytes, which are in `options`' encoding, and call `audio_taken` when they are accepted."""

    data: bytes


@dataclass(frozen=True, slots=True)
class FinishSession:
    """Take no more audio; when the last final has been sent, close with `close_code`."""

    reason: EndReason
    close_code: int


@dataclass(frozen=True, slots=True)
class Flush:
    """End the utterance here; audio goes on."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close at once, without a last final: there was no audio."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class IgnoredText:
    """A message meant nothing; its length may be logged, never its content."""

    characters: int


Effect: TypeAlias = SendReady | SendError | Reply | Resume | FeedAudio | Flush | FinishSession | Close | IgnoredText


class Conversation:
    """One client's session, from its connection to its close."""

    def __init__(
        self, dialect: Dialect, *, idle_timeout_secs: float, max_session_secs: float, max_frame_bytes: int, now: float
    ) -> None:
        """Begin in `waiting`. For the two times, 0 means no limit."""
        self._dialect = dialect
        self.configuration = dialect.configuration
        self.state: State = "waiting"
        self._idle_secs = idle_timeout_secs or math.inf
        self._max_secs = max_session_secs or math.inf
        self._max_frame_bytes = max_frame_bytes
        self._began = now
        self._heard = now
        self._feeding = False
        self._empty_full_at = self._garbage_full_at = 0.0  # of their buckets
        self._told: set[Problem] = set()
        self._head: bytes | None = b""  # of the audio, until it is known what it is
        self._unsettled = False  # audio has come since the last pause was noticed,
        self._unflushed = False  # or since the last flush
        self._pause_at = math.inf  # when the audio that came last is a pause ago
        self._pause_secs = self._bytes_per_second = 0.0  # of `options`

    # -- capacity

    def admitted(self, now: float) -> list[Effect]:
        """There is a place for the session."""
        self.state = "open"
        self._began = self._heard = now
        return [SendReady()]

    def refused(self, error: RequestError) -> list[Effect]:
        """There is none."""
        code = error.close_code or (CLOSE_TRY_LATER if isinstance(error, CapacityTimeout) else CLOSE_GOING_AWAY)
        return [SendError(error.code, str(error), error.retry_after_ms), *self._close(code, error.code)]

    # -- messages

    def receive(self, message: Message, now: float) -> list[Effect]:
        """Take a message."""
        self._heard = now
        if self.state not in ("open", "streaming"):
            return []
        if len(message) > self._max_frame_bytes:
            return self._finish("error", CLOSE_TOO_LARGE)
        if message == b"":
            self._empty_full_at, wait = take_token(EMPTY_FRAMES, self._empty_full_at, now)
            if wait:
                return self._end_of_patience()
            return [Reply(answer)] if (answer := self._dialect.answer_frame()) else []
        effects: list[Effect] = []
        for request in self._dialect.hear(message, self.configuration if self.state == "open" else None):
            if self.state in ("open", "streaming"):
                effects += self._carry_out(request, now)
        return effects

    @property
    def takes_audio(self) -> bool:
        """Whether audio of a size that the connection lets through may be fed without asking `receive`."""
        return self.state == "streaming" and self._head is None

    def audio_taken(self, size: int, now: float) -> float:
        """`size` bytes of FeedAudio are accepted; return their length in seconds.

        While they wait, the client cannot be called idle.
        """
        self._feeding = False
        self._heard = now
        self._unsettled = self._unflushed = True
        seconds = size / self._bytes_per_second
        self._pause_at = now + max(self._pause_secs, min(seconds, LONGEST_FRAME_SECONDS)) + PAUSE_GRACE_SECONDS
        self._empty_full_at = self._garbage_full_at = 0.0
        return seconds

    def resumed(self, configuration: Configuration) -> None:
        """It goes on with an earlier session, which has looked at the first bytes of the audio."""
        self.configuration = configuration
        self._head = None
        self._begin_streaming()
        self._feeding = False

    def input_ended(self, close_code: int) -> list[Effect]:
        """No more comes of the client, but it can be told something: what is pending, and why it is closed."""
        if self.state == "streaming":
            return self._finish("stop", close_code)
        return self._close(close_code, "") if self.state == "open" else []

    # -- time

    @property
    def deadline(self) -> float:
        """When to call `tick` next; infinity for never."""
        if self.state not in ("open", "streaming"):
            return math.inf
        idle = math.inf if self._feeding else self._heard + self._idle_secs
        return min(idle, self._began + self._max_secs)

    @property
    def pause_at(self) -> float:
        """When to call `notice_pause` next; infinity for never."""
        return self._pause_at if self._unsettled and not self._feeding and self.state == "streaming" else math.inf

    def notice_pause(self, now: float) -> bool:
        """Return whether no audio has come for so long that the client may wait for words; tells so once a pause.

        That is the endpoint silence, or one of the client's frames if they are longer, and a little for the network.
        """
        if now < self.pause_at:
            return False
        self._unsettled = False
        return True

    def tick(self, now: float) -> list[Effect]:
        """Let time pass."""
        if now < self.deadline:
            return []
        if now >= self._began + self._max_secs:
            error = SendError("max_session_duration_exceeded", "The session has lasted as long as one may.")
            return [error, *self._finish("timeout", CLOSE_POLICY)]
        error = SendError("idle_timeout", "Nothing came from the client for too long.")
        return [error, *self._finish("timeout", CLOSE_GOING_AWAY)]

    @property
    def may_make_room(self) -> bool:
        """Whether the session can be ended for others: it runs, and no audio of it waits here."""
        return self.state in ("open", "streaming") and not self._feeding

    def make_room(self) -> list[Effect]:
        """The session is silent, and others wait for its place."""
        if not self.may_make_room:
            return []
        error = SendError("idle_timeout", "No audio came for a while, and others wait for the place.")
        return [error, *self._finish("timeout", CLOSE_GOING_AWAY)]

    def use_up(self) -> list[Effect]:
        """The client's key may send no more audio today."""
        if self.state != "streaming":
            return []
        error = SendError(QuotaExceeded.code, "Today no more audio may be sent with this key.")
        return [error, *self._finish("error", CLOSE_POLICY)]

    def drain(self) -> list[Effect]:
        """The server is shutting down. A client that still waits for a place is refused by the pool."""
        if self.state in ("open", "streaming"):
            return self._finish("shutdown", CLOSE_GOING_AWAY)
        return []

    # -- inside

    def _carry_out(self, request: Request, now: float) -> list[Effect]:
        match request:
            case Speech(data):
                self._begin_streaming()
                return [FeedAudio(data)] if self._head is None else self._examine(self._head + data)
            case Configure(configuration):
                self.configuration = configuration
                return []
            case EndUtterance():
                return self._flush(now)
            case Stop():
                return self._finish("stop", CLOSE_NORMAL)
            case Reply() | Resume():
                return [request]
            case Complain(problems, characters):
                ignored: list[Effect] = [] if characters is None else [IgnoredText(characters)]
                return ignored + (self._count(now) or self._tell(problems))
            case Refuse(problem, close_code, with_final):
                error = SendError(problem.code, problem.message)
                if with_final or self.state == "streaming":
                    return [error, *self._finish("error", close_code)]
                return [error, *self._close(close_code, error.code)]

    def _begin_streaming(self) -> None:
        self._feeding = True
        if self.state != "streaming":
            self.state = "streaming"
            self._pause_secs = self.configuration.options.endpoint_silence_ms / 1000
            self._bytes_per_second = self.configuration.bytes_per_second

    def _examine(self, head: bytes) -> list[Effect]:
        """Look at the first bytes of the audio; feed them as soon as they are known to be samples."""
        beginning = examine(head, self.configuration)
        if not beginning.is_decided:
            self._head, self._feeding = head, False
            return []
        self._head = None
        if beginning.refusal is not None:
            return [SendError("container_not_pcm", beginning.refusal), *self._finish("error", CLOSE_UNSUPPORTED_DATA)]
        self._feeding = len(head) > beginning.skip
        return [FeedAudio(head[beginning.skip :])] if self._feeding else []

    def _flush(self, now: float) -> list[Effect]:
        """End the utterance; a client that has sent nothing since it last asked for that means nothing by it."""
        if not self._unflushed and (ends := self._count(now)):
            return ends
        self._unflushed = self._unsettled = False
        return [*self._release_head(), Flush()]

    def _finish(self, reason: EndReason, close_code: int) -> list[Effect]:
        effects = self._release_head()
        self.state = "finishing"
        return [*effects, FinishSession(reason, close_code)]

    def _release_head(self) -> list[Effect]:
        """Feed what was held back of the audio: nothing follows that could tell what else it is."""
        head = self._head
        if not head:
            return []
        self._head, self._feeding = None, True
        return [FeedAudio(head)]

    def _tell(self, problems: Sequence[Problem]) -> list[Effect]:
        told: list[Effect] = []
        for problem in problems:
            if not problem.once or problem not in self._told:
                told.append(SendError(problem.code, problem.message))
            if problem.once:
                self._told.add(problem)
        return told

    def _count(self, now: float) -> list[Effect]:
        """Count a message that means nothing; return how the session ends if there are too many."""
        self._garbage_full_at, wait = take_token(GARBAGE_FRAMES, self._garbage_full_at, now)
        return self._end_of_patience() if wait else []

    def _end_of_patience(self) -> list[Effect]:
        error = SendError("policy_violation", "Too many frames that mean nothing.")
        return [error, *self._finish("error", CLOSE_POLICY)]

    def _close(self, code: int, reason: str) -> list[Effect]:
        self.state = "closed"
        return [Close(code, reason)]
