"""Bodies: where their bytes lie, what they hold, and what is refused before a decoder is asked."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive

from gigastt.errors import CapacityTimeout, EmptyBody, InvalidAudio, RequestTimeout
from gigastt.gateway.files.bodies import MOST_BYTES_WITHOUT_FILE, MOST_UPLOADS, Bodies, most_files
from gigastt.gateway.requests import Exchange
from gigastt.gateway.server.caps import most_connections
from tests.waiting import wait_until

HOW = "Send the file itself as the body, for example: curl --data-binary @FILE"


def scope(**headers: str) -> dict[str, Any]:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "headers": raw, "state": {"exchange": Exchange("r", client="a")}}


def pieces(*bodies: bytes) -> Receive:
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": body, "more_body": more} for more, body in _flagged(bodies)]
    )

    async def receive() -> Message:
        try:
            return next(messages)
        except StopIteration:
            await asyncio.Event().wait()
            raise

    return receive


def _flagged(bodies: tuple[bytes, ...]) -> Iterator[tuple[bool, bytes]]:
    for number, body in enumerate(bodies, start=1):
        yield number < len(bodies) or body == b"...", body


def memory_files() -> int:
    names = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum("gigastt-upload" in str(name) for name in names)


@pytest.fixture
def bodies() -> Bodies:
    return Bodies(lambda: 1_000_000)


async def test_headers_and_small_bodies_take_no_descriptor(bodies: Bodies) -> None:
    waiting = [asyncio.create_task(bodies.receive(scope(), pieces(b"x" * 100, b"..."))) for _ in range(100)]
    small = await bodies.receive(scope(), pieces(b"x" * MOST_BYTES_WITHOUT_FILE))
    assert memory_files() == 0
    assert bodies.files.used == 0
    small.close()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert bodies.bytes.used == 0


async def test_uploads_that_only_begin_are_as_many_as_a_client_may_have_and_leave_room_for_another(
    bodies: Bodies,
) -> None:
    waiting = [asyncio.create_task(bodies.receive(scope(), pieces(b"..."))) for _ in range(MOST_UPLOADS)]
    await wait_until(lambda: bodies.uploads.used == MOST_UPLOADS)
    with pytest.raises(CapacityTimeout, match="Your uploads hold all the places they may"):
        await bodies.receive(scope(), pieces(b"x"))
    other = scope()
    other["state"]["exchange"].client = "b"
    (await bodies.receive(other, pieces(b"x"))).close()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert bodies.uploads.used == 0


@pytest.mark.parametrize("sizes", [(10,), (MOST_BYTES_WITHOUT_FILE, 1), (5, 100_000, 7), (MOST_BYTES_WITHOUT_FILE,)])
async def test_the_file_holds_the_whole_body_and_cannot_be_changed(bodies: Bodies, sizes: tuple[int, ...]) -> None:
    sent = [b"\xff" * size for size in sizes]  # no beginning of a text, which is refused
    with await bodies.receive(scope(), pieces(*sent)) as upload:
        descriptor = upload.open()
        assert os.pread(descriptor, 1_000_000, 0) == b"".join(sent)
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 0)
        assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SEAL
        assert bodies.files.used == 1
    assert (bodies.files.used, bodies.bytes.used, memory_files()) == (0, 0, 0)


async def test_files_of_one_client_are_bounded() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    try:
        bodies = Bodies(lambda: 100_000_000)
        share = most_files()
        uploads = [await bodies.receive(scope(), pieces(b"x" * 9_000)) for _ in range(share)]
        with pytest.raises(CapacityTimeout, match="files"):
            await bodies.receive(scope(), pieces(b"x" * 9_000))
        assert memory_files() == share
        (await bodies.receive(scope(), pieces(b"x" * 8_000))).close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    for upload in uploads:
        upload.close()
    assert memory_files() == 0


@pytest.mark.parametrize("descriptors", [256, 1024, 20_000, 1_048_576])
def test_connections_and_uploads_leave_descriptors_to_workers(
    descriptors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    uploads = most_files() * 5 // 2  # of all clients
    assert descriptors - most_connections(1 << 30, descriptors) - uploads >= descriptors // 8


async def test_a_body_that_comes_too_slowly_is_refused_with_all_it_held() -> None:
    bodies = Bodies(lambda: 1_000_000, grace=0.05)
    with pytest.raises(RequestTimeout):
        await bodies.receive(scope(), pieces(b"x" * 20_000, b"..."))
    assert (bodies.bytes.used, bodies.files.used, memory_files()) == (0, 0, 0)


async def test_a_large_body_has_more_time_while_it_comes_at_a_pace() -> None:
    grace_is_over = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, grace_is_over.set)
    messages = [b"x" * (5 << 20), b"y" * 10]

    async def receive() -> Message:
        if len(messages) == 1:
            await grace_is_over.wait()
        return {"type": "http.request", "body": messages.pop(0), "more_body": bool(messages)}

    bodies = Bodies(lambda: 100_000_000, grace=0.1)
    (await bodies.receive(scope(), receive)).close()


@pytest.mark.parametrize(
    ("headers", "body", "says"),
    [
        ({}, b"\x1f\x8b\x08\x00", "This is a compressed file, not an audio file."),
        ({}, b"PK\x03\x04", "This is a compressed file, not an audio file."),
        ({}, b' {"audio": "UklGR', "This is text, not an audio file."),
        ({}, b"data:audio/wav;base64,UklGR", "This is text, not an audio file."),
    ],
)
async def test_a_wrapped_file_is_refused_with_what_to_do(
    bodies: Bodies, headers: dict[str, str], body: bytes, says: str
) -> None:
    with pytest.raises(InvalidAudio) as caught:
        await bodies.receive(scope(**headers), pieces(body))
    assert str(caught.value) == f"{says} {HOW}"
    assert bodies.bytes.used == 0


async def test_no_body_is_refused_with_what_to_do(bodies: Bodies) -> None:
    with pytest.raises(EmptyBody) as caught:
        await bodies.receive(scope(content_encoding="identity"), pieces(b""))
    assert str(caught.value) == f"The request has no body. {HOW}"
