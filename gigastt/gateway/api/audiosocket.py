"""Asterisk's AudioSocket, on a listener of its own (`--audiosocket`): packets over TCP, text to a feed.

    ┌──────┬────────────┬─────────┐   0x00 hang up        0x01 UUID of the call, 16 bytes, first
    │ kind │ length, BE │ payload │   0x03 a DTMF digit   0x10 … 0x18 samples of 8 … 192 kHz, int16 LE
    │ 1    │ 2 bytes    │         │   0xff an error
    └──────┴────────────┴─────────┘

The framing hands on samples as they are, and every other packet as text: its kind and payload in hexadecimal digits. A
kind of samples is announced by such a text before the first of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final
from uuid import UUID

from gigastt.errors import BadRequest, RequestError
from gigastt.gateway.api import dialect
from gigastt.gateway.api.calls import first_message, refuse_call, transcribe_call
from gigastt.gateway.api.conversation import CLOSE_UNSUPPORTED_DATA
from gigastt.gateway.api.dialect import Configuration, Message, Request
from gigastt.gateway.api.native import NativeDialect
from gigastt.gateway.api.tcp import BrokenStream, TcpConnection
from gigastt.gateway.context import AppContext
from gigastt.gateway.requests import Exchange

HANG_UP: Final = "00"
_UUID: Final = "01"
_DTMF: Final = "03"
_ERROR: Final = "ff"
_HEAD: Final = 3  # bytes
_LONGEST_TOLD: Final = 16  # bytes of a payload without samples; none has more to say
_RATES: Final[Mapping[int, int]] = {
    0x10: 8_000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}
_KINDS: Final = frozenset({0x00, 0x01, 0x02, 0x03, 0xFF, *_RATES})  # 0x02: silence, of early versions


class AudioSocketFraming:
    """Cut one connection's bytes into packets."""

    def __init__(self) -> None:
        self._rest = b""  # of a packet that is not whole
        self._announced: int | None = None  # kind of samples

    def cut(self, data: bytes) -> Iterator[Message]:
        """Yield packets; samples that follow one another together."""
        data, at = self._rest + data, 0
        samples = b""
        while len(data) >= at + _HEAD:
            kind, begin = data[at], at + _HEAD
            if kind not in _KINDS:
                break
            end = begin + int.from_bytes(data[at + 1 : begin])
            if len(data) < end:
                break
            payload, at = data[begin:end], end
            if kind == self._announced:
                samples += payload
                continue
            if samples:
                yield samples
            samples = b""
            if kind in _RATES:
                self._announced, samples = kind, payload
                yield f"{kind:02x}"
            else:
                yield f"{kind:02x}{payload[:_LONGEST_TOLD].hex()}"
        self._rest = data[at:]
        if samples:
            yield samples
        if self._rest and self._rest[0] not in _KINDS:
            raise BrokenStream(f"No packet of AudioSocket is of the kind {self._rest[0]}.")

    def frame(self, message: Message) -> bytes:
        """Return a packet without a payload, of the kind that two digits tell."""
        assert isinstance(message, str)
        return bytes.fromhex(message) + b"\0\0"


class AudioSocketDialect(NativeDialect):
    """Asterisk's packets in, messages of `/v1/ws` out; the latter go to the feed."""

    name: ClassVar[str] = "audiosocket"
    can_resume: ClassVar[bool] = False  # those who follow a call are not to go on with it
    configuration = Configuration(sample_rate=_RATES[0x10])

    def hear(self, message: Message, configuration: Configuration | None) -> Sequence[Request]:
        """Return what a packet asks for."""
        if isinstance(message, bytes):
            return [dialect.Speech(message)]
        kind, payload = message[:2], bytes.fromhex(message[2:])
        if kind == HANG_UP:
            return [dialect.Stop()]
        if kind == _DTMF:
            return [dialect.Reply([json.dumps({"type": "dtmf", "digit": payload[:1].decode("latin-1")})])]
        if (rate := _RATES.get(int(kind, 16))) is not None:
            if configuration is not None:
                return [dialect.Configure(replace(configuration, sample_rate=rate))]
            problem = dialect.Problem("invalid_sample_rate", "The rate cannot change once audio has come.")
            return [dialect.Refuse(problem, CLOSE_UNSUPPORTED_DATA)]
        if kind == _ERROR:
            return [
                dialect.Complain(
                    [dialect.Problem("peer_error", "The telephone server has reported an error.", once=True)]
                )
            ]
        return [dialect.Complain([], characters=len(message))]


async def answer_audiosocket(connection: TcpConnection, context: AppContext, exchange: Exchange) -> None:
    """Transcribe one call. BadRequest: it does not begin with its UUID."""
    name = await _read_name(connection)
    await transcribe_call(connection, name, AudioSocketDialect(), context, exchange, goodbye=HANG_UP)


async def turn_away(connection: TcpConnection, context: AppContext, error: RequestError) -> None:
    """Tell those who wait for a call that it is refused. BadRequest: it does not begin with its UUID."""
    if context.feeds.is_awaited(name := await _read_name(connection)):
        refuse_call(context, name, error)


async def _read_name(connection: TcpConnection) -> str:
    message = await first_message(connection)
    if not isinstance(message, str) or not message.startswith(_UUID) or len(message) != 34:
        raise BadRequest("A connection of AudioSocket begins with the UUID of its call.")
    return str(UUID(message[2:]))
