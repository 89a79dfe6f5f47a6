"""The log of a day of typical events, by a real server: `python -m tools.day_log` puts it into docs/operations.md.

The server has the demo model and one place. Somebody speaks; a file comes, and one that is none; a browser calls it by
a wrong name; somebody finds no place beside another, whose phone then vanishes; a worker is killed; limits change; the
workers are replaced; and it is stopped.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
import textwrap
from pathlib import Path
from typing import Any, Final

from gigastt.gateway.access.key_file import add_key
from tests.clips import load_clips
from tests.live_client import live_client
from tests.server import ServerProcess, clean_environment
from tests.waiting import wait_for, wait_until

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
_BLOCK: Final = re.compile(r"(\nA day of a server.*?\n```\n)(.*?)(```\n)", re.DOTALL)
_ON_EVERY_LINE: Final = ("event", "timestamp", "level", "logger")
_SECONDS: Final = 120.0
_WIDTH: Final = 120
_CONFIG: Final = "max-sessions = 1\nmetrics = true\npool-checkout-timeout-secs = 0.5\nrate-limit-per-minute = {rate}\n"


def run_day(folder: Path) -> list[dict[str, Any]]:
    """Return the events of the day; the server's files are in the folder."""
    config, keys = folder / "gigastt.toml", folder / "keys"
    config.write_text(_CONFIG.format(rate=0))
    desk, archive = ({"authorization": f"Bearer {add_key(keys, name)}"} for name in ("desk-3", "archive"))
    environment = clean_environment() | {"GIGASTT_POOL_SIZE": "1", "GIGASTT_API_KEYS_FILE": str(keys)}
    clip = load_clips()[0]
    with ServerProcess("--config", str(config), environment=environment) as server:

        def happens(event: str, times: int = 1) -> None:
            wait_for(lambda: len(server.logged(event)) >= times, _SECONDS)

        happens("ready")
        asyncio.run(_speak(server, desk, clip.pcm))
        happens("session_closed")
        server.post("/v1/transcribe", clip.path.read_bytes(), headers=archive)
        server.post("/v1/transcribe", b"This is no audio.", headers=archive)
        server.get("/v1/models", headers={**archive, "host": "gigastt.lan"})
        happens("request", 3)
        asyncio.run(_vanish(server, desk, clip.pcm))
        happens("session_closed", 2)
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        happens("worker_ready", 2)
        config.write_text(_CONFIG.format(rate=60))
        server.signal(signal.SIGHUP)
        happens("limits_reloaded")
        server.signal(signal.SIGUSR2)
        happens("upgraded")
    return server.events


async def _speak(server: ServerProcess, headers: dict[str, str], pcm: bytes) -> None:
    async with live_client(server.websocket_url, additional_headers=headers) as client:
        await client.configure(sample_rate=16_000)
        await client.stream(pcm)
        await client.stop()


async def _vanish(server: ServerProcess, headers: dict[str, str], pcm: bytes) -> None:
    """Have one client speak, another one come in vain meanwhile, and the first one's connection break."""
    async with live_client(server.websocket_url, additional_headers=headers) as client:
        await client.configure(sample_rate=16_000)
        await client.stream(pcm)
        await client.wait_for(lambda client: client.of("partial"))
        async with live_client(server.websocket_url, additional_headers=headers) as other:
            await other.wait_closed()
        await wait_until(lambda: server.logged("session_refused"), _SECONDS)
        client.socket.transport.abort()


def written(event: dict[str, Any]) -> str:
    """Return an event as the document has it, on lines that are not too long."""
    fields = {name: value for name, value in event.items() if name not in _ON_EVERY_LINE}
    line = " ".join([event["event"], *(f"{name}={_shown(value)}" for name, value in fields.items())])
    return "\n".join(textwrap.wrap(line, _WIDTH, subsequent_indent=" " * 6, break_on_hyphens=False))


def _shown(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{16,}", value):
        return f"{value[:4]}…"
    if isinstance(value, str) and Path(value).is_absolute() and not value.startswith("/v1/"):
        return f"…/{Path(value).name}"
    return f'"{value}"' if isinstance(value, str) and (" " in value or not value) else str(value).replace("'", "")


def shapes(text: str) -> list[list[str]]:
    """Return what each line of the document tells: the event, and the names of its fields."""
    lines = re.sub(r"\n {6}", " ", text).splitlines()
    return [[line.split(" ")[0], *re.findall(r" ([a-z_]+)=", line)] for line in lines]


def block(document: str) -> str:
    """Return the log that a document has."""
    found = _BLOCK.search(document)
    assert found is not None, "docs/operations.md has no day of a server"
    return found[2]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        day = "".join(f"{written(event)}\n" for event in run_day(Path(folder)))
    document = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(_BLOCK.sub(lambda found: found[1] + day + found[3], document), encoding="utf-8")
    print(day, end="")


if __name__ == "__main__":
    main()
