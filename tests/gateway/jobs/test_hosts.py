"""Jobs that name hosts: audio that is fetched, and webhooks, signed and tried again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gigastt.gateway.webhook import signature_of
from tests.fakes.gateway import http_client, serving
from tests.fakes.jobs import FakeJobs
from tests.fakes.pool import Fakes
from tests.gateway.jobs.test_jobs import events, files_in
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

Handler = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def host(handler: Handler) -> AsyncIterator[str]:
    """A host on this machine; yield HOST:PORT."""
    app = Starlette(routes=[Route("/{path:path}", handler, methods=["GET", "POST"])])
    async with serving(Fakes().context(), lambda _: app) as running:
        yield f"127.0.0.1:{running.port}"


async def test_a_file_is_fetched_and_transcribed(tmp_path: Path) -> None:
    async def file(request: Request) -> Response:
        return Response(bytes(64_000))

    async with host(file) as address:
        jobs = FakeJobs(tmp_path, settings={"jobs_url_host": (address,)})
        async with jobs.running() as context, http_client(context) as client:
            id = (await client.post("/v1/jobs", json={"url": f"http://{address}/call.wav"})).json()["id"]
            assert (await events(client, id))[-1]["status"] == "done"
    assert jobs.fakes.decoder.bodies == [bytes(64_000)]
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (RedirectResponse("http://127.0.0.1:1/secret"), "fetch_failed"),
        (Response(status_code=404), "fetch_failed"),
        (Response(b""), "fetch_failed"),
        (Response(bytes(1_000)), "payload_too_large"),
    ],
)
async def test_what_is_not_there_or_too_long_fails(tmp_path: Path, answer: Response, code: str) -> None:
    async def file(request: Request) -> Response:
        return answer

    async with host(file) as address:
        jobs = FakeJobs(tmp_path, settings={"jobs_url_host": ("127.0.0.1",)}, body_limit=500, fetch_pause=0.01)
        async with jobs.running() as context, http_client(context) as client:
            id = (await client.post("/v1/jobs", json={"url": f"http://{address}/call.wav"})).json()["id"]
            assert (await events(client, id))[-1].items() >= {"status": "failed", "code": code}.items()
    assert files_in(tmp_path) == []


async def test_a_webhook_is_signed_and_tried_until_it_is_taken(tmp_path: Path) -> None:
    calls: list[tuple[dict[str, str], bytes]] = []

    async def hook(request: Request) -> Response:
        calls.append((dict(request.headers), await request.body()))
        return Response(status_code=204 if len(calls) == 3 else 500)

    async with host(hook) as address:
        jobs = FakeJobs(tmp_path, settings={"jobs_url_host": (address,)}, webhook_pauses=(0.01, 0.01, 0.01))
        async with jobs.running() as context, http_client(context) as client:
            form = {"webhook": f"http://{address}/hook", "webhook_secret": "сезам"}
            created = await client.post("/v1/jobs", files={"file": ("a.wav", bytes(64_000))}, data=form)
            await wait_until(lambda: len(calls) == 3)
    headers, body = calls[2]
    assert json.loads(body).items() >= {"id": created.json()["id"], "status": "done"}.items()
    assert headers["x-gigastt-event"] == "job.done"
    assert headers["x-gigastt-signature"] == signature_of("сезам", int(headers["x-gigastt-timestamp"]), body)
