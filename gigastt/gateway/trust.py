"""Trust: the certificate of the server's own authority, and the way from plain HTTP to TLS.

`/ca.crt` is public, over TLS and without. On a port with TLS a plain request is redirected; where the certificate is of
the server's own authority, a person who asks for the page is told first how to make a device trust it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gigastt.authority import Authority
from gigastt.errors import NotFound, TlsRequired
from gigastt.gateway.pages import SECURITY

CA_PATH: Final = "/ca.crt"
_DATA: Final = Path(__file__).resolve().parent / "data"
_HEADERS: Final[Mapping[str, str]] = {**SECURITY, "cache-control": "no-store", "vary": "Accept-Language"}


class Trust:
    """The routes about a server's certificate.

    Args:
        authority: the server's own; None where the certificate is of another one, or there is none.
    """

    def __init__(self, authority: Authority | None) -> None:
        self._certificate = authority.certificate.read_bytes() if authority is not None else None
        self._fingerprint = authority.fingerprint() if authority is not None else ""
        self._pages = {
            language: Template((_DATA / f"trust.{language}.html").read_text("utf-8")) for language in ("en", "ru")
        }

    async def certificate(self, request: Request) -> Response:
        """`GET /ca.crt`. NotFound: the server has no authority of its own."""
        if self._certificate is None:
            raise NotFound("This server has no certificate authority of its own: see --tls auto.")
        return Response(self._certificate, media_type="application/x-x509-ca-cert")

    async def answer_plain(self, request: Request) -> Response:
        """Answer a request that came without TLS to a port that has it.

        Raises:
            TlsRequired: it is none that a redirect would help.
        """
        path, url = request.url.path, str(request.url.replace(scheme="https"))
        if request.method not in ("GET", "HEAD") or len(request.headers.getlist("host")) != 1:
            raise TlsRequired
        if self._certificate is not None and path == CA_PATH:
            return await self.certificate(request)
        if self._certificate is not None and path == "/":
            language = "ru" if request.headers.get("accept-language", "").lower().startswith("ru") else "en"
            page = self._pages[language].substitute(url=url, fingerprint=self._fingerprint)
            return Response(page, media_type="text/html", headers=_HEADERS)
        return RedirectResponse(url, 307, {"cache-control": "no-store"})
