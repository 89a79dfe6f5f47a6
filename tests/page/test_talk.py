"""Talking to the page: the microphone plays a clip, and its text appears."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import Page, WebSocketRoute, expect

from gigastt.gateway.access.key_file import KeyLimits, add_key
from tests.page.conftest import CLIP, OpenPage
from tests.page.microphone import microphone
from tests.server import ServerProcess

# What was shown, as it came: the stable words, and how many paragraphs there were.
_WATCH = """() => {
  window.seen = [];
  const note = () => window.seen.push([
    document.getElementById("spoken").childElementCount, document.querySelector("#live .stable")?.textContent ?? "",
    document.querySelector("#live .unstable")?.textContent ?? ""]);
  new MutationObserver(note).observe(document.querySelector("main"),
    { subtree: true, childList: true, characterData: true });
}"""


def spoken(page: Page) -> list[str]:
    return page.locator("#spoken p span").all_text_contents()


def talk(page: Page, finals: int) -> None:
    page.get_by_role("button", name="Начать запись").click()
    expect(page.locator("#spoken p")).to_have_count(finals)
    page.get_by_role("button", name="Остановить").click()
    expect(page.get_by_role("button", name="Начать запись")).to_be_enabled()


def test_what_is_said_becomes_the_files_text(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(server.url)
    page.evaluate(_WATCH)
    segments = server.post("/v1/transcribe", CLIP.path.read_bytes()).json()["segments"]
    talk(page, len(segments))
    assert spoken(page) == [segment["text"] for segment in segments]
    seen: list[tuple[int, str, str]] = page.evaluate("window.seen")
    for number in range(len(segments)):
        stable = [text for count, text, _ in seen if count == number and text]
        assert stable, "stable words came before the final"
        assert all(later.startswith(earlier) for earlier, later in pairwise(stable))
    page.get_by_role("button", name="Скопировать").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    times = r"\[\d\d:\d\d:\d\d\] "
    assert re.fullmatch("".join(f"{times}{re.escape(text)}\n" for text in spoken(page)), copied)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Скачать текст").click()
    assert saved.value.path().read_text(encoding="utf-8") == copied


def test_a_lost_connection_loses_no_word_and_repeats_none(server: ServerProcess, open_page: OpenPage) -> None:
    connections: list[WebSocketRoute] = []

    def carry(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()
        connections.append(socket)
        finals = 0

        def answer(message: str | bytes) -> None:
            nonlocal finals
            finals += '"final"' in str(message)
            if len(connections) == 1 and finals == 1 and '"partial"' in str(message):
                upstream.close()
                socket.close(code=1012)  # in the middle of the second sentence
                return
            socket.send(message)

        upstream.on_message(answer)

    page = open_page(server.url, prepare=lambda page: page.route_web_socket(re.compile("/v1/ws"), carry))
    segments = server.post("/v1/transcribe", CLIP.path.read_bytes()).json()["segments"]
    assert len(segments) == 2
    talk(page, 2)
    assert spoken(page) == [segment["text"] for segment in segments]
    assert len(connections) == 2


def test_a_telephone_call_is_told_and_the_talk_goes_on(server: ServerProcess, open_page: OpenPage) -> None:
    script = microphone(CLIP.path.read_bytes())
    page = open_page(server.url, prepare=lambda page: page.add_init_script(f"({script})()"))
    page.get_by_role("button", name="Начать запись").click()
    expect(page.get_by_role("button", name="Остановить")).to_be_visible()
    page.evaluate("heard.dispatchEvent(new Event('mute'))")
    page.evaluate("hearing.suspend()")
    expect(page.locator("#talkError")).to_contain_text("Микрофон молчит")
    page.evaluate("heard.dispatchEvent(new Event('unmute'))")
    expect(page.locator("#talkError")).to_be_empty()
    expect(page.locator("#spoken p")).not_to_have_count(0)
    page.get_by_role("button", name="Остановить").click()
    expect(page.get_by_role("button", name="Начать запись")).to_be_enabled()


def test_over_plain_http_from_elsewhere_it_says_why_and_what_to_do(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"http://page.test:{server.port}/")
    expect(page.get_by_role("button", name="Начать запись")).to_be_disabled()
    expect(page.locator("#insecure")).to_contain_text(f"http://localhost:{server.port}/")
    expect(page.locator("#insecure")).to_contain_text("HTTPS-прокси")
    page.locator("#choose").set_input_files(CLIP.path)  # files work all the same
    page.locator("[data-form=txt]").wait_for()


def test_a_key_that_is_used_up_ends_the_talk_and_says_so(tmp_path: Path, open_page: OpenPage) -> None:
    key = add_key(tmp_path / "keys", "alice", KeyLimits(audio_hours_per_day=0.0003))
    with ServerProcess("--pool-size", "1", "--api-keys-file", str(tmp_path / "keys")) as server:
        page = open_page(server.url)
        page.locator("#key").fill(key)
        page.locator("#key").press("Enter")
        for _ in ("amid a talk", "before the next one is opened"):
            page.get_by_role("button", name="Начать запись").click()
            expect(page.locator("#talkError")).to_contain_text("Ключ исчерпал")
            expect(page.locator("#talkError")).to_contain_text("уйдёт со следующей записью")
            expect(page.get_by_role("button", name="Начать запись")).to_be_enabled()
