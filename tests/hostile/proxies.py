"""Real proxies in front of a server: nginx and HAProxy as children on free ports of this machine, in a directory."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.hostile.raw_http import MARK
from tests.shared import do_without

_START_SECONDS = 15.0

# As every manual has it for WebSockets; the second server keeps connections to ours and the first does not.
_NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_timeout 300ms;
    client_header_timeout 500ms;
    client_body_timeout 500ms;
    proxy_http_version 1.1;
    add_header {mark} $request_id always;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    map $http_upgrade $connection_kept {{ default upgrade; '' ''; }}
    upstream kept {{ server 127.0.0.1:{upstream}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_set_header Connection $connection_upgrade;
                      proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade;
                      proxy_set_header {mark} $request_id; }}
        location /forbidden {{ return 403; }}
    }}
    server {{
        listen 127.0.0.1:{second};
        location / {{ proxy_pass http://kept; proxy_set_header Connection $connection_kept; proxy_request_buffering off;
                      proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade;
                      proxy_set_header {mark} $request_id; }}
        location /forbidden {{ return 403; }}
    }}
}}
"""

_HAPROXY = """
global
    maxconn 256
defaults
    mode http
    timeout connect 5s
    timeout client 500ms
    timeout server 3s
    timeout http-request 500ms
    timeout http-keep-alive 300ms
    option disable-h2-upgrade
frontend front
    bind 127.0.0.1:{port}
    http-request set-var(txn.id) uuid()
    http-request set-header {mark} %[var(txn.id)]
    http-response set-header {mark} %[var(txn.id)]
    http-request deny if {{ path_beg /forbidden }}
    default_backend ours
frontend second
    bind 127.0.0.1:{second}
    option http-server-close
    http-request set-var(txn.id) uuid()
    http-request set-header {mark} %[var(txn.id)]
    http-response set-header {mark} %[var(txn.id)]
    http-request deny if {{ path_beg /forbidden }}
    default_backend ours
backend ours
    http-reuse always
    server one 127.0.0.1:{upstream}
"""


@asynccontextmanager
async def nginx(upstream: int, directory: Path) -> AsyncIterator[tuple[int, int]]:
    """Run nginx before a server; yield its two ports, connections to the server kept behind the second."""
    program = find("nginx")
    async with _running(_NGINX, upstream, directory, lambda file: [program, "-p", str(directory), "-c", file]) as ports:
        yield ports


@asynccontextmanager
async def haproxy(upstream: int, directory: Path) -> AsyncIterator[tuple[int, int]]:
    """Run HAProxy before a server; yield its two ports, connections to the server kept behind both."""
    program = find("haproxy")
    async with _running(_HAPROXY, upstream, directory, lambda file: [program, "-db", "-f", file]) as ports:
        yield ports


def find(program: str) -> str:
    """Return where a program is, or do without."""
    path = shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin:/bin")
    if path is None:
        do_without(f"needs {program}, which is not on this machine")
    return path


@asynccontextmanager
async def _running(
    template: str, upstream: int, directory: Path, command: Callable[[str], list[str]]
) -> AsyncIterator[tuple[int, int]]:
    ports = free_port(), free_port()
    file = directory / "proxy.conf"
    file.write_text(
        template.format(directory=directory, upstream=upstream, port=ports[0], second=ports[1], mark=MARK),
        encoding="ascii",
    )
    process = await asyncio.create_subprocess_exec(
        *command(str(file)), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        for port in ports:
            await _listening(process, port)
        yield ports
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert process.returncode is None, "the proxy did not start"
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
