"""Dialects: the port through which one client protocol reads and writes.

A dialect translates: a client's messages become requests, and events become messages. It has no I/O, no clock and no
limits, which belong to the conversation; one instance serves one connection, in its task. A new protocol is a dialect
in a file of its own, and a route in `app` or a listener.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from gigastt.audio.pcm import Encoding, sample_bytes
from gigastt.speakers import SpeakerFields
from gigastt.spelling import Spelling
from gigastt.transcript import Final, Gap, HeardSpeakers, Options, Partial

DEFAULT_RATE = 48_000

Message: TypeAlias = str | bytes  # of a WebSocket, text or binary; of a TCP listener, whatever its transport frames


@dataclass(frozen=True, slots=True)
class Configuration:
    """The format of a client's audio, and how it wants results.

    resumable: the client can come back when its connection is lost, and wants to be told what it may forget.
    """

    sample_rate: int = DEFAULT_RATE
    encoding: Encoding = "pcm_s16le"
    channels: int = 1
    options: Options = field(default_factory=Options)
    speakers: SpeakerFields = field(default_factory=SpeakerFields)
    spelling: Spelling = field(default_factory=Spelling)
    resumable: bool = False

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
class Resume:
    """Go on with an earlier session, whose connection was lost.

    token: as it was told.
    position: the sample of each channel from which the client has its audio.
    have_final_seq: the last final that it has; -1 for none.
    """

    token: str
    position: int
    have_final_seq: int


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


Request: TypeAlias = Speech | Configure | EndUtterance | Stop | Resume | Reply | Complain | Refuse


# -- what there is to tell


@dataclass(frozen=True, slots=True)
class Opening:
    """Facts of a session that begins, some of which each protocol tells its client.

    max_session_secs, idle_timeout_secs: 0 for no limit.
    diarization: whether speakers can be told apart by their voices.
    alphabet: the letters of the served model, as `ModelCard` has them; None where no model is loaded.
    resume_token: names the session; None where none can be resumed.
    """

    model: str
    session_id: str
    max_session_secs: float
    idle_timeout_secs: float
    resume_token: str | None = None
    diarization: bool = False
    alphabet: str | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """How much of its audio a client that can resume may forget; samples of each channel, at its own rate.

    received: accepted; where the client goes on sending after a `Resume`.
    committed: never needed again.
    final_seq: the last final that was told; -1 for none.
    flushes: of the client's, that were carried out.
    token: of this moment, if it is a new one.
    session_id: of the session that it names.
    """

    received: int
    committed: int
    final_seq: int
    flushes: int
    token: str | None
    session_id: str


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of a session when something of it is told.

    seq: the number of its next final.
    lag_seconds: audio accepted and not analysed yet.
    """

    seq: int
    lag_seconds: float
    channels: int


class Dialect(ABC):
    """A client protocol.

    name: in metrics and logs.
    frames_are_audio: binary messages are audio as it is, so that they can go to the session without passing through
        `hear`, unless `takes_at_once` says no.
    can_resume: the protocol has `Resume`, `acknowledge` and `ask_to_go`.
    configuration: of a client that configures nothing.
    captions: the name under which others read along, where the client has chosen one; empty where they do so elsewhere.
    """

    name: ClassVar[str]
    frames_are_audio: ClassVar[bool] = False
    can_resume: ClassVar[bool] = False
    configuration: Configuration = Configuration()
    captions: str | None = None

    @abstractmethod
    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what a message asks for.

        Args:
            message: never an empty binary one, and none over the limit of frames.
            configuration: the one in force; None when audio has begun and `Configure` may not follow.
        """

    def takes_at_once(self, data: bytes, *, is_sending: bool) -> bool:
        """Tell whether a binary message is audio that can be answered now.

        Args:
            is_sending: what was told before it is still on its way.
        """
        return True

    def answer_frame(self) -> Sequence[Message]:
        """Return what a binary message is answered with that did not pass through `hear`: audio, or an empty one."""
        return ()

    def open(self, opening: Opening) -> Sequence[Message]:
        """Return what to tell a client that may begin."""
        return ()

    @abstractmethod
    def tell(self, event: Partial | Final | Gap, moment: Moment) -> Sequence[Message]:
        """Return what to tell of an event."""

    def tell_speakers(self, heard: HeardSpeakers) -> Sequence[Message]:
        """Return what to tell of the speakers of the whole session, after its last final."""
        return ()

    @abstractmethod
    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        """Return how to tell an error."""

    def acknowledge(self, ack: Ack) -> Sequence[Message]:
        """Return how to tell what need not be kept; asked for clients that are `resumable`."""
        return ()

    def resumed(self, next_seq: int) -> None:  # noqa: B027 (most protocols number nothing)
        """Another session goes on here: its next final is number `next_seq`."""

    def ask_to_go(self, seconds: float) -> Sequence[Message]:
        """Return how to tell that the server stops in so many seconds, and the session can go on at another."""
        return ()

    def end(self) -> Sequence[Message]:
        """Return what to tell between the last final and the close."""
        return ()
