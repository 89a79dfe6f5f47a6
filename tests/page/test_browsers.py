"""The page in Chromium and in Firefox: talk over a restart of the server and a reload of the page, and files."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, Page

from tests.clips import normalise
from tests.page.conftest import CLIP
from tests.page.firefox import Firefox, running_firefox
from tests.page.microphone import microphone
from tests.server import ServerProcess
from tests.waiting import wait_for

_SPOKEN = "[...document.querySelectorAll('#spoken p span')].map((one) => one.textContent)"
_SHOWN = "document.querySelector('#live .stable')?.textContent"
_SECOND_SENTENCE = f"document.querySelector('#spoken p') && {_SHOWN}"
_READY = "!document.getElementById('page').hidden && !document.getElementById('microphone').disabled"
_PRESS = "document.getElementById('microphone').click()"
_RUNS = "document.getElementById('microphone').textContent === 'Остановить'"
_IDLE = "document.getElementById('microphone').textContent === 'Начать запись'"


class Visitor(Protocol):
    """A person before a browser with one page."""

    def open(self, url: str) -> object: ...

    def reload(self) -> object: ...

    def evaluate(self, expression: str) -> Any: ...

    def wait(self, expression: str) -> object: ...


class Chromium:
    """The visitor in Chromium."""

    def __init__(self, page: Page) -> None:
        self.open = page.goto
        self.reload = page.reload
        self.evaluate = page.evaluate

    def wait(self, expression: str) -> None:  # Playwright's own way needs eval, which the page forbids
        wait_for(lambda: self.evaluate(expression))


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with running_firefox(tmp_path_factory.mktemp("firefox")) as firefox:
        firefox.before_scripts(microphone(CLIP.path.read_bytes()))
        yield firefox


@pytest.fixture
def chromium(browser: Browser) -> Iterator[Chromium]:
    page = browser.new_page(locale="ru-RU")
    page.add_init_script(f"({microphone(CLIP.path.read_bytes())})()")
    yield Chromium(page)
    page.close()


@pytest.fixture(params=["chromium", "firefox"])
def visitor(request: pytest.FixtureRequest) -> Visitor:
    found: Visitor = request.getfixturevalue(request.param)
    return found


class Mortal:
    """A server that is stopped, and started anew at the same address."""

    def __init__(self) -> None:
        self.server = ServerProcess("--pool-size", "1").__enter__()

    def stop(self) -> None:
        self.server.__exit__(None, None, None)

    def start(self) -> None:
        self.server = ServerProcess("--pool-size", "1", "--port", str(self.server.port)).__enter__()


@pytest.fixture(scope="module")
def mortal() -> Iterator[Mortal]:
    mortal = Mortal()
    yield mortal
    mortal.stop()


def begin(visitor: Visitor, url: str) -> None:
    """Open the page as somebody who has never been there, and talk."""
    visitor.open(url)
    visitor.wait(_READY)
    visitor.evaluate(_PRESS)


def stop(visitor: Visitor) -> None:
    visitor.evaluate(_PRESS)
    visitor.wait(_IDLE)


def texts_of(server: ServerProcess) -> list[str]:
    """Return the paragraphs of the clip, as a file."""
    segments = server.post("/v1/transcribe", CLIP.path.read_bytes()).json()["segments"]
    return [segment["text"] for segment in segments]


def test_the_server_restarts_in_mid_sentence(mortal: Mortal, visitor: Visitor) -> None:
    texts = texts_of(mortal.server)
    begin(visitor, mortal.server.url)
    visitor.wait(_SECOND_SENTENCE)
    mortal.stop()
    mortal.start()
    visitor.wait(f"{_SPOKEN}.length === {len(texts)}")
    assert visitor.evaluate(_SPOKEN) == texts
    stop(visitor)
    visitor.reload()
    visitor.wait(f"{_SPOKEN}.length === {len(texts)}")
    assert visitor.evaluate(_SPOKEN) == texts


def load_anew(visitor: Visitor, url: str) -> str:
    """Talk, load the page anew in mid-sentence, talk on to the end; return what is shown then."""
    begin(visitor, url)
    visitor.wait(_SECOND_SENTENCE)
    visitor.reload()
    visitor.wait(_RUNS)  # it goes on by itself
    visitor.wait(f"{_SPOKEN}.length >= 2")
    stop(visitor)
    return " ".join(visitor.evaluate(_SPOKEN))


def test_the_page_is_loaded_anew_in_mid_sentence(server: ServerProcess, chromium: Chromium, firefox: Firefox) -> None:
    with ThreadPoolExecutor(1) as beside:  # both take their time to listen
        other = beside.submit(load_anew, firefox, server.url)
        shown = [load_anew(chromium, server.url), other.result()]
    assert [normalise(text) for text in shown] == [normalise(" ".join(texts_of(server)))] * 2


def test_firefox_shows_a_files_transcript_and_plays_by_the_word(server: ServerProcess, firefox: Firefox) -> None:
    firefox.open(server.url)
    firefox.choose_file("#choose", CLIP.path)
    firefox.wait("document.querySelector('.file [data-form=docx]')")
    answer = server.post("/v1/transcribe", CLIP.path.read_bytes()).json()
    words = firefox.evaluate("[...document.querySelectorAll('.file .word')].map((one) => one.textContent)")
    assert " ".join(words) == answer["text"]
    firefox.evaluate("document.querySelectorAll('.file .word')[2].click()")
    firefox.wait("document.querySelector('.word.now')")
    assert firefox.evaluate("document.querySelector('audio').currentTime") >= answer["words"][2]["start"] - 0.05
