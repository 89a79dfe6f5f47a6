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
from typing import Any

import numpy as np
import pytest

from gigastt.errors import AudioTooLong, CapacityTimeout, InvalidAudio
from gigastt.gateway.files.decoder import FileDecoder
from tests.fakes.audio_files import encode_audio, make_tone, remux
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

_ODD = Path(__file__).parents[2] / "fakes" / "odd_decoder.py"
_TONE = make_tone(1.0)
_FLAC = encode_audio(_TONE, "flac", "flac")


@contextmanager
def body(raw: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("body")
    os.write(descriptor, raw)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
async def decoder(tmp_path: Path) -> AsyncIterator[FileDecoder]:
    async with FileDecoder(tmp_path) as decoder:
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
        if b"gigastt.gateway.files.decoder_main" in (path / "cmdline").read_bytes():
            return int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        pass
    return None


def template_pid() -> int:
    (pid,) = children()
    return pid


def count_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def is_running(pid: int) -> bool:
    return parent_of(Path(f"/proc/{pid}")) is not None


def decoder_that(behaviour: str, directory: Path, **options: Any) -> FileDecoder:
    """A decoder whose processes do something else: see `tests.fakes.odd_decoder`."""
    command = (
        sys.executable,
        str(_ODD),
        behaviour,
        "gigastt.gateway.files.decoder_main",
    )  # the last to be found by
    return FileDecoder(directory, command=command, **options)


async def running_child(but_not: int = 0) -> int:
    """Wait for a process that decodes; return its id."""
    await wait_until(lambda: children() and children(template_pid()) - {but_not})
    return (children(template_pid()) - {but_not}).pop()


async def test_an_upload_becomes_samples_in_shared_memory(decoder: FileDecoder, tmp_path: Path) -> None:
    with body(_FLAC) as descriptor:
        file = await decoder.decode(descriptor, 60.0)

    assert file.samples == len(_TONE)
    assert file.seconds == 1.0
    assert np.array_equal(file.segment.map(file.samples), _TONE)
    assert held_in(tmp_path) == {file.name: 2 * file.samples}
    file.unlink()
    assert not held_in(tmp_path)


async def test_gaps_in_an_upload_are_told_of(decoder: FileDecoder) -> None:
    whole = encode_audio(make_tone(4.0, 48_000), "webm", "libopus", rate=48_000)
    with body(remux(whole, "webm", lambda _, body, ms: None if 1_000 < ms < 2_000 else (body, ms))) as descriptor:
        file = await decoder.decode(descriptor, 60.0)
    file.unlink()

    [hole] = file.holes
    assert hole.code == "audio_missing"
    assert (hole.start, hole.end) == pytest.approx((1.0, 2.0), abs=0.05)


async def test_more_uploads_than_places_all_get_their_turn(decoder: FileDecoder, tmp_path: Path) -> None:
    async def one(seconds: float) -> int:
        with body(encode_audio(make_tone(seconds), "flac", "flac")) as descriptor:
            file = await decoder.decode(descriptor, 60.0)
        file.unlink()
        return file.samples

    lengths = [0.5, 1.0, 1.5, 2.0, 2.5]
    assert await asyncio.gather(*map(one, lengths)) == [round(seconds * 16_000) for seconds in lengths]
    assert not held_in(tmp_path)


async def test_garbage_is_refused_and_leaves_nothing_behind(decoder: FileDecoder, tmp_path: Path) -> None:
    with body(os.urandom(10_000)) as descriptor, pytest.raises(InvalidAudio, match="not an audio file"):
        await decoder.decode(descriptor, 60.0)

    assert not held_in(tmp_path)


async def test_ten_hours_in_a_few_kilobytes_are_refused(decoder: FileDecoder, tmp_path: Path) -> None:
    bomb = encode_audio(np.zeros(16_000 * 600, dtype=np.int16), "flac", "flac")
    assert len(bomb) < 200_000

    with body(bomb) as descriptor, pytest.raises(AudioTooLong, match="more than 60 seconds"):
        await decoder.decode(descriptor, 60.0)

    assert not held_in(tmp_path)


async def test_a_process_killed_from_outside_is_tried_once_more(tmp_path: Path) -> None:
    async with decoder_that("wait_for_more", tmp_path) as decoder:
        with body(_FLAC) as descriptor:
            decoding = asyncio.create_task(decoder.decode(descriptor, 60.0))
            first = await running_child()
            os.kill(first, signal.SIGKILL)
            await running_child(but_not=first)
            os.write(descriptor, bytes(1_000_000))
            assert (await decoding).seconds == 60
    assert len(held_in(tmp_path)) == 1


async def test_a_process_that_is_killed_again_is_a_reason_to_come_back_later(tmp_path: Path) -> None:
    async with decoder_that("spin", tmp_path) as decoder:
        with body(_FLAC) as descriptor:
            decoding = asyncio.create_task(decoder.decode(descriptor, 60.0))
            first = await running_child()
            os.kill(first, signal.SIGKILL)
            os.kill(await running_child(but_not=first), signal.SIGKILL)
            with pytest.raises(CapacityTimeout) as caught:
                await decoding
    assert caught.value.retry_after_ms == 5_000
    assert not held_in(tmp_path)


async def test_a_process_that_crashes_is_an_answer_about_its_file(tmp_path: Path) -> None:
    async with decoder_that("crash", tmp_path) as decoder:
        with body(_FLAC) as descriptor, pytest.raises(InvalidAudio, match="cannot be decoded"):
            await decoder.decode(descriptor, 60.0)
    assert not held_in(tmp_path)


async def test_a_template_that_dies_takes_its_jobs_along_and_is_replaced(decoder: FileDecoder, tmp_path: Path) -> None:
    with body(_FLAC) as descriptor:
        await decoder.decode(descriptor, 60.0)
        (template,) = children()
        os.kill(template, signal.SIGSTOP)
        decoding = asyncio.create_task(decoder.decode(descriptor, 60.0))
        await wait_until(lambda: len(held_in(tmp_path)) == 2)
        os.kill(template, signal.SIGKILL)
        file = await decoding
    assert file.samples == len(_TONE)
    assert children() != {template}


async def test_a_client_that_hangs_up_ends_its_process(tmp_path: Path) -> None:
    async with decoder_that("spin", tmp_path) as decoder:
        with body(_FLAC) as descriptor:
            decoding = asyncio.create_task(decoder.decode(descriptor, 60.0))
            child = await running_child()
            os.kill(child, signal.SIGSTOP)

            decoding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await decoding

        assert not is_running(child)
        assert not held_in(tmp_path)


async def test_processor_time_follows_the_audio_that_has_come_out(tmp_path: Path) -> None:
    async with decoder_that("labour", tmp_path, base_cpu_seconds=0.6) as decoder:
        with body(_FLAC) as descriptor:
            assert (await decoder.decode(descriptor, 600.0)).seconds == 180  # 0.9 s of processor time, and more
    async with decoder_that("spin", tmp_path, base_cpu_seconds=0.6) as decoder:
        with body(_FLAC) as descriptor, pytest.raises(InvalidAudio, match="longer than it may"):
            await decoder.decode(descriptor, 600.0)


async def test_time_on_a_busy_machine_is_no_fault_of_the_file(tmp_path: Path) -> None:
    async with decoder_that("spin", tmp_path, patience=0.3) as decoder:
        with body(_FLAC) as descriptor, pytest.raises(CapacityTimeout, match="too busy"):
            await decoder.decode(descriptor, 60.0)
    assert not held_in(tmp_path)


async def test_memory_beyond_the_limit_is_an_answer_about_the_file(tmp_path: Path) -> None:
    async with decoder_that("eat", tmp_path) as decoder:
        with body(_FLAC) as descriptor, pytest.raises(InvalidAudio, match="more memory than it may"):
            await decoder.decode(descriptor, 60.0)


async def test_the_caller_is_told_of_the_memory_and_may_end_the_decoding(tmp_path: Path) -> None:
    sizes = list[int]()

    def refuse(size: int) -> None:
        sizes.append(size)
        if size > 1_000_000:
            raise CapacityTimeout("Full.", retry_after_ms=1)

    async with decoder_that("stall", tmp_path) as decoder:
        with body(_FLAC) as descriptor, pytest.raises(CapacityTimeout, match="Full"):
            await decoder.decode(descriptor, 600.0, refuse)
    assert sizes[-1] >= 60 * 32_000
    assert not held_in(tmp_path)


async def test_three_bytes_are_refused_before_a_process_is_spent(tmp_path: Path) -> None:
    async with FileDecoder(tmp_path, command=("/nowhere",)) as decoder:
        with body(b"abc") as descriptor, pytest.raises(InvalidAudio, match="too short"):
            await decoder.decode(descriptor, 60.0)


@pytest.mark.parametrize(
    "report", ["[]", '{"samples": 10000000}', '{"samples": -1}', '{"code": "internal"}', '{"code": []}', "null", "{"]
)
async def test_a_report_is_not_believed_beyond_what_can_be_checked(tmp_path: Path, report: str) -> None:
    liar = (
        "import os, socket, sys\n"
        "line, *_ = socket.recv_fds(socket.socket(fileno=int(sys.argv[2])), 4096, 3)[1]\n"
        f"os.write(line, {report.encode()!r} + b'\\n0\\n')\n"
    )
    async with FileDecoder(tmp_path, command=(sys.executable, "-c", liar)) as decoder:
        with body(_FLAC) as descriptor, pytest.raises(InvalidAudio, match=r"cannot be decoded"):
            await decoder.decode(descriptor, 60.0)

    assert not held_in(tmp_path)


async def test_a_process_that_fills_its_line_ends_with_it(tmp_path: Path) -> None:
    async with decoder_that("flood", tmp_path, base_cpu_seconds=0.5) as decoder:
        with body(_FLAC) as descriptor, pytest.raises(InvalidAudio):
            await decoder.decode(descriptor, 60.0)
        assert not children(template_pid())


async def test_a_server_that_cannot_start_the_template_says_to_come_back(tmp_path: Path) -> None:
    async with FileDecoder(tmp_path, command=("/nowhere",)) as decoder:
        with body(_FLAC) as descriptor, pytest.raises(CapacityTimeout):
            await decoder.decode(descriptor, 60.0)


async def test_the_template_is_ended_with_the_decoder(tmp_path: Path) -> None:
    async with FileDecoder(tmp_path):
        await wait_until(children)
    assert not children()


async def test_many_files_leave_neither_process_nor_descriptor(decoder: FileDecoder) -> None:
    async def one() -> None:
        with body(_FLAC) as descriptor:
            (await decoder.decode(descriptor, 60.0)).unlink()

    await one()
    before = count_descriptors(template_pid())
    await asyncio.gather(*[one() for _ in range(20)])
    await wait_until(lambda: count_descriptors(template_pid()) == before)
    assert not children(template_pid())


async def test_leftovers_of_dead_servers_are_removed_at_start(tmp_path: Path) -> None:
    leftover = tmp_path / "gigastt-1-0123456789abcdef"
    leftover.touch()

    async with FileDecoder(tmp_path):
        assert not leftover.exists()


async def test_the_process_ends_with_its_gateway(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "from gigastt.gateway.files.decoder import FileDecoder\n"
        "async def main():\n"
        "    async with FileDecoder(pathlib.Path(sys.argv[1])):\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(tmp_path))
    await wait_until(lambda: children(gateway.pid))
    (child,) = children(gateway.pid)

    gateway.kill()
    await gateway.wait()

    await wait_until(lambda: not is_running(child))


async def test_the_process_loads_neither_the_recogniser_nor_an_event_loop(decoder: FileDecoder) -> None:
    await wait_until(children)
    (child,) = children()
    maps = Path(f"/proc/{child}/maps")

    await wait_until(lambda: "soxr" in maps.read_text())  # the last thing it loads

    loaded = await asyncio.to_thread(maps.read_text)
    assert "libavcodec" in loaded
    assert "onnxruntime" not in loaded
    assert "_asyncio" not in loaded


async def test_the_template_has_one_thread_and_nothing_of_an_upload(decoder: FileDecoder) -> None:
    with body(_FLAC) as descriptor:
        file = await decoder.decode(descriptor, 60.0)
        threads = [path.name for path in Path(f"/proc/{template_pid()}/task").iterdir()]  # noqa: ASYNC240
        links = [str(path.readlink()) for path in Path(f"/proc/{template_pid()}/fd").iterdir()]  # noqa: ASYNC240
    assert threads == [str(template_pid())]
    assert not [link for link in links if "memfd" in link or file.name in link]


def test_a_template_whose_gateway_is_gone_before_its_first_job_ends_quietly() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "gigastt.gateway.files.decoder_main", "--fd", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
        )
    with process:
        ours.close()
        _, words = process.communicate(timeout=60)
    assert (process.returncode, words) == (0, b"")
