"""Raw WebSocket conversations by the rules of RFC 6455: what is sent, what comes back, and how the connection ends.

The families are those by which WebSocket servers are usually judged: 1 framing, 2 pings, 3 reserved bits, 4 opcodes,
5 fragments, 6 UTF-8, 7 closing, 9 sizes, 10 fragments made for no reason. Every case is a connection to a server that
sends each message back.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
LONGEST: Final = 1 << 20  # of a message, for the server that the cases are made for
_MASK: Final = b"\x37\xfa\x21\x3d"

VALID_UTF8: Final = {
    "greek": "κόσμε".encode(),
    "russian": "Где можно купить лук?".encode(),
    "of one byte, first": b"\x00",
    "of one byte, last": b"\x7f",
    "of two bytes, first": b"\xc2\x80",
    "of two bytes, last": b"\xdf\xbf",
    "of three bytes, first": b"\xe0\xa0\x80",
    "of three bytes, last": b"\xef\xbf\xbf",
    "of four bytes, first": b"\xf0\x90\x80\x80",
    "of four bytes, last": b"\xf4\x8f\xbf\xbf",
    "before the surrogates": b"\xed\x9f\xbf",
    "behind the surrogates": b"\xee\x80\x80",
    "the replacement character": b"\xef\xbf\xbd",
    "no character, fffe": b"\xef\xbf\xbe",
    "no character, 1fffe": b"\xf0\x9f\xbf\xbe",
    "no character, 1ffff": b"\xf0\x9f\xbf\xbf",
    "no character, 10fffe": b"\xf4\x8f\xbf\xbe",
    "a byte order mark": b"\xef\xbb\xbftext",
    "an emoji": "👩‍🚀".encode(),
}
INVALID_UTF8: Final = {
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "beyond the last": b"\xf4\x90\x80\x80",
    "far beyond the last": b"\xf7\xbf\xbf\xbf",
    "fe": b"\xfe",
    "ff": b"\xff",
    "fe fe ff ff": b"\xfe\xfe\xff\xff",
    "overlong slash, 2": b"\xc0\xaf",
    "overlong slash, 3": b"\xe0\x80\xaf",
    "overlong slash, 4": b"\xf0\x80\x80\xaf",
    "overlong slash, 5": b"\xf8\x80\x80\x80\xaf",
    "overlong slash, 6": b"\xfc\x80\x80\x80\x80\xaf",
    "overlong last, 2": b"\xc1\xbf",
    "overlong last, 3": b"\xe0\x9f\xbf",
    "overlong last, 4": b"\xf0\x8f\xbf\xbf",
    "overlong zero, 2": b"\xc0\x80",
    "overlong zero, 3": b"\xe0\x80\x80",
    "overlong zero, 4": b"\xf0\x80\x80\x80",
    "the first high surrogate": b"\xed\xa0\x80",
    "the last high surrogate": b"\xed\xaf\xbf",
    "the first low surrogate": b"\xed\xb0\x80",
    "the last low surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "a lone continuation, first": b"\x80",
    "a lone continuation, last": b"\xbf",
    **{f"{n} lone continuations": b"\x80\xbf\x80\xbf\x80\xbf\x80"[:n] for n in range(2, 8)},
    "all continuations": bytes(range(0x80, 0xC0)),
    **{f"{size} bytes begun": lead + b" " for size, lead in ((2, b"\xc0"), (3, b"\xe0"), (4, b"\xf0"))},
    **{f"the last of {len(part) + 1} is missing": part for part in (b"\xdf", b"\xef\xbf", b"\xf4\x8f\xbf")},
    "a text that stops within a letter": "слово".encode()[:5],
    "greek, and then no text": "κόσμε".encode() + b"\xed\xa0\x80edited",
}
GOOD_CLOSES: Final = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
BAD_CLOSES: Final = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32768, 65535)


@dataclass(frozen=True)
class Case:
    """One connection.

    Attributes:
        sent: the client's bytes behind the handshake.
        messages: the text (str) and binary messages that come back, in order.
        pongs: the payloads of the pongs that come, in order.
        close: the code of the server's close frame; 0 is one without a code. Where the client is not the first to
            close, and the server has no reason to, the client closes with 1000 once all has come back.
    """

    name: str
    sent: bytes
    messages: tuple[str | bytes, ...] = ()
    pongs: tuple[bytes, ...] = ()
    close: int = 1000

    @property
    def family(self) -> str:
        return self.name.partition(".")[0]


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """Write one frame; `reserved` has the three bits behind the first."""
    head = bytes([(fin << 7) | (reserved << 4) | opcode])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([bit | 126]) + len(payload).to_bytes(2)
    else:
        head += bytes([bit | 127]) + len(payload).to_bytes(8)
    if not masked:
        return head + payload
    whole = (_MASK * (len(payload) // 4 + 1))[: len(payload)]
    return head + _MASK + (int.from_bytes(payload) ^ int.from_bytes(whole)).to_bytes(len(payload))


def in_fragments(opcode: int, parts: Iterable[bytes], between: bytes = b"") -> bytes:
    """Write one message in fragments, with other bytes between every two."""
    pieces = list(parts)
    frames = [
        frame(opcode if not n else CONTINUATION, piece, fin=n == len(pieces) - 1) for n, piece in enumerate(pieces)
    ]
    return between.join(frames)


def cut(payload: bytes, size: int) -> list[bytes]:
    return [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]


def framing() -> Iterator[Case]:
    for size in (0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537):
        yield Case(f"1.text of {size}", frame(TEXT, b"*" * size), ("*" * size,))
        yield Case(f"1.binary of {size}", frame(BINARY, b"\xfe" * size), (b"\xfe" * size,))
    yield Case("1.unmasked text", frame(TEXT, b"a", masked=False), close=1002)
    yield Case("1.unmasked ping", frame(PING, b"a", masked=False), close=1002)
    yield Case("1.unmasked behind a good one", frame(TEXT, b"a") + frame(TEXT, b"b", masked=False), ("a",), close=1002)
    yield Case("1.a length of 63 bits", bytes([0x82, 0xFF]) + b"\x7f" + b"\xff" * 7 + _MASK, close=1009)
    yield Case("1.two at once", frame(TEXT, b"a") + frame(BINARY, b"b"), ("a", b"b"))


def pings() -> Iterator[Case]:
    for size in (0, 1, 5, 124, 125):
        yield Case(f"2.ping of {size}", frame(PING, b"p" * size), pongs=(b"p" * size,))
    yield Case(
        "2.ping that is no text", frame(PING, b"\x00\xff\xfe\xfd\xfc\x00\xff"), pongs=(b"\x00\xff\xfe\xfd\xfc\x00\xff",)
    )
    for size in (126, 127, 200, 65_536):
        yield Case(f"2.ping of {size}", frame(PING, b"p" * size), close=1002)
        yield Case(f"2.pong of {size}", frame(PONG, b"p" * size), close=1002)
    for payload in (b"", b"unasked", b"\xff" * 125):
        yield Case(
            f"2.pong nobody asked for, of {len(payload)}", frame(PONG, payload) + frame(PING, b"p"), pongs=(b"p",)
        )
    yield Case(
        "2.ten pings", b"".join(frame(PING, b"%d" % n) for n in range(10)), pongs=tuple(b"%d" % n for n in range(10))
    )
    yield Case("2.ping in fragments", frame(PING, b"a", fin=False) + frame(CONTINUATION, b"b"), close=1002)
    yield Case("2.pong in fragments", frame(PONG, b"a", fin=False) + frame(CONTINUATION, b"b"), close=1002)
    yield Case("2.ping before a text", frame(PING, b"p") + frame(TEXT, b"a"), ("a",), (b"p",))


def reserved_bits() -> Iterator[Case]:
    for reserved, opcode in itertools.product(range(1, 8), (TEXT, BINARY, PING, PONG, CLOSE)):
        broken = frame(opcode, b"\x03\xe8", reserved=reserved)
        yield Case(f"3.reserved {reserved} in opcode {opcode}", frame(TEXT, b"a") + broken, ("a",), close=1002)
    for reserved in (1, 2, 4, 7):
        broken = frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", reserved=reserved)
        yield Case(f"3.reserved {reserved} in a continuation", broken, close=1002)


def opcodes() -> Iterator[Case]:
    for opcode in (*range(3, 8), *range(11, 16)):
        yield Case(f"4.opcode {opcode}", frame(opcode), close=1002)
        yield Case(f"4.opcode {opcode} with a payload", frame(opcode, b"reserved"), close=1002)
        yield Case(f"4.opcode {opcode} behind a text", frame(TEXT, b"a") + frame(opcode), ("a",), close=1002)
        followed = frame(TEXT, b"a") + frame(opcode, b"b") + frame(PING) + frame(TEXT, b"c")
        yield Case(f"4.opcode {opcode} before others", followed, ("a",), close=1002)


def fragments() -> Iterator[Case]:
    for kind, opcode in (("text", TEXT), ("binary", BINARY)):
        whole: str | bytes = "fragmented" if opcode == TEXT else b"fragmented"
        for size in (1, 2, 5, 9):
            yield Case(f"5.{kind} in {size}s", in_fragments(opcode, cut(b"fragmented", size)), (whole,))
        ping = frame(PING, b"p")
        yield Case(f"5.{kind} around a ping", in_fragments(opcode, cut(b"fragmented", 5), ping), (whole,), (b"p",))
        between = in_fragments(opcode, cut(b"fragmented", 2), ping)
        yield Case(f"5.{kind} around four pings", between, (whole,), (b"p",) * 4)
        yield Case(f"5.{kind} around a pong", in_fragments(opcode, cut(b"fragmented", 5), frame(PONG)), (whole,))
        empty = in_fragments(opcode, [b"", b"", b"fragmented", b""])
        yield Case(f"5.{kind} with empty fragments", empty, (whole,))
        nothing: str | bytes = "" if opcode == TEXT else b""
        yield Case(f"5.{kind} of three empty fragments", in_fragments(opcode, [b""] * 3), (nothing,))
        for second in (TEXT, BINARY):
            broken = frame(opcode, b"a", fin=False) + frame(second, b"b")
            yield Case(f"5.{kind} interrupted by opcode {second}", broken, close=1002)
            broken = in_fragments(opcode, [b"a", b"b"]) + frame(CONTINUATION, b"c") + frame(second, b"d")
            yield Case(
                f"5.{kind}, a lone end and opcode {second}", broken, ("ab" if opcode == TEXT else b"ab",), close=1002
            )
        closed = frame(opcode, b"a", fin=False) + frame(CLOSE, b"\x03\xe8")
        yield Case(f"5.{kind} that a close breaks off", closed, close=1002)  # websockets answers it as a mistake
    for fin in (True, False):
        yield Case(f"5.lone continuation, fin {fin}", frame(CONTINUATION, b"a", fin=fin), close=1002)
        after = frame(TEXT, b"a") + frame(CONTINUATION, b"b", fin=fin)
        yield Case(f"5.lone continuation behind a text, fin {fin}", after, ("a",), close=1002)


def texts() -> Iterator[Case]:
    for name, text in VALID_UTF8.items():
        message = text.decode()
        yield Case(f"6.{name}", frame(TEXT, text), (message,))
        yield Case(f"6.{name}, a byte a fragment", in_fragments(TEXT, cut(text, 1)), (message,))
        pinged = in_fragments(TEXT, cut(text, 2), frame(PING, b"p"))
        yield Case(f"6.{name}, around pings", pinged, (message,), (b"p",) * (len(cut(text, 2)) - 1))
    for name, text in INVALID_UTF8.items():
        yield Case(f"6.{name}", frame(TEXT, b"a") + frame(TEXT, text), ("a",), close=1007)
        yield Case(f"6.{name}, a byte a fragment", in_fragments(TEXT, cut(text, 1)), close=1007)
        yield Case(f"6.{name}, between good texts", in_fragments(TEXT, [b"good", text, b"good"]), close=1007)
        yield Case(f"6.{name}, as binary", frame(BINARY, text), (text,))


def closes() -> Iterator[Case]:
    yield Case("7.nothing but a close", frame(CLOSE, b"\x03\xe8"))
    yield Case("7.close without a code", frame(CLOSE), close=0)
    yield Case("7.close of one byte", frame(CLOSE, b"\x03"), close=1002)
    yield Case("7.close of 126 bytes", frame(CLOSE, b"\x03\xe8" + b"*" * 124), close=1002)
    yield Case("7.close in fragments", frame(CLOSE, b"\x03\xe8", fin=False), close=1002)
    for reason in ("", "bye", "до свидания", "*" * 123):
        yield Case(f"7.reason of {len(reason)}", frame(CLOSE, b"\x03\xe8" + reason.encode()))
    for name, text in list(INVALID_UTF8.items())[::6]:
        yield Case(f"7.reason is no text: {name}", frame(CLOSE, b"\x03\xe8" + text), close=1007)
    for code in GOOD_CLOSES:
        yield Case(f"7.code {code}", frame(CLOSE, code.to_bytes(2)), close=code)
        yield Case(f"7.code {code} with a reason", frame(CLOSE, code.to_bytes(2) + b"bye"), close=code)
    for code in BAD_CLOSES:
        yield Case(f"7.code {code}", frame(CLOSE, code.to_bytes(2)), close=1002)
        yield Case(f"7.code {code} with a reason", frame(CLOSE, code.to_bytes(2) + b"bye"), close=1002)
    close = frame(CLOSE, b"\x03\xe8")
    yield Case("7.two closes", close + close)
    for opcode in (TEXT, BINARY, CONTINUATION, PING, 3):
        yield Case(f"7.opcode {opcode} behind the close", close + frame(opcode, b"late"))
    yield Case("7.much behind the close", close + frame(BINARY, bytes(60_000)) * 4)


def sizes() -> Iterator[Case]:
    for size in (1 << 12, 1 << 14, 1 << 16, 1 << 18, LONGEST - 1, LONGEST):
        yield Case(f"9.text of {size}", frame(TEXT, b"*" * size), ("*" * size,))
        yield Case(f"9.binary of {size}", frame(BINARY, b"\xfe" * size), (b"\xfe" * size,))
        parts = in_fragments(BINARY, cut(b"\xfe" * size, 4096))
        yield Case(f"9.binary of {size} in fragments of 4096", parts, (b"\xfe" * size,))
    for kind, opcode in (("text", TEXT), ("binary", BINARY)):
        yield Case(f"9.{kind} too long by one", frame(opcode, b"*" * (LONGEST + 1)), close=1009)
        long = in_fragments(opcode, [b"*" * (LONGEST // 2), b"*" * (LONGEST // 2), b"*"])
        yield Case(f"9.{kind} too long by a fragment of one", long, close=1009)
        yield Case(f"9.{kind} said to be too long", frame(opcode, b"*" * (LONGEST + 1))[:14], close=1009)
    for size in (16, 64, 256):
        many = b"".join(frame(BINARY, bytes([n % 256]) * size) for n in range(200))
        yield Case(f"9.200 messages of {size}", many, tuple(bytes([n % 256]) * size for n in range(200)))
    yield Case("9.100 texts", frame(TEXT, b"text") * 100, ("text",) * 100)
    yield Case("9.1000 pings", frame(PING, b"p") * 1000, pongs=(b"p",) * 1000)


def needless_fragments() -> Iterator[Case]:
    text = "Съешь ещё этих мягких французских булок. " * 800
    for size in (64, 65, 257, 1300, 4096):  # the odd ones cut letters in two
        yield Case(f"10.text in {size}s", in_fragments(TEXT, cut(text.encode(), size)), (text,))
        yield Case(f"10.binary in {size}s", in_fragments(BINARY, cut(text.encode(), size)), (text.encode(),))
    yield Case("10.as many fragments as there may be", in_fragments(BINARY, [b"*"] * 1024), (b"*" * 1024,))
    yield Case("10.more fragments than there may be", in_fragments(BINARY, [b"*"] * 1026), close=1008)


CASES: Final = [
    *framing(),
    *pings(),
    *reserved_bits(),
    *opcodes(),
    *fragments(),
    *texts(),
    *closes(),
    *sizes(),
    *needless_fragments(),
]
