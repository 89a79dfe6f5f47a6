"""A real browser with a microphone that plays a clip, before a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Playwright, Request, expect, sync_playwright

from tests.clips import load_clips
from tests.server import ServerProcess
from tests.shared import require_program
from tests.waiting import DEADLINE_SECONDS

CLIP = load_clips()[0]
KEY = "secret-key-1"
MICROPHONE = (
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={CLIP.path}%noloop",
)
_DEADLINE_MS = DEADLINE_SECONDS * 1000
expect.set_options(timeout=_DEADLINE_MS)

OpenPage = Callable[..., Page]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    jobs = str(tmp_path_factory.mktemp("jobs"))
    with ServerProcess("--pool-size", "1", "--allowed-host", "page.test", "--jobs-dir", jobs) as running:
        yield running


@pytest.fixture(scope="package")
def keyed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that asks for `KEY`."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"{KEY}\n")
    with ServerProcess("--pool-size", "1", "--api-keys-file", str(keys)) as running:
        yield running


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium; names under `.test` are this machine for it."""
    browser = playwright.chromium.launch(
        executable_path=require_program("chromium"),
        args=[
            *MICROPHONE,
            "--autoplay-policy=no-user-gesture-required",
            "--host-resolver-rules=MAP *.test 127.0.0.1",
        ],
    )
    yield browser
    browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open an address; afterwards no page has asked another origin, thrown an error, or broken its own policy."""
    wrong: list[str] = []
    with ExitStack() as stack:

        def open_one(url: str, *, locale: str = "ru-RU", prepare: Callable[[Page], None] = lambda page: None) -> Page:
            context = browser.new_context(locale=locale, permissions=["clipboard-read", "clipboard-write"])
            stack.callback(context.close)
            page = context.new_page()

            def check(request: Request) -> None:
                if urlsplit(request.url).netloc != urlsplit(url).netloc and not request.url.startswith("blob:"):
                    wrong.append(request.url)

            page.on("request", check)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda message: wrong.append(message.text) if "Policy" in message.text else None)
            page.set_default_timeout(_DEADLINE_MS)
            prepare(page)
            page.goto(url)
            return page

        yield open_one
    assert wrong == []
