"""Webhooks: a signed POST to an address that a client has named, tried again until it is taken.

    POST …                       Content-Type: application/json
    X-Gigastt-Event: job.done
    X-Gigastt-Timestamp: 1712700000
    X-Gigastt-Signature: sha256=HEX    HMAC-SHA256 of "TIMESTAMP.BODY" under the client's secret, if it gave one

Only hosts that the operator has listed are called, and no redirect is followed.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gigastt.errors import InvalidParameter
from gigastt.gateway.metrics import Metrics
from gigastt.log import get_logger

if TYPE_CHECKING:
    import httpx2

log = get_logger(__name__)

WEBHOOK_PAUSES: Final = (10.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0)  # between two tries; then it is given up
_TIMEOUT_SECONDS = 15.0
_MOST_URL_CHARACTERS = 2_000


def check_url(url: str, hosts: Collection[str], param: str) -> str:
    """Return an address if its host is among those listed, with its port if that is listed.

    Raises:
        InvalidParameter: it is not, or it is no address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    is_address = parts.scheme in ("http", "https") and host and parts.username is None and parts.password is None
    if not is_address or len(url) > _MOST_URL_CHARACTERS or not url.isascii() or not url.isprintable():
        raise InvalidParameter(f"{param} must be http(s)://HOST[:PORT]/PATH.", param=param)
    allowed = {name.lower() for name in hosts}
    if host not in allowed and f"{host}:{port}" not in allowed:
        message = (
            f"{param}: this server asks nothing of {host[:80]!a}. Its operator can allow it: --jobs-url-host HOST."
        )
        raise InvalidParameter(message, param=param)
    return url


def signature_of(secret: str, timestamp: int, body: bytes) -> str:
    """Return the value of `X-Gigastt-Signature`."""
    return "sha256=" + hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()


async def call_webhook(
    client: httpx2.AsyncClient, url: str, event: str, body: bytes, secret: str, metrics: Metrics
) -> bool:
    """Call once, and count it if it fails; return whether the call was taken (2xx)."""
    import httpx2

    timestamp = int(time.time())
    headers = {"content-type": "application/json", "x-gigastt-event": event, "x-gigastt-timestamp": str(timestamp)}
    if secret:
        headers["x-gigastt-signature"] = signature_of(secret, timestamp, body)
    failure: dict[str, object] = {}
    try:
        async with client.stream("POST", url, content=body, headers=headers, timeout=_TIMEOUT_SECONDS) as response:
            if not 200 <= response.status_code < 300:
                failure = {"status": response.status_code}
    except (httpx2.HTTPError, OSError) as exc:
        failure = {"cause": type(exc).__name__}
    if failure:
        log.warning("webhook_failed", event_name=event, **failure)
        metrics.webhooks_failed.labels(event.partition(".")[0]).inc()
    return not failure
