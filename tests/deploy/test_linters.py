"""The rest of deploy/, by the programs that will read it: proxies, systemd, linters of YAML and of the Dockerfile."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

import pytest

from gigastt.config import Limits
from tests.clips import load_clips
from tests.deploy.proxies import PROXIES, Place, Proxy
from tests.deploy.toolbox import DEPLOY, ROOT, output, passes
from tests.live_client import transcribe_live
from tests.server import ServerProcess
from tests.shared import do_without
from tests.tracing import require_strace

pytestmark = pytest.mark.slow

UNIT = DEPLOY / "systemd" / "gigastt.service"
MOST_EXPOSURE = 1.3


def test_yamllint_takes_every_file() -> None:
    passes("yamllint", "--strict", "-c", ROOT / ".yamllint.yaml", DEPLOY, ROOT / ".yamllint.yaml")


def test_hadolint_takes_the_dockerfile() -> None:
    passes("hadolint", "--failure-threshold", "info", DEPLOY / "Dockerfile")


@pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.name)
def test_each_proxy_takes_its_configuration(proxy: Proxy, tmp_path: Path) -> None:
    passes(proxy.tool, *proxy.check(proxy.write(Place(tmp_path))))


def test_caddys_file_is_formatted() -> None:
    assert output("caddy", "fmt", DEPLOY / "proxies" / "Caddyfile") == (DEPLOY / "proxies" / "Caddyfile").read_text()


def unit_here(tmp_path: Path) -> Path:
    """Return the unit as it is, except that the program it starts is there."""
    text = UNIT.read_text(encoding="utf-8")
    assert "/opt/gigastt/bin/gigastt" in text
    path = tmp_path / UNIT.name
    path.write_text(text.replace("/opt/gigastt/bin/gigastt", "/bin/true"), encoding="utf-8")
    return path


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    assert passes("systemd-analyze", "verify", unit_here(tmp_path)) == ""


def test_the_unit_exposes_little(tmp_path: Path) -> None:
    said = passes("systemd-analyze", "security", "--offline=true", "--no-pager", unit_here(tmp_path))
    [exposure] = re.findall(r"Overall exposure level for gigastt\.service: ([0-9.]+)", said)
    assert float(exposure) <= MOST_EXPOSURE


def test_the_unit_waits_longer_than_the_drain_and_stops_the_gateway_alone() -> None:
    settings = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE))
    assert float(settings["TimeoutStopSec"]) > Limits().shutdown_drain_secs
    assert settings["KillMode"] == "mixed"
    assert settings["OOMPolicy"] == "continue"


def test_the_settings_are_settings(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / "gigastt.toml").read_text(encoding="utf-8")
    everything = re.sub(r"^#(?=[a-z-]+ = )", "", text, flags=re.MULTILINE)
    assert everything.count(" = ") == 6
    config = tmp_path / "gigastt.toml"
    config.write_text(everything.replace("9877", "0"), encoding="utf-8")
    with ServerProcess("--config", str(config), "--pool-size", "1", "--max-sessions", "2") as server:
        assert server.get("/v1/models", headers={"host": "speech.example"}).status_code == 200


def system_calls(group: str) -> set[str]:
    """Return the calls of one of systemd's groups, by systemd's own word; a call is a group of itself."""
    if not group.startswith("@"):
        return {group}
    lines = [line.strip() for line in output("systemd-analyze", "syscall-filter", group).splitlines()[1:]]
    return set().union(*(system_calls(line) for line in lines if line and not line.startswith("#")))


def allowed_calls() -> set[str]:
    """Return the calls that the unit allows."""
    allowed = system_calls("@default")
    for line in re.findall(r"^SystemCallFilter=(.+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE):
        calls: set[str] = set().union(*(system_calls(name) for name in line.lstrip("~").split()))
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


@pytest.mark.e2e
async def test_the_server_does_with_what_the_unit_allows(tmp_path: Path) -> None:
    """No call outside the filter in a life with a live session and an upload, and no page both writable and code."""
    trace = tmp_path / "trace"
    names = ",".join(f"?{name}" for name in sorted(allowed_calls()))
    watched = [require_strace(), "-D", "-f", "-q", "--seccomp-bpf", "-e", f"trace=!{names}", "-o", str(trace)]
    clip = load_clips()[0]
    if ctypes.CDLL(None).prctl(_GET_DENIED, 0, 0, 0, 0) < 0:
        do_without("needs Linux 6.3, which can deny pages that are both written and run")
    locked = [sys.executable, "-c", _DENY_AND_RUN]
    with ServerProcess("--pool-size", "1", "--max-sessions", "4", prefix=[*watched, *locked]) as server:
        assert server.post("/v1/transcribe", clip.path.read_bytes()).status_code == 200
        session = await transcribe_live(server.websocket_url, clip.pcm)
        assert session.text
    calls = re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]", trace.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(calls) == {"chroot"}, "the control, and nothing else, is outside what the unit allows"


_GET_DENIED = 66  # PR_GET_MDWE
# As MemoryDenyWriteExecute=, by the kernel's own switch; and one call that the unit does not allow, to see it seen.
_DENY_AND_RUN = """
import contextlib, ctypes, os, sys
with contextlib.suppress(OSError):
    os.chroot("/nonexistent")
assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
