"""Tests of the doctor's checks: what each finds on a machine that is well, and on one that is not."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from pathlib import Path

import pytest

from gigastt import doctor
from gigastt.cli.main import run_command
from gigastt.config import DEFAULT_MODEL
from gigastt.models.catalog import ENCODER_FP32, ENCODER_INT8, ENCODER_OPTIMIZED, JOINT
from gigastt.models.disk import Seals, sha256_of
from gigastt.models.store import resolve


def test_a_machine_that_runs_the_tests_is_well() -> None:
    findings = [
        doctor.check_machine(),
        doctor.check_cores(),
        doctor.check_onnxruntime(),
        doctor.check_decoders(),
        doctor.check_sandbox(),
    ]
    assert [finding.verdict for finding in findings] == ["ok"] * 5


def test_a_system_without_a_filter_of_calls_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    finding = doctor.check_sandbox()
    assert (finding.verdict, "riscv64" in finding.text) == ("warning", True)
    assert "docs/operations.md" in finding.mend


def test_cores_are_counted_where_the_system_does_not_tell_which_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    finding = doctor.check_cores()
    assert (finding.verdict, finding.text.split()[0]) == ("ok", str(os.cpu_count()))


def test_the_demo_model_is_found_loaded_and_named_for_what_it_is(tmp_path: Path) -> None:
    findings = list(doctor.check_model("demo", tmp_path))
    assert {finding.subject for finding in findings} == {"model", "digests", "loading", "memory"}
    assert all(finding.verdict != "broken" for finding in findings)
    assert any("synthetic" in finding.text for finding in findings if finding.verdict == "warning")
    assert "fp32" in findings[0].text


def test_a_missing_model_is_broken_and_both_ways_on_are_named(tmp_path: Path) -> None:
    (finding,) = doctor.check_model(DEFAULT_MODEL, tmp_path)
    assert finding.verdict == "broken"
    assert "gigastt download" in finding.mend
    assert "--model demo" in finding.mend


@pytest.mark.parametrize(
    ("available", "verdict"), [(None, "ok"), (4 * 2**30, "ok"), (2**30, "broken")], ids=["unknown", "enough", "short"]
)
def test_memory_is_what_the_workers_need_together(available: int | None, verdict: str) -> None:
    finding = doctor.check_memory(worker_bytes=500 * 2**20, workers=4, available=available)
    assert finding.verdict == verdict
    assert bool(finding.mend) == (verdict == "broken")


def test_a_missing_shared_memory_folder_is_broken(tmp_path: Path) -> None:
    assert doctor.check_shared_memory(tmp_path / "shm").verdict == "broken"


@pytest.mark.slow
def test_a_free_port_is_well() -> None:
    assert doctor.check_port("127.0.0.1", 0).verdict == "ok"


@pytest.mark.slow
def test_a_port_taken_by_a_stranger_is_broken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        finding = doctor.check_port("127.0.0.1", server.getsockname()[1], ask=lambda host, port: False)
    assert finding.verdict == "broken"
    assert "--port" in finding.mend


@pytest.mark.slow
def test_a_port_taken_by_a_gigastt_is_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        finding = doctor.check_port("127.0.0.1", server.getsockname()[1], ask=lambda host, port: True)
    assert finding.verdict == "ok"


@pytest.mark.slow
@pytest.mark.parametrize(("serves", "verdict"), [(True, "ok"), (False, "broken")])
def test_the_listener_of_a_protocol_is_looked_at_too(serves: bool, verdict: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert doctor.check_listener("vosk", address, lambda: serves).verdict == verdict
    assert doctor.check_listener("wyoming", address, lambda: False).verdict == "ok"
    assert doctor.check_listener("wyoming", "10300", lambda: False).verdict == "broken"


@pytest.mark.slow
def test_the_command_prints_findings_and_exits_with_0_when_nothing_is_broken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["doctor", "--model", "demo", "--port", "0", "--wyoming", "127.0.0.1:0"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("cores", "memory", "onnxruntime", "model", "shared memory", "port"))


@pytest.mark.slow
def test_the_command_exits_with_1_when_something_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--model-dir", str(tmp_path), "--port", "0"]) == 1
    assert "BROKEN" in capsys.readouterr().out


def test_files_that_are_not_the_published_ones_are_a_warning_and_changed_ones_are_broken(tmp_path: Path) -> None:
    demo = resolve("demo", tmp_path)
    for path in demo.paths:
        shutil.copyfile(path, tmp_path / path.name)
    files = resolve(DEFAULT_MODEL, tmp_path)

    assert doctor.check_digests(files).verdict == "warning"

    Seals(tmp_path).put(JOINT, "0" * 64)
    finding = doctor.check_digests(files)
    assert finding.verdict == "broken"
    assert JOINT in finding.text


def test_files_that_we_made_match_and_those_of_which_nobody_tells_the_digest_are_not_judged(tmp_path: Path) -> None:
    demo = resolve("demo", tmp_path)
    for path in demo.common:
        shutil.copyfile(path, tmp_path / path.name)
        Seals(tmp_path).put(path.name, sha256_of(path))
    own = ", ".join(path.name for path in demo.common)

    shutil.copyfile(demo.encoder, tmp_path / ENCODER_INT8)
    finding = doctor.check_digests(resolve(DEFAULT_MODEL, tmp_path))
    assert (finding.verdict, finding.text) == ("ok", f"match: {own}")

    shutil.copyfile(demo.encoder, tmp_path / ENCODER_OPTIMIZED)
    Seals(tmp_path).put(ENCODER_OPTIMIZED, sha256_of(demo.encoder))
    finding = doctor.check_digests(resolve(DEFAULT_MODEL, tmp_path))
    assert (finding.verdict, finding.text) == ("ok", f"match: {ENCODER_OPTIMIZED}, {own}")

    shutil.copyfile(demo.encoder, tmp_path / ENCODER_FP32)
    finding = doctor.check_digests(resolve(DEFAULT_MODEL, tmp_path, "fp32"))
    assert (finding.verdict, finding.text) == ("warning", f"not the published file: {ENCODER_FP32}")


def test_nobody_has_published_the_demo_model(tmp_path: Path) -> None:
    finding = doctor.check_digests(resolve("demo", tmp_path))
    assert (finding.verdict, finding.text) == ("ok", "none known for these files")
