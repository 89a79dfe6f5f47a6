"""Servers that hear files for `gigastt transcribe`: which of their refusals are waited for."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gigastt.audio.selection import ALL_MIXED
from gigastt.cli.servers import ServerRefused, Servers, _Server
from gigastt.transcript import FINALS_ONLY

HEARD = {"text": "да", "words": [], "duration": 1.0, "segments": []}
DAY = {"error": "This key may send 2 hours of audio a day.", "code": "quota_exceeded", "retry_after_ms": 30_000_000}
MOMENT = {"error": "Too many requests from this address.", "code": "rate_limited", "retry_after_ms": 50}


def answering(*answers: tuple[int, dict[str, Any]]) -> httpx2.AsyncClient:
    """Return a client of a server that answers files so, one after the other."""
    left = list(answers)

    async def ready(request: Request) -> JSONResponse:
        return JSONResponse({"saturation": 0.0})

    async def transcribe(request: Request) -> JSONResponse:
        await request.body()
        status, answer = left.pop(0)
        return JSONResponse(answer, status)

    app = Starlette(routes=[Route("/ready", ready), Route("/v1/transcribe", transcribe, methods=["POST"])])
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app))


async def hear(client: httpx2.AsyncClient, servers: int = 1) -> None:
    asked = [_Server(f"http://server{number}") for number in range(servers)]
    told = Servers(client, asked, 1, None, FINALS_ONLY).hear(io.BytesIO(b"RIFF"), ALL_MIXED, lambda done, of: None)
    assert [each async for each in told]


async def test_a_key_whose_day_is_used_up_ends_a_file_at_once() -> None:
    with pytest.raises(ServerRefused, match="2 hours of audio a day"):
        async with asyncio.timeout(60):  # it would wait for hours
            await hear(answering((429, DAY)))


async def test_a_refusal_that_passes_is_waited_for() -> None:
    await hear(answering((429, MOMENT), (200, HEARD)))


async def test_another_server_takes_the_file() -> None:
    await hear(answering((429, DAY), (200, HEARD)), servers=2)
