"""The page in Firefox, whose microphone is given a clip: talk, reload, files."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.page.conftest import CLIP
from tests.page.firefox import Firefox, running_firefox
from tests.server import ServerProcess

_MICROPHONE = """() => {
  const bytes = Uint8Array.from(atob("CLIP"), (one) => one.charCodeAt(0));
  navigator.mediaDevices.getUserMedia = async () => {
    const context = new AudioContext();
    const source = context.createBufferSource();
    source.buffer = await context.decodeAudioData(bytes.buffer.slice(0));
    const destination = context.createMediaStreamDestination();
    source.connect(destination);
    source.start();
    return destination.stream;
  };
}"""
_SPOKEN = "[...document.querySelectorAll('#spoken p span')].map((one) => one.textContent)"
_SHOWN = "Boolean(document.querySelector('#live .stable')?.textContent)"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with running_firefox(tmp_path_factory.mktemp("firefox")) as firefox:
        firefox.before_scripts(_MICROPHONE.replace("CLIP", base64.b64encode(CLIP.path.read_bytes()).decode()))
        yield firefox


def test_what_is_said_becomes_the_files_text_also_over_a_reload(server: ServerProcess, firefox: Firefox) -> None:
    segments = server.post("/v1/transcribe", CLIP.path.read_bytes()).json()["segments"]
    texts = [segment["text"] for segment in segments]
    firefox.open(server.url)
    firefox.evaluate("document.getElementById('microphone').click()")
    firefox.wait(_SHOWN)  # partials come before the final
    firefox.wait(f"{_SPOKEN}.length === {len(texts)}")
    assert firefox.evaluate(_SPOKEN) == texts
    firefox.evaluate("document.getElementById('microphone').click()")
    firefox.wait("document.getElementById('microphone').textContent === 'Начать запись'")
    firefox.reload()
    firefox.wait(f"{_SPOKEN}.length === {len(texts)}")
    assert firefox.evaluate(_SPOKEN) == texts


def test_a_file_shows_its_transcript_and_plays_by_the_word(server: ServerProcess, firefox: Firefox) -> None:
    firefox.open(server.url)
    firefox.choose_file("#choose", CLIP.path)
    firefox.wait("document.querySelector('.file [data-form=docx]')")
    answer = server.post("/v1/transcribe", CLIP.path.read_bytes()).json()
    words = firefox.evaluate("[...document.querySelectorAll('.file .word')].map((one) => one.textContent)")
    assert " ".join(words) == answer["text"]
    firefox.evaluate("document.querySelectorAll('.file .word')[2].click()")
    firefox.wait("document.querySelector('.word.now')")
    assert firefox.evaluate("document.querySelector('audio').currentTime") >= answer["words"][2]["start"] - 0.05
