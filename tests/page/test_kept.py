"""What the browser keeps: a reload loses no word, transcripts stay until they are deleted, corrections with them."""

from __future__ import annotations

import re
import zipfile
from xml.etree import ElementTree

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.clips import load_clips
from tests.page.conftest import CLIP, OpenPage
from tests.page.test_talk import spoken
from tests.server import ServerProcess
from tests.waiting import wait_for

LONGER = load_clips()[2]
CLIP_SECONDS = len(CLIP.pcm) / 2 / 16000
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_RECORDED_FRAMES = """() => new Promise((resolve) => {
  indexedDB.open("gigastt").onsuccess = ({ target }) => {
    const keys = target.result.transaction("pieces").objectStore("pieces").getAllKeys();
    keys.onsuccess = () => resolve(keys.result.at(-1)?.[1] ?? 0);
  };
})"""

# Returns when what the page wrote before is kept: transactions over one store go one after the other.
LOOK_AT_THE_STORE = """() => new Promise((resolve, reject) => {
  const opening = indexedDB.open("gigastt", 1);
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const looking = opening.result.transaction("segments").objectStore("segments").count();
    looking.onsuccess = () => resolve(looking.result);
  };
})"""


def kept_open(page: Page) -> None:
    page.locator("#list summary").first.click()
    page.locator("#list [data-form=txt]").wait_for()


def test_a_reload_while_the_server_is_away_loses_no_word(server: ServerProcess, open_page: OpenPage) -> None:
    away = True

    def carry(socket: WebSocketRoute) -> None:
        if away:
            socket.close(code=1012)
        else:
            socket.connect_to_server()

    page = open_page(server.url, prepare=lambda page: page.route_web_socket(re.compile("/v1/ws"), carry))
    segments = server.post("/v1/transcribe", CLIP.path.read_bytes()).json()["segments"]
    page.get_by_role("button", name="Начать запись").click()
    wait_for(lambda: page.evaluate(_RECORDED_FRAMES) > (CLIP_SECONDS + 0.5) * 16000)
    page.evaluate("sessionStorage.clear()")  # the microphone stays off: the clip would be played again
    away = False
    page.reload()
    expect(page.locator("#spoken p")).to_have_count(len(segments))
    assert spoken(page) == [segment["text"] for segment in segments]
    page.reload()
    assert page.locator("#spoken p").count() == 0 or spoken(page) == [segment["text"] for segment in segments]
    expect(page.locator("#spoken p")).to_have_count(len(segments))


def test_a_talk_and_a_file_are_kept_until_they_are_deleted(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(server.url)
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#choose").set_input_files(CLIP.path)
    page.locator(".file [data-form=txt]").wait_for()
    text = " ".join(page.locator(".file .word").all_text_contents())
    page.reload()
    kept_open(page)
    assert " ".join(page.locator("#list .word").all_text_contents()) == text
    expect(page.locator("#list audio")).to_be_visible()
    page.get_by_role("button", name="Удалить", exact=True).click()
    expect(page.locator("#saved")).to_be_hidden()
    page.reload()
    expect(page.locator("#server")).to_contain_text("готов")
    expect(page.locator("#list details")).to_have_count(0)


def test_a_word_is_found_corrected_kept_and_taken_along(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(server.url)
    page.locator("#choose").set_input_files(LONGER.path)
    page.locator("[data-form=docx]").wait_for()
    words = page.locator(".word").all_text_contents()
    page.get_by_role("searchbox").fill(f"{words[2]} {words[3]}".upper())
    expect(page.locator(".word.found")).to_have_text(words[2:4])
    page.get_by_role("button", name="Исправлять").click()
    page.locator(".word").nth(1).click()
    page.keyboard.type("правка <b>")
    page.keyboard.press("Enter")
    page.locator("#queue .transcript").press("ArrowRight")
    page.locator("#queue .transcript").press("F2")
    page.keyboard.type("вторая")
    page.keyboard.press("Enter")
    page.evaluate(LOOK_AT_THE_STORE)
    page.reload()
    kept_open(page)
    corrected = [words[0], "правка <b>", "вторая", *words[3:]]
    assert page.locator("#list .word").all_text_contents() == corrected
    with page.expect_download() as saved:
        page.locator("#list [data-form=txt]").click()
    assert saved.value.path().read_text(encoding="utf-8").split() == " ".join(corrected).split()
    with page.expect_download() as saved:
        page.locator("#list [data-form=docx]").click()
    assert saved.value.suggested_filename == f"{LONGER.path.stem}.docx"
    with zipfile.ZipFile(saved.value.path()) as document:
        assert document.testzip() is None
        body = ElementTree.fromstring(document.read("word/document.xml"))
    written = [text.text or "" for text in body.iter(f"{_WORD}t")]
    assert written[0] == LONGER.path.name
    assert " ".join(written[2::2]).split() == " ".join(corrected).split()
