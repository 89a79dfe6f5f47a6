"""Speakers of jobs: told as those of uploads, over a restart too, and nothing of a voice stays."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.gateway import http_client
from tests.fakes.jobs import FakeJobs
from tests.gateway.jobs.test_jobs import create, events
from tests.waiting import wait_until

_SIX_SECONDS = bytes(192_000)
_ASKED = "?diarization=true"
_VOICE = b64encode(np.eye(2, 64, 1, "<f2")[0].tobytes()).decode()


def speakers_of(words: list[dict[str, Any]]) -> list[int]:
    return [word["speaker"] for word in words]


async def test_words_have_speakers_and_the_end_tells_them_all(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path, likeness=0.5)
    async with jobs.running() as context, http_client(context) as client:
        id = await create(client, _SIX_SECONDS, _ASKED)
        told = await events(client, id)
        result = (await client.get(f"/v1/jobs/{id}/result")).json()
        text = (await client.get(f"/v1/jobs/{id}/result?format=text")).text
        plain = await create(client, _SIX_SECONDS)
        assert "speakers" not in (await events(client, plain))[-2]
        assert "speakers" not in (await client.get(f"/v1/jobs/{plain}/result")).json()
    words = [word for event in told if event["type"] == "final" for word in event["words"]]
    assert speakers_of(words) == [0, 0, 1, 0, 0, 1]
    speakers = [{"speaker": 0, "seconds": 1.6}, {"speaker": 1, "seconds": 0.8}]
    assert told[-2] == {"type": "speakers", "speakers": speakers, "words": speakers_of(words), "last": False}
    assert speakers_of(result["words"]) == speakers_of(words)
    assert result["speakers"] == speakers
    assert text.splitlines()[1:3] == ["Speaker 0: 0-1", "Speaker 1: 0-2"]


async def test_another_server_tells_the_same_and_keeps_no_voice(tmp_path: Path) -> None:
    known = json.dumps([{"name": "Борис", "embedding": b64encode(bytes(64)).decode()}])
    fields = {"diarization": "true", "known_speakers": known}
    first = FakeJobs(tmp_path, words=4, likeness=0.5)
    async with first.running() as context, http_client(context) as client:
        form: Mapping[str, Any] = {"files": {"file": ("a.wav", _SIX_SECONDS)}, "data": fields}
        id = (await client.post("/v1/jobs", **form)).json()["id"]
        await wait_until(lambda: first.sessions and first.gate.locked())
    second = FakeJobs(tmp_path, likeness=0.5)
    async with second.running() as context, http_client(context) as client:
        told = await events(client, id)
        result = (await client.get(f"/v1/jobs/{id}/result")).json()
    words = [word for event in told if event["type"] == "final" for word in event["words"]]
    assert second.sessions[0].files[0].first_start > 0
    assert speakers_of(words) == told[-2]["words"] == speakers_of(result["words"]) == [0, 0, 1, 0, 0, 1]
    kept = (tmp_path / "jobs.sqlite3").read_bytes()
    assert b'"0-0"' in kept
    assert b'"embedding"' not in kept
    assert "Борис".encode() not in kept


async def test_channels_are_speakers_without_a_model(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path)
    jobs.fakes.decoder.copies = (None, None)
    async with jobs.running() as context, http_client(context) as client:
        id = await create(client, query="?channels=split&diarization=true")
        await events(client, id)
        result = (await client.get(f"/v1/jobs/{id}/result")).json()
    assert not jobs.sessions[0].options.diarization
    assert [(word["word"][0], word["speaker"]) for word in result["words"]] == [("0", 0), ("1", 1)] * 3


async def test_an_order_says_what_configure_says(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path, likeness=0.5, settings={"jobs_url_host": ("a.example",)})
    order = {"url": "http://a.example/x", "diarization": True, "max_speakers": 3, "speaker_embeddings": True,
             "known_speakers": [{"name": "Анна", "embedding": _VOICE}]}  # fmt: skip
    async with jobs.running() as context, http_client(context) as client:
        assert context.jobs is not None
        answer = await client.post("/v1/jobs", json=order)
        assert answer.status_code == 201
        speakers = (await context.jobs.find(answer.json()["id"], "")).order.speakers
    assert speakers is not None
    assert (speakers.wishes.most, speakers.wishes.tells_embeddings) == (3, True)
    assert [one.name for one in speakers.wishes.known] == ["Анна"]


async def test_recordings_of_speakers_count_for_the_quota_until_their_job_ends(tmp_path: Path) -> None:
    wish = json.dumps([{"name": "Анна", "audio": b64encode(bytes(60_000)).decode()}])
    form: dict[str, Any] = {
        "files": {"file": ("a.wav", _SIX_SECONDS)},
        "data": {"diarization": "true", "known_speakers": wish},
    }
    quota = 2 * len(_SIX_SECONDS) + 100_000
    first = FakeJobs(tmp_path, likeness=0.5, quota=quota)
    async with first.running() as context, http_client(context) as client:
        id = (await client.post("/v1/jobs", **form)).json()["id"]
        refused = await client.post("/v1/jobs", **form)
        assert (refused.status_code, refused.json()["code"]) == (503, "jobs_full")
    again = FakeJobs(tmp_path, likeness=0.5, quota=quota)
    async with again.running() as context, http_client(context) as client:
        assert (await client.post("/v1/jobs", **form)).status_code == 503
        assert (await client.delete(f"/v1/jobs/{id}")).status_code == 204
        assert (await client.post("/v1/jobs", **form)).status_code == 201


@pytest.mark.parametrize(
    ("likeness", "query"),
    [(None, _ASKED), (0.5, "?diarization=maybe"), (0.5, "?diarization=true&speakers=99")],
)
async def test_wrong_wishes_are_refused_at_once(tmp_path: Path, likeness: float | None, query: str) -> None:
    jobs = FakeJobs(tmp_path, likeness=likeness)
    async with jobs.running() as context, http_client(context) as client:
        refused = await client.post(f"/v1/jobs{query}", content=_SIX_SECONDS)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
