"""What a decoder's process cannot do, and that it decodes all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from gigastt import sandbox
from gigastt.audio.decode import decode
from gigastt.errors import InvalidAudio
from gigastt.gateway.files.decoder import FileDecoder
from tests.fakes.audio_files import encode_audio, make_tone
from tests.shared import do_without

pytestmark = pytest.mark.slow

_ODD = Path(__file__).parents[2] / "fakes" / "odd_decoder.py"
_TONE = make_tone(2.0)
_DAMAGED = "The file is damaged: its audio cannot be decoded."
_EMPTY = "The file holds no audio samples."
_ENCODINGS = [
    ("wav", "pcm_s16le"),
    ("wav", "pcm_u8"),
    ("wav", "pcm_f32le"),
    ("wav", "pcm_mulaw"),
    ("aiff", "pcm_s16be"),
    ("flac", "flac"),
    ("mp3", "libmp3lame"),
    ("ogg", "vorbis"),
    ("ogg", "libopus"),
    ("webm", "libopus"),
    ("matroska", "flac"),
    ("mp4", "aac"),
    ("adts", "aac"),
    ("mov", "alac"),
]


@contextmanager
def body(raw: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("body")
    os.write(descriptor, raw)
    yield descriptor
    os.close(descriptor)


def odd_decoder(behaviour: str, directory: Path) -> FileDecoder:
    return FileDecoder(directory, command=(sys.executable, str(_ODD), behaviour))


@pytest.fixture(scope="module", autouse=True)
def filter_of_calls() -> None:
    if (reason := sandbox.missing()) is not None:
        do_without(f"needs a filter of system calls, but {reason}")


@pytest.fixture
async def decoder(tmp_path: Path) -> AsyncIterator[FileDecoder]:
    async with FileDecoder(tmp_path) as decoder:
        yield decoder


async def test_a_decoder_that_tries_reaches_nothing(tmp_path: Path) -> None:
    async with odd_decoder("escape", tmp_path) as decoder:
        with body(bytes(1000)) as descriptor, pytest.raises(InvalidAudio) as caught:
            await decoder.decode(descriptor, 60.0)
    assert str(caught.value) == "worked: ."


def test_the_same_attempts_work_outside() -> None:
    """Else the test above would show nothing."""
    script = (
        "from tests.fakes import odd_decoder\n"
        "attempts = odd_decoder._attempts()\n"
        "names = ('open', 'stat', 'listdir', 'socket-inet', 'socketpair', 'pipe', 'memfd', 'dup', 'fork', 'spawn',\n"
        "         'thread', 'signal', 'pidfd_open', 'process_vm_readv', 'unshare')\n"
        "print(*[name for name in names if not odd_decoder._works(attempts[name])])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


async def test_a_process_holds_its_file_its_segment_and_its_line(tmp_path: Path) -> None:
    async with odd_decoder("look", tmp_path) as decoder:
        with body(bytes(1000)) as one, body(bytes(1000)) as other:
            for descriptor in (one, other):
                with pytest.raises(InvalidAudio, match=r"found: 6$"):  # three are standard streams
                    await decoder.decode(descriptor, 60.0)


@pytest.mark.parametrize("encoding", _ENCODINGS, ids=" ".join)
async def test_every_format_is_decoded_inside_as_it_is_outside(
    decoder: FileDecoder, encoding: tuple[str, str], tmp_path: Path
) -> None:
    raw = encode_audio(_TONE, *encoding, channels=2)
    path = tmp_path / "file"
    path.write_bytes(raw)
    with body(raw) as descriptor:
        file = await decoder.decode(descriptor, 60.0)
    assert np.array_equal(file.segment.map(file.samples), np.concatenate(list(decode(path, 60.0))))
    file.unlink()


async def test_damaged_files_are_answered_and_not_crashed_on(decoder: FileDecoder) -> None:
    whole = encode_audio(_TONE, "ogg", "libopus")
    generator = np.random.default_rng(7)
    answers = list[str]()
    for _ in range(20):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 20):
            damaged[place] = generator.integers(256)
        with body(bytes(damaged)) as descriptor:
            try:
                (await decoder.decode(descriptor, 60.0)).unlink()
                answers.append("decoded")
            except InvalidAudio as exc:
                answers.append(str(exc))
    assert len(answers) == 20
    assert set(answers) <= {"decoded", "This is not an audio file of a known format.", _DAMAGED, _EMPTY}
