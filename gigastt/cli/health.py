"""`gigastt health`: ask a running server whether it is well; a container's health check calls this.

One HTTP request with the standard library.
"""

from __future__ import annotations

import http.client
import ssl
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import click

from gigastt.cli.options import HttpAddress, setting


@click.command()
@setting("--url", type=HttpAddress(), help="Base address of the server.  [default: http://127.0.0.1 and --port]")
@setting("--port", type=click.IntRange(1, 65_535), default=9876, help="Port of a server on this machine.")
@setting(
    "--tls-cert",
    type=click.Path(path_type=Path),
    help="Of a server with TLS: ask over TLS, whatever its certificate.",
)
@click.option("--ready", is_flag=True, help="Ask whether it is ready to transcribe, not only alive.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True, help="Seconds.")
def health(url: str | None, port: int, tls_cert: Path | None, ready: bool, timeout: float) -> int:
    """Ask a running server whether it is well; exit 0 if so, else 1."""
    base = url or f"{'http' if tls_cert is None else 'https'}://127.0.0.1:{port}"
    parts = urlsplit(base)
    path = parts.path.rstrip("/") + ("/ready" if ready else "/health")
    own = url is None  # the certificate is for another name, and nothing secret is asked
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


def _anyones() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
