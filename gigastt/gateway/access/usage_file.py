"""The file of usage: how much audio came with each key today, so that a restart does not give a day's hours again.

    {"day": "2026-11-27", "audio_seconds": {"9f86d081…": 5231.4}}       by the SHA-256 of the key

It belongs to one server, which writes it whole every `WRITE_SECONDS` while something changes, and at its end; one that
is killed forgets what came since. On the event loop; writing on a thread.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gigastt.errors import ConfigError
from gigastt.gateway.access.keys import ApiKeys
from gigastt.log import get_logger
from gigastt.models.disk import replacing

log = get_logger(__name__)

WRITE_SECONDS: Final = 10.0


class UsageFile:
    """The file of one server.

    Args:
        path: need not be there yet.
        keys: whose usage it keeps; they have that of today from now on.
        clock: the time of day, in seconds since 1970.

    Raises:
        ConfigError: it holds something else, or cannot be read or written.
    """

    def __init__(self, path: Path, keys: ApiKeys, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._keys = keys
        self._clock = clock
        self._written = ""
        try:
            self._take_up()
            self._write(self._content())
        except OSError as exc:
            raise ConfigError(f"--usage-file {path}: cannot be read and written: {exc.strerror}.") from exc
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ConfigError(f"--usage-file {path}: not a file of usage. Name another one, or remove it.") from exc

    async def keep(self, seconds: float = WRITE_SECONDS) -> None:
        """Write what has changed, every so many seconds and at the end, until cancelled."""
        try:
            while True:
                await asyncio.sleep(seconds)
                content = self._content()
                if content != self._written:
                    await asyncio.to_thread(self.save, content)
        finally:
            self.save()

    def save(self, content: str = "") -> None:
        """Write what there is now. A disk that is full or broken only has its line in the log: clients go on."""
        try:
            self._write(content or self._content())
        except OSError as exc:
            log.error("usage_not_written", file=str(self._path), reason=exc.strerror)

    def _take_up(self) -> None:
        if not self._path.exists():
            return
        told = json.loads(self._path.read_text(encoding="utf-8"))
        seconds = {key: float(each) for key, each in told["audio_seconds"].items()}
        if told["day"] == self._today():
            for usage in self._keys.usages:
                usage.take_up(seconds.get(usage.key.digest.hex(), 0.0))

    def _content(self) -> str:
        heard = {usage.key.digest.hex(): round(usage.heard_today, 1) for usage in self._keys.usages}
        return json.dumps({"day": self._today(), "audio_seconds": {key: each for key, each in heard.items() if each}})

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).date().isoformat()

    def _write(self, content: str) -> None:
        with replacing(self._path.resolve(), 0o600) as temporary:
            temporary.write_text(content + "\n", encoding="utf-8")
        self._written = content
