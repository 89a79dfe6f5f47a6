"""The announcement is found by those who look for it."""

from __future__ import annotations

import asyncio
import logging

import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from gigastt.announcement import SERVICE, announce_listener
from gigastt.gateway.context import Listening
from gigastt.log import fields_of
from tests.waiting import wait_until


@pytest.mark.slow
async def test_a_listener_is_announced_where_it_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gigastt.announcement")
    announcing = asyncio.create_task(announce_listener(Listening("wyoming", "127.0.0.1", 10_300)))
    await wait_until(lambda: bool(caplog.records))
    told = fields_of(caplog.records[0])
    network = AsyncZeroconf(interfaces=["127.0.0.1"])
    found = AsyncServiceInfo(SERVICE, f"{told['name']}.{SERVICE}")
    try:
        assert await found.async_request(network.zeroconf, 30_000)
    finally:
        announcing.cancel()
        await asyncio.gather(announcing, return_exceptions=True)
        await network.async_close()
    assert (found.port, found.parsed_addresses()) == (10_300, ["127.0.0.1"])
