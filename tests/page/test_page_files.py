"""Files on the page: dropped, transcribed, played by the word, taken along; and what goes wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.clips import load_clips
from tests.page.conftest import CLIP, OpenPage
from tests.server import ServerProcess

LONGER = load_clips()[2]
HOSTILE = '<img src=x onerror="window.harmed = 1">\u202e<script>window.harmed = 1</script>'
_DROP = """([name, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(bytes)], name));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


def choose(page: Page, *paths: Path) -> None:
    page.locator("#choose").set_input_files(list(paths))


def test_dropped_and_chosen_files_show_their_transcripts(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(server.url)
    page.evaluate(_DROP, ["dropped.wav", list(CLIP.path.read_bytes())])
    choose(page, CLIP.path, LONGER.path)
    expect(page.locator(".file .row[role=group]")).to_have_count(3)
    for shown, clip in zip(page.locator(".file").all(), [CLIP, CLIP, LONGER], strict=True):
        answer = server.post("/v1/transcribe", clip.path.read_bytes()).json()
        words = shown.locator(".word").all_text_contents()
        assert " ".join(words) == answer["text"]


def test_what_is_taken_along_is_what_the_server_writes(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(server.url)
    choose(page, LONGER.path)
    for form, ending in [("text", "txt"), ("srt", "srt"), ("vtt", "vtt"), ("md", "md"), ("json", "json")]:
        with page.expect_download() as saved:
            page.locator(f"[data-form={ending}]").click()
        written = saved.value.path().read_text(encoding="utf-8")
        answer = server.post(f"/v1/transcribe?format={form}", LONGER.path.read_bytes())
        assert saved.value.suggested_filename == f"{LONGER.path.stem}.{ending}"
        if form == "json":
            assert json.loads(written) == answer.json()
        else:
            assert written == answer.text


def test_a_click_on_a_word_plays_it_and_marks_it(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(server.url)
    choose(page, LONGER.path)
    page.locator("[data-form=txt]").wait_for()
    word = page.locator(".word").nth(5)
    word.click()
    expect(page.locator(".word.now")).not_to_have_count(0)
    page.evaluate("document.querySelector('audio').pause()")
    start = float(word.get_attribute("data-start") or "nan")
    page.evaluate(f"document.querySelector('audio').currentTime = {start}")
    expect(page.locator(".word.now")).to_have_text(word.text_content() or "")
    assert page.evaluate("document.querySelector('audio').currentTime") == pytest.approx(start, abs=0.05)


def test_what_is_no_audio_is_refused_in_words_and_the_next_file_goes_on(
    server: ServerProcess, open_page: OpenPage, tmp_path: Path
) -> None:
    broken = tmp_path / "notes.wav"
    broken.write_text("no audio at all, " * 100)
    page = open_page(server.url)
    choose(page, broken, CLIP.path)
    expect(page.locator(".file .error").first).to_contain_text("Это не звук")
    expect(page.locator("[data-form=txt]")).to_have_count(1)


def test_a_file_can_be_cancelled(server: ServerProcess, open_page: OpenPage) -> None:
    held: list[Route] = []

    def hold(page: Page) -> None:
        page.route("**/v1/transcribe/stream", lambda route: held.append(route))

    page = open_page(server.url, prepare=hold)
    choose(page, CLIP.path, CLIP.path)
    page.locator(".file").nth(1).get_by_role("button", name="Отменить").click()
    expect(page.locator(".file")).to_have_count(1)
    page.get_by_role("button", name="Отменить").click()
    expect(page.locator(".file")).to_contain_text("Отменено")


def test_on_a_slow_line_it_says_how_much_has_been_sent(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(server.url)
    line = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", line)
    choose(page, CLIP.path)
    expect(page.locator(".file [role=status]")).to_have_text(re.compile(r"Отправлено [1-9]\d? %"))
    page.locator("[data-form=txt]").wait_for()


def test_hostile_text_is_shown_as_text(server: ServerProcess, open_page: OpenPage) -> None:
    word = {"word": HOSTILE, "start": 0.0, "end": 1.0, "confidence": 1.0}
    final = {"type": "final", "text": HOSTILE, "start": 0.0, "end": 1.0, "confidence": 1.0, "last": True}
    events = f"data: {json.dumps({**final, 'words': [word]})}\n\n"
    page = open_page(
        server.url,
        prepare=lambda page: page.route("**/v1/transcribe/stream", lambda route: route.fulfill(body=events)),
    )
    choose(page, CLIP.path)
    expect(page.locator(".word")).to_have_text(HOSTILE)
    assert page.locator("#queue img, #queue script").count() == 0
    assert page.evaluate("window.harmed") is None
