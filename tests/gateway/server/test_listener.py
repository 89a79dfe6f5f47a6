"""The server's life: binding, draining, stopping."""

from __future__ import annotations

import asyncio
import signal
import socket

import httpx
import pytest
import websockets
from starlette.websockets import WebSocket

from gigastt.config import Limits
from gigastt.errors import PortUnavailable
from gigastt.gateway.app import create_metrics_app
from gigastt.gateway.context import AppContext
from gigastt.gateway.server.listener import Server, bind, watch_loop_lag
from tests.fakes.gateway import serving
from tests.fakes.pool import Fakes
from tests.shared import do_without
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


def test_a_taken_port_is_named_in_one_line() -> None:
    [listener] = bind("127.0.0.1", 0)
    with listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortUnavailable, match=f"Port {port} on 127.0.0.1 is taken") as caught:
            bind("127.0.0.1", port)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 7


def test_a_taken_port_of_the_metrics_names_their_own_flag() -> None:
    [listener] = bind("127.0.0.1", 0)
    with listener, pytest.raises(PortUnavailable, match="Choose another with --metrics-listen"):
        bind("127.0.0.1", listener.getsockname()[1], "--metrics-listen")
    with pytest.raises(PortUnavailable, match="Choose another with --metrics-listen"):
        bind("no such host", 0, "--metrics-listen")


def test_a_foreign_address_is_refused() -> None:
    with pytest.raises(PortUnavailable, match="not an address of this machine"):
        bind("192.0.2.1", 0)
    with pytest.raises(PortUnavailable, match="not an address of this machine"):
        bind("no such host", 0)


def test_localhost_listens_on_one_free_port() -> None:
    listeners = bind("localhost", 0)
    for listener in listeners:
        with listener:
            assert listener.getsockname()[1] > 0
    assert len(listeners) == 1


async def test_a_freed_port_can_be_used_at_once() -> None:
    async with serving(Fakes().context()) as running, httpx.AsyncClient() as client:
        assert (await client.get(f"{running.http}/health")).status_code == 200
        port = running.port
    for listener in bind("127.0.0.1", port):
        listener.close()


async def say_goodbye(websocket: WebSocket, context: AppContext) -> None:
    """A session that ends in order when the server drains."""
    await websocket.accept()
    await wait_until(lambda: context.pool.state == "shutting_down")
    await websocket.receive_text()  # until then the drain cannot end
    await websocket.send_json({"type": "final", "endpoint_reason": "shutdown"})
    await websocket.close(1001)


async def test_the_first_signal_drains_and_sessions_say_their_last_word() -> None:
    fakes = Fakes()
    async with (
        serving(fakes.context(), native=say_goodbye) as running,
        httpx.AsyncClient(base_url=running.http) as http,
    ):
        sessions = [await websockets.connect(f"{running.ws}/v1/ws") for _ in range(5)]
        await wait_until(lambda: len(running.server.server_state.tasks) == 5)
        running.server.handle_exit(signal.SIGTERM, None)
        assert (await http.get("/ready")).json()["reason"] == "shutting_down"
        refused = await http.post("/v1/transcribe", content=b"1234")
        assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
        for session in sessions:
            await session.send("your last word?")
            assert "shutdown" in str(await session.recv())
            await session.wait_closed()
            assert session.close_code == 1001
        await asyncio.wait_for(asyncio.shield(running.task), 5)
    assert running.server.draining


async def never_end(websocket: WebSocket, context: AppContext) -> None:
    await websocket.accept()
    await asyncio.Event().wait()


async def test_a_drain_takes_no_longer_than_it_may() -> None:
    async with serving(Fakes().context(Limits(shutdown_drain_secs=0.1)), native=never_end) as running:
        session = await websockets.connect(f"{running.ws}/v1/ws")
        running.server.handle_exit(signal.SIGTERM, None)
        await session.wait_closed()
        assert session.close_code == 1001
        await asyncio.wait_for(asyncio.shield(running.task), 5)


async def test_the_second_signal_stops_at_once_unless_it_is_an_echo_of_the_first() -> None:
    times = iter([10.0, 10.002, 10.9, 11.0])
    context = Fakes().context(Limits(shutdown_drain_secs=600))
    async with serving(context, native=never_end, clock=lambda: next(times)) as running:
        session = await websockets.connect(f"{running.ws}/v1/ws")
        for _ in range(3):
            running.server.handle_exit(signal.SIGINT, None)
        assert not running.server.should_exit
        running.server.handle_exit(signal.SIGINT, None)
        await asyncio.wait_for(asyncio.shield(running.task), 5)
        await session.wait_closed()


async def test_signals_reach_the_server_and_do_not_end_the_process() -> None:
    context = Fakes().context()
    [listener] = bind("127.0.0.1", 0)
    server = Server(create_metrics_app(context), max_frame_bytes=1, begin_drain=context.pool.begin_drain)
    task = asyncio.create_task(server.serve([listener]))
    await wait_until(lambda: server.started)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(task, 60)
    assert server.draining
    assert context.pool.state == "shutting_down"


async def test_metrics_can_have_a_listener_of_their_own() -> None:
    async with (
        serving(Fakes().context(allowed_host=("gigastt",)), create_metrics_app) as running,
        httpx.AsyncClient(base_url=running.http) as client,
    ):
        assert (await client.get("/metrics", headers={"host": "evil.example"})).json()["code"] == "host_denied"
        response = await client.get("/metrics", headers={"host": "gigastt:9100"})
        assert response.status_code == 200
        assert "gigastt_http_requests_total" in response.text
        assert (await client.get("/v1/models")).json()["code"] == "not_found"
        landing = await client.get("/", headers={"host": "gigastt:9100"})
        assert landing.headers["content-type"] == "text/html; charset=utf-8"
        assert '<a href="/metrics">' in landing.text


async def test_answers_name_no_server_software_but_the_date() -> None:
    async with serving(Fakes().context()) as running, httpx.AsyncClient(base_url=running.http) as client:
        headers = (await client.get("/health")).headers
        assert "server" not in headers
        assert "date" in headers


async def test_loop_lag_is_measured() -> None:
    context = Fakes().context()
    task = asyncio.create_task(watch_loop_lag(context.metrics))

    def samples() -> float:
        return context.metrics.registry.get_sample_value("gigastt_event_loop_lag_seconds_count") or 0

    await wait_until(lambda: samples() >= 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_dual_stack_listener_counts_ipv4_clients_as_such() -> None:
    if not socket.has_ipv6:
        do_without("needs IPv6, which this machine has not")
    for listener in bind("::", 0):
        with listener:
            assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0
