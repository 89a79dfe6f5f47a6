"""The account of a live session: its line in the log, and what of it is counted.

Owned by its shell. Lengths, counts and codes; never what was said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gigastt.gateway.api import conversation
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.requests import ClientGone, Exchange
from gigastt.log import get_logger
from gigastt.transcript import Final

log = get_logger(__name__)

CLIENT_GONE = "client_gone"
INTERRUPTED = "interrupted"  # from outside: its key was revoked, or the server stops at once
JOINED = "joined"  # it went on with a session that waited for it, whose line follows
BROKEN_FRAMES = "broken_frames"  # of WebSocket; the close code says what was wrong


class Account:
    """One session, from the first look at its client to its end.

    Attributes:
        audio_seconds: that came in.
        is_used_up: the client's key may send no more audio today.
        ended_by: why it ends, where the conversation does not decide that: `CLIENT_GONE` and such.
    """

    def __init__(self, metrics: Metrics, exchange: Exchange, protocol: str, clock: Callable[[], float]) -> None:
        self.audio_seconds = 0.0
        self.is_used_up = False
        self.ended_by = ""
        self._metrics = metrics
        self._exchange = exchange
        self._protocol = protocol
        self._clock = clock
        self._began = clock()
        self._is_open = False
        self._finals = 0
        self._words = 0
        self._reason = ""
        self._close_code: int | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Write the session's line when the body is over."""
        try:
            yield
        except ClientGone:
            self.lose()
            raise
        finally:
            self._close(self._clock() - self._began)

    def open(self) -> None:
        """The session has its place."""
        now, self._is_open = self._clock(), True
        log.info("session_opened", **self._who(), waited=round(now - self._began, 3))
        self._began = now

    def hear(self, seconds: float) -> bool:
        """Count audio that came in; return whether more may come."""
        self.audio_seconds += seconds
        usage = self._exchange.usage
        self.is_used_up = usage is not None and not usage.hear(seconds)
        return not self.is_used_up

    def note(self, effects: Sequence[conversation.Effect]) -> None:
        """Take in what the conversation has decided; an error told with the end is its reason."""
        error = ""
        log.debug("session_does", effects=[type(effect).__name__ for effect in effects])
        for effect in effects:
            match effect:
                case conversation.SendError(code):
                    error = code
                    self._metrics.count_error(code)
                case conversation.FinishSession(reason, close_code):
                    self._reason, self._close_code = error or reason, close_code
                case conversation.Close(close_code, reason):
                    self._reason, self._close_code = error or reason, close_code

    def told(self, final: Final) -> None:
        """The client has been told a final."""
        self._finals += 1
        self._words += len(final.words)
        log.debug("final_told", seq=final.seq, start=final.start, end=final.end, reason=final.reason,
                  words=len(final.words))  # fmt: skip

    def lose(self, close_code: int = conversation.CLOSE_NORMAL) -> None:
        """The client has hung up, or sends what cannot be read (any other code)."""
        if not self._reason and not self.ended_by:
            self.ended_by = CLIENT_GONE if close_code == conversation.CLOSE_NORMAL else BROKEN_FRAMES

    def _close(self, seconds: float) -> None:
        seconds = round(seconds, 3)
        self._exchange.has_line = True
        reason = self.ended_by or self._reason or INTERRUPTED
        ending = {} if self._close_code is None or reason == CLIENT_GONE else {"close_code": self._close_code}
        if reason == JOINED:
            log.info("session_joined", **self._who(), seconds=seconds)
        elif not self._is_open:
            log.warning("session_refused", **self._who(), reason=reason, **ending, seconds=seconds)
        else:
            self._metrics.count_ending(reason, seconds)
            work = {"audio_seconds": round(self.audio_seconds, 2), "finals": self._finals, "words": self._words}
            log.info("session_closed", **self._who(), reason=reason, **ending, seconds=seconds, **work)

    def _who(self) -> dict[str, object]:
        told = {"protocol": self._protocol, "client": self._exchange.address, "key": self._exchange.key_name}
        return {name: value for name, value in told.items() if value is not None}
