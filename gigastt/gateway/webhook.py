"""The webhook: what feeds tell, sent to one URL that the operator has named, signed as in Standard Webhooks.

Each final, digit and error of a call is a POST, in order, and so is the end, with the whole text. One that fails is
sent again a few times, under the same `webhook-id`; then it is left out, and the next one follows.

    webhook-signature: v1,BASE64(HMAC-SHA-256(secret, "{webhook-id}.{webhook-timestamp}.{body}"))
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import httpx2

from gigastt.errors import ConfigError
from gigastt.gateway.feeds import Feed, Feeds
from gigastt.gateway.responses import encode_json
from gigastt.log import get_logger

log = get_logger(__name__)

ANSWER_SECONDS: Final = 10.0  # for the receiver
PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before another try
END_SECONDS: Final = 5.0  # for what is not sent yet when the server stops
LEAST_SECRET_BYTES: Final = 16
_SENT: Final = ("final", "dtmf", "error", "end")
_PREFIX: Final = "whsec_"
_TRANSIENT: Final = (408, 425, 429)


def read_secret(path: Path) -> bytes:
    """Read a secret: `whsec_` and base64, or any text.

    Raises:
        ConfigError: there is none, or a short one.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
        secret = base64.b64decode(text.removeprefix(_PREFIX)) if text.startswith(_PREFIX) else text.encode()
    except (OSError, ValueError) as exc:
        raise ConfigError(f"--webhook-secret-file {path}: cannot be read as text, or as whsec_ and base64.") from exc
    if len(secret) < LEAST_SECRET_BYTES:
        raise ConfigError(f"--webhook-secret-file {path}: expected at least {LEAST_SECRET_BYTES} characters.")
    return secret


class Webhook:
    """Sends the feeds that begin while it is entered."""

    def __init__(
        self,
        url: str,
        secret: bytes,
        feeds: Feeds,
        pauses: tuple[float, ...] = PAUSES,
        end_seconds: float = END_SECONDS,
    ) -> None:
        self._url = url
        self._secret = secret
        self._feeds = feeds
        self._pauses = pauses
        self._end_seconds = end_seconds
        self._client = httpx2.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Webhook:
        self._feeds.on_begin = self._begin
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._end_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def _begin(self, feed: Feed) -> None:
        task = asyncio.get_running_loop().create_task(self._send_all(feed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_all(self, feed: Feed) -> None:
        texts: list[str] = []
        async for message in feed.read():
            fields: dict[str, Any] = json.loads(message.text)
            if fields["type"] not in _SENT:
                continue
            if fields["type"] == "final":
                if not fields["text"]:
                    continue
                texts.append(fields["text"])
            if fields["type"] == "end":
                fields["text"] = " ".join(texts)
            await self._send(encode_json({"session": feed.session_id, **fields}), feed.session_id)

    async def _send(self, body: bytes, session: str) -> None:
        """Send one message, again where that may help."""
        message_id = f"msg_{uuid.uuid4().hex}"
        failure = ""
        for pause in (0.0, *self._pauses):
            await asyncio.sleep(pause)
            try:
                answer = await self._client.post(self._url, content=body, headers=self._headers(message_id, body))
            except httpx2.HTTPError as exc:
                failure = type(exc).__name__
                continue
            if answer.is_success:
                return
            failure = f"status {answer.status_code}"
            if answer.status_code < 500 and answer.status_code not in _TRANSIENT:
                break
        log.warning("webhook_failed", session=session, reason=failure)

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        now = str(int(time.time()))
        signed = hmac.digest(self._secret, f"{message_id}.{now}.".encode() + body, hashlib.sha256)
        return {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": now,
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }
