"""Jobs over HTTP: taken, run in turn, told of, taken up again, and nobody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gigastt.config import Limits
from gigastt.errors import CapacityTimeout, InvalidAudio
from gigastt.gateway.access.key_file import KeyLimits, add_key
from tests.fakes.gateway import http_client
from tests.fakes.jobs import FakeJobs
from tests.waiting import wait_until

_THREE_SECONDS = bytes(96_000)


async def create(client: httpx.AsyncClient, body: bytes = _THREE_SECONDS, query: str = "", **options: Any) -> str:
    answer = await client.post(f"/v1/jobs{query}", content=body, **options)
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id


async def events(client: httpx.AsyncClient, id: str, **headers: str) -> list[dict[str, Any]]:
    """Follow a job to its end."""
    text = (await client.get(f"/v1/jobs/{id}/events", headers=headers)).text
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def files_in(folder: Path) -> list[str]:
    return [path.name for path in (folder / "audio").iterdir()]


async def test_a_job_is_followed_to_its_end_and_has_its_transcript(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path)
    async with jobs.running() as context, http_client(context) as client:
        id = await create(client)
        told = await events(client, id)
        assert [event["text"] for event in told if event["type"] == "final"] == ["0-0", "0-1", "0-2"]
        assert [event["code"] for event in told if event["type"] == "error"] == ["inference_error"]
        assert told[-1].items() >= {"type": "job", "status": "done", "last": True, "duration": 3.0}.items()
        result = (await client.get(f"/v1/jobs/{id}/result")).json()
        assert (result["text"], result["duration"]) == ("0-0 0-1 0-2", 3.0)
        assert result["failed"] == [{"code": "inference_error", "start": 1.0, "end": 1.1}]
        assert (await client.get(f"/v1/jobs/{id}/result?format=text")).text == "0-0\n0-1\n0-2\n"
        assert (await client.get(f"/v1/jobs/{id}")).json()["status"] == "done"
        assert await events(client, id, **{"Last-Event-ID": "1000"}) == told[-1:]
    assert files_in(tmp_path) == []
    assert all(session.is_cancelled for session in jobs.sessions)


async def test_another_server_goes_on_from_the_last_word_that_was_written(tmp_path: Path) -> None:
    first = FakeJobs(tmp_path, words=2)
    async with first.running() as context, http_client(context) as client:
        id = await create(client)
        await wait_until(lambda: first.sessions and first.gate.locked())
        assert (await client.get(f"/v1/jobs/{id}/result")).json()["code"] == "job_not_done"
    second = FakeJobs(tmp_path)
    async with second.running() as context, http_client(context) as client:
        await events(client, id)
        assert (await client.get(f"/v1/jobs/{id}/result")).json()["text"] == "0-0 0-1 0-2"
    [file] = second.sessions[0].files
    assert file.first_start >= 16_000
    assert file.first_resume == b"state"
    assert file.is_background


async def test_each_channel_goes_on_from_its_own_place(tmp_path: Path) -> None:
    first = FakeJobs(tmp_path, words=4)
    first.fakes.decoder.copies = (None, 0, None)
    async with first.running() as context, http_client(context) as client:
        id = await create(client, query="?channels=split")
        await wait_until(lambda: first.sessions and first.gate.locked())
    second = FakeJobs(tmp_path)
    second.fakes.decoder.copies = (None, 0, None)
    async with second.running() as context, http_client(context) as client:
        told = await events(client, id)
        result = (await client.get(f"/v1/jobs/{id}/result")).json()
    assert len(second.sessions[0].files) == 1  # the first channel was done
    assert [segment["channel"] for segment in result["segments"]] == [0, 2, 0, 2, 0, 2]
    assert [event["channel"] for event in told if event["type"] == "final"] == [0, 0, 0, 2, 2, 2]
    assert result["channels"][1] == {"channel": 1, "copy_of": 0}


async def test_jobs_wait_in_order_and_say_where_they_stand(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path, words=0)
    async with jobs.running() as context, http_client(context) as client:
        ids = [await create(client) for _ in range(5)]
        await wait_until(lambda: len(jobs.sessions) == 2)
        states = [(await client.get(f"/v1/jobs/{id}")).json() for id in ids]
        assert [state["status"] for state in states] == ["running"] * 2 + ["queued"] * 3
        assert [state.get("position") for state in states] == [None, None, 1, 2, 3]
        assert states[4]["seconds_left"] is None
        assert (await client.delete(f"/v1/jobs/{ids[0]}")).status_code == 204
        assert (await client.delete(f"/v1/jobs/{ids[3]}")).status_code == 204
        await wait_until(lambda: len(jobs.sessions) == 3)
        assert (await client.get(f"/v1/jobs/{ids[4]}")).json()["position"] == 1
        for _ in range(9):
            jobs.gate.release()
        for id in (ids[1], ids[2], ids[4]):
            assert (await events(client, id))[-1]["status"] == "done"
        assert (await client.get(f"/v1/jobs/{ids[0]}/result")).status_code == 404
    assert files_in(tmp_path) == []


async def test_metrics_tell_what_waits_how_long_and_how_it_ended(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path, words=0)
    async with jobs.running() as context, http_client(context) as client:

        def series(name: str, **labels: str) -> float | None:
            value: float | None = context.metrics.registry.get_sample_value(f"gigastt_jobs{name}", labels)
            return value

        assert [series("", state=state) for state in ("queued", "running")] == [0, 0]
        assert [series("_ended_total", state=state) for state in ("done", "failed")] == [0, 0]
        assert [series("_oldest_seconds"), series("_spool_bytes")] == [0, 0]
        ids = [await create(client) for _ in range(4)]
        await wait_until(lambda: len(jobs.sessions) == 2)
        assert [series("", state=state) for state in ("queued", "running")] == [2, 2]
        assert series("_spool_bytes") == 4 * len(_THREE_SECONDS)
        await wait_until(lambda: (series("_oldest_seconds") or 0) > 0)
        await client.delete(f"/v1/jobs/{ids[3]}")
        for _ in range(6):
            jobs.gate.release()
        await events(client, ids[0])
        await events(client, ids[1])
        await wait_until(lambda: series("_ended_total", state="done") == 2)
    again = FakeJobs(tmp_path)  # the third job is still there
    again.fakes.decoder.error = InvalidAudio("This is not audio.")
    async with again.running() as context:
        await wait_until(lambda: series("_ended_total", state="failed") == 1)
        await wait_until(lambda: series("_spool_bytes") == 0)
        assert [series("", state=state) for state in ("queued", "running")] == [0, 0]
        assert series("_oldest_seconds") == 0


async def test_a_job_is_there_for_its_own_key_only(tmp_path: Path) -> None:
    keys_file = tmp_path / "keys"
    mine, other = add_key(keys_file, "mine"), add_key(keys_file, "other")
    jobs = FakeJobs(tmp_path / "jobs", settings={"api_keys_file": keys_file})
    async with jobs.running() as context, http_client(context) as client:
        id = await create(client, headers={"authorization": f"Bearer {mine}"})
        for path in (f"/v1/jobs/{id}", f"/v1/jobs/{id}/events", f"/v1/jobs/{id}/result"):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers={"authorization": f"Bearer {other}"})).status_code == 404
            assert (await client.get(path, headers={"authorization": f"Bearer {mine}"})).status_code in (200, 409)
        refused = await client.delete(f"/v1/jobs/{id}", headers={"authorization": f"Bearer {other}"})
        assert refused.status_code == 404


async def test_a_job_takes_of_the_audio_that_its_key_may_send_in_a_day(tmp_path: Path) -> None:
    keys_file = tmp_path / "keys"
    key = {"authorization": f"Bearer {add_key(keys_file, 'mine', KeyLimits(audio_hours_per_day=1))}"}
    jobs = FakeJobs(tmp_path / "jobs", settings={"api_keys_file": keys_file})
    async with jobs.running() as context, http_client(context) as client:
        assert context.api_keys is not None
        [usage] = context.api_keys.usages

        assert (await events(client, await create(client, headers=key), **key))[-1]["status"] == "done"
        taken = usage.audio_seconds
        assert taken > 0
        usage.hear(3600 - 1.5 * taken)
        failed = (await events(client, await create(client, headers=key), **key))[-1]
        assert (failed["status"], failed["code"]) == ("failed", "quota_exceeded")
        usage.hear(taken)
        refused = await client.post("/v1/jobs", content=bytes(50), headers=key)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"content": b""}, "empty_body"),
        ({"content": bytes(101)}, "payload_too_large"),
        ({"json": {}}, "invalid_parameter"),
        ({"json": {"url": 5}}, "invalid_parameter"),
        ({"json": {"uri": "http://a.example/x"}}, "invalid_parameter"),
        ({"json": {"url": "http://b.example/x"}}, "invalid_parameter"),
        ({"json": {"url": "file:///etc/passwd"}}, "invalid_parameter"),
        ({"json": {"url": "http://a.example@b.example/x"}}, "invalid_parameter"),
        ({"json": {"url": "http://a.example/x", "webhook": "http://b.example/x"}}, "invalid_parameter"),
        ({"content": bytes(50), "params": {"url": "http://a.example/x"}}, "invalid_parameter"),
        ({"content": bytes(50), "params": {"track": "?"}}, "invalid_parameter"),
        ({"content": bytes(50), "params": {"webhook": "gopher://a.example/x"}}, "invalid_parameter"),
    ],
)
async def test_what_cannot_be_a_job_is_refused(tmp_path: Path, options: dict[str, Any], code: str) -> None:
    jobs = FakeJobs(tmp_path, settings={"jobs_url_host": ("a.example",), "limits": Limits(body_limit_bytes=100)})
    async with jobs.running() as context, http_client(context) as client:
        refused = await client.post("/v1/jobs", **options)
        assert refused.json()["code"] == code
    assert files_in(tmp_path) == []


async def test_a_file_comes_in_a_form_with_what_is_asked_of_it(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path)
    async with jobs.running() as context, http_client(context) as client:
        form = {"files": {"file": ("a.wav", _THREE_SECONDS)}, "data": {"channels": "split", "track": "1"}}
        id = (await client.post("/v1/jobs", **form)).json()["id"]  # type: ignore[arg-type]
        assert (await events(client, id))[-1]["status"] == "done"
    assert jobs.fakes.decoder.selections[0].track == "1"
    assert jobs.fakes.decoder.selections[0].channel == 0


async def test_a_file_that_is_none_fails_and_one_for_which_there_is_no_room_waits(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path)
    jobs.fakes.decoder.error = InvalidAudio("This is not audio.")
    async with jobs.running() as context, http_client(context) as client:
        failed = await create(client)
        last = (await events(client, failed))[-1]
        assert last.items() >= {"status": "failed", "code": "invalid_audio", "error": "This is not audio."}.items()
        assert (await client.get(f"/v1/jobs/{failed}/result")).status_code == 409
        jobs.fakes.decoder.error = CapacityTimeout("Full.")
        waits = await create(client)
        await wait_until(lambda: len(jobs.fakes.decoder.bodies) == 2)
        assert (await client.get(f"/v1/jobs/{waits}")).json()["status"] in ("queued", "running")
    assert files_in(tmp_path) == [waits]


async def test_the_quota_is_an_answer(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path, words=0, quota=100_000)
    async with jobs.running() as context, http_client(context) as client:
        await create(client)
        refused = await client.post("/v1/jobs", content=_THREE_SECONDS)
        assert (refused.status_code, refused.json()["code"]) == (503, "jobs_full")
        assert "retry-after" in refused.headers


async def test_a_drain_ends_events_and_keeps_jobs(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path, words=0)
    async with jobs.running() as context, http_client(context) as client:
        assert context.jobs is not None
        id = await create(client)
        await wait_until(lambda: jobs.sessions)
        context.jobs.begin_drain()
        assert (await events(client, id))[-1].items() >= {"code": "shutting_down", "last": True}.items()
        assert (await client.post("/v1/jobs", content=_THREE_SECONDS)).json()["code"] == "shutting_down"
    assert files_in(tmp_path) == [id]


async def test_without_a_folder_there_are_no_jobs() -> None:
    async with http_client(FakeJobs(Path()).fakes.context()) as client:
        for method, path in (("POST", ""), ("GET", "/x"), ("DELETE", "/x"), ("GET", "/x/events"), ("GET", "/x/result")):
            refused = await client.request(method, f"/v1/jobs{path}")
            assert (refused.status_code, refused.json()["code"]) == (404, "jobs_disabled")
