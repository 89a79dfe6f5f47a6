"""Fetching: a job's recording from the address that its client has named. No redirect is followed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gigastt.errors import FetchFailed

if TYPE_CHECKING:
    import httpx2

_TIMEOUT_SECONDS = 60.0  # for each piece
_PIECE_BYTES = 256 * 1024


@asynccontextmanager
async def fetching(client: httpx2.AsyncClient, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield the bytes at an address, as they are.

    Raises:
        FetchFailed: the host does not answer, or with something else than 200.
    """
    import httpx2

    headers = {"accept-encoding": "identity"}
    try:
        async with client.stream("GET", url, headers=headers, timeout=_TIMEOUT_SECONDS) as response:
            if response.status_code != 200:
                raise FetchFailed(f"The host answered {response.status_code}.")
            yield response.aiter_raw(_PIECE_BYTES)
    except httpx2.HTTPError as exc:
        raise FetchFailed(f"The host cannot be reached ({type(exc).__name__}).") from exc
