"""The example for other people's pages: the same capture and client modules, without the rest of the page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.page.conftest import OpenPage
from tests.server import ServerProcess

FOLDER = Path(__file__).resolve().parent.parent.parent / "examples" / "browser"


@pytest.fixture
def example() -> Iterator[str]:
    """The address of the example on a server that knows nothing but files."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(FOLDER))) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{files.server_port}/"
        files.shutdown()


def test_another_page_shows_what_is_said(server: ServerProcess, open_page: OpenPage, example: str) -> None:
    page = open_page(f"{example}?server={server.websocket_url}")
    page.get_by_role("button", name="Talk").click()
    expect(page.locator("#text")).to_contain_text("Включи фильм")
    page.get_by_role("button", name="Stop").click()
