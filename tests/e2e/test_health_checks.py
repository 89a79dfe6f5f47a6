"""Real HAProxy asks the server whether it is well, in the ways people configure that, and takes it for well."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.server import ServerProcess
from tests.shared import do_without
from tests.waiting import wait_for

CONFIGURATION = """
global
    stats socket {control}
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend front
    bind {front}
    default_backend plain
backend plain
    option httpchk
    server gigastt 127.0.0.1:{port} check inter 100ms fall 1
backend ready
    option httpchk GET /ready
    server gigastt 127.0.0.1:{port} check inter 100ms fall 1
backend named
    option httpchk
    http-check send meth GET uri /ready ver HTTP/1.1 hdr Host gigastt.speech.svc
    server gigastt 127.0.0.1:{port} check inter 100ms fall 1
"""


def check_states(control: Path) -> dict[str, str]:
    """Return each backend's latest check by HAProxy's own word: `L7OK/200`, or `INI` before the first."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(control))
        asking.sendall(b"show stat\n")
        header, *rows = asking.makefile("r").read().lstrip("# ").strip().splitlines()
    names = header.split(",")
    stats = [dict(zip(names, row.split(","), strict=False)) for row in rows]
    return {row["pxname"]: f"{row['check_status']}/{row['check_code']}" for row in stats if row["svname"] == "gigastt"}


@pytest.fixture(scope="module")
def haproxy() -> str:
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if found is None:
        do_without("needs haproxy, which is not installed here")
    return found


def test_haproxy_finds_the_server_well(haproxy: str, server: ServerProcess, tmp_path: Path) -> None:
    control, configuration = tmp_path / "control", tmp_path / "haproxy.cfg"
    text = CONFIGURATION.format(control=control, front=f"unix@{tmp_path / 'front'}", port=server.port)
    configuration.write_text(text, encoding="utf-8")
    with subprocess.Popen([haproxy, "-q", "-db", "-f", str(configuration)]) as process:
        try:
            wait_for(control.exists)
            wait_for(lambda: all("INI" not in state for state in check_states(control).values()))
            assert check_states(control) == {"plain": "L7OK/204", "ready": "L7OK/200", "named": "L7OK/200"}
        finally:
            process.terminate()
