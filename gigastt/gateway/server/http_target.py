"""The target of a request line: an address on this server that no proxy can read as another."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass

import httptools

from gigastt.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Target:
    """The address of a request."""

    path: str
    raw_path: bytes
    query: bytes


def request_target(url: bytes, headers: list[tuple[bytes, bytes]]) -> Target:
    """Read the target of a request line: an absolute path, a whole URL of the host that `Host` names, or `*`.

    Raises:
        BadRequest: it is something else.
    """
    if url == b"*":
        return Target("*", url, b"")
    try:
        parts = httptools.parse_url(url)
        raw_path = parts.path or b"/"
        path = raw_path.decode("ascii")
    except (httptools.HttpParserError, UnicodeDecodeError) as exc:
        raise BadRequest("The target of the request is not an address.") from exc
    if not url.startswith(b"/"):
        authority = url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0].lower()
        hosts = [value.lower() for name, value in headers if name == b"host"]
        if not url.lower().startswith((b"http://", b"https://")) or hosts != [authority]:
            raise BadRequest("The target of the request and its Host header differ.")
    if b"#" in url:
        raise BadRequest("The target of a request has no fragment.")
    return Target(urllib.parse.unquote(path) if "%" in path else path, raw_path, parts.query or b"")
