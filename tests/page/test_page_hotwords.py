"""Expected names and terms on the page: one text for talks and files, which stays."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, WebSocket, expect

from tests.page.conftest import CLIP, OpenPage
from tests.server import ServerProcess

PHRASES = "Кутузов, SAP"


def test_a_talk_and_a_file_have_the_phrases(server: ServerProcess, open_page: OpenPage) -> None:
    sent: list[Any] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: sent.append(frame) if isinstance(frame, str) else None)

    page = open_page(server.url, prepare=lambda page: page.on("websocket", listen))
    page.locator("#filesHotwords").fill(PHRASES)
    page.locator("#choose").set_input_files(CLIP.path)
    expect(page.locator(".file")).to_contain_text("Этого модель написать не может: (SAP)")
    words = page.locator(".file .word").all_text_contents()
    assert " ".join(words) == server.post("/v1/transcribe", CLIP.path.read_bytes()).json()["text"]

    page.reload()
    field = page.get_by_role("textbox", name="Ожидаемые имена и термины").first
    expect(field).to_have_value(PHRASES)
    page.get_by_role("button", name="Начать запись").click()
    expect(page.locator("#talkError")).to_contain_text("(SAP)")
    page.get_by_role("button", name="Остановить").click()
    expect(page.get_by_role("button", name="Начать запись")).to_be_enabled()
    [configured] = [message for message in map(json.loads, sent) if message["type"] == "configure"]
    assert configured["hotwords"] == PHRASES


def test_a_model_that_takes_none_has_no_field(server: ServerProcess, open_page: OpenPage) -> None:
    def without(page: Page) -> None:
        page.add_init_script("localStorage.setItem('gigastt.hotwords', 'Кутузов')")
        page.route("**/v1/page", lambda route: route.fulfill(json={**route.fetch().json(), "hotwords": False}))

    page = open_page(server.url, prepare=without)
    expect(page.locator("#drop")).to_be_visible()
    expect(page.locator("#filesHotwords")).to_be_hidden()
    with page.expect_request("**/v1/transcribe/stream") as asked:
        page.locator("#choose").set_input_files(CLIP.path)
    assert "multipart" not in asked.value.headers.get("content-type", "")
