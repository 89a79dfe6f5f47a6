"""Who speaks, on the page: speakers told apart in files and talk, in colours, by names that a person gives."""

from __future__ import annotations

import json

from playwright.sync_api import Locator, Page, expect

from tests.clips import load_clips
from tests.page.conftest import OpenPage
from tests.page.microphone import microphone
from tests.page.test_kept import LOOK_AT_THE_STORE, kept_open
from tests.server import ServerProcess
from tests.wave_files import encode, resample, wave_file

CLIPS = {clip.path.stem: clip.pcm for clip in load_clips()}
TURNS = [
    CLIPS["festival_09"],
    encode(resample(CLIPS["festival_18"], 12_000), "pcm_s16le"),  # a third higher and faster: another voice
    CLIPS["festival_18"],
]
TALK = wave_file(bytes(12_800).join(TURNS) + bytes(32_000), 16_000)  # pauses of 0.4 s, which end no utterance
SHORT_TALK = wave_file(bytes(12_800).join(TURNS[:2]) + bytes(32_000), 16_000)
NAMES = ["Александр", "Екатерина"]  # as long as "Speaker 0", so that captions break in the same places
FORMS = [("text", "txt"), ("srt", "srt"), ("vtt", "vtt"), ("md", "md")]


def name_them(people: Locator) -> None:
    expect(people.locator("input")).to_have_count(len(NAMES))
    for field, name in zip(people.locator("input").all(), NAMES, strict=True):
        field.fill(name)
        field.blur()


def taken_along(page: Page, ending: str) -> str:
    with page.expect_download() as saved:
        page.locator(f"[data-form={ending}]").click()
    return saved.value.path().read_text(encoding="utf-8")


def named(text: str) -> str:
    for number, name in enumerate(NAMES):
        text = text.replace(f"Speaker {number}", name)
    return text


def test_speakers_of_a_file_have_colours_and_names_that_are_kept_and_taken_along(
    server: ServerProcess, open_page: OpenPage
) -> None:
    page = open_page(server.url)
    page.get_by_label("различать собеседников").nth(1).check()
    page.locator("#choose").set_input_files({"name": "talk.wav", "mimeType": "audio/wav", "buffer": TALK})
    page.locator("[data-form=txt]").wait_for()
    assert [box.get_attribute("class") for box in page.locator(".file .transcript p").all()] == [
        "speaker0",
        "speaker1",
        "speaker0",
    ]
    expect(page.locator(".file .who").nth(1)).to_have_text("Собеседник 2")
    name_them(page.locator(".file .people"))
    expect(page.locator(".file .who")).to_have_text([NAMES[0], NAMES[1], NAMES[0]])
    for form, ending in FORMS:
        answer = server.post(f"/v1/transcribe?diarization=true&format={form}", TALK).text
        assert taken_along(page, ending) == named(answer)
    answer = server.post("/v1/transcribe?diarization=true", TALK).json()
    told = json.loads(taken_along(page, "json"))
    assert [word["speaker"] for word in told["words"]] == [word["speaker"] for word in answer["words"]]
    assert [{**one, "speaker_name": name} for one, name in zip(answer["speakers"], NAMES, strict=True)] == [
        {**one, "speaker_name": one["speaker_name"]} for one in told["speakers"]
    ]
    assert {word["speaker_name"] for word in told["words"]} == set(NAMES)
    page.evaluate(LOOK_AT_THE_STORE)
    page.reload()
    kept_open(page)
    expect(page.locator("#list .who")).to_have_text([NAMES[0], NAMES[1], NAMES[0]])


def test_speakers_of_a_talk_keep_their_numbers_and_names_over_stops_and_reloads(
    server: ServerProcess, open_page: OpenPage
) -> None:
    page = open_page(server.url, prepare=lambda page: page.add_init_script(f"({microphone(SHORT_TALK)})()"))
    page.get_by_label("различать собеседников").first.check()
    for round_number in (1, 2):  # the second time the voices are known
        page.get_by_role("button", name="Начать запись").click()
        expect(page.locator("#spoken p")).to_have_count(2 * round_number)
        if round_number == 1:
            name_them(page.locator("#people"))
        page.get_by_role("button", name="Остановить").click()
        expect(page.get_by_role("button", name="Начать запись")).to_be_enabled()
        assert page.locator("#spoken .who").all_text_contents() == NAMES * round_number
    page.evaluate(LOOK_AT_THE_STORE)
    page.reload()
    expect(page.locator("#spoken .who")).to_have_text(NAMES * 2)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Скачать текст").click()
    lines = saved.value.path().read_text(encoding="utf-8").splitlines()
    assert [line[11:].partition(":")[0] for line in lines] == NAMES * 2
