"""Raw HTTP on which two readers may disagree: what is sent, what is answered, and which requests are carried out.

Every case is one connection. `FORBIDDEN` is a request that a proxy in front refuses; it is carried out only where
nothing stands in front and it plainly is a request of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HOST: Final = b"Host: 127.0.0.1\r\n"
GET: Final = b"GET /a HTTP/1.1\r\n" + HOST
POST: Final = b"POST /a HTTP/1.1\r\n" + HOST
EARLY: Final = b"POST /early HTTP/1.1\r\n" + HOST  # answered with 413 before the body is read
FORBIDDEN: Final = b"GET /forbidden HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
THREE: Final = b"Content-Length: 3\r\n"
CLOSE: Final = b"Connection: close\r\n"
EXPECT: Final = b"Expect: 100-continue\r\n"
KEY: Final = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
END: Final = b"\r\n"
LAST: Final = b"0\r\n\r\n"
SMUGGLED: Final = b"Content-Length: %d\r\n\r\n" % len(FORBIDDEN) + FORBIDDEN
FIRST: Final = "GET /a 0"
SECOND: Final = "GET /forbidden 0"
POSTED: Final = "POST /a 3"
HIDDEN: Final = f"POST /a {len(FORBIDDEN)}"  # the second request stayed the body of the first


@dataclass(frozen=True)
class Case:
    """One connection.

    Attributes:
        raw: what the client sends, then it sends no more.
        statuses: of the answers, when nothing stands in front.
        served: the requests that reach the application: method, path, bytes of the body.
        or_else: statuses that are as good, where it depends on what comes first; 101 means that a WebSocket is served.
    """

    name: str
    raw: bytes
    statuses: tuple[int, ...]
    served: tuple[str, ...] = ()
    or_else: tuple[int, ...] = ()


def upgrade(value: bytes, connection: bytes = b"Upgrade") -> bytes:
    """Return the headers that ask for another protocol."""
    return b"Connection: " + connection + b"\r\nUpgrade: " + value + b"\r\n"


def chunk(body: bytes, extension: bytes = b"") -> bytes:
    return b"%x" % len(body) + extension + b"\r\n" + body + b"\r\n"


H2C: Final = upgrade(b"h2c", b"Upgrade, HTTP2-Settings") + b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
PROTOCOLS: Final = {
    "h2c": H2C,
    "h2c in capitals": upgrade(b"H2C"),
    "an unknown protocol": upgrade(b"gopher/2"),
    "tls": upgrade(b"TLS/1.0"),
    "an empty protocol": upgrade(b""),
    "websocket with POST": upgrade(b"websocket") + KEY,
    "websocket among others": upgrade(b"h2c, websocket") + KEY,
    "two upgrades": b"Upgrade: h2c\r\n" + upgrade(b"gopher/2"),
    "upgrade and close": upgrade(b"h2c", b"upgrade, close"),
}

HONEST: Final = [
    Case("get", GET + END, (200,), (FIRST,)),
    Case("get twice", GET + END + GET + END, (200, 200), (FIRST, FIRST)),
    Case("get thirty times", (GET + END) * 30, (200,) * 30, (FIRST,) * 30),
    Case("options", b"OPTIONS /a HTTP/1.1\r\n" + HOST + END, (200,), ("OPTIONS /a 0",)),
    Case("post", POST + THREE + END + b"abc", (200,), (POSTED,)),
    Case("post, empty", POST + b"Content-Length: 0\r\n" + END, (200,), ("POST /a 0",)),
    Case("post, no length", POST + END, (200,), ("POST /a 0",)),
    Case("post, chunked", POST + CHUNKED + END + chunk(b"abc") + LAST, (200,), (POSTED,)),
    Case("get with a body", GET + THREE + END + b"abc", (200,), ("GET /a 3",)),
    Case("post and get", POST + THREE + END + b"abc" + GET + END, (200, 200), (POSTED, FIRST)),
    Case("chunked and get", POST + CHUNKED + END + chunk(b"abc") + LAST + GET + END, (200, 200), (POSTED, FIRST)),
    Case("two posts", (POST + THREE + END + b"abc") * 2, (200, 200), (POSTED, POSTED)),
    Case("a body with blank lines", POST + b"Content-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n", (200,), ("POST /a 8",)),
    Case("chunks with blank lines", POST + CHUNKED + END + chunk(b"\r\n\r\n" * 2) + LAST, (200,), ("POST /a 8",)),
    Case("empty lines first", b"\r\n\r\n" + GET + END, (200,), (FIRST,)),
    Case("empty lines between", GET + END + b"\r\n\r\n\r\n" + GET + END, (200, 200), (FIRST, FIRST)),
    Case("spaces behind a value", POST + b"Content-Length: 3 \t \r\n" + END + b"abc", (200,), (POSTED,)),
    Case("a tab before a value", POST + b"Content-Length:\t3\r\n" + END + b"abc", (200,), (POSTED,)),
    Case("zeros before a length", POST + b"Content-Length: 0003\r\n" + END + b"abc", (200,), (POSTED,)),
    Case("names in capitals", POST + b"CONTENT-LENGTH: 3\r\n" + END + b"abc", (200,), (POSTED,)),
    Case("chunked in capitals", POST + b"Transfer-Encoding: CHUNKED\r\n\r\n" + chunk(b"abc") + LAST, (200,), (POSTED,)),
]

UPGRADES: Final = [
    case
    for name, headers in PROTOCOLS.items()
    for case in (
        Case(f"{name}: a body", POST + headers + THREE + END + b"abc", (200,), (POSTED,)),
        Case(f"{name}: chunks", POST + headers + CHUNKED + END + chunk(b"abc") + LAST, (200,), (POSTED,)),
        Case(f"{name}: a request in the body", POST + headers + SMUGGLED, (200,), (HIDDEN,)),
        Case(
            f"{name}: a request in chunks", POST + headers + CHUNKED + END + chunk(FORBIDDEN) + LAST, (200,), (HIDDEN,)
        ),
    )
] + [
    Case("h2c with GET", GET + H2C + END, (200,), (FIRST,)),
    Case("h2c with GET, another behind", GET + H2C + END + GET + END, (200, 200), (FIRST, FIRST)),
    Case("h2c, a body, another behind", POST + H2C + THREE + END + b"abc" + GET + END, (200, 200), (POSTED, FIRST)),
    Case("h2c twice", (POST + H2C + THREE + END + b"abc") * 2, (200, 200), (POSTED, POSTED)),
    Case("h2c in HTTP/1.0", b"POST /a HTTP/1.0\r\n" + H2C + THREE + END + b"abc", (200,), (POSTED,)),
    Case("h2c, answered early", EARLY + H2C + SMUGGLED, (413,), ("POST /early 0",)),
    Case("h2c and Expect", POST + H2C + EXPECT + THREE + END + b"abc", (200,), (POSTED,)),
    Case("h2c, both lengths", POST + H2C + CHUNKED + THREE + END + LAST, (400,)),
    Case("h2c, a wrong coding", POST + H2C + b"Transfer-Encoding: gzip\r\n" + END + b"abc", (400,)),
    Case("upgrade without Connection", POST + b"Upgrade: h2c\r\n" + SMUGGLED, (200,), (HIDDEN,)),
    Case("Connection without upgrade", POST + b"Connection: upgrade\r\n" + SMUGGLED, (200,), (HIDDEN,)),
    Case("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400,)),
    Case("HTTP/2 behind an upgrade", GET + H2C + END + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (200, 400), (FIRST,)),
    Case("websocket with a body", b"GET /v1/ws HTTP/1.1\r\n" + HOST + upgrade(b"websocket") + KEY + SMUGGLED, (400,)),
    Case("websocket, an announced body", GET + upgrade(b"websocket") + KEY + THREE + END, (400,)),
    Case("websocket in chunks", GET + upgrade(b"websocket") + KEY + CHUNKED + END + LAST, (400,)),
    Case("websocket, a request behind", GET + upgrade(b"websocket") + KEY + END + FORBIDDEN, (400,), or_else=(101,)),
    Case(
        "websocket, a frame behind",
        GET + upgrade(b"websocket") + KEY + END + b"\x82\x80\0\0\0\0",
        (400,),
        or_else=(101,),
    ),
    Case("websocket in HTTP/1.0", b"GET /a HTTP/1.0\r\n" + upgrade(b"websocket") + KEY + END, (200,), (FIRST,)),
    Case("websocket without a key", GET + upgrade(b"websocket") + END + FORBIDDEN, (400,)),
]

LENGTHS: Final = [
    Case("length and chunks", POST + THREE + CHUNKED + END + LAST + FORBIDDEN, (400,)),
    Case("chunks and length", POST + CHUNKED + THREE + END + LAST + FORBIDDEN, (400,)),
    Case("chunks and no length", POST + CHUNKED + b"Content-Length: \r\n" + END + LAST + FORBIDDEN, (400,)),
    Case("the same length twice", POST + THREE + THREE + END + b"abc" + FORBIDDEN, (400,)),
    Case("two lengths", POST + THREE + b"Content-Length: 0\r\n" + END + FORBIDDEN, (400,)),
    Case("lengths in a list", POST + b"Content-Length: 3, 3\r\n" + END + b"abc" + FORBIDDEN, (400,)),
    Case("a length with a sign", POST + b"Content-Length: +3\r\n" + END + b"abc" + FORBIDDEN, (400,)),
    Case("a negative length", POST + b"Content-Length: -1\r\n" + END + FORBIDDEN, (400,)),
    Case("a length in hex", POST + b"Content-Length: 0x3\r\n" + END + b"abc" + FORBIDDEN, (400,)),
    Case("a length with an underscore", POST + b"Content-Length: 1_0\r\n" + END + b"abc" + FORBIDDEN, (400,)),
    Case("a length with a point", POST + b"Content-Length: 3.0\r\n" + END + b"abc" + FORBIDDEN, (400,)),
    Case("a length with a space in it", POST + b"Content-Length: 1 0\r\n" + END + FORBIDDEN, (400,)),
    Case("an empty length", POST + b"Content-Length:\r\n" + END + FORBIDDEN, (400,)),
    Case(
        "a length beyond 64 bits", POST + b"Content-Length: 18446744073709551619\r\n" + END + b"abc" + FORBIDDEN, (400,)
    ),
    Case("a coding before chunked", POST + b"Transfer-Encoding: gzip, chunked\r\n" + END + LAST + FORBIDDEN, (400,)),
    Case("a coding behind chunked", POST + b"Transfer-Encoding: chunked, gzip\r\n" + END + LAST + FORBIDDEN, (400,)),
    Case("identity", POST + b"Transfer-Encoding: identity\r\n" + END + FORBIDDEN, (400,)),
    Case("identity and a length", POST + b"Transfer-Encoding: identity\r\n" + THREE + END + b"abc" + FORBIDDEN, (400,)),
    Case("an unknown coding", POST + b"Transfer-Encoding: xchunked\r\n" + END + LAST + FORBIDDEN, (400,)),
    Case("chunked in quotes", POST + b'Transfer-Encoding: "chunked"\r\n' + END + LAST + FORBIDDEN, (400,)),
    Case("chunked, twice", POST + CHUNKED + CHUNKED + END + LAST + FORBIDDEN, (400,)),
    Case(
        "chunked, then identity", POST + CHUNKED + b"Transfer-Encoding: identity\r\n" + END + LAST + FORBIDDEN, (400,)
    ),
    Case("an empty coding", POST + b"Transfer-Encoding:\r\n" + END + LAST + FORBIDDEN, (400,)),
    Case("chunked behind a tabulator", POST + b"Transfer-Encoding: \x0bchunked\r\n" + END + LAST + FORBIDDEN, (400,)),
    Case("chunked behind a comma", POST + b"Transfer-Encoding: ,chunked\r\n" + END + LAST + FORBIDDEN, (400,)),
    Case("chunked with a parameter", POST + b"Transfer-Encoding: chunked;a=b\r\n" + END + LAST + FORBIDDEN, (400,)),
    Case("a body that ends too early", POST + b"Content-Length: 100\r\n" + END + b"abc", (400,), ("POST /a gone",)),
]

LINES: Final = [
    Case("bare line feeds", b"GET /a HTTP/1.1\nHost: 127.0.0.1\n\n" + FORBIDDEN, (400,)),
    Case("a bare line feed in the head", GET + b"X: a\nTransfer-Encoding: chunked\r\n" + END + FORBIDDEN, (400,)),
    Case("a bare line feed behind the head", GET + b"\n" + FORBIDDEN, (400,)),
    Case("a bare return in the head", GET + b"X: a\rTransfer-Encoding: chunked\r\n" + END + FORBIDDEN, (400,)),
    Case("two returns at the end", GET + b"\r\r\n" + FORBIDDEN, (400,)),
    Case("folding", POST + b"X: a\r\n Content-Length: 3\r\n" + END + b"abc" + FORBIDDEN, (400,)),
    Case("folding by a tabulator", POST + b"Transfer-Encoding:\r\n\tchunked\r\n" + END + LAST + FORBIDDEN, (400,)),
    Case("folding first", b"GET /a HTTP/1.1\r\n " + HOST + END + FORBIDDEN, (400,)),
    Case("a space before the colon", POST + b"Content-Length : 3\r\n" + END + b"abc" + FORBIDDEN, (400,)),
    Case("a tabulator before the colon", POST + b"Transfer-Encoding\t: chunked\r\n" + END + LAST + FORBIDDEN, (400,)),
    Case("a header without a colon", POST + b"Content-Length 3\r\n" + END + b"abc" + FORBIDDEN, (400,)),
    Case("a header without a name", POST + b": 3\r\n" + END + FORBIDDEN, (400,)),
    Case("a zero in a name", POST + b"Content-Len\0gth: 3\r\n" + END + b"abc" + FORBIDDEN, (400,)),
    Case("a zero in a value", GET + b"X: a\0b\r\n" + END + FORBIDDEN, (400,)),
    Case("a name that is not ASCII", GET + b"X\xff: a\r\n" + END + FORBIDDEN, (400,)),
    Case("underscores are no hyphens", POST + b"Content_Length: 3\r\n" + END, (200,), ("POST /a 0",)),
    Case("tabulators in the first line", b"GET\t/a\tHTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("a space behind the version", b"GET /a HTTP/1.1 \r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("a space in the target", b"GET /a /b HTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("a method in small letters", b"get /a HTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("an unknown method", b"HELLO /a HTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,)),
    Case("a head without end", GET + b"X: " + b"a" * 70_000, (431,)),
    Case("10,000 headers at once", GET + b"X: a\r\n" * 10_000 + END + FORBIDDEN, (431,)),
    Case("many headers behind a request", GET + END + GET + b"X: abcdefg\r\n" * 10_000 + END, (200, 431), (FIRST,)),
    Case("a head that ends too early", GET + b"X: a\r\n", (400,)),
]

VERSIONS: Final = [
    Case("HTTP/1.0", b"GET /a HTTP/1.0\r\n" + END + FORBIDDEN, (200,), (FIRST,)),
    Case("HTTP/1.0, keep-alive", b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n" + END + FORBIDDEN, (200,), (FIRST,)),
    Case("HTTP/1.0 with a body", b"POST /a HTTP/1.0\r\n" + THREE + END + b"abc", (200,), (POSTED,)),
    Case("HTTP/1.0 in chunks", b"POST /a HTTP/1.0\r\n" + CHUNKED + END + LAST + FORBIDDEN, (400,)),
    Case("HTTP/1.0, both", b"POST /a HTTP/1.0\r\n" + THREE + CHUNKED + END + LAST + FORBIDDEN, (400,)),
    Case("HTTP/1.0 and Expect", b"POST /a HTTP/1.0\r\n" + EXPECT + THREE + END + b"abc", (200,), (POSTED,)),
    Case("HTTP/0.9", b"GET /a\r\n\r\n" + FORBIDDEN, (400,)),
    Case("HTTP/0.9 by name", b"GET /a HTTP/0.9\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("HTTP/2.0", b"GET /a HTTP/2.0\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("HTTP/1.2", b"GET /a HTTP/1.2\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("HTTP/1.10", b"GET /a HTTP/1.10\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("http in small letters", b"GET /a http/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
]

TARGETS: Final = [
    Case("a whole URL", b"GET http://127.0.0.1/a HTTP/1.1\r\n" + HOST + END, (200,), (FIRST,)),
    Case("a whole URL of another host", b"GET http://evil.example/a HTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("a whole URL without Host", b"GET http://127.0.0.1/a HTTP/1.1\r\n" + END + FORBIDDEN, (400,)),
    Case("a whole URL with a user", b"GET http://a@127.0.0.1/a HTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("another scheme", b"GET ftp://127.0.0.1/a HTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("CONNECT", b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("CONNECT with a body", b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + SMUGGLED, (400,)),
    Case("CONNECT to a path", b"CONNECT /a HTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("a star", b"OPTIONS * HTTP/1.1\r\n" + HOST + END, (200,), ("OPTIONS * 0",)),
    Case("no slash", b"GET a HTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("a fragment", b"GET /a#/forbidden HTTP/1.1\r\n" + HOST + END + FORBIDDEN, (400,)),
    Case("a target that is not ASCII", "GET /а HTTP/1.1\r\n".encode() + HOST + END + FORBIDDEN, (400,)),
    Case("an encoded path", b"GET /%61 HTTP/1.1\r\n" + HOST + END, (200,), (FIRST,)),
    Case("two hosts", GET + b"Host: evil.example\r\n" + END, (200,), (FIRST,)),
]

CHUNKS: Final = [
    Case("an extension", POST + CHUNKED + END + chunk(b"abc", b";a=b") + LAST, (200,), (POSTED,)),
    Case("an extension in quotes", POST + CHUNKED + END + chunk(b"abc", b';a="b;c"') + LAST, (200,), (POSTED,)),
    Case("an endless extension", POST + CHUNKED + END + chunk(b"abc", b";" + b"a" * 70_000), (400,), ("POST /a gone",)),
    Case(
        "extensions without end",
        POST + CHUNKED + END + chunk(b"a", b";" + b"a" * 200) * 400 + LAST,
        (400,),
        ("POST /a gone",),
    ),
    Case("a byte a chunk", POST + CHUNKED + END + chunk(b"a") * 30_000 + LAST, (200,), ("POST /a 30000",)),
    Case("zeros before a size", POST + CHUNKED + END + b"0003\r\nabc\r\n" + LAST, (200,), (POSTED,)),
    Case("a trailer", POST + CHUNKED + END + chunk(b"abc") + b"0\r\nX: a\r\n\r\n", (200,), (POSTED,)),
    Case(
        "a trailer and another behind",
        POST + CHUNKED + END + b"0\r\nX: a\r\n\r\n" + GET + END,
        (200, 200),
        ("POST /a 0", FIRST),
    ),
    Case("an endless trailer", POST + CHUNKED + END + b"0\r\nX: " + b"a" * 90_000, (400,), ("POST /a gone",)),
    Case("trailers without end", POST + CHUNKED + END + b"0\r\n" + b"X: a\r\n" * 20_000, (400,), ("POST /a gone",)),
    Case(
        "a length in a trailer",
        POST + CHUNKED + END + b"0\r\nContent-Length: 5\r\n\r\n" + FORBIDDEN,
        (400,),
        ("POST /a gone",),
    ),
] + [
    Case(name, POST + CHUNKED + END + raw + FORBIDDEN, (400,), ("POST /a gone",))
    for name, raw in {
        "bare line feeds around chunks": b"3\nabc\n0\n\n",
        "a bare line feed behind an extension": b"3;a\nabc\r\n0\r\n\r\n",
        "a bare return behind an extension": b"3;a\rabc\r\n0\r\n\r\n",
        "a space behind a size": b"3 \r\nabc\r\n0\r\n\r\n",
        "a space before a size": b" 3\r\nabc\r\n0\r\n\r\n",
        "a negative size": b"-3\r\nabc\r\n0\r\n\r\n",
        "a size with a prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
        "a size beyond 64 bits": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
        "no size": b"\r\nabc\r\n0\r\n\r\n",
        "more than the size": b"3\r\nabcX\r\n0\r\n\r\n",
        "less than the size": b"5\r\nabc\r\n0\r\n\r\n",
        "two characters behind a chunk": b"3\r\nabcXX0\r\n\r\n",
        "a line break in quotes": b'3;a="\r\nabc\r\n0\r\n\r\n',
        "a bare line feed at the end": b"3\r\nabc\r\n0\r\n\n",
    }.items()
]

BEHIND: Final = [
    Case("behind a close", GET + CLOSE + END + FORBIDDEN, (200,), (FIRST,)),
    Case("behind a body and a close", POST + CLOSE + THREE + END + b"abc" + FORBIDDEN, (200,), (POSTED,)),
    Case("behind chunks and a close", POST + CLOSE + CHUNKED + END + LAST + FORBIDDEN, (200,), ("POST /a 0",)),
    Case("behind an error", b"HELLO\r\n\r\n" + FORBIDDEN * 5, (400,)),
    Case("an error behind a request", GET + END + b"HELLO\r\n\r\n" + FORBIDDEN, (200, 400), (FIRST,)),
    Case(
        "an error in a body, a request behind", POST + CHUNKED + END + b"X\r\n" + FORBIDDEN, (400,), ("POST /a gone",)
    ),
    Case("answered early", EARLY + THREE + END + b"abc" + GET + END, (413, 200), ("POST /early 0", FIRST)),
    Case("answered early, a request in the body", EARLY + SMUGGLED, (413,), ("POST /early 0",)),
    Case(
        "answered early, then an error",
        EARLY + CHUNKED + END + b"X\r\n" + FORBIDDEN,
        (413,),
        ("POST /early 0",),
        (400,),
    ),
    Case("answered early, closed", EARLY + CLOSE + SMUGGLED + FORBIDDEN, (413,), ("POST /early 0",)),
    Case("rubbish behind a request", GET + END + b"\0\xff\r\n\r\n", (200, 400), (FIRST,)),
    Case(
        "less than was announced, then a request",
        POST + b"Content-Length: 9\r\n" + END + b"abc" + FORBIDDEN[:6],
        (200,),
        ("POST /a 9",),
    ),
    Case("more than was announced", POST + THREE + END + b"abcd" + FORBIDDEN, (200, 400), (POSTED,)),
]

EXPECTS: Final = [
    Case("expected", POST + EXPECT + THREE + END + b"abc", (200,), (POSTED,)),
    Case("expected, a request in the body", POST + EXPECT + SMUGGLED, (200,), (HIDDEN,)),
    Case("expected, chunked", POST + EXPECT + CHUNKED + END + chunk(b"abc") + LAST, (200,), (POSTED,)),
    Case("expected, another behind", POST + EXPECT + THREE + END + b"abc" + GET + END, (200, 200), (POSTED, FIRST)),
    Case("expected without a body", GET + EXPECT + END, (200,), (FIRST,)),
    Case("expected, answered early", EARLY + EXPECT + SMUGGLED, (413,), ("POST /early 0",)),
    Case("expected, answered early, not sent", EARLY + EXPECT + THREE + END + FORBIDDEN, (413,), ("POST /early 0",)),
    Case("expected, then an error", POST + EXPECT + CHUNKED + END + b"X\r\n", (400,), ("POST /a gone",)),
    Case("expected in capitals", POST + b"Expect: 100-CONTINUE\r\n" + THREE + END + b"abc", (200,), (POSTED,)),
    Case("something else expected", POST + b"Expect: 200-ok\r\n" + THREE + END + b"abc", (200,), (POSTED,)),
    Case("expected twice", POST + EXPECT * 2 + THREE + END + b"abc", (200,), (POSTED,)),
]

CASES: Final = [
    *HONEST,
    *UPGRADES,
    *LENGTHS,
    *LINES,
    *VERSIONS,
    *TARGETS,
    *CHUNKS,
    *BEHIND,
    *EXPECTS,
]
