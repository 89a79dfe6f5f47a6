"""Pages: the files of the web page, read once, compressed once, and answered from memory.

A page (`/`, `/captions`, `/status`) is revalidated each time by its ETag. What it loads lies under
`/web/DIGEST/`, where DIGEST is that of all the files together: such an address never changes what it answers, so
browsers keep it for a year. Modules import each other by relative names and need no rewriting; only the pages do.

Everything here is public: it is the same for everybody and holds no word of anybody. The policy of its headers allows
no other origin, no inline script or style, and no HTML made from text.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from gigastt.errors import NotFound

FOLDER: Final = Path(__file__).resolve().parent / "web"
PAGES: Final[Mapping[str, str]] = {"/": "index.html", "/captions": "captions.html", "/status": "status.html"}

_PLACEHOLDER: Final = "/web/DIGEST/"
_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_SECURITY: Final[Mapping[str, str]] = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob:",
            "media-src blob:",
            "connect-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), display-capture=(self), screen-wake-lock=(self), camera=()",
}


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is answered; `headers` come with 304, too."""

    plain: bytes
    compressed: bytes
    headers: Mapping[str, str]


class Pages:
    """Every file of the page by its address."""

    def __init__(self, folder: Path = FOLDER) -> None:
        contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in _TYPES}
        digest = hashlib.sha256(b"".join(contents.values())).hexdigest()[:16]
        prefix = f"/web/{digest}/"
        self._files: dict[str, _File] = {}
        for address, name in PAGES.items():
            page = contents.pop(name).replace(_PLACEHOLDER.encode(), prefix.encode())
            self._files[address] = _file(page, ".html", "no-cache")
        for name, content in contents.items():
            self._files[prefix + name] = _file(content, Path(name).suffix, "public, max-age=31536000, immutable")

    async def answer(self, request: Request) -> Response:
        """Answer a page, or a file that it loads.

        Raises:
            NotFound: the file is of another version, or of none.
        """
        file = self._files.get(request.url.path)
        if file is None:
            raise NotFound("This is another version of the page now: load it again.")
        if file.headers["etag"] in _entity_tags(request.headers):
            return Response(None, 304, file.headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.compressed, headers={**file.headers, "content-encoding": "gzip"})
        return Response(file.plain, headers=file.headers)


def _entity_tags(headers: Headers) -> list[str]:
    """Return the tags of `If-None-Match`; a proxy that compresses makes them weak."""
    return [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]


def _file(content: bytes, suffix: str, cache_control: str) -> _File:
    headers = {
        "content-type": _TYPES[suffix],
        "cache-control": cache_control,
        "etag": f'"{hashlib.sha256(content).hexdigest()[:24]}"',
        "vary": "Accept-Encoding",
        **_SECURITY,
    }
    return _File(content, gzip.compress(content, 9, mtime=0), headers)
