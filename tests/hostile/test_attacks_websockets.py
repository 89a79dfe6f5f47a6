"""The shipped server under attacks over WebSocket: nobody is kept who does not read, and nobody is kept out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks.hostile.peer import BINARY, PING, TEXT, Notes, Peer, Target, frame, websocket
from benchmarks.hostile.websocket_attacks import speech, watch_non_reader
from tests.clips import load_clips
from tests.hostile.attackers import attacking
from tests.live_client import transcribe_live
from tests.server import ServerProcess
from tests.waiting import wait_until

CLIP = load_clips()[1]
GONE_SECONDS = 10.0
MARGIN_SECONDS = 5.0  # a busy machine's
CONFIGURE = frame(TEXT, b'{"type":"configure","sample_rate":16000}')

pytestmark = pytest.mark.e2e


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--pool-size", "1") as running:
        yield running


async def send_audio(peer: Peer) -> None:
    audio = speech()
    await peer.send(CONFIGURE)
    while True:
        for at in range(0, len(audio), 3_200):
            await peer.send(frame(BINARY, audio[at : at + 3_200]))


async def send_pings(peer: Peer) -> None:
    while True:
        await peer.send(frame(PING, b"x" * 100) * 10)
        await asyncio.sleep(0.01)


async def test_a_client_that_does_not_read_is_gone_in_time(server: ServerProcess) -> None:
    """Both kinds at once: each takes the ten seconds that a client has, from when nothing more fits its buffer."""
    kinds = ("audio", "pings")
    target = Target(server.port, GONE_SECONDS + 2 * MARGIN_SECONDS)
    kept = await asyncio.gather(*(seconds_kept(target, kind) for kind in kinds))
    assert not {kind: at for kind, at in zip(kinds, kept, strict=True) if at > GONE_SECONDS + MARGIN_SECONDS}


async def seconds_kept(target: Target, kind: str) -> float:
    """Connect, send and never read; return for how long the server stands that, up to a bound."""
    async with websocket(target, receive_buffer=2_048) as peer:
        notes = Notes()
        sending = asyncio.create_task(send_audio(peer) if kind == "audio" else send_pings(peer))
        await watch_non_reader(target, notes, peer, sending)
    assert notes.kept_seconds is not None
    return notes.kept_seconds


def test_fuzzed_frames_leave_no_traceback(server: ServerProcess) -> None:
    with attacking("fuzzed_frames", server.port, 3) as attacker:
        seen = attacker.seen()
    assert seen["frames"] > 0
    assert "unanswered" not in seen
    assert server.get("/health").status_code == 200
    assert not [event for event in server.events if "exception" in event]


async def test_silent_sessions_of_one_address_leave_a_place_to_another() -> None:
    limits = ("--max-sessions", "8", "--pool-checkout-timeout-secs", "2")
    with ServerProcess("--pool-size", "1", *limits) as server, attacking("silent_sessions", server.port, 8):
        await wait_until(lambda: server.get("/ready").json()["pool_available"] <= 4)
        client = await transcribe_live(server.websocket_url, CLIP.pcm)
    assert client.text == CLIP.reference
