"""Jitsi's protocol of Skynet, `GET /v1/jitsi/ws/{meeting}`: the speakers of a meeting on one WebSocket.

    ┌──────────────────────────────────────────┬───────────────┐
    │ participant | language, padded with 0x00 │ 16 kHz, int16 │   one byte 0x00: the meeting is over
    │ 60 bytes                                 │               │
    └──────────────────────────────────────────┴───────────────┘

    {"id": UUID, "participant_id": …, "ts": ms, "text": …, "audio": "", "type": "interim" | "final", "variance": 0.9}

One dialect for each speaker (`participants` has the rest). The protocol has no errors: they are in the log only.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import ClassVar, Final

from starlette.websockets import WebSocket

from gigastt.gateway.api.dialect import Configuration, Dialect, EndUtterance, Message, Moment, Request, Speech
from gigastt.gateway.api.participants import Participants
from gigastt.gateway.api.websocket import WebSocketTransport
from gigastt.gateway.context import AppContext
from gigastt.gateway.requests import exchange_of
from gigastt.gateway.responses import json_text
from gigastt.log import get_logger
from gigastt.transcript import Final as FinalEvent
from gigastt.transcript import Gap, Partial, mean_confidence

log = get_logger(__name__)

HEADER_BYTES: Final = 60
_END: Final = b"\0"


class JitsiDialect(Dialect):
    """The audio of one speaker of a meeting, and the text of it."""

    name: ClassVar[str] = "jitsi"
    frames_are_audio: ClassVar[bool] = True
    configuration = Configuration(sample_rate=16_000)

    def __init__(self, participant: str) -> None:
        self._participant = participant
        self._utterance = uuid.uuid4()

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what a message asks for: text tells of a pause, in which a muted microphone sends nothing."""
        return [Speech(message)] if isinstance(message, bytes) else [EndUtterance()]

    def tell(self, event: Partial | FinalEvent | Gap, moment: Moment) -> Sequence[Message]:
        """Return the utterance as it is now; all of it has one id."""
        if isinstance(event, Gap):
            return self.fail(event.code, "", None)
        is_final = isinstance(event, FinalEvent)
        told = {
            "id": str(self._utterance),
            "participant_id": self._participant,
            "ts": _began_ms(event),
            "text": event.text,
            "audio": "",
            "type": "final" if is_final else "interim",
            "variance": mean_confidence(event.words),
        }
        if is_final:
            self._utterance = uuid.uuid4()
        return [json_text(told)] if event.text else ()

    def fail(self, code: str, message: str, retry_after_ms: int | None) -> Sequence[Message]:
        """Log it: a client would show any text as words."""
        log.info("participant_error", code=code)
        return ()


async def answer_jitsi(websocket: WebSocket, context: AppContext) -> None:
    """Transcribe one meeting."""
    exchange = exchange_of(websocket.scope)
    await websocket.accept(subprotocol=exchange.subprotocol)
    await Participants(WebSocketTransport(websocket), read_frame, JitsiDialect, context, exchange).run()


def read_frame(frame: Message) -> tuple[str, bytes] | None:
    """Return whose audio a frame has, and the audio; nobody's at the end of the meeting; None: it means nothing."""
    if not isinstance(frame, bytes):
        return None
    if frame == _END:
        return "", b""
    try:
        participant, bar, _ = frame[:HEADER_BYTES].decode().partition("|")
    except UnicodeDecodeError:
        return None
    return (participant, frame[HEADER_BYTES:]) if participant and bar and len(frame) >= HEADER_BYTES else None


def _began_ms(event: Partial | FinalEvent) -> int:
    """Return when the words began, in milliseconds since 1970, if they end now."""
    spoken = event.words[-1].end - event.words[0].start if event.words else 0.0
    return round((time.time() - spoken) * 1000)
