"""The proxies' configurations from deploy/, put onto free ports of this machine, and the proxies that run with them."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.deploy.toolbox import DEPLOY, find, passes
from tests.waiting import wait_for

NAME = "speech.example"
_CERTIFICATE = ("/etc/gigastt/tls/fullchain.pem", "/etc/gigastt/tls/privkey.pem")


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@dataclass(frozen=True)
class Place:
    """Where a proxy of a test is: its folder, its ports, and the ports of its servers."""

    folder: Path
    servers: tuple[int, int] = (9876, 9878)
    ports: list[int] = field(default_factory=lambda: free_ports(3))

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def certificate(self) -> tuple[Path, Path]:
        """The certificate and its key, made when they are first asked for."""
        chain, key = self.folder / "fullchain.pem", self.folder / "privkey.pem"
        if not chain.exists():
            made = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
            passes("openssl", *made, "-subj", f"/CN={NAME}", "-keyout", key, "-out", chain)
            key.chmod(0o644)
        return chain, key


@dataclass(frozen=True)
class Proxy:
    """One proxy: which file it reads, and how it is asked to check it and to run with it."""

    tool: str
    file: str
    moved: Callable[[Place], dict[str, str]]
    checks: Sequence[str]
    runs: Sequence[str]

    @property
    def name(self) -> str:
        return self.tool

    def write(self, place: Place) -> Path:
        """Write the configuration for that place and return its path."""
        text = (DEPLOY / "proxies" / self.file).read_text(encoding="utf-8")
        servers = {f"{old}": f"{new}" for old, new in zip((9876, 9878), place.servers, strict=True)}
        for old, new in {**self.moved(place), **servers}.items():
            assert old in text, f"{self.file} has no {old!r} any more"
            text = text.replace(old, new)
        path = place.folder / self.file
        path.write_text(text, encoding="utf-8")
        return path

    def check(self, path: Path) -> list[str]:
        """Return the arguments that make it check a configuration."""
        return [argument.format(path=path, folder=path.parent) for argument in self.checks]

    @contextlib.contextmanager
    def running(self, place: Place) -> Iterator[Place]:
        """Run it in front of the place's servers, until the body ends."""
        path = self.write(place)
        arguments = [argument.format(path=path, folder=place.folder) for argument in self.runs]
        with (place.folder / "proxy.log").open("wb") as log:
            process = subprocess.Popen(
                [find(self.tool), *arguments], stdout=log, stderr=log, env={**os.environ, "HOME": str(place.folder)}
            )
        try:
            wait_for(lambda: answers(place) or process.poll() is not None)
            assert process.poll() is None, (place.folder / "proxy.log").read_text(errors="replace")
            yield place
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def trusting() -> ssl.SSLContext:
    """Return what a client takes every certificate with: these are the test's own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def request(place: Place, method: str, path: str, **options: object) -> httpx.Response:
    """Ask the proxy, by its public name."""
    with httpx.Client(verify=trusting(), timeout=60.0) as client:
        built = client.build_request(
            method,
            f"https://127.0.0.1:{place.port}{path}",
            extensions={"sni_hostname": NAME},
            **options,  # type: ignore[arg-type]
        )
        built.headers["host"] = NAME
        return client.send(built)


def answers(place: Place) -> bool:
    """Tell whether a server is ready behind the proxy."""
    try:
        return request(place, "GET", "/ready").status_code == 200
    except httpx.HTTPError:
        return False


def _nginx(place: Place) -> dict[str, str]:
    chain, key = place.certificate
    return {
        "listen 443 ssl;": f"listen 127.0.0.1:{place.port} ssl;",
        "listen 80 default_server;": f"listen 127.0.0.1:{place.ports[1]} default_server;",
        _CERTIFICATE[0]: str(chain),
        _CERTIFICATE[1]: str(key),
    }


def _haproxy(place: Place) -> dict[str, str]:
    chain, key = place.certificate
    both = place.folder / "haproxy.pem"
    both.write_bytes(chain.read_bytes() + key.read_bytes())
    return {
        "bind :443 ": f"bind 127.0.0.1:{place.port} ",
        "bind :80\n": f"bind 127.0.0.1:{place.ports[1]}\n",
        "/etc/gigastt/tls/haproxy.pem": str(both),
        "maxconn 16384": "maxconn 1000",  # it wants two descriptors for each at once
        "/run/haproxy/gigastt.sock": str(place.folder / "control"),
    }


def _caddy(place: Place) -> dict[str, str]:
    chain, key = place.certificate
    ours = f"{{\n\tadmin 127.0.0.1:{place.ports[2]}\n\tauto_https disable_redirects\n}}\n"
    site = f"https://{NAME}:{place.port} {{\n\tbind 127.0.0.1\n\ttls {chain} {key}\n"
    return {f"\n{NAME} {{\n": f"\n{ours}\n{site}"}


def _envoy(place: Place) -> dict[str, str]:
    chain, key = place.certificate
    return {
        "{address: 0.0.0.0, port_value: 443}": f"{{address: 127.0.0.1, port_value: {place.port}}}",
        "port_value: 9901": f"port_value: {place.ports[2]}",
        _CERTIFICATE[0]: str(chain),
        _CERTIFICATE[1]: str(key),
    }


_NGINX = ("-p", "{folder}", "-e", "stderr", "-c", "{path}")
_CADDY = ("--adapter", "caddyfile", "--config", "{path}")
NGINX = Proxy(
    "nginx", "nginx.conf", _nginx,
    ("-t", *_NGINX, "-g", "pid {folder}/nginx.pid;"),
    (*_NGINX, "-g", "daemon off; pid {folder}/nginx.pid;"),
)  # fmt: skip
HAPROXY = Proxy("haproxy", "haproxy.cfg", _haproxy, ("-c", "-f", "{path}"), ("-db", "-f", "{path}"))
CADDY = Proxy("caddy", "Caddyfile", _caddy, ("validate", *_CADDY), ("run", *_CADDY))
ENVOY = Proxy(
    "envoy", "envoy.yaml", _envoy,
    ("--mode", "validate", "-c", "{path}"),
    ("-c", "{path}", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
)  # fmt: skip
PROXIES = (NGINX, HAPROXY, CADDY, ENVOY)
