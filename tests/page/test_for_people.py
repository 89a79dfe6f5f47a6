"""How people find the page: language, warning, keys, labels, keyboard, phone."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.page.conftest import CLIP, KEY, OpenPage
from tests.server import ServerProcess


def test_it_speaks_the_browsers_language_and_warns_of_the_demo(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(server.url, locale="ru-RU")
    expect(page.get_by_role("heading", name="Говорите")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="демонстрационная модель")).to_be_visible()
    page = open_page(server.url, locale="de-DE")
    expect(page.get_by_role("heading", name="Talk")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="demonstration model")).to_be_visible()


def test_everything_to_press_has_a_name_and_takes_the_keyboard(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(server.url)
    page.locator("#choose").set_input_files(CLIP.path)
    page.locator("[data-form=json]").wait_for()
    nameless = page.evaluate("""[...document.querySelectorAll("button, input, audio, meter, progress, [tabindex]")]
        .filter((one) => one.checkVisibility() && !one.getAttribute("aria-label") && !one.textContent.trim()
          && !one.labels?.length).map((one) => one.outerHTML)""")
    assert nameless == []
    to_reach = {"microphone", "choose", "txt", "srt", "vtt", "md", "json"}
    for _ in range(60):  # more than there are to stop at
        page.keyboard.press("Tab")
        to_reach.discard(page.evaluate("document.activeElement.id || document.activeElement.dataset.form || ''"))
    assert not to_reach


def test_a_phone_shows_it_without_scrolling_sideways(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(server.url)
    page.set_viewport_size({"width": 360, "height": 740})
    expect(page.locator("#microphone")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_opening_it_is_a_handful_of_requests(server: ServerProcess, open_page: OpenPage) -> None:
    asked: list[str] = []
    page = open_page(server.url, prepare=lambda page: page.on("request", lambda request: asked.append(request.url)))
    expect(page.locator("#server")).to_contain_text("готов")
    assert len(asked) <= 6  # of the ten that --rate-limit-burst allows at once, unless it says otherwise


def test_with_keys_it_asks_for_one_and_keeps_it_in_the_tab(keyed_server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(keyed_server.url)
    page.get_by_label("Ключ доступа").fill("wrong-key-22")
    page.get_by_role("button", name="Войти").click()
    expect(page.locator("#keyError")).to_contain_text("Ключ не подошёл")
    page.get_by_label("Ключ доступа").fill(KEY)
    page.get_by_role("button", name="Войти").click()
    expect(page.locator("#server")).to_contain_text("готов")
    page.locator("#choose").set_input_files(CLIP.path)
    page.locator("[data-form=txt]").wait_for()
    page.get_by_role("button", name="Начать запись").click()
    expect(page.locator("#spoken p")).not_to_have_count(0)
    assert KEY not in page.url
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    assert not [line for line in keyed_server.events if KEY in str(line)]
