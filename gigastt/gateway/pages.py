"""Pages: the files of the web page, read once, compressed once, and answered from memory.

The scripts are modules that import each other; a browser gets those of the page in one file, and those of the audio
thread in another: a visit is a handful of requests, well within what a rate limit allows at once.

Everything here is public: it is the same for everybody and holds no word of anybody. The policy of its headers allows
no other origin, no inline script or style, and no HTML made from text. Browsers ask each time whether a file is still
what they have, by its ETag.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gigastt.errors import NotFound

WEB_FOLDER: Final = Path(__file__).resolve().parent / "web"
PAGES: Final[Mapping[str, str]] = {"/": "index.html", "/captions": "captions.html", "/status": "status.html"}
FILES: Final = "/web/{name}"

_SCRIPTS: Final = ("app.js", "captions.js", "status.js", "trust.js", "capture-worklet.js")  # with all that they import
_IMPORT: Final = re.compile(r'^import \{ (.+) \} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ((?:const|class|(?:async )?function\*?) (\w+))", re.MULTILINE)
_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",  # others' modules, as they are
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
SECURITY: Final[Mapping[str, str]] = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "media-src blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
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

    def __init__(self) -> None:
        self._files = _read_files()

    async def answer(self, request: Request) -> Response:
        """Answer the page, or a file that it loads.

        Raises:
            NotFound: there is no such file.
        """
        file = self._files.get(request.url.path)
        if file is None:
            raise NotFound("The page has no such file.")
        known = (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(","))
        if file.headers["etag"] in known:  # weak, where a proxy has compressed it
            return Response(None, 304, file.headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.compressed, headers={**file.headers, "content-encoding": "gzip"})
        return Response(file.plain, headers=file.headers)


@cache
def _read_files() -> Mapping[str, _File]:
    plain = [path for path in WEB_FOLDER.iterdir() if path.suffix in _TYPES and path.suffix != ".js"]
    contents = {path.name: path.read_bytes() for path in plain}
    contents |= {name: _joined(name.removesuffix(".js"), set()).encode() for name in _SCRIPTS}
    addresses = {name: address for address, name in PAGES.items()}
    return {
        addresses.get(name) or FILES.format(name=name): _file(content, Path(name).suffix)
        for name, content in contents.items()
    }


def _joined(module: str, known: set[str]) -> str:
    """Return a module with those that it imports before it, each in a scope of its own, but for the `known` ones."""
    known.add(module)
    text = (WEB_FOLDER / f"{module}.js").read_text(encoding="utf-8")
    before = "".join(_joined(name, known) for _, name in _IMPORT.findall(text) if name not in known)
    names = ", ".join(name for _, name in _EXPORT.findall(text))
    text = _IMPORT.sub(r"const { \1 } = $\2;", _EXPORT.sub(r"\1", text))
    return f"{before}const ${module.replace('-', '_')} = (() => {{\n{text}return {{ {names} }};\n}})();\n"


def _file(content: bytes, suffix: str) -> _File:
    headers = {
        "content-type": _TYPES[suffix],
        "cache-control": "no-cache",
        "etag": f'"{hashlib.sha256(content).hexdigest()[:24]}"',
        "vary": "Accept-Encoding",
        **SECURITY,
    }
    return _File(content, gzip.compress(content, 9, mtime=0), headers)
