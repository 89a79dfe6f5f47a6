"""Tests of `gigastt health` against a small HTTP server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from gigastt.cli.health import base_address
from gigastt.cli.main import run_command
from gigastt.config import Settings
from tests.waiting import wait_for


@contextmanager
def answering(statuses: dict[str, int]) -> Iterator[int]:
    """Answer each path with its status; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.get(self.path, 404))
            self.end_headers()
            self.wfile.write(b'{"status":"told"}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_a_well_server_is_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    with answering({"/health": 200}) as port:
        assert run_command(["health", "--port", str(port)]) == 0
    assert "told" in capsys.readouterr().out


@pytest.mark.slow
def test_a_server_that_is_not_ready_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with answering({"/health": 200, "/ready": 503}) as port:
        assert run_command(["health", "--ready", "--url", f"http://127.0.0.1:{port}/"]) == 1
    error = capsys.readouterr().err
    assert "503" in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_no_server_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with answering({}) as port:
        pass
    assert run_command(["health", "--port", str(port)]) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.slow
def test_it_asks_the_server_of_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gigastt.toml"
    with answering({"/health": 200}) as port:
        config.write_text(f'port = {port}\nhost = "0.0.0.0"\nbind-all = true\npool-size = 3\n', encoding="utf-8")
        assert run_command(["health", "--config", str(config)]) == 0
        monkeypatch.setenv("GIGASTT_CONFIG", str(config))
        assert run_command(["health"]) == 0
        monkeypatch.setenv("GIGASTT_PORT", str(port))
        monkeypatch.delenv("GIGASTT_CONFIG")
        assert run_command(["health"]) == 0
    monkeypatch.setenv("GIGASTT_TLS", "auto")
    monkeypatch.setenv("GIGASTT_HOST", "::")
    assert run_command(["health"]) == 1
    assert f"https://[::1]:{port}" in capsys.readouterr().err


@pytest.mark.slow
def test_it_asks_a_server_by_its_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with answering({"/health": 200}) as port:
        wait = "import sys; sys.stdin.read()"
        words = [sys.executable, "-c", wait, "gigastt", "serve", "--port", str(port), "--pool-size", "2"]
        with subprocess.Popen(words, stdin=subprocess.PIPE) as server:
            # The kernel tells the program's words a moment after it has let go of what the parent waits for.
            wait_for(lambda: b"serve" in Path(f"/proc/{server.pid}/cmdline").read_bytes())
            assert run_command(["health", "--pid", str(server.pid)]) == 0
    assert run_command(["health", "--pid", str(os.getpid())]) == 1
    assert "not one of `gigastt serve`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "http://127.0.0.1:9876"),
        ({"host": "0.0.0.0", "port": 80}, "http://127.0.0.1:80"),
        ({"host": "::"}, "http://[::1]:9876"),
        ({"host": "192.168.1.5"}, "http://192.168.1.5:9876"),
        ({"tls": "auto"}, "http://127.0.0.1:9876"),
        ({"tls": "auto", "host": "192.168.1.5"}, "https://192.168.1.5:9876"),
        ({"tls_cert": Path("chain.pem")}, "https://127.0.0.1:9876"),
    ],
)
def test_where_a_server_of_some_settings_is_asked(settings: dict[str, Any], address: str) -> None:
    assert base_address(Settings(**settings)) == address


@pytest.mark.parametrize("url", ["localhost:9876", "http://localhost:abc", "http://localhost:99999", "http://[::1"])
def test_an_address_that_is_none_is_exit_code_2(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["health", "--url", url]) == 2
    assert "http(s)://" in capsys.readouterr().err
