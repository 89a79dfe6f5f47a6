"""The policy table of origins and hosts, over HTTP and over a real WebSocket."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server import ServerProcess

LISTED = "https://app.example"
ALLOWED = [
    None,
    "http://localhost",
    "https://localhost",
    "http://LOCALHOST:3000",
    "http://127.0.0.1",
    "http://127.0.0.1:5173",
    "https://127.0.0.1:8443",
    "http://[::1]",
    "http://[::1]:3000",
    LISTED,
]
DENIED = [
    "null",
    "http://localhost.evil.example",
    "http://localhost@evil.example",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.10.evil.example:80",
    "http://evil.example/localhost",
    "http://evil.example",
    "https://app.example.evil.example",
    "https://app.example:8443",
    "http://app.example",
    "ftp://localhost",
    "file://",
    "localhost",
    "",
]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "1", "--allow-origin", LISTED) as running:
        yield running


@pytest.mark.parametrize("origin", ALLOWED)
def test_allowed_origins_over_http(server: ServerProcess, origin: str | None) -> None:
    response = server.get("/v1/models", headers={} if origin is None else {"origin": origin})
    assert response.status_code == 200
    assert response.headers.get("access-control-allow-origin") == origin
    assert "origin" in response.headers["vary"].lower()


@pytest.mark.parametrize("origin", DENIED)
def test_denied_origins_over_http(server: ServerProcess, origin: str) -> None:
    response = server.get("/v1/models", headers={"origin": origin})
    assert (response.status_code, response.json()["code"]) == (403, "origin_denied")
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("origin", ALLOWED)
async def test_allowed_origins_over_websocket(server: ServerProcess, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    async with connect(server.websocket_url, additional_headers=headers, compression=None) as socket:
        assert '"ready"' in str(await socket.recv())


@pytest.mark.parametrize("origin", DENIED)
async def test_denied_origins_over_websocket(server: ServerProcess, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(server.websocket_url, additional_headers={"Origin": origin}, compression=None):
            pass
    assert refused.value.response.status_code == 403
    assert b"origin_denied" in refused.value.response.body


def test_preflight_of_an_allowed_origin_is_answered(server: ServerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    headers = {"Origin": LISTED, "Access-Control-Request-Method": "POST"}
    connection.request("OPTIONS", "/v1/transcribe", headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status in (200, 204)
    assert response.headers["access-control-allow-origin"] == LISTED
    assert "POST" in response.headers["access-control-allow-methods"]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.0.2.7"])
def test_a_loopback_server_answers_to_loopback_names_only(server: ServerProcess, host: str) -> None:
    response = server.get("/v1/models", headers={"host": host})
    assert (response.status_code, response.json()["code"]) == (421, "host_denied")
    for path in ("/health", "/ready"):
        assert server.get(path, headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/v1/models"])
def test_a_request_of_http_1_0_needs_no_host(server: ServerProcess, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] == b"200"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/transcribe"])
def test_a_request_of_http_1_1_needs_one(server: ServerProcess, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] in (b"400", b"421")


def test_origins_do_not_matter_to_health(server: ServerProcess) -> None:
    assert server.get("/health", headers={"origin": "http://evil.example"}).status_code == 200
