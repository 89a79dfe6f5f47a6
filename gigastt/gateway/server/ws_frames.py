"""Frames: WebSocket as websockets parses it, one frame at a time, refused in JSON, and how many of them may come."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers
from websockets.frames import CTRL_OPCODES, Close, CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.server import ServerProtocol

from gigastt.errors import BadRequest, HeadersTooLarge, InternalError, MethodNotAllowed, RequestError, UpgradeRequired
from gigastt.gateway.rate import Rate, take_token
from gigastt.gateway.responses import error_fields, json_text
from gigastt.gateway.server.deadlines import answer_headers

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

__all__ = ["Allowance", "FrameEdges", "FrameProtocol", "apply_mask"]

MAX_FRAGMENTS: Final = 1_024
MOST_QUEUED_MESSAGES: Final = 4  # the application takes them in one go, and so do a hundred others in the same pass
MOST_QUEUED_BYTES: Final = 64 * 1024
TINY_BYTES: Final = 32  # 2 ms of the leanest audio there is (8 kHz, 8 bits, two channels); nobody cuts it like that
# Frames of 20 ms at sixteen times real time are 800 a second, and 10 s of frames of 10 ms are a thousand at once.
FRAMES: Final = Rate(per_minute=60 * 1_000, burst=2_000)
TINY_FRAMES: Final = Rate(per_minute=60 * 500, burst=2_000)
TEXTS: Final = Rate(per_minute=60 * 20, burst=300)
SHORT_TEXT_BYTES: Final = 128  # a longer text may be audio in base64: 10 ms of 8 kHz and 8 bits in JSON are 150
CONTROLS: Final = Rate(per_minute=60 * 50, burst=2_000)
_LONGEST_HEAD: Final = 14


class FrameEdges:
    """The end of each frame, in bytes that come in pieces of any size."""

    __slots__ = ("_head", "_missing")

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0

    def end(self, data: bytes, offset: int) -> int:
        """Return the offset behind the frame, or the part of it, that begins at `offset`."""
        if not self._missing:
            head = self._head + data[offset : offset + _LONGEST_HEAD]
            if (size := _frame_bytes(head)) is None:
                self._head = head
                return len(data)
            self._missing = size - len(self._head)
            self._head = b""
        end = min(len(data), offset + self._missing)
        self._missing -= end - offset
        return end


def _frame_bytes(head: bytes) -> int | None:
    """Return the size of a masked frame, head included; None when too little of the head is there."""
    if len(head) < 2:
        return None
    match head[1] & 0x7F:
        case 126:
            return 8 + int.from_bytes(head[2:4]) if len(head) >= 4 else None
        case 127:
            return 14 + int.from_bytes(head[2:10]) if len(head) >= 10 else None
        case length:
            return 6 + length


class FrameProtocol(ServerProtocol):
    """The WebSocket protocol, which refuses in JSON and lets the connection decide when to close.

    between_frames: whether all bytes so far made whole frames; the connection sets it to False when it feeds some.
    failure: the close that the peer is owed; nothing may be fed after it.
    """

    between_frames = False
    failure: Close | None = None

    def recv_frame(self, frame: Frame) -> None:
        super().recv_frame(frame)
        self.between_frames = not self.reader.buffer

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        self.failure = Close(int(code), reason[:100])
        self.close_rcvd = None  # a close frame may be what is broken

    def let_go(self) -> None:
        """End the parser, which refers to this object; nothing may be fed after it."""
        self.parser.close()
        self.parser_exc = self.handshake_exc = None

    def reject(self, status: HTTPStatus | int, text: str) -> Response:
        response = super().reject(status, text)
        refusals: dict[int, RequestError] = {
            405: MethodNotAllowed("A WebSocket is opened with GET."),
            426: UpgradeRequired("This address speaks WebSocket: open it with a WebSocket client."),
            431: HeadersTooLarge("The request's headers are too many or too long for a WebSocket handshake."),
            500: InternalError("Something went wrong inside the server."),
        }
        refusal = refusals.get(int(status), BadRequest("This is not a valid WebSocket handshake."))
        response.status_code, response.reason_phrase = refusal.status, HTTPStatus(refusal.status).phrase
        response.body = json_text(error_fields(refusal)).encode()
        response.headers = Headers(
            {**answer_headers(len(response.body)), **({"allow": "GET"} if refusal.status == 405 else {})}
        )
        return response


class Allowance:
    """How fast a peer may send: four token buckets. Without I/O; `now` is in seconds of the event loop's clock.

    Too many pings or short texts close the connection; audio only has to wait, whatever it is cut into or written as.
    """

    __slots__ = ("_controls", "_frames", "_texts", "_tiny", "wait_until")

    def __init__(self) -> None:
        self._frames = self._tiny = self._texts = self._controls = 0.0
        self.wait_until = 0.0  # when the next frame may be looked at

    def take(self, frame: Frame, now: float) -> bool:
        """Count a frame; return whether the peer is still within bounds."""
        wait = 0.0
        if frame.opcode in CTRL_OPCODES:
            self._controls, wait = take_token(CONTROLS, self._controls, now)
        elif frame.opcode is Opcode.TEXT and len(frame.data) < SHORT_TEXT_BYTES:
            self._texts, wait = take_token(TEXTS, self._texts, now)
        elif len(frame.data) < TINY_BYTES:
            self._tiny = max(self._tiny, now) + TINY_FRAMES.interval
            self.wait_until = self._tiny - TINY_FRAMES.span
        else:
            self._frames = max(self._frames, now) + FRAMES.interval
            self.wait_until = self._frames - FRAMES.span
        return not wait
