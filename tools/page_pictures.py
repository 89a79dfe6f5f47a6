"""Pictures of the page for the documents, in Chromium, before a server of its own with the demo model.

    python -m tools.page_pictures [docs/images]

Phone and desk, light and dark: idle, talking, with a transcript, with an error; and captions and status once. It also
prints how soon the page was there and what it weighed.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.clips import load_clips
from tests.page.conftest import MICROPHONE
from tests.server import ServerProcess

_CLIP = load_clips()[0]
_SIZES = {"phone": (390, 844), "desk": (1280, 800)}
_WEIGHT = """[performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
  ...performance.getEntries().filter((one) => "encodedBodySize" in one).map((one) => one.encodedBodySize)]"""

Scheme = Literal["light", "dark"]


def idle(page: Page) -> None:
    expect(page.locator("#microphone")).to_be_visible()


def talking(page: Page) -> None:
    page.locator("#microphone").click()
    expect(page.locator("#spoken p")).not_to_have_count(0)
    page.locator("#live .stable").wait_for()


def transcript(page: Page) -> None:
    page.locator("#choose").set_input_files(_CLIP.path)
    page.locator(".file [data-form=txt]").wait_for()
    page.locator(".file").scroll_into_view_if_needed()


def error(page: Page) -> None:
    page.locator("#choose").set_input_files({"name": "notes.wav", "mimeType": "audio/wav", "buffer": b"no audio" * 99})
    expect(page.locator(".file .error")).not_to_be_empty()
    page.locator(".file").scroll_into_view_if_needed()


def captions(page: Page) -> None:
    talking(page)
    page.locator("#showLink").click()
    page.locator("#linkCode svg").wait_for()
    page.goto(page.locator("#linkAddress").get_attribute("href") or "")
    expect(page.locator("#lines p")).not_to_have_count(0)


def status(page: Page) -> None:
    page.goto(page.url + "status")
    page.locator("#hour svg").first.wait_for()


SCENES: tuple[Callable[[Page], None], ...] = (idle, talking, transcript, error, captions, status)


@contextmanager
def opened(browser: Browser, url: str, size: tuple[int, int], scheme: Scheme) -> Iterator[Page]:
    """Open the page as somebody who has never been there."""
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(locale="ru-RU", color_scheme=scheme, viewport=viewport)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with ServerProcess("--pool-size", "1") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*MICROPHONE])
        schemes: tuple[Scheme, ...] = ("light", "dark")
        for size_name, size in _SIZES.items():
            for scheme in schemes:
                for scene in SCENES if (size_name, scheme) == ("desk", "light") else SCENES[:4]:
                    with opened(browser, server.url, size, scheme) as page:
                        scene(page)
                        page.screenshot(path=folder / f"page-{scene.__name__}-{size_name}-{scheme}.png")
        with opened(browser, server.url, _SIZES["desk"], "light") as page:
            idle(page)
            paint, *weights = page.evaluate(_WEIGHT)
            print(json.dumps({"first_paint_ms": round(paint), "bytes_over_the_wire": sum(weights)}))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
