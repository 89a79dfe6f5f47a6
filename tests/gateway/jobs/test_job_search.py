"""Hotwords and alternatives of jobs, over a restart too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gigastt.transcript import Hotword
from tests.fakes.gateway import http_client
from tests.fakes.jobs import FakeJobs
from tests.gateway.jobs.test_jobs import create, events
from tests.waiting import wait_until

_SIX_SECONDS = bytes(192_000)
_WANTED = (Hotword("Кутузов"), Hotword("Яуза", 2.0))
_PHRASES = ["Кутузов", {"phrase": "Яуза", "weight": 2}]


async def test_a_job_is_recognised_as_it_was_ordered_over_a_restart_too(tmp_path: Path) -> None:
    first = FakeJobs(tmp_path, words=4)
    fields = {"hotwords": json.dumps(_PHRASES), "alternatives": "3"}
    async with first.running() as context, http_client(context) as client:
        form = {"files": {"file": ("a.wav", _SIX_SECONDS)}, "data": fields}
        id = (await client.post("/v1/jobs", **form)).json()["id"]  # type: ignore[arg-type]
        await wait_until(lambda: first.sessions and first.gate.locked())
    second = FakeJobs(tmp_path)
    async with second.running() as context, http_client(context) as client:
        await events(client, id)
        await events(client, await create(client, _SIX_SECONDS))
    for session in (*first.sessions, second.sessions[0]):
        assert session.options.hotwords == _WANTED
        assert session.options.most_alternatives == 3
    assert second.sessions[1].options.hotwords == ()


async def test_an_order_in_json_has_a_list_and_unusable_phrases_are_told(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path, settings={"jobs_url_host": ("a.example",)})
    async with jobs.running() as context, http_client(context) as client:
        assert context.jobs is not None
        answer = await client.post("/v1/jobs", json={"url": "http://a.example/x", "hotwords": [*_PHRASES, "→"]})
        assert (answer.status_code, answer.json()["unusable_hotwords"]) == (201, ["→"])
        order = (await context.jobs.find(answer.json()["id"], "")).order
    assert order.hotwords[:2] == _WANTED


@pytest.mark.parametrize(
    ("query", "code"),
    [("?hotwords=" + "x" * 101, "invalid_hotwords"), ("?alternatives=6", "invalid_parameter")],
)
async def test_wrong_wishes_are_refused_at_once(tmp_path: Path, query: str, code: str) -> None:
    async with FakeJobs(tmp_path).running() as context, http_client(context) as client:
        refused = await client.post(f"/v1/jobs{query}", content=_SIX_SECONDS)
    assert (refused.status_code, refused.json()["code"]) == (400, code)
