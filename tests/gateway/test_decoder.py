"""An upload is decoded in a process of its own, and whatever it does there stays there."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from gigastt.errors import AudioTooLong, InvalidAudio
from gigastt.gateway.decoder import Decoder
from tests.fakes.audio_files import encode_audio, make_tone, remux
from tests.waiting import wait_until

_TONE = make_tone(1.0)
_WAV = encode_audio(_TONE, "wav", "pcm_s16le")


@contextmanager
def body(raw: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("body")
    os.write(descriptor, raw)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
async def decoder(tmp_path: Path) -> AsyncIterator[Decoder]:
    async with Decoder(concurrency=2, spares=1, directory=tmp_path) as decoder:
        yield decoder


def held_in(directory: Path) -> dict[str, int]:
    """The segments and their bytes."""
    return {path.name: path.stat().st_size for path in directory.iterdir()}


def children(parent: int | None = None) -> set[int]:
    """The living decoder processes of a process; of this one by default."""
    return {int(path.name) for path in Path("/proc").glob("[0-9]*") if parent_of(path) == (parent or os.getpid())}


def parent_of(path: Path) -> int | None:
    """The parent of a decoder process; None of any other process, or one that has ended."""
    try:
        if b"gigastt.gateway.decoder_main" in (path / "cmdline").read_bytes():
            return int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        pass
    return None


def is_running(pid: int) -> bool:
    return parent_of(Path(f"/proc/{pid}")) is not None


async def test_an_upload_becomes_samples_in_shared_memory(decoder: Decoder, tmp_path: Path) -> None:
    with body(_WAV) as descriptor:
        file = await decoder.decode(descriptor, 60.0)

    assert file.samples == len(_TONE)
    assert file.seconds == 1.0
    assert np.array_equal(file.segment.map(file.samples), _TONE)
    assert held_in(tmp_path) == {file.name: 2 * file.samples}
    file.unlink()
    assert not held_in(tmp_path)


async def test_gaps_in_an_upload_are_told_of(decoder: Decoder) -> None:
    whole = encode_audio(make_tone(4.0, 48_000), "webm", "libopus", rate=48_000)
    with body(remux(whole, "webm", lambda _, body, ms: None if 1_000 < ms < 2_000 else (body, ms))) as descriptor:
        file = await decoder.decode(descriptor, 60.0)
    file.unlink()

    [hole] = file.holes
    assert hole.code == "audio_missing"
    assert (hole.start, hole.end) == pytest.approx((1.0, 2.0), abs=0.05)


async def test_more_uploads_than_places_all_get_their_turn(decoder: Decoder, tmp_path: Path) -> None:
    async def one(seconds: float) -> int:
        with body(encode_audio(make_tone(seconds), "flac", "flac")) as descriptor:
            file = await decoder.decode(descriptor, 60.0)
        file.unlink()
        return file.samples

    lengths = [0.5, 1.0, 1.5, 2.0, 2.5]
    assert await asyncio.gather(*map(one, lengths)) == [round(seconds * 16_000) for seconds in lengths]
    assert not held_in(tmp_path)


async def test_garbage_is_refused_and_leaves_nothing_behind(decoder: Decoder, tmp_path: Path) -> None:
    with body(os.urandom(10_000)) as descriptor, pytest.raises(InvalidAudio, match="not an audio file"):
        await decoder.decode(descriptor, 60.0)

    assert not held_in(tmp_path)


async def test_ten_hours_in_a_few_kilobytes_are_refused(decoder: Decoder, tmp_path: Path) -> None:
    bomb = encode_audio(np.zeros(16_000 * 600, dtype=np.int16), "flac", "flac")
    assert len(bomb) < 200_000

    with body(bomb) as descriptor, pytest.raises(AudioTooLong, match="more than 60 seconds"):
        await decoder.decode(descriptor, 60.0)

    assert not held_in(tmp_path)


async def test_a_process_that_dies_is_an_answer_about_one_file(decoder: Decoder, tmp_path: Path) -> None:
    await wait_until(children)
    for pid in children():
        os.kill(pid, signal.SIGSTOP)
    with body(_WAV) as descriptor:
        decoding = asyncio.create_task(decoder.decode(descriptor, 60.0))
        await wait_until(lambda: held_in(tmp_path))
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(InvalidAudio, match="cannot be decoded"):
            await decoding

        assert not held_in(tmp_path)
        file = await decoder.decode(descriptor, 60.0)  # and the next one is not disturbed
    assert file.samples == len(_TONE)


async def test_a_client_that_hangs_up_ends_its_process(decoder: Decoder, tmp_path: Path) -> None:
    await wait_until(children)
    stopped = children()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    with body(_WAV) as descriptor:
        decoding = asyncio.create_task(decoder.decode(descriptor, 60.0))
        await wait_until(lambda: held_in(tmp_path))

        decoding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await decoding

    assert not held_in(tmp_path)
    assert not stopped & children()


async def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    sleeper = (sys.executable, "-c", "import sys; sys.stdin = None\nimport signal; signal.pause()")
    async with Decoder(spares=0, directory=tmp_path, deadline=0.3, command=sleeper) as decoder:
        with body(_WAV) as descriptor, pytest.raises(InvalidAudio, match="longer than it may"):
            await decoder.decode(descriptor, 60.0)

    assert not held_in(tmp_path)


@pytest.mark.parametrize(
    "report", ["", "[]", '{"samples": 10000000}', '{"samples": -1}', '{"code": "internal"}', '{"code": []}', "null"]
)
async def test_a_report_is_not_believed_beyond_what_can_be_checked(tmp_path: Path, report: str) -> None:
    liar = f"import socket, sys; s = socket.socket(fileno=int(sys.argv[2])); s.recv(4096); s.send({report!r}.encode())"
    async with Decoder(spares=0, directory=tmp_path, command=(sys.executable, "-c", liar)) as decoder:
        with body(_WAV) as descriptor, pytest.raises(InvalidAudio, match=r"cannot be decoded"):
            await decoder.decode(descriptor, 60.0)

    assert not held_in(tmp_path)


async def test_spare_processes_are_kept_and_ended_with_the_decoder(tmp_path: Path) -> None:
    async with Decoder(spares=2, directory=tmp_path) as decoder:
        await wait_until(lambda: len(children()) == 2)
        with body(_WAV) as descriptor:
            (await decoder.decode(descriptor, 60.0)).unlink()
        await wait_until(lambda: len(children()) == 2)

    assert not children()


async def test_leftovers_of_dead_servers_are_removed_at_start(tmp_path: Path) -> None:
    leftover = tmp_path / "gigastt-1-0123456789abcdef"
    leftover.touch()

    async with Decoder(spares=0, directory=tmp_path):
        assert not leftover.exists()


async def test_the_process_ends_with_its_gateway(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "from gigastt.gateway.decoder import Decoder\n"
        "async def main():\n"
        "    async with Decoder(spares=1, directory=pathlib.Path(sys.argv[1])):\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(tmp_path))
    await wait_until(lambda: children(gateway.pid))
    (child,) = children(gateway.pid)

    gateway.kill()
    await gateway.wait()

    await wait_until(lambda: not is_running(child))


async def test_the_process_loads_neither_the_recogniser_nor_an_event_loop(decoder: Decoder) -> None:
    await wait_until(children)
    (child,) = children()
    maps = Path(f"/proc/{child}/maps")

    await wait_until(lambda: "soxr" in maps.read_text())  # the last thing it loads

    loaded = await asyncio.to_thread(maps.read_text)
    assert "libavcodec" in loaded
    assert "onnxruntime" not in loaded
    assert "_asyncio" not in loaded


def test_a_process_whose_gateway_is_gone_before_its_first_job_ends_quietly() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "gigastt.gateway.decoder_main", "--fd", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
        )
    with process:
        ours.recv(1, socket.MSG_PEEK)  # it is warm; closing with this unread resets the connection
        ours.close()
        _, words = process.communicate(timeout=60)
    assert (process.returncode, words) == (0, b"")
