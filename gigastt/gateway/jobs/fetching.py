"""Fetching: a job's recording from the address that its client has named. No redirect is followed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gigastt.errors import FetchFailed
from gigastt.gateway.webhook import check_url

if TYPE_CHECKING:
    import httpx2

_TIMEOUT_SECONDS = 60.0  # for each piece
_PIECE_BYTES = 256 * 1024


class Fetcher:
    """Fetches recordings.

    Args:
        client: None where nothing may be fetched.
        hosts: those that may be asked.
    """

    def __init__(self, client: httpx2.AsyncClient | None, hosts: Collection[str]) -> None:
        self._client = client
        self._hosts = hosts

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the bytes at an address, as they are.

        Raises:
            InvalidParameter: its host may not be asked.
            FetchFailed: the host does not answer, or with something else than 200.
        """
        check_url(url, self._hosts, "url")
        assert self._client is not None, "there are hosts"
        import httpx2

        headers = {"accept-encoding": "identity"}
        try:
            async with self._client.stream("GET", url, headers=headers, timeout=_TIMEOUT_SECONDS) as response:
                if response.status_code != 200:
                    raise FetchFailed(f"The host answered {response.status_code}.")
                yield response.aiter_raw(_PIECE_BYTES)
        except httpx2.HTTPError as exc:
            raise FetchFailed(f"The host cannot be reached ({type(exc).__name__}).") from exc
