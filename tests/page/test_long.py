"""Long files and hostile ones: ten minutes played by the word, a hundred thousand words of markup shown as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.clips import load_clips
from tests.page.conftest import CLIP, OpenPage
from tests.server import ServerProcess
from tests.waiting import wait_for
from tests.wave_files import wave_file

MINUTES = 10
HOSTILE = ("<img/src=x/onerror=harmed=1>", "\u202eплан", "</p><script>harmed=1</script>", "&lt;b&gt;", "слово")
_PLAYED = """async (index) => {
  const [word, audio] = [document.querySelectorAll(".word")[index], document.querySelector("audio")];
  audio.pause();
  const landed = new Promise((resolve) => audio.addEventListener("seeked", resolve, { once: true }));
  word.click();
  await landed;
  return audio.currentTime - Number(word.dataset.start);
}"""


def long_recording() -> bytes:
    """Return a WAV file of all clips, again and again, each with a pause of three times its length behind it."""
    pcm = b"".join(clip.pcm + bytes(3 * len(clip.pcm)) for clip in load_clips())
    wanted = MINUTES * 60 * 32_000
    return wave_file((pcm * (wanted // len(pcm) + 1))[:wanted], 16_000)


def test_ten_minutes_are_played_by_the_word_and_taken_along(
    server: ServerProcess, open_page: OpenPage, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    recording = tmp_path / "long.wav"
    recording.write_bytes(long_recording())
    page = open_page(server.url)
    page.locator("#choose").set_input_files(recording)
    expect(page.locator(".file [role=status]").first).to_contain_text("из 10:00")  # its progress
    page.locator("[data-form=txt]").wait_for()
    count = page.locator(".word").count()
    landings = [abs(page.evaluate(_PLAYED, index * (count - 1) // 9)) for index in range(10)]
    record_property("furthest_landing_ms", round(max(landings) * 1000))
    assert max(landings) <= 0.05
    job = server.post("/v1/jobs", recording.read_bytes()).json()["id"]  # recognised once for all forms
    wait_for(lambda: server.get(f"/v1/jobs/{job}").json()["status"] == "done")
    for form, ending in [("text", "txt"), ("srt", "srt"), ("vtt", "vtt"), ("md", "md"), ("json", "json")]:
        with page.expect_download() as saved:
            page.locator(f"[data-form={ending}]").click()
        written = saved.value.path().read_text(encoding="utf-8")
        answer = server.get(f"/v1/jobs/{job}/result?format={form}")
        assert json.loads(written) == answer.json() if form == "json" else written == answer.text


def test_a_hundred_thousand_words_of_markup_are_text(server: ServerProcess, open_page: OpenPage) -> None:
    def final(number: int) -> dict[str, Any]:
        words = [
            {"word": HOSTILE[at % 5], "start": number + at / 50, "end": number + (at + 1) / 50, "confidence": 0.9}
            for at in range(50)
        ]
        text = " ".join(str(word["word"]) for word in words)
        return {"type": "final", "text": text, "start": number, "end": number + 1, "confidence": 0.5, "words": words}

    finals = [final(number) for number in range(2_000)]
    ends = [*finals, {**final(2_000), "text": "", "words": [], "last": True}]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in ends)

    def prepare(page: Page) -> None:
        page.route("**/v1/transcribe/stream", lambda route: route.fulfill(body=body))

    page = open_page(server.url, prepare=prepare)
    page.locator("#choose").set_input_files(CLIP.path)
    page.locator("[data-form=txt]").wait_for()
    assert page.locator(".word").count() == 100_000
    assert page.locator(".file .transcript p").nth(1).text_content() == "0:01" + finals[1]["text"]
    assert page.locator("#queue img, #queue script").count() == 0
    page.get_by_role("searchbox").fill("план")
    expect(page.locator(".tools [role=status]")).to_have_text("1 из 20000")
    with page.expect_download() as saved:
        page.locator("[data-form=txt]").click()
    assert saved.value.path().read_text(encoding="utf-8") == "".join(f"{one['text']}\n" for one in finals)
    assert page.evaluate("window.harmed") is None
