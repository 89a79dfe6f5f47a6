"""A meeting in another tab: its sound is the second channel, beside the microphone."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Playwright, expect

from tests.clips import load_clips, normalise
from tests.page.conftest import CLIP
from tests.page.microphone import microphone
from tests.server import ServerProcess
from tests.shared import require_program
from tests.waiting import DEADLINE_SECONDS

MEETING = "Meeting"
OTHER = load_clips()[7]  # what the meeting says


@pytest.fixture
def context(playwright: Playwright) -> Iterator[BrowserContext]:
    """A browser whose tabs give their own sound: with a fake microphone, they would give the sound of that."""
    flags = [f"--auto-select-tab-capture-source-by-title={MEETING}", "--autoplay-policy=no-user-gesture-required"]
    browser = playwright.chromium.launch(
        executable_path=require_program("chromium"),
        args=["--no-sandbox", *flags],
        ignore_default_args=["--mute-audio"],
    )
    context = browser.new_context(locale="ru-RU")
    context.set_default_timeout(DEADLINE_SECONDS * 1000)
    yield context
    browser.close()


def words(texts: list[str]) -> set[str]:
    return set(normalise(" ".join(texts)).split())


def test_the_tab_is_the_second_speaker_and_may_go_before_the_end(
    server: ServerProcess, context: BrowserContext
) -> None:
    meeting, page = context.new_page(), context.new_page()
    sound = base64.b64encode(OTHER.path.read_bytes()).decode()
    meeting.set_content(f"<title>{MEETING}</title><audio src='data:audio/wav;base64,{sound}'></audio>")
    page.add_init_script(f"({microphone(CLIP.path.read_bytes())})()")
    page.goto(server.url)
    page.get_by_label("и звук вкладки").check()
    expect(page.locator("#apart")).to_be_disabled()  # two channels are two speakers
    page.get_by_role("button", name="Начать запись").click()
    expect(page.get_by_role("button", name="Остановить")).to_be_visible()
    meeting.evaluate("document.querySelector('audio').play()")
    expect(page.locator("#spoken .speaker1")).to_have_count(1)
    meeting.close()
    expect(page.locator("#talkError")).to_contain_text("Вкладка больше не слышна")
    expect(page.locator("#spoken .speaker0")).to_have_count(2)
    page.get_by_role("button", name="Остановить").click()
    expect(page.get_by_role("button", name="Начать запись")).to_be_enabled()
    own = words(page.locator("#spoken .speaker0 span").all_text_contents())
    others = words(page.locator("#spoken .speaker1 span").all_text_contents())
    assert own & words([CLIP.reference])  # on a busy machine a browser may lose some of a tab's sound
    assert others & words([OTHER.reference])
    assert not own & words([OTHER.reference])
    assert not others & words([CLIP.reference])
    expect(page.locator("#spoken .speaker1 .who")).to_have_text("Вкладка")
    page.locator("#people input").nth(1).fill("Мария")
    page.locator("#people input").nth(1).blur()
    expect(page.locator("#spoken .speaker1 .who")).to_have_text("Мария")
