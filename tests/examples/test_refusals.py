"""Both client modules obey a refusal in the same way: they wait as long as it says, or end at once with its code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from examples.python.gigastt_client import ConnectionFailed, Session
from gigastt.config import Limits
from gigastt.gateway.access.key_file import KeyLimits, add_key, revoke_key
from gigastt.gateway.app import NATIVE
from gigastt.gateway.context import AppContext
from gigastt.reloading import reload_keys
from tests.examples.test_javascript_client import node_client
from tests.fakes.gateway import Running, http_client, serving
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.pool import Fakes
from tests.fakes.scripted import speech
from tests.waiting import wait_until

SECONDS = 30.0  # in which it ends at once, on a busy machine; a client that waits takes far longer
A_MINUTE = Limits(rate_limit_per_minute=1, rate_limit_burst=1)

pytestmark = pytest.mark.slow


@dataclass
class Follower:
    """One session of a client module, whichever it is.

    waited: codes of refusals that it has waited for.
    code: that it has ended with; None where it was not refused.
    """

    finals: list[str] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    code: str | None = None


Follow = Callable[..., Any]


@pytest.fixture(params=["python", "javascript"])
def follow(request: pytest.FixtureRequest, tmp_path: Path) -> Follow:
    """Return what speaks one word, stops, and follows the session to its end."""

    async def in_python(running: Running, key: str | None, patience: float, during: Any) -> Follower:
        told = Follower()
        async with Session(running.ws + "/v1/ws", key=key, patience=patience, partials=False) as session:
            await session.send(speech([1]).tobytes())
            ending = asyncio.create_task(_stop_after(during, session.stop))
            try:
                async for event in session.events():
                    if event["type"] == "final":
                        told.finals.append(event["text"])
                    if event.get("state") == "refused":
                        told.waited.append(event["code"])
            except ConnectionFailed as exc:
                told.code = exc.code
            await ending
        return told

    async def in_javascript(running: Running, key: str | None, patience: float, during: Any) -> Follower:
        told = Follower()
        async with node_client(tmp_path, running.port, key=key, patienceSeconds=patience) as client:
            client.speak(1)
            await _stop_after(during, None)
            end = await client.finished()
        told.finals = client.texts
        states = client.of("state")
        told.waited = [each["code"] for each in states if each["state"] == "lost" and "code" in each]
        told.code = states[-1].get("code", "") if end["state"] == "failed" else None
        return told

    chosen = in_python if request.param == "python" else in_javascript

    async def follow(running: Running, *, key: str | None = None, patience: float = 600.0, during: Any = None) -> Any:
        async with asyncio.timeout(SECONDS):
            return await chosen(running, key, patience, during)

    return follow


async def _stop_after(during: Any, stop: Any) -> None:
    if during is not None:
        await during()
    if stop is not None:
        await stop()


@asynccontextmanager
async def keyed(file: Path, pool: MemoryPool | None = None) -> AsyncIterator[tuple[AppContext, Running]]:
    context = Fakes(pool=pool or MemoryPool(automatic=True)).context(api_keys_file=file)
    async with serving(context, native=NATIVE) as running:
        yield context, running


async def test_an_unknown_key_ends_it(tmp_path: Path, follow: Follow) -> None:
    add_key(tmp_path / "keys", "alice")
    async with keyed(tmp_path / "keys") as (_, running):
        assert (await follow(running, key="another")).code == "unauthorized"


async def test_a_key_that_is_revoked_ends_it(tmp_path: Path, follow: Follow) -> None:
    file = tmp_path / "keys"
    key = add_key(file, "alice")
    add_key(file, "bob")
    async with keyed(file) as (context, running):

        async def revoke() -> None:
            await wait_until(lambda: context.api_keys is not None and context.api_keys.usages[0].sessions)
            revoke_key(file, "alice")
            reload_keys(context)

        assert (await follow(running, key=key, during=revoke)).code == "unauthorized"


async def test_a_day_that_is_used_up_ends_it(tmp_path: Path, follow: Follow) -> None:
    key = add_key(tmp_path / "keys", "alice", KeyLimits(audio_hours_per_day=1))
    async with keyed(tmp_path / "keys") as (context, running):
        assert context.api_keys is not None
        context.api_keys.usages[0].hear(3_600)
        assert (await follow(running, key=key)).code == "quota_exceeded"


async def test_a_day_that_ends_amid_a_session_ends_it_behind_its_words(tmp_path: Path, follow: Follow) -> None:
    key = add_key(tmp_path / "keys", "alice", KeyLimits(audio_hours_per_day=1))
    async with keyed(tmp_path / "keys") as (context, running):
        assert context.api_keys is not None
        context.api_keys.usages[0].hear(3_599.99)
        followed = await follow(running, key=key)
    assert (followed.code, followed.finals) == ("quota_exceeded", ["w1"])


async def test_a_rate_that_passes_is_waited_for(follow: Follow) -> None:
    context = Fakes(pool=MemoryPool(automatic=True)).context(Limits(rate_limit_per_minute=60, rate_limit_burst=1))
    async with serving(context, native=NATIVE) as running:
        async with connect(running.ws + "/v1/ws"):
            pass
        followed = await follow(running)
    assert (followed.code, followed.finals) == (None, ["w1"])
    assert set(followed.waited) <= {"rate_limited"}


async def test_a_rate_that_outlasts_the_patience_ends_it(follow: Follow) -> None:
    async with serving(Fakes(pool=MemoryPool()).context(A_MINUTE), native=NATIVE) as running:
        async with connect(running.ws + "/v1/ws"):
            pass
        followed = await follow(running, patience=20.0)
    assert (followed.code, followed.waited) == ("rate_limited", [])


async def test_a_full_server_is_asked_again_when_it_says(follow: Follow) -> None:
    pool = MemoryPool(automatic=True, sessions=1)
    context = Fakes(pool=pool).context(Limits(pool_checkout_timeout_secs=0.1))
    async with serving(context, native=NATIVE) as running:
        other = await connect(running.ws + "/v1/ws")
        await other.recv()
        following = asyncio.create_task(follow(running))
        await wait_until(lambda: context.metrics.registry.get_sample_value("gigastt_errors_total", {"code": "timeout"}))
        await other.close()
        followed = await following
    assert (followed.code, followed.finals, set(followed.waited)) == (None, ["w1"], {"timeout"})


@pytest.mark.parametrize("path", ["/v1/ws", "/ws", "/v1/realtime"])
async def test_a_plain_request_says_why_a_websocket_would_be_refused(path: str, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "alice", KeyLimits(sessions=1))
    context = Fakes().context(api_keys_file=tmp_path / "keys")
    assert context.api_keys is not None
    async with http_client(context) as client:
        asked = {"authorization": f"Bearer {key}"}
        assert (await client.get(path, headers=asked)).status_code == 426
        with context.api_keys.usages[0].session():
            refused = await client.get(path, headers=asked)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    assert "quota_exceeded" in refused.text
