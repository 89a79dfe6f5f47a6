"""The client protocol of `/v1/ws`: a state machine without I/O.

Frames and the passing of time go in, effects come out; `live` carries them out. No clock (`now` is an argument, in
seconds of any monotonic clock), no socket, no audio.

    waiting ──admitted──→ open ──first audio──→ streaming ──stop, idle, cap, drain──→ finishing ──last final──→ closed
       └──────────────── no capacity, garbage, wrong version, too large a frame ──────────────────────────────────┘

Everything a client can do wrong either is answered and the session goes on, or ends it with a close code; the
table is in `docs/protocol.md`. Texts for people never repeat what the client sent.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

from gigastt.errors import CapacityTimeout, RequestError
from gigastt.gateway.configure import ClientOptions, apply, supports_version
from gigastt.gateway.events import EndReason

MOST_EMPTY_FRAMES = 1_000
MOST_GARBAGE_FRAMES = 100
MOST_TEXT_CHARACTERS = 64 * 1024  # a longer text frame is garbage without being parsed

CLOSE_NORMAL = 1000
CLOSE_GOING_AWAY = 1001
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_POLICY = 1008
CLOSE_TOO_LARGE = 1009
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
class Finish:
    """Take no more audio; when the last final has been sent, close with `close_code`."""

    reason: EndReason
    close_code: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close at once, without a last final."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class IgnoredText:
    """A text frame meant nothing; its length may be logged, never its content."""

    characters: int


Effect: TypeAlias = SendReady | SendError | FeedAudio | Finish | Close | IgnoredText


class ClientProtocol:
    """One client's session, from its upgrade to its close."""

    def __init__(self, *, idle_timeout_secs: float, max_session_secs: float, max_frame_bytes: int, now: float) -> None:
        """Begin in `waiting`. For the two times, 0 means no limit."""
        self.options = ClientOptions()
        self.state: State = "waiting"
        self._idle_secs = idle_timeout_secs or math.inf
        self._max_secs = max_session_secs or math.inf
        self._max_frame_bytes = max_frame_bytes
        self._began = now
        self._heard = now
        self._feeding = False
        self._empty_frames = 0
        self._garbage_frames = 0

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

    # -- frames

    def receive_bytes(self, data: bytes, now: float) -> list[Effect]:
        """Take a binary frame."""
        if not self._hears(now):
            return []
        if len(data) > self._max_frame_bytes:
            return self.input_ended(CLOSE_TOO_LARGE)
        if not data:
            self._empty_frames += 1
            return self._end_of_patience() if self._empty_frames > MOST_EMPTY_FRAMES else []
        self.state = "streaming"
        self._feeding = True
        return [FeedAudio(data)]

    @property
    def takes_audio(self) -> bool:
        """Whether audio of a size that the connection lets through may be fed without asking `receive_bytes`."""
        return self.state == "streaming"

    def audio_taken(self, now: float) -> None:
        """The bytes of the last FeedAudio are accepted. While they wait, the client cannot be called idle."""
        self._feeding = False
        self._heard = now

    def receive_text(self, text: str, now: float) -> list[Effect]:
        """Take a text frame."""
        if not self._hears(now):
            return []
        if len(text) > self._max_frame_bytes:
            return self.input_ended(CLOSE_TOO_LARGE)
        fields = _parse(text)
        match fields.get("type"):
            case "stop":
                return self._finish("stop", CLOSE_NORMAL)
            case "configure":
                return self._configure(fields)
        self._garbage_frames += 1
        ignored = IgnoredText(len(text))
        return [ignored, *(self._end_of_patience() if self._garbage_frames > MOST_GARBAGE_FRAMES else [])]

    def input_ended(self, close_code: int) -> list[Effect]:
        """No more comes of the client, but it can be told something: what is pending, and why it is closed."""
        if self.state == "streaming":
            return self._finish("stop", close_code)
        return self._close(close_code, "") if self.state == "open" else []

    def gone(self) -> None:
        """The client hung up."""
        self.state = "closed"

    # -- time

    @property
    def deadline(self) -> float:
        """When to call `tick` next; infinity for never."""
        if self.state not in ("open", "streaming"):
            return math.inf
        idle = math.inf if self._feeding else self._heard + self._idle_secs
        return min(idle, self._began + self._max_secs)

    def tick(self, now: float) -> list[Effect]:
        """Let time pass."""
        if now < self.deadline:
            return []
        if now >= self._began + self._max_secs:
            error = SendError("max_session_duration_exceeded", "The session has lasted as long as one may.")
            return [error, *self._finish("timeout", CLOSE_POLICY)]
        error = SendError("idle_timeout", "Nothing came from the client for too long.")
        return [error, *self._finish("timeout", CLOSE_GOING_AWAY)]

    def drain(self) -> list[Effect]:
        """The server is shutting down. Who still waits for a place is refused by whoever gives places."""
        if self.state in ("open", "streaming"):
            return self._finish("shutdown", CLOSE_GOING_AWAY)
        return []

    # -- inside

    def _hears(self, now: float) -> bool:
        """Note that a frame came; return whether it still matters."""
        self._heard = now
        return self.state in ("open", "streaming")

    def _configure(self, fields: dict[str, Any]) -> list[Effect]:
        if self.state != "open":
            return [SendError("configure_too_late", "configure must come before the first audio.")]
        if not supports_version(fields):
            error = SendError("unsupported_protocol_version", "This server speaks protocol version 1.0.")
            return [error, *self._close(CLOSE_PROTOCOL_ERROR, error.code)]
        self.options, complaints = apply(self.options, fields)
        return [SendError(complaint.code, complaint.message) for complaint in complaints]

    def _finish(self, reason: EndReason, close_code: int) -> list[Effect]:
        self.state = "finishing"
        return [Finish(reason, close_code)]

    def _end_of_patience(self) -> list[Effect]:
        error = SendError("policy_violation", "Too many frames that mean nothing.")
        if self.state == "streaming":  # words may be pending
            return [error, *self._finish("stop", CLOSE_POLICY)]
        return [error, *self._close(CLOSE_POLICY, error.code)]

    def _close(self, code: int, reason: str) -> list[Effect]:
        self.state = "closed"
        return [Close(code, reason)]


def _parse(text: str) -> dict[str, Any]:
    """Return a JSON object; an empty one for everything that is none."""
    if len(text) > MOST_TEXT_CHARACTERS:
        return {}
    try:
        fields = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _refuse_constant(name: str) -> NoReturn:
    """NaN and the infinities are not JSON, whatever Python's parser thinks."""
    raise ValueError(name)
