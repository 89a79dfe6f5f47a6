"""The client protocol of `/v1/ws`: a state machine without I/O.

Frames and the passing of time go in, effects come out; `live` carries them out. No clock (`now` is an argument, in
seconds of any monotonic clock), no socket, no audio but its first bytes.

    waiting ──admitted──→ open ──first audio──→ streaming ──stop, idle, cap, drain──→ finishing ──last final──→ closed
       │                   │                         └──── garbage, too large a frame, no PCM ────┘               │
       └─ no capacity ─────┴─ wrong version ──────────────────────────────────────────────────────────────────────┘

Everything a client can do wrong either is answered and the session goes on, or ends it with a last final and a close
code; the table is in `docs/protocol.md`. Texts for people never repeat what the client sent, and what is said to no end
but information is said once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gigastt.errors import CapacityTimeout, RequestError
from gigastt.gateway.api.client_messages import MESSAGE_TYPES, SIGNS_OF_LIFE, as_text, message_type, parse
from gigastt.gateway.api.configure import (
    FORMAT_FIELDS,
    VERSIONS,
    Complaint,
    Configuration,
    apply,
    near_miss,
    supports_version,
)
from gigastt.gateway.api.containers import examine
from gigastt.gateway.api.patience import Patience
from gigastt.gateway.pool.events import EndReason

MOST_EMPTY_FRAMES = 1_000  # at once; forgiven at the rate of a client that sends one for every 20 ms of silence
EMPTY_FRAMES_PER_SECOND = 50.0
MOST_GARBAGE_FRAMES = 100
GARBAGE_FRAMES_PER_SECOND = 2.0

PAUSE_GRACE_SECONDS = 0.4  # networks deliver late; beyond the endpoint silence, or the length of the client's frames
LONGEST_FRAME_SECONDS = 2.0  # of a client's cadence; longer frames are of a recording that is sent at once

CLOSE_NORMAL = 1000
CLOSE_GOING_AWAY = 1001
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_UNSUPPORTED_DATA = 1003
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
class Flush:
    """End the utterance here; audio goes on."""


@dataclass(frozen=True, slots=True)
class SendPong:
    """Answer a client's ping."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close at once, without a last final: there was no audio."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class IgnoredText:
    """A text frame meant nothing; its length may be logged, never its content."""

    characters: int


Effect: TypeAlias = SendReady | SendError | SendPong | FeedAudio | Flush | Finish | Close | IgnoredText


class ClientProtocol:
    """One client's session, from its upgrade to its close."""

    def __init__(self, *, idle_timeout_secs: float, max_session_secs: float, max_frame_bytes: int, now: float) -> None:
        """Begin in `waiting`. For the two times, 0 means no limit."""
        self.configuration = Configuration()
        self.state: State = "waiting"
        self._idle_secs = idle_timeout_secs or math.inf
        self._max_secs = max_session_secs or math.inf
        self._max_frame_bytes = max_frame_bytes
        self._began = now
        self._heard = now
        self._feeding = False
        self._empty_frames = Patience(MOST_EMPTY_FRAMES, EMPTY_FRAMES_PER_SECOND)
        self._garbage_frames = Patience(MOST_GARBAGE_FRAMES, GARBAGE_FRAMES_PER_SECOND)
        self._told: set[SendError] = set()
        self._wrong_format: dict[str, Complaint] = {}  # fields without which audio would be noise
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

    # -- frames

    def receive_bytes(self, data: bytes, now: float) -> list[Effect]:
        """Take a binary frame."""
        if not self._hears(now):
            return []
        if len(data) > self._max_frame_bytes:
            return self._finish("error", CLOSE_TOO_LARGE)
        if not data:
            return [] if self._empty_frames.bear(now) else self._end_of_patience()
        if (text := as_text(data)) is not None:
            return self.receive_text(text, now)
        if self._wrong_format:
            complaint = next(iter(self._wrong_format.values()))
            error = SendError(complaint.code, f"{complaint.message} Audio of an unknown format cannot be recognised.")
            return [error, *self._finish("error", CLOSE_UNSUPPORTED_DATA)]
        self._begin_streaming()
        return [FeedAudio(data)] if self._head is None else self._examine(self._head + data)

    @property
    def takes_audio(self) -> bool:
        """Whether audio of a size that the connection lets through may be fed without asking `receive_bytes`."""
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
        self._empty_frames.forgive()
        self._garbage_frames.forgive()
        return seconds

    def receive_text(self, text: str, now: float) -> list[Effect]:
        """Take a text frame."""
        if not self._hears(now):
            return []
        if len(text) > self._max_frame_bytes:
            return self._finish("error", CLOSE_TOO_LARGE)
        fields = parse(text)
        if fields is None:
            return self._garbage(text, "A text frame must be a JSON object with a type.", now)
        kind = message_type(fields)
        match kind:
            case "stop":
                return self._finish("stop", CLOSE_NORMAL)
            case "configure":
                return self._configure(fields, now)
            case "flush":
                return self._flush(now)
            case "ping":
                return [SendPong()]
        if kind in SIGNS_OF_LIFE:
            return []
        near = near_miss(kind, MESSAGE_TYPES)
        hint = f"Was {near} meant?" if near is not None else f"It is one of {', '.join(MESSAGE_TYPES)}."
        return self._garbage(text, f"The type of this message is not known. {hint}", now)

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

    def _configure(self, fields: dict[str, Any], now: float) -> list[Effect]:
        if self.state != "open":
            return self._count(now) or [SendError("configure_too_late", "configure must come before the first audio.")]
        if not supports_version(fields):
            error = SendError("unsupported_protocol_version", f"This server speaks {', '.join(VERSIONS)}.")
            return [error, *self._close(CLOSE_PROTOCOL_ERROR, error.code)]
        self.configuration, complaints = apply(self.configuration, fields)
        wrong = {complaint.field: complaint for complaint in complaints}
        for field in FORMAT_FIELDS:
            if field in wrong:
                self._wrong_format[field] = wrong[field]
            elif fields.get(field) is not None:
                self._wrong_format.pop(field, None)
        effects: list[Effect] = []
        for complaint in complaints:
            error = SendError(complaint.code, complaint.message)
            effects += [error] if complaint.field else self._say_once(error)
        return (self._count(now) if complaints else []) or effects

    def _flush(self, now: float) -> list[Effect]:
        """End the utterance; a client that has sent nothing since it last asked for that means nothing by it."""
        if not self._unflushed and (ends := self._count(now)):
            return ends
        self._unflushed = self._unsettled = False
        return [*self._release_head(), Flush()]

    def _finish(self, reason: EndReason, close_code: int) -> list[Effect]:
        effects = self._release_head()
        self.state = "finishing"
        return [*effects, Finish(reason, close_code)]

    def _release_head(self) -> list[Effect]:
        """Feed what was held back of the audio: nothing follows that could tell what else it is."""
        head = self._head
        if not head:
            return []
        self._head, self._feeding = None, True
        return [FeedAudio(head)]

    def _garbage(self, text: str, message: str, now: float) -> list[Effect]:
        ends = self._count(now)
        return [IgnoredText(len(text)), *(ends or self._say_once(SendError("invalid_message", message)))]

    def _say_once(self, error: SendError) -> list[Effect]:
        if error in self._told:
            return []
        self._told.add(error)
        return [error]

    def _count(self, now: float) -> list[Effect]:
        """Count a frame that means nothing; return how the session ends if there are too many."""
        return [] if self._garbage_frames.bear(now) else self._end_of_patience()

    def _end_of_patience(self) -> list[Effect]:
        error = SendError("policy_violation", "Too many frames that mean nothing.")
        return [error, *self._finish("error", CLOSE_POLICY)]

    def _close(self, code: int, reason: str) -> list[Effect]:
        self.state = "closed"
        return [Close(code, reason)]
