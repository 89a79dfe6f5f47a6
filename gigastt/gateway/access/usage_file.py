"""The file of usage: how much audio came with each key today, so that a restart does not give a day's hours again.

    {"day": "2026-11-27", "audio_seconds": {"9f86d081…": 5231.4}}       by the SHA-256 of the key

Several servers may share it: each adds what it has heard, and counts what the others have added, every `WRITE_SECONDS`
and at its end, under a lock on a file beside it. A server that is killed forgets what came since. On the event loop;
files are read and written on a thread.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """The file, as one server uses it.

    Args:
        path: need not be there yet.
        keys: whose usage it keeps; they have that of today from now on.
        clock: the time of day, in seconds since 1970.

    Raises:
        ConfigError: it holds something else, or cannot be read or written.
    """

    def __init__(self, path: Path, keys: ApiKeys, clock: Callable[[], float] = time.time) -> None:
        self._path = path.resolve()
        self._keys = keys
        self._clock = clock
        self._day = ""
        self._added: dict[str, float] = {}  # seconds of that day that this server has put into the file
        try:
            self._take_up(self._add(self._today(), self._heard()))
        except OSError as exc:
            raise ConfigError(f"--usage-file {path}: cannot be read and written: {exc.strerror}.") from exc
        except ValueError as exc:
            raise ConfigError(f"--usage-file {path}: not a file of usage. Name another one, or remove it.") from exc

    async def keep(self, seconds: float = WRITE_SECONDS) -> None:
        """Bring the file and the keys together every so many seconds and at the end, until cancelled."""
        try:
            while True:
                await asyncio.sleep(seconds)
                self._take_up(await asyncio.to_thread(self._try_to_add, self._today(), self._heard()))
        finally:
            self.save()

    def save(self) -> None:
        """Bring them together now."""
        self._take_up(self._try_to_add(self._today(), self._heard()))

    def _heard(self) -> dict[str, float]:
        return {usage.key.digest.hex(): usage.heard_today for usage in self._keys.usages}

    def _take_up(self, totals: dict[str, float]) -> None:
        for usage in self._keys.usages:
            if (total := totals.get(usage.key.digest.hex())) is not None:
                usage.take_up(total)

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).date().isoformat()

    # -- on a thread

    def _try_to_add(self, today: str, heard: dict[str, float]) -> dict[str, float]:
        """As `_add`. A disk that is full or broken only has its line in the log: clients go on."""
        try:
            return self._add(today, heard)
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            log.error("usage_not_written", file=str(self._path), reason=reason)
            return {}

    def _add(self, today: str, heard: dict[str, float]) -> dict[str, float]:
        """Add what this server has heard since the last time, and return what all have heard today.

        Raises:
            ValueError: the file holds something else.
        """
        with self._locked():
            day, totals, before = self._read()
            if day != today:
                totals = {}
            if self._day != today:
                self._day, self._added = today, {}
            for key, seconds in heard.items():
                added = self._added.get(key, 0.0)
                since = seconds - added if seconds >= added else seconds  # a key that was away counts from 0 again
                totals[key] = round(max(seconds, totals.get(key, 0.0) + since), 3)
            content = {"day": today, "audio_seconds": {key: each for key, each in totals.items() if each}}
            if content != before:
                with replacing(self._path, 0o600) as temporary:
                    temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
            self._added = heard
        return totals

    def _read(self) -> tuple[str, dict[str, float], object]:
        """Return the day, the seconds of each key, and all that is in the file; ValueError: it is something else."""
        if not self._path.exists():
            return "", {}, None
        told = json.loads(self._path.read_text(encoding="utf-8"))
        try:
            return str(told["day"]), {key: float(each) for key, each in told["audio_seconds"].items()}, told
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError("not a file of usage") from exc

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._path.with_name(f".{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
