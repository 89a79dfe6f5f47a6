"""Tests of `gigastt health` against a small HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gigastt.cli.main import run_command


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


def test_a_well_server_is_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    with answering({"/health": 200}) as port:
        assert run_command(["health", "--port", str(port)]) == 0
    assert "told" in capsys.readouterr().out


def test_a_server_that_is_not_ready_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with answering({"/health": 200, "/ready": 503}) as port:
        assert run_command(["health", "--ready", "--url", f"http://127.0.0.1:{port}/"]) == 1
    error = capsys.readouterr().err
    assert "503" in error
    assert error.count("\n") == 1


def test_no_server_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with answering({}) as port:
        pass
    assert run_command(["health", "--port", str(port)]) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["localhost:9876", "http://localhost:abc", "http://localhost:99999", "http://[::1"])
def test_an_address_that_is_none_is_exit_code_2(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["health", "--url", url]) == 2
    assert "http(s)://" in capsys.readouterr().err
