"""Uploads to an application in memory, and what must be left of them: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx

from gigastt.gateway.context import AppContext
from gigastt.gateway.pool.events import Event
from tests.fakes.gateway import http_client
from tests.fakes.pool import Fakes, final

PATH = "/v1/transcribe"


async def post(context: AppContext, body: Any = b"\0" * 64_000, path: str = PATH, **options: Any) -> httpx.Response:
    async with http_client(context) as client:
        return await client.post(path, content=body, **options)


def memory_files() -> int:
    names = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum("gigastt-upload" in str(name) for name in names)


def assert_given_back(fakes: Fakes) -> None:
    assert fakes.pool.places.active == 0
    assert all(file.freed for file in fakes.decoder.segments)
    assert memory_files() == 0


async def forever() -> AsyncGenerator[Event, None]:
    yield final("Раз.")
    await asyncio.Event().wait()
