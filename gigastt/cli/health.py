"""`gigastt health`: ask a running server whether it is well; a container's health check calls this.

One HTTP request with the standard library; without `--url`, to the server of this machine that has the same settings,
or that runs as the process of `--pid`.
"""

from __future__ import annotations

import http.client
import ssl
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from gigastt.cli.config_file import config_option
from gigastt.cli.kinds import HttpAddress
from gigastt.cli.mistakes import SettingsCommand
from gigastt.cli.options import host_option, setting, tls_cert_option, tls_option
from gigastt.config import Settings

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


@click.command(cls=SettingsCommand)
@config_option
@setting("--url", type=HttpAddress(), help="Base address of the server.  [default: that of the settings]")
@host_option
@setting("--port", type=click.IntRange(1, 65_535), default=Settings().port, help="Port that it listens on.")
@tls_cert_option
@tls_option
@click.option("--pid", type=click.IntRange(1), help="Ask the server that runs as this process, by its command line.")
@click.option("--ready", is_flag=True, help="Ask whether it is ready to transcribe, not only alive.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True, help="Seconds.")
def health(url: str | None, pid: int | None, ready: bool, timeout: float, **values: Any) -> int:
    """Ask a running server whether it is well; exit 0 if so, else 1."""
    base = url or base_address(Settings(**values) if pid is None else settings_of_process(pid))
    parts = urlsplit(base)
    path = parts.path.rstrip("/") + ("/ready" if ready else "/health")
    own = url is None  # the certificate may be for another name, and nothing secret is asked
    tls = partial(http.client.HTTPSConnection, context=_anyones() if own else ssl.create_default_context())
    connect = tls if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.netloc, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(64 * 1024).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as exc:
        raise click.ClickException(f"{base} does not answer: {exc}.") from exc
    finally:
        connection.close()
    if response.status != 200:
        raise click.ClickException(f"{base}{path} answered {response.status}: {body}")
    click.echo(body)
    return 0


def settings_of_process(pid: int) -> Settings:
    """Return the settings of a server by its command line, over this environment. ClickException: it is no server."""
    from gigastt.cli.serve import serve, settings_of

    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
        with serve.make_context("serve", words[words.index("serve") + 1 :]) as context:
            return settings_of(context.params)
    except (OSError, ValueError) as exc:
        raise click.ClickException(f"Process {pid} is not one of `gigastt serve`.") from exc


def base_address(settings: Settings) -> str:
    """Return where this machine reaches the server of these settings."""
    scheme = "https" if settings.tls_cert is not None or settings.has_own_authority else "http"
    host = settings.host.strip("[]")
    host = _ANY_ADDRESS.get(host, host)
    return f"{scheme}://[{host}]:{settings.port}" if ":" in host else f"{scheme}://{host}:{settings.port}"


def _anyones() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
