"""Jobs of the shipped program: taken, transcribed, told of, and carried over the server's end by SIGKILL."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx

from tests.clips import load_clips
from tests.server import ServerProcess
from tests.waiting import wait_for
from tests.wave_files import wave_file

_MINUTES = wave_file(b"".join(clip.pcm + bytes(32_000) for clip in load_clips()) * 5, 16_000)


def job_of(server: ServerProcess, id: str, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = server.get(f"/v1/jobs/{id}", **options).json()
    return answer


def wait_until_ended(server: ServerProcess, id: str) -> dict[str, Any]:
    wait_for(lambda: job_of(server, id)["status"] in ("done", "failed"), 120)
    return job_of(server, id)


def events_of(server: ServerProcess, id: str, **headers: str) -> list[dict[str, Any]]:
    text = server.get(f"/v1/jobs/{id}/events", headers=headers).text
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines]


def test_a_job_of_a_killed_server_has_the_words_and_speakers_of_an_upload(
    tmp_path: Path,
) -> None:
    arguments = ("--pool-size", "2", "--jobs-dir", str(tmp_path / "jobs"))
    with ServerProcess(*arguments, exit_code=-signal.SIGKILL) as server:
        created = server.post("/v1/jobs?diarization=true", _MINUTES)
        assert created.status_code == 201
        id = created.json()["id"]
        assert created.headers["location"] == f"/v1/jobs/{id}"
        wait_for(lambda: job_of(server, id).get("seconds", 0) > 10)
        assert server.get(f"/v1/jobs/{id}/result").json()["code"] == "job_not_done"
        server.signal(signal.SIGKILL)
        server.wait()
    with ServerProcess(*arguments) as server:
        before = job_of(server, id)
        assert before["status"] in ("queued", "running")
        ended = wait_until_ended(server, id)
        assert (ended["status"], ended["duration"]) == ("done", round(len(_MINUTES[44:]) / 32_000, 3))
        assert server.logged("jobs_resumed")
        assert server.logged("job_ended")
        answer = server.post("/v1/transcribe?diarization=true", _MINUTES).json()
        assert server.get(f"/v1/jobs/{id}/result").json() == answer
        assert len(answer["speakers"]) > 1
        assert server.post("/v1/transcribe", _MINUTES).json()["text"] == answer["text"]
        whole = server.post("/v1/transcribe?format=srt&diarization=true", _MINUTES)
        assert server.get(f"/v1/jobs/{id}/result?format=srt").text == whole.text
        events = events_of(server, id)
        assert [event["text"] for event in events if event["type"] == "final"] == [
            segment["text"] for segment in answer["segments"]
        ]
        [told] = [event for event in events if event["type"] == "speakers"]
        assert told["words"] == [word["speaker"] for word in answer["words"]]
        assert [event["last"] for event in events] == [False] * (len(events) - 1) + [True]
        assert events_of(server, id, **{"Last-Event-ID": "1000000"}) == events[-2:]  # who speaks, and the job
        assert not list((tmp_path / "jobs" / "audio").iterdir())
        assert httpx.delete(f"{server.url}/v1/jobs/{id}").status_code == 204
        assert server.get(f"/v1/jobs/{id}").status_code == 404


def test_what_is_no_audio_fails_and_jobs_are_off_without_a_folder(server: ServerProcess, tmp_path: Path) -> None:
    assert server.post("/v1/jobs", _MINUTES).json()["code"] == "jobs_disabled"
    with ServerProcess("--pool-size", "1", "--jobs-dir", str(tmp_path)) as running:
        id = running.post("/v1/jobs?channels=split", b"this is no audio").json()["id"]
        ended = wait_until_ended(running, id)
        assert (ended["status"], ended["code"]) == ("failed", "invalid_audio")
        assert running.get(f"/v1/jobs/{id}/result").json()["code"] == "job_failed"
        assert running.post("/v1/jobs?track=-", _MINUTES).json()["code"] == "invalid_parameter"
