"""Dialects: the port through which one client protocol reads and writes.

A dialect translates: a client's messages become requests, and events become messages. It has no I/O, no clock and no
limits, which belong to the conversation; one instance serves one connection, in its task. A new protocol is a dialect
in a file of its own, and a route in `app` or a listener.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from gigastt.audio.pcm import Encoding, sample_bytes
from gigastt.transcript import Final, Gap, Options, Partial

DEFAULT_RATE = 48_000

Message: TypeAlias = str | bytes  # of a WebSocket, text or binary; of a TCP listener, whatever its transport frames


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the client sends and what it wants to see."""

    sample_rate: int = DEFAULT_RATE
    encoding: Encoding = "pcm_s16le"
    channels: int = 1
    options: Options = field(default_factory=Options)

    @property
    def bytes_per_second(self) -> int:
        """How many bytes a second of its audio takes."""
        return self.sample_rate * self.channels * sample_bytes(self.encoding)


# -- what a client asks for


@dataclass(frozen=True, slots=True)
class Speech:
    """Audio, in the configured encoding."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Configure:
    """Take this configuration from here on."""

    configuration: Configuration


@dataclass(frozen=True, slots=True)
class EndUtterance:
    """End the utterance here; audio may go on."""


@dataclass(frozen=True, slots=True)
class Stop:
    """No more audio comes; tell the rest and close."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Tell the client this at once."""

    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a message.

    once: it is told at most once in a conversation.
    """

    code: str
    message: str
    once: bool = False


@dataclass(frozen=True, slots=True)
class Complain:
    """Tell the client what is wrong with its message, count that, and go on.

    characters: the length of a message that meant nothing, for the log; None if it meant something.
    """

    problems: Sequence[Problem]
    characters: int | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the client what is wrong and end the conversation.

    with_final: also where there was no audio, with an empty last final.
    """

    problem: Problem
    close_code: int
    with_final: bool = True


Request: TypeAlias = Speech | Configure | EndUtterance | Stop | Reply | Complain | Refuse


# -- what there is to tell


@dataclass(frozen=True, slots=True)
class Opening:
    """What a client may be told when its conversation begins.

    max_session_secs, idle_timeout_secs: 0 for no limit.
    """

    model: str
    session_id: str
    max_session_secs: float
    idle_timeout_secs: float


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of a session when something of it is told.

    seq: the number of its next final.
    lag_seconds: audio accepted and not analysed yet.
    """

    seq: int
    lag_seconds: float
    channels: int


class Dialect:
    """A client protocol; by itself one that hears nothing and tells nothing.

    name: in metrics and logs.
    frames_are_audio: every binary message is audio as it is and is answered with nothing, so that it can go to the
        session without passing through `hear`.
    configuration: of a client that configures nothing.
    session_id: the session's, where the client has chosen one; read when its conversation begins.
    """

    name: ClassVar[str]
    frames_are_audio: ClassVar[bool] = False
    configuration: Configuration = Configuration()
    session_id: str | None = None

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what a message asks for.

        Args:
            message: never an empty binary one, and none over the limit of frames.
            configuration: the one in force; None when audio has begun and `Configure` may not follow.
        """
        raise NotImplementedError

    def open(self, opening: Opening) -> Sequence[Message]:
        """Return what to tell a client that may begin."""
        return ()

    def tell(self, event: Partial | Final | Gap, moment: Moment) -> Sequence[Message]:
        """Return what to tell of an event."""
        raise NotImplementedError

    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        """Return how to tell an error."""
        raise NotImplementedError

    def end(self) -> Sequence[Message]:
        """Return what to tell between the last final and the close."""
        return ()
