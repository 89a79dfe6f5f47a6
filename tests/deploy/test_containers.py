"""The container files agree with each other and with the program; no engine is needed to see that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from gigastt.cli.main import COMMANDS
from gigastt.cli.serve import serve
from gigastt.config import Limits

ROOT = Path(__file__).resolve().parent.parent.parent
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
VARIABLES = {variable for option in serve.params for variable in (option.envvar or [])}


def compose_services() -> dict[str, dict[str, Any]]:
    return compose_of("compose.yaml")


def compose_of(name: str) -> dict[str, dict[str, Any]]:
    compose = yaml.safe_load((ROOT / "deploy" / name).read_text(encoding="utf-8"))
    services: dict[str, dict[str, Any]] = compose["services"]
    return services


def compose_service() -> dict[str, Any]:
    return compose_services()["gigastt"]


def test_everything_that_is_copied_exists_and_is_not_ignored() -> None:
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    ]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split() if line.startswith("!")}
    assert copied
    assert all((ROOT / word).exists() for word in copied)
    assert set(copied) == kept


def test_every_variable_is_one_of_the_programs() -> None:
    named = set(re.findall(r"\b(GIGASTT_\w+)=", DOCKERFILE)) | set(compose_service()["environment"])
    assert named
    assert named <= VARIABLES


def test_every_image_runs_as_an_ordinary_user_and_checks_its_own_health() -> None:
    stages = {stage.partition("\n")[0]: stage for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)}
    ground = stages["${BASE} AS ground"]
    check = re.search(r'^HEALTHCHECK .*CMD \["gigastt", "(\w+)", "--pid", "1"\]$', ground, re.MULTILINE)
    assert check is not None
    assert check[1] in COMMANDS
    for image in ("ground AS cuda", "ground"):
        assert re.search(r"^USER 10001$", stages[image], re.MULTILINE)
        assert stages[image].rstrip().endswith("VOLUME /models")  # what is written to it later would be lost
    assert DOCKERFILE.endswith(stages["ground"])  # what is built unless a target is named


def test_every_stage_is_built_on_the_image_that_can_be_named_by_its_digest() -> None:
    assert re.search(r"^ARG BASE=python:3\.\d+-slim$", DOCKERFILE, re.MULTILINE)
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE))
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) - stages == {"${BASE}"}


def test_the_image_for_cards_has_their_build_of_onnxruntime_and_no_other() -> None:
    locks = [(ROOT / f"requirements{kind}.lock").read_text(encoding="utf-8") for kind in ("", "-cuda")]
    plain, cards = (set(re.findall(r"^([a-z0-9_.-]+)==(\S+)", lock, re.MULTILINE)) for lock in locks)
    gone = {name for name, _ in plain} - {name for name, _ in cards}
    added = {name for name, _ in cards} - {name for name, _ in plain}
    assert gone == {"onnxruntime"}
    assert "onnxruntime-gpu" in added
    assert all(name.startswith(("onnxruntime-gpu", "nvidia-", "cuda-")) for name in added)
    assert {one for one in plain if one[0] != "onnxruntime"} <= cards
    target = compose_of("compose.cuda.yaml")["gigastt"]
    assert target["build"]["target"] == "cuda"
    assert " AS cuda\n" in DOCKERFILE
    assert {"GIGASTT_PROVIDER=cuda", "GIGASTT_PRECISION=fp16"} <= set(DOCKERFILE.split())


def test_the_supervisor_waits_longer_than_the_drain() -> None:
    grace = int(str(compose_service()["stop_grace_period"]).removesuffix("s"))
    assert grace > Limits().shutdown_drain_secs


def test_the_ports_are_open_to_this_machine_only() -> None:
    for service in compose_services().values():
        assert service["ports"]
        assert all(str(port).startswith("127.0.0.1:") for port in service["ports"])


def test_only_the_server_starts_unasked() -> None:
    unasked = [name for name, service in compose_services().items() if "profiles" not in service]
    assert unasked == ["gigastt"]
    assert compose_services().keys() == {"gigastt", "prometheus", "grafana"}


def test_the_server_answers_to_the_names_that_the_others_use() -> None:
    environment = compose_service()["environment"]
    prometheus = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    [job] = prometheus["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert name == environment["GIGASTT_ALLOWED_HOST"] == next(iter(compose_services()))
    assert environment["GIGASTT_METRICS_LISTEN"] == f"0.0.0.0:{port}"
    source = ROOT / "deploy" / "grafana" / "provisioning" / "datasources" / "prometheus.yaml"
    [grafana] = yaml.safe_load(source.read_text(encoding="utf-8"))["datasources"]
    assert grafana["url"] == "http://prometheus:9090"


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for service in compose_services().values() for volume in service["volumes"]]
    files = [path for path in mounted if path.startswith("./")]
    assert len(files) == 3
    assert all((ROOT / "deploy" / path).is_dir() for path in files)
