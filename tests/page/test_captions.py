"""Captions: others follow a talk by its link, on other machines, and the server's operator sees how it is."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import httpx
from playwright.sync_api import Page, expect

from tests.page.conftest import CLIP, KEY, OpenPage
from tests.page.test_talk import spoken
from tests.server import ServerProcess
from tests.waiting import DEADLINE_SECONDS


def captions(page: Page) -> list[str]:
    return page.locator("#lines p").all_text_contents()


def follow(address: str, token: str) -> list[str]:
    """Return what a reader is told of a session, by the time that is over."""
    texts = []
    with httpx.stream("GET", address, headers={"authorization": f"Bearer {token}"}, timeout=DEADLINE_SECONDS) as answer:
        for line in answer.iter_lines():
            event = json.loads(line[5:]) if line.startswith("data:") else {}
            if event.get("type") == "final" and event["text"]:
                texts.append(event["text"])
    return texts


@contextmanager
def stalled(address: str, token: str) -> Iterator[None]:
    """Have a reader that opens the stream and reads nothing of it."""
    url = urlsplit(address)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((url.hostname, url.port))
        head = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
        connection.sendall(head.encode())
        yield


def sign_in(page: Page) -> None:
    page.get_by_label("Ключ доступа").fill(KEY)
    page.get_by_role("button", name="Войти").click()


def test_ten_follow_a_link_with_a_token_that_does_nothing_else(
    keyed_server: ServerProcess, open_page: OpenPage
) -> None:
    speaker = open_page(keyed_server.url)
    sign_in(speaker)
    expect(speaker.locator("#signOut")).to_be_visible()
    speaker.get_by_role("button", name="Начать запись").click()
    speaker.get_by_role("button", name="Титры для зала").click()
    expect(speaker.locator("#linkCode svg")).to_be_visible()
    expect(speaker.locator("#linkLocal")).to_be_visible()
    link = speaker.locator("#linkAddress").get_attribute("href") or ""
    token = link.partition("#")[2]
    address = f"{keyed_server.url}/v1/sessions/{parse_qs(urlsplit(link).query)['session'][0]}/events"
    reader = open_page(link)
    expect(reader.locator("#state")).to_have_text("В эфире")
    with stalled(address, token), ThreadPoolExecutor(9) as others:
        following = [others.submit(follow, address, token) for _ in range(9)]
        expect(speaker.locator("#spoken p")).to_have_count(2)
        expect(reader.locator("#lines p")).to_have_text(spoken(speaker))
        late = open_page(link)
        expect(late.locator("#lines p")).to_have_text(spoken(speaker))
        bearer = {"authorization": f"Bearer {token}"}
        assert httpx.get(f"{keyed_server.url}/v1/status", headers=bearer).status_code == 401
        speaker.get_by_role("button", name="Остановить").click()
        expect(speaker.get_by_role("button", name="Начать запись")).to_be_enabled()
        assert [told.result(DEADLINE_SECONDS) for told in following] == [spoken(speaker)] * 9
    reader.get_by_role("button", name="QR-код").click()
    expect(reader.locator("#code svg")).to_be_visible()
    assert not [line for line in keyed_server.events if token in str(line)]
    stranger = open_page(link.partition("#")[0])
    expect(stranger.locator("#state")).to_contain_text("больше не действует")


def test_the_status_is_drawn_behind_the_key(keyed_server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"{keyed_server.url}/status")
    expect(page.locator("#status")).to_be_hidden()
    sign_in(page)
    expect(page.locator("#facts")).to_contain_text("demo")
    expect(page.locator("#errors li").first).to_contain_text("unauthorized")
    assert page.locator("#hour svg").count() == 3


def test_while_the_model_comes_the_page_shows_how_far_it_is(server: ServerProcess, open_page: OpenPage) -> None:
    facts = httpx.get(f"{server.url}/v1/page").json()
    coming = {**facts, "state": "model_missing", "reason": "No model yet.", "preparing": "downloading 37 %"}
    answers = [coming, coming]

    def prepare(page: Page) -> None:
        page.route("**/v1/page", lambda route: route.fulfill(json=answers.pop() if answers else facts))

    page = open_page(server.url, prepare=prepare)
    expect(page.locator("#preparingState")).to_have_text("downloading 37 %")
    assert page.locator("#preparingBar").get_attribute("value") is not None
    expect(page.locator("#page")).to_be_visible()
    expect(page.locator("#preparing")).to_be_hidden()
    page.locator("#choose").set_input_files(CLIP.path)
    page.locator("[data-form=txt]").wait_for()
