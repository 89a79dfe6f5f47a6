"""The page's files: public, small, strict, compressed, and revalidated by their tags."""

from __future__ import annotations

from pathlib import Path

from gigastt.gateway.pages import FILES, PAGES
from tests.fakes.gateway import http_client
from tests.fakes.pool import Fakes

SCRIPTS = ("app.js", "captions.js", "status.js", "trust.js", "capture-worklet.js", "lean-qr.mjs")
LOADED = (*PAGES, *(FILES.format(name=name) for name in ("style.css", "icon.svg", *SCRIPTS)))
MOST_BYTES = 100_000  # over the wire


async def test_its_files_are_public_small_and_strict(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-key-1\n")
    total = 0
    async with http_client(Fakes().context(api_keys_file=tmp_path / "keys")) as client:
        for address in LOADED:
            answer = await client.get(address)
            total += int(answer.headers["content-length"])
            assert answer.status_code == 200
            assert answer.headers["content-encoding"] == "gzip"
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; ")
            assert not {"unsafe-inline", "unsafe-eval", "*", "http:", "https:"} & set(policy.replace("'", "").split())
            assert answer.headers["x-content-type-options"] == "nosniff"
            plain = await client.get(address, headers={"accept-encoding": "identity"})
            assert "content-encoding" not in plain.headers
            assert plain.content == answer.content
            again = await client.get(address, headers={"if-none-match": f'"x", W/{answer.headers["etag"]}'})
            assert (again.status_code, again.content) == (304, b"")
        for page in PAGES:
            assert "<script>" not in (await client.get(page)).text
            assert "style=" not in (await client.get(page)).text
        assert (await client.get("/web/talk.js")).json()["code"] == "not_found"
        assert (await client.get("/web/%2e%2e%2fpages.py")).status_code in (401, 404)
    assert total < MOST_BYTES
