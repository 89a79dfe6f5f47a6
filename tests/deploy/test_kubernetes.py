"""Kubernetes by Kustomize and by Helm: built by the real tools, valid against the cluster's schemas, and the same."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gigastt.cli.serve import serve
from gigastt.config import Limits
from tests.clips import load_clips
from tests.deploy.test_monitoring import known_names
from tests.deploy.toolbox import DEPLOY, output, passes, run
from tests.live_client import live_client
from tests.server import ServerProcess, run_program
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

KUSTOMIZE = DEPLOY / "kubernetes"
CHART = DEPLOY / "helm" / "gigastt"
VERSIONS = ("1.29", "1.37")
SECOND = "autoscaling.by=keda,apiKeysSecret=gigastt-keys,model.claim.create=true,usage.claim.create=true"

Manifest = dict[str, Any]


def kustomized(folder: str | Path) -> list[Manifest]:
    return [m for m in yaml.safe_load_all(output("kubectl", "kustomize", KUSTOMIZE / folder)) if m]


def templated(*arguments: str) -> list[Manifest]:
    text = output("helm", "template", "gigastt", CHART, "--namespace", "speech", *arguments)
    return [m for m in yaml.safe_load_all(text) if m]


def of(kind: str, manifests: list[Manifest]) -> Manifest:
    [found] = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def bare(value: Any) -> Any:
    """Return a manifest without what Kustomize and Helm write differently: labels, image, order, empty lists."""
    if isinstance(value, dict):
        differ = ("image", "namespace", "labels")
        kept = {key: bare(item) for key, item in value.items() if key not in differ and item != []}
        return {key: {"app.kubernetes.io/name": "gigastt"} if _selects(item) else item for key, item in kept.items()}
    if isinstance(value, list):
        return sorted((bare(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


def _selects(value: Any) -> bool:
    return isinstance(value, dict) and value.get("app.kubernetes.io/name") == "gigastt"


@pytest.fixture(scope="module", params=["base", "example", "chart", "chart-full"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    name: str = request.param
    if name.startswith("chart"):
        return templated(*(["--set", SECOND] if name == "chart-full" else []))
    return kustomized(name)


def test_the_chart_passes_its_linter() -> None:
    passes("helm", "lint", "--strict", CHART)
    passes("helm", "lint", "--strict", CHART, "--set", SECOND)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str, tmp_path: Path) -> None:
    every = [*kustomized("base"), *kustomized("example"), *templated(), *templated("--set", SECOND)]
    own = [m for m in every if m["kind"] != "ScaledObject"]  # KEDA's: no schema of it is at hand
    path = tmp_path / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(own), encoding="utf-8")
    said = passes("kubernetes-validate", "--strict", "-k", version, path)
    assert "WARN" not in said
    assert said.count("passed") == len(own) > 20


def test_a_model_in_the_image_needs_neither_init_container_nor_volume_nor_network(tmp_path: Path) -> None:
    # Kustomize refuses absolute paths: a link brings ours there.
    (tmp_path / "ours").symlink_to(KUSTOMIZE)
    text = "resources: [ours/base]\ncomponents: [ours/components/baked-model]\n"
    (tmp_path / "kustomization.yaml").write_text(text, encoding="utf-8")
    one = {m["kind"]: bare(m) for m in kustomized(tmp_path)}
    other = {m["kind"]: bare(m) for m in templated("--set", "model.baked=true")}
    assert one == other
    pod = one["Deployment"]["spec"]["template"]["spec"]
    assert "initContainers" not in pod
    assert "models" not in {volume["name"] for volume in pod["volumes"]}
    assert "egress" not in one["NetworkPolicy"]["spec"]
    assert "Egress" in one["NetworkPolicy"]["spec"]["policyTypes"]


def test_the_demo_model_is_not_fetched() -> None:
    assert "initContainers" not in pod_of(templated("--set", "model.name=demo"))
    assert run_program(["download", "--model", "demo"]).returncode == 2  # as an init container would find


@pytest.mark.parametrize(("folder", "values"), [("base", []), ("example", ["--set", SECOND])])
def test_kustomize_and_helm_make_the_same(folder: str, values: list[str]) -> None:
    one = {(m["kind"], m["metadata"]["name"]): bare(m) for m in kustomized(folder)}
    other = {(m["kind"], m["metadata"]["name"]): bare(m) for m in templated(*values)}
    assert one.keys() == other.keys()
    for name in one:
        assert one[name] == other[name], name


def test_what_keys_have_used_is_kept_where_they_are_asked_for() -> None:
    assert "GIGASTT_USAGE_FILE" not in environment(templated("--set", "usage.claim.create=true"))
    for values, volume in (
        ([], {"emptyDir": {"sizeLimit": "16Mi"}}),
        (["--set", "usage.claim.existing=mine"], {"persistentVolumeClaim": {"claimName": "mine"}}),
    ):
        manifests = templated("--set", "apiKeysSecret=gigastt-keys", *values)
        file = Path(environment(manifests)["GIGASTT_USAGE_FILE"])
        [mount] = [m for m in pod_of(manifests)["containers"][0]["volumeMounts"] if m["mountPath"] == str(file.parent)]
        assert "readOnly" not in mount
        assert {"name": mount["name"], **volume} in pod_of(manifests)["volumes"]


def pod_of(manifests: list[Manifest]) -> Manifest:
    pod: Manifest = of("Deployment", manifests)["spec"]["template"]["spec"]
    return pod


def environment(manifests: list[Manifest]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in pod_of(manifests)["containers"][0]["env"]}


def test_a_pod_with_cards_has_a_worker_for_each() -> None:
    cards = r"resources.limits.nvidia\.com/gpu=2"
    manifests = templated("--set", cards, "--set", "model.precision=fp16")
    assert environment(manifests)["GIGASTT_POOL_SIZE"] == "2"
    assert pod_of(manifests)["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 2


def test_every_container_is_locked_in(manifests: list[Manifest]) -> None:
    pod = pod_of(manifests)
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["initContainers"] + pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
    shm = next(volume for volume in pod["volumes"] if volume["name"] == "shm")
    assert shm["emptyDir"]["medium"] == "Memory"


def test_every_variable_is_one_of_the_programs(manifests: list[Manifest]) -> None:
    known = {variable for option in serve.params for variable in (option.envvar or [])} | {"POD_NAMESPACE"}
    assert environment(manifests).keys() <= known


def test_the_grace_fits_the_longest_session_and_the_drain(manifests: list[Manifest]) -> None:
    named = environment(manifests)
    longest, drain = float(named["GIGASTT_MAX_SESSION_SECS"]), float(named["GIGASTT_SHUTDOWN_DRAIN_SECS"])
    assert (longest, drain) == (Limits().max_session_secs, Limits().shutdown_drain_secs)
    settle = 10  # before the pod begins to wait for its sessions, and between two looks
    assert pod_of(manifests)["terminationGracePeriodSeconds"] > longest + drain + settle


def test_the_ports_and_names_agree(manifests: list[Manifest]) -> None:
    ports = {port["name"]: port["containerPort"] for port in pod_of(manifests)["containers"][0]["ports"]}
    assert environment(manifests)["GIGASTT_METRICS_LISTEN"] == f"0.0.0.0:{ports['metrics']}"
    assert of("Service", manifests)["spec"]["ports"] == [{"name": "http", "port": 9876, "targetPort": "http"}]
    name = of("Service", manifests)["metadata"]["name"]
    answered = environment(manifests)["GIGASTT_ALLOWED_HOST"].split()
    space = f"{name}.$(POD_NAMESPACE)"
    assert answered == [name, space, f"{space}.svc", f"{space}.svc.cluster.local"]


def test_one_autoscaler_by_metrics_that_exist(manifests: list[Manifest]) -> None:
    scalers = [m for m in manifests if m["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
    assert len(scalers) == 1
    assert "replicas" not in of("Deployment", manifests)["spec"]
    triggers = scalers[0]["spec"].get("triggers", [])
    named = {name for trigger in triggers for name in re.findall(r"gigastt_\w+", trigger["metadata"]["query"])}
    assert named <= known_names()
    if triggers:
        assert named == {"gigastt_pool_saturation_ratio", "gigastt_pool_waiters"}
        assert triggers[0]["metadata"]["threshold"] == "0.7"


@pytest.mark.parametrize(
    "wrong",
    ["surprise=1", "settings.port=1", "settings.Log_Level=debug", "resources.requests.cpu=null", "model.precision=int4",
     "autoscaling.by=luck", "maxSessionSeconds=0", "trustedProxies={proxy.example}"],
)  # fmt: skip
def test_the_chart_refuses_values_that_it_does_not_know(wrong: str) -> None:
    done = run("helm", "template", "gigastt", CHART, "--set", wrong)
    assert done.returncode != 0
    assert "schema" in done.stdout


def test_another_release_has_other_names_and_more_settings() -> None:
    values = "settings.log-level=debug,allowedHosts={a.example,b.example},trustedProxies={10.0.0.0/8,::1}"
    made = yaml.safe_load_all(output("helm", "template", "talk", CHART, "--set", values))
    manifests = [manifest for manifest in made if manifest]
    assert {manifest["metadata"]["name"] for manifest in manifests} == {"talk-gigastt"}
    named = environment(manifests)
    assert named["GIGASTT_LOG_LEVEL"] == "debug"
    assert named["GIGASTT_TRUSTED_PROXY"] == "10.0.0.0/8 ::1"
    assert named["GIGASTT_ALLOWED_HOST"].split()[-2:] == ["a.example", "b.example"]
    assert named["GIGASTT_ALLOWED_HOST"].split()[0] == "talk-gigastt"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "1", "--max-sessions", "4", "--metrics") as running:
        yield running


@pytest.mark.e2e
async def test_a_pod_that_goes_waits_for_its_sessions(server: ServerProcess) -> None:
    [shell, flag, program] = pod_of(kustomized("base"))["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert (shell, flag) == ("python", "-c")
    program = program.replace("127.0.0.1:9876", f"127.0.0.1:{server.port}").replace("time.sleep(5)", "print('waiting')")
    clip = load_clips()[0]
    async with live_client(server.websocket_url) as client:
        await client.wait_for(lambda session: session.of("ready"))
        waiting = await asyncio.create_subprocess_exec(sys.executable, "-u", "-c", program, stdout=subprocess.PIPE)
        assert waiting.stdout is not None
        assert await waiting.stdout.readline() == b"waiting\n"
        before = asked(server)
        await wait_until(lambda: asked(server) >= before + 2)  # it has looked more than once
        assert waiting.returncode is None
        await client.configure(sample_rate=16_000)
        await client.stream(clip.pcm)
        await client.stop()
        assert await asyncio.wait_for(waiting.wait(), 30) == 0
    assert client.close_code == 1000
    assert client.text


def asked(server: ServerProcess) -> int:
    """Return how often `/ready` was asked."""
    text = server.get("/metrics").text
    found = re.search(r'gigastt_http_requests_total\{method="GET",path="/ready",status="200"\} (\S+)', text)
    return int(float(found[1])) if found else 0
