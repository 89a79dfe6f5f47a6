"""The webhook of calls: what feeds tell, sent to one address that the operator has named.

Each final, digit and error of a call is sent in order, as `call.final` and so on, and at the end `call.end` with the
whole text. A message that is not taken is sent again a few times; then the next one follows.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from gigastt.errors import ConfigError
from gigastt.gateway.feeds import Feed, Feeds
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.responses import json_text
from gigastt.gateway.webhook import call_webhook

PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before another try
END_SECONDS: Final = 5.0  # for what is not sent yet when the server stops
LEAST_SECRET_CHARACTERS: Final = 16
_SENT: Final = ("final", "dtmf", "error", "end")


def read_secret(path: Path) -> str:
    """Read the secret that signs. ConfigError: there is none, or a short one."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"--webhook-secret-file {path}: cannot be read as text.") from exc
    if len(secret) < LEAST_SECRET_CHARACTERS:
        raise ConfigError(f"--webhook-secret-file {path}: expected at least {LEAST_SECRET_CHARACTERS} characters.")
    return secret


class CallWebhook:
    """Sends the feeds that begin while it is entered."""

    def __init__(
        self,
        url: str,
        secret: str,
        feeds: Feeds,
        metrics: Metrics,
        pauses: tuple[float, ...] = PAUSES,
        end_seconds: float = END_SECONDS,
    ) -> None:
        import httpx2

        self._url = url
        self._secret = secret
        self._feeds = feeds
        self._metrics = metrics
        self._pauses = pauses
        self._end_seconds = end_seconds
        self._client = httpx2.AsyncClient(trust_env=False)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> CallWebhook:
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
            kind = fields["type"]
            if kind not in _SENT or (kind == "final" and not fields["text"]):
                continue
            if kind == "final":
                texts.append(fields["text"])
            elif kind == "end":
                fields["text"] = " ".join(texts)
            told = {"session": feed.session_id, "number": message.number, **fields}
            await self._send(f"call.{kind}", json_text(told).encode())

    async def _send(self, event: str, body: bytes) -> None:
        """Send one message, again where it is not taken."""
        for pause in (0.0, *self._pauses):
            await asyncio.sleep(pause)
            if await call_webhook(self._client, self._url, event, body, self._secret, self._metrics):
                return
