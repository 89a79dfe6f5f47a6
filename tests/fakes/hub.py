"""A stand-in for the model hub on 127.0.0.1: real HTTP, the hub's own addresses and headers, faults on demand.

Two listeners, as in life: the hub answers `HEAD` and `GET /OWNER/NAME/resolve/REVISION/FILE` (large files with a
redirect that carries `X-Linked-Etag` and `X-Linked-Size`, small ones directly), and the content network behind the
redirect, under another host name (`localhost`), sends bytes from any offset. Both run in daemon threads of the
test's process.
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, TypeAlias

FaultKind: TypeAlias = Literal["die", "stall", "short", "flip", "html", "loop", "status", "ignore_range", "wrong_range"]

_RESOLVE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>[^/]+)")
_HTML = b"<!doctype html><title>Please log in</title>" + b"<p>padding</p>" * 40


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one answer of the content network (`loop`, `status`: of the hub as well).

    Attributes:
        at: offset in the file where a connection dies or stalls, or where a bit flips or the content ends early.
        status: the code that `status` answers with.
    """

    kind: FaultKind
    at: int = 0
    status: int = 503


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the stand-in saw it."""

    listener: Literal["hub", "content"]
    method: str
    path: str
    range: str | None
    authorization: str | None
    accept_encoding: str | None


@dataclass
class FakeHub:
    """One repository at one revision.

    Attributes:
        files: content by name.
        tells_size: whether it says how long a file is, as some mirrors do not.
        small: names that are sent without a redirect and without an SHA-256 (the hub's ordinary git files).
        faults: applied to the answers of the content network, one each, first in first out.
        standing: a fault applied to every answer while it is set.
        sent_bytes: content bytes sent so far.
    """

    repository: str
    revision: str
    files: dict[str, bytes]
    tells_size: bool = True
    small: frozenset[str] = frozenset()
    tells_no_digest: bool = False  # of the small ones, as some mirrors
    faults: deque[Fault] = field(default_factory=deque)
    standing: Fault | None = None
    requests: list[Request] = field(default_factory=list)
    sent_bytes: int = 0
    hub_port: int = 0
    content_port: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """What HF_ENDPOINT or `--mirror` would be set to."""
        return f"http://127.0.0.1:{self.hub_port}"

    def transfers(self, name: str) -> list[Request]:
        """The requests for a file's bytes."""
        return [r for r in self.requests if r.method == "GET" and r.path.endswith("/" + name) and self._is_last(r)]

    def _is_last(self, request: Request) -> bool:
        return request.listener == "content" or request.path.rpartition("/")[2] in self.small


@contextmanager
def serve_hub(hub: FakeHub) -> Iterator[FakeHub]:
    """Run the stand-in until the block ends."""

    class HubHandler(_Handler):
        state = hub
        listener = "hub"

    class ContentHandler(_Handler):
        state = hub
        listener = "content"

    servers = [_Server(("127.0.0.1", 0), handler) for handler in (HubHandler, ContentHandler)]
    hub.hub_port, hub.content_port = (server.server_address[1] for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    """Both listeners; which one is a class attribute."""

    protocol_version = "HTTP/1.1"
    state: FakeHub
    listener: Literal["hub", "content"]

    def log_message(self, format: str, *args: Any) -> None:
        """Keep standard error for the tests."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        header = self.headers.get
        self.state.requests.append(
            Request(
                self.listener,
                self.command,
                self.path,
                header("Range"),
                header("Authorization"),
                header("Accept-Encoding"),
            )
        )
        if self.listener == "hub":
            self._answer_as_hub()
        else:
            self._send_content(self.path.rpartition("/")[2])

    def _answer_as_hub(self) -> None:
        match = _RESOLVE.fullmatch(self.path)
        if self.state.standing == Fault("loop"):
            self._send_head(302, {"Location": self.path + "x" if len(self.path) < 300 else "/", "Content-Length": "0"})
            return
        if match is None or match["repository"] != self.state.repository:
            self._send_head(404, {"X-Error-Code": "RepoNotFound", "Content-Length": "0"})
            return
        common = {"X-Repo-Commit": self.state.revision}
        if match["revision"] != self.state.revision:
            self._send_head(404, {"X-Error-Code": "RevisionNotFound", "Content-Length": "0"})
            return
        content = self.state.files.get(match["name"])
        if content is None:
            self._send_head(404, common | {"X-Error-Code": "EntryNotFound", "Content-Length": "0"})
        elif match["name"] in self.state.small:
            etag = (
                "1-2"
                if self.state.tells_no_digest
                else hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            )
            self._send_content(match["name"], common | {"ETag": f'"{etag}"'})
        else:
            linked = {
                "Location": f"http://localhost:{self.state.content_port}/blobs/{match['name']}",
                "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
            }
            if self.state.tells_size:
                linked |= {"X-Linked-Size": str(len(content)), "Content-Length": "0"}
            self._send_head(302, common | linked)

    def _send_content(self, name: str, headers: dict[str, str] | None = None) -> None:
        content = self.state.files[name]
        fault = self._next_fault()
        if fault is not None and fault.kind == "status":
            self._send_head(fault.status, {"Content-Length": "0"})
            return
        if fault is not None and fault.kind == "html":
            self._send_head(200, {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(_HTML))})
            self.wfile.write(_HTML)
            return
        if fault is not None and fault.kind == "loop":
            self._send_head(302, {"Location": self.path, "Content-Length": "0"})
            return
        content = _damaged(content, fault)
        start = self._first_byte(fault)
        if start >= len(content) and start:
            self._send_head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
            return
        head = {"Content-Length": str(len(content) - start), "Accept-Ranges": "bytes"} | (headers or {})
        if start:
            claimed = start + 1 if fault is not None and fault.kind == "wrong_range" else start
            head["Content-Range"] = f"bytes {claimed}-{len(content) - 1}/{len(content)}"
        self._send_head(206 if start else 200, head)
        if self.command == "GET":
            self._send_body(content, start, fault)

    def _next_fault(self) -> Fault | None:
        if self.command != "GET":
            return None
        if self.state.standing is not None:
            return self.state.standing
        return self.state.faults.popleft() if self.state.faults else None

    def _first_byte(self, fault: Fault | None) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if match is None or (fault is not None and fault.kind == "ignore_range"):
            return 0
        return int(match.group(1))

    def _send_body(self, content: bytes, start: int, fault: Fault | None) -> None:
        end = fault.at if fault is not None and fault.kind in ("die", "stall") else len(content)
        body = content[start : max(start, end)]
        self.wfile.write(body)
        self.wfile.flush()
        self.state.sent_bytes += len(body)
        if fault is not None and fault.kind == "stall":
            self.state.released.wait(30)
        if fault is not None and fault.kind in ("die", "stall"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _damaged(content: bytes, fault: Fault | None) -> bytes:
    """The content as this answer has it."""
    if fault is None:
        return content
    if fault.kind == "short":
        return content[: fault.at]
    if fault.kind == "flip":
        return content[: fault.at] + bytes([content[fault.at] ^ 1]) + content[fault.at + 1 :]
    return content
