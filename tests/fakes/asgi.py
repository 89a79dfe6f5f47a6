"""Requests and WebSockets to an application in memory, one exchange each, as the server would pass them on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.types import ASGIApp, Message

WEBSOCKET: Final = "WEBSOCKET"  # stands for a method


@dataclass
class Answer:
    """How an exchange was answered: 101 is a WebSocket that was accepted, and left again at once."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the one header of a name."""
        found = [value for other, value in self.headers if other == name]
        assert len(found) <= 1, f"{name} is there {len(found)} times"
        return found[0] if found else None

    @property
    def code(self) -> str | None:
        """The code of an error, in the server's own shape, OpenAI's or Deepgram's."""
        fields: dict[str, Any] = json.loads(self.body)
        error = fields.get("error")
        code = fields.get("code") or fields.get("err_code") or (error.get("code") if isinstance(error, dict) else None)
        return str(code) if code is not None else None


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]] = (),
    *,
    peer: str = "127.0.0.1",
    subprotocols: Sequence[str] = (),
    http_version: str = "1.1",
) -> Answer:
    """Send a request without a body, or open a WebSocket and leave; return the answer."""
    answer = Answer()
    is_socket = method == WEBSOCKET
    path, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "websocket" if is_socket else "http",
        "asgi": {"version": "3.0"},
        "http_version": http_version,
        "scheme": "ws" if is_socket else "http",
        "path": path,
        "raw_path": path.encode("ascii"),
        "root_path": "",
        "query_string": query.encode("ascii"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": (peer, 50_000),
        "server": ("127.0.0.1", 9876),
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }
    scope |= {"subprotocols": list(subprotocols)} if is_socket else {"method": method}
    incoming: list[Message] = (
        [{"type": "websocket.connect"}] if is_socket else [{"type": "http.request", "body": b"", "more_body": False}]
    )
    gone: Message = {"type": "websocket.disconnect", "code": 1000} if is_socket else {"type": "http.disconnect"}

    async def receive() -> Message:
        return incoming.pop(0) if incoming else gone

    async def send(message: Message) -> None:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
            answer.status = message.get("status", 101)
            answer.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
        elif kind in ("http.response.body", "websocket.http.response.body"):
            answer.body += message.get("body", b"")

    await app(scope, receive, send)
    return answer
