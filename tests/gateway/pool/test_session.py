"""Sessions over workers that die: nothing is lost, nothing comes twice, and the order holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.pool.events import Event
from gigastt.gateway.pool.session import Session
from gigastt.gateway.pool.sources import CREDIT_SAMPLES
from gigastt.ipc import messages
from gigastt.ipc.messages import Audio
from gigastt.transcript import Final, Gap, Options, Partial
from tests.fakes.memory_pool import MemoryPool
from tests.fakes.scripted import BLOCK, BLOCK_SECONDS, POISON, speech, transcript
from tests.properties import tries

scripts = st.lists(st.integers(0, 9), max_size=80)


class Player:
    """Plays scripts into a session, a piece at a time, and collects what comes of it."""

    def __init__(self, pool: MemoryPool, channels: int = 1) -> None:
        self.pool = pool
        self.session = Session(pool, Options(), channels=channels)
        self.events: list[Event] = []

    def push(self, samples: np.ndarray, channel: int = 0) -> None:
        """Push what there is room for; a test that pushes more has to `run` the pool in between."""
        coroutine = self.session.send(channel, samples.tobytes())
        with pytest.raises(StopIteration):
            coroutine.send(None)

    async def finals(self) -> list[Final]:
        """Let the workers finish, and return the finals."""
        self.pool.run()
        async with asyncio.timeout(60):
            self.events = [event async for event in self.session.events()]
        return [event for event in self.events if isinstance(event, Final)]


def texts(finals: Sequence[Final]) -> list[list[str]]:
    return [final.text.split() for final in finals if final.text]


@tries(60)
@given(script=scripts, data=st.data())
def test_no_final_is_lost_or_doubled_however_workers_die(script: list[int], data: st.DataObject) -> None:
    async def play() -> None:
        pool = MemoryPool(workers=2, poison=None)
        player = Player(pool)
        samples = speech(script)
        while len(samples):
            count = data.draw(st.integers(1, 3 * BLOCK), label="piece")
            player.push(samples[:count])
            samples = samples[count:]
            match data.draw(st.integers(0, 5), label="what happens"):
                case 0:
                    pool.kill(data.draw(st.sampled_from(pool.workers)))
                case 1:
                    worker = data.draw(st.sampled_from(pool.workers))
                    pool.step(worker, answers=data.draw(st.integers(0, 4), label="answers before death"))
                case 2 | 3:
                    pool.step(data.draw(st.sampled_from(pool.workers)))
                case _:
                    pass
        pool.run()
        player.session.finish()
        for _ in range(data.draw(st.integers(0, 3), label="deaths after the end")):
            pool.step(data.draw(st.sampled_from(pool.workers)), answers=data.draw(st.integers(0, 2)))
        finals = await player.finals()
        assert texts(finals) == transcript(script)
        assert [final.seq for final in finals] == list(range(len(finals)))
        assert finals[-1].reason == "stop"
        assert not [event for event in player.events if isinstance(event, Gap)]
        _assert_promises_kept(player.events)

    asyncio.run(play())


def _assert_promises_kept(events: Sequence[Event]) -> None:
    """Stable words stay: no later partial of the utterance changes them."""
    promised: list[str] = []
    for event in events:
        if isinstance(event, Partial):
            words = [word.text for word in event.words]
            assert words[: len(promised)] == promised
            assert event.stable >= len(promised)
            promised = words[: event.stable]
        elif isinstance(event, Final):
            promised = []


async def test_partials_after_a_replay_wait_until_they_cover_what_was_promised() -> None:
    pool = MemoryPool(workers=1)
    player = Player(pool)
    player.push(speech([1, 2, 3, 4, 5]))
    pool.run()
    pool.kill(pool.workers[0])
    # The new worker gets the same audio in smaller pieces first, so it would show less than was shown.
    [track] = player.session.tracks
    worker = pool.workers[0]
    audio = worker.inbox.pop()
    stream, pcm = audio.stream, audio.pcm  # type: ignore[union-attr]
    worker.inbox += [type(audio)(stream, pcm[at : at + 2 * BLOCK]) for at in range(0, len(pcm), 2 * BLOCK)]  # type: ignore[call-arg, arg-type]
    pool.run()
    player.session.finish()
    await player.finals()
    _assert_promises_kept(player.events)
    assert track.done


async def test_audio_that_crashes_two_workers_is_skipped_and_declared() -> None:
    pool = MemoryPool(workers=2)
    player = Player(pool)
    player.push(speech([1, 2, 0]))
    pool.run()
    player.push(speech([3, POISON]))
    pool.run()
    player.push(speech([4, 0, 5, 0]))
    player.session.finish()
    finals = await player.finals()
    [failure] = [event for event in player.events if isinstance(event, Gap) and event.code == "segment_failed"]
    assert texts(finals) == [["w1", "w2"], ["w4"], ["w5"]]
    assert (failure.start, failure.end) == pytest.approx((3 * BLOCK_SECONDS, 5 * BLOCK_SECONDS))
    lost = pool.metrics.registry.get_sample_value("gigastt_audio_samples_lost_total")
    assert lost == round((failure.end - failure.start) * 16_000)
    assert pool.deaths == 2
    assert [final.seq for final in finals] == [0, 1, 2, 3]


async def test_an_utterance_left_out_is_counted_by_its_reason() -> None:
    player = Player(pool := MemoryPool(workers=1))
    final = Final("", (), 0.0, 0.04, 0.0, "silence", drop="doubtful")
    player.session.receive(
        player.session.tracks[0], messages.FinalMessage(messages.StreamId(1), final, BLOCK, BLOCK, b"")
    )
    registry = pool.metrics.registry
    assert registry.get_sample_value("gigastt_utterances_dropped_total", {"reason": "doubtful"}) == 1


async def test_poison_at_the_very_end_still_gives_a_last_final() -> None:
    pool = MemoryPool(workers=2)
    player = Player(pool)
    player.push(speech([1, 0]))
    pool.run()
    player.push(speech([POISON, 5])[:-100])
    player.session.finish()
    finals = await player.finals()
    assert texts(finals) == [["w1"]]
    assert finals[-1].reason == "stop"


async def test_sessions_that_share_dying_workers_with_poison_lose_nothing() -> None:
    pool = MemoryPool(workers=2)
    players = [Player(pool) for _ in range(6)]
    for number, player in enumerate(players):
        player.push(speech([number + 1] * 5))
    pool.run()
    players[3].push(speech([POISON]))
    pool.run()
    for player in players:
        player.push(speech([9, 0]))
        player.session.finish()
    for number, player in enumerate(players):
        finals = await player.finals()
        failures = [event for event in player.events if isinstance(event, Gap) and event.code == "segment_failed"]
        if number == 3:
            assert len(failures) == 1
            assert texts(finals) == [["w9"]]
        else:
            assert not failures
            assert texts(finals) == [[f"w{number + 1}"] * 5 + ["w9"]]


async def test_kills_from_outside_are_no_evidence_against_audio() -> None:
    pool = MemoryPool(workers=2)
    player = Player(pool)
    for value in range(1, 101):
        player.push(speech([value]))
        pool.run()
        pool.kill(next(worker for worker in pool.workers if worker.recognizer.streams))
    player.session.finish()
    assert texts(await player.finals()) == [[f"w{value}" for value in range(1, 101)]]


async def test_a_replay_brings_what_was_analysed_once_without_waiting_for_credit() -> None:
    pool = MemoryPool(workers=1)
    player = Player(pool)
    for _ in range(9):  # nine seconds of one utterance
        player.push(speech([7] * 5 + [8] * 20))
        pool.run()
    committed, end = player.session.tracks[0].committed, player.session.tracks[0].source.end
    pool.kill(pool.workers[0])
    replayed = sum(len(message.pcm) // 2 for message in pool.workers[0].sent if isinstance(message, Audio))
    assert replayed == end - committed


async def test_all_workers_killed_at_once_cost_nothing() -> None:
    pool = MemoryPool(workers=4)
    player = Player(pool)
    player.push(speech([1, 2, 3]))
    for worker in list(pool.workers):
        pool.kill(worker)
    player.session.finish()
    assert texts(await player.finals()) == [["w1", "w2", "w3"]]


async def test_send_waits_while_five_seconds_are_on_their_way() -> None:
    pool = MemoryPool(workers=1)
    session = Session(pool, Options())
    sending = asyncio.create_task(session.send(0, bytes(2 * (CREDIT_SAMPLES + 16_000))))
    await asyncio.sleep(0)
    assert not sending.done()
    assert session.lag_seconds == CREDIT_SAMPLES / 16_000
    pool.run()
    await asyncio.wait_for(sending, 60)
    session.cancel()


async def test_audio_sent_while_there_is_no_worker_is_recognised_when_there_is_one() -> None:
    pool = MemoryPool(workers=0)
    player = Player(pool)
    player.push(speech([1, 2]))
    player.session.finish()
    pool.add_worker()
    assert texts(await player.finals()) == [["w1", "w2"]]


async def test_single_samples_make_no_packet_each() -> None:
    pool = MemoryPool(workers=1)
    player = Player(pool)
    for sample in speech([1]):
        player.push(np.array([sample], dtype=np.int16))
    player.session.finish()
    finals = await player.finals()
    assert texts(finals) == [["w1"]]
    assert len(pool.workers[0].sent) <= 5


@pytest.mark.parametrize("reason", ["stop", "shutdown", "timeout"])
@pytest.mark.parametrize("script", [[], [1], [1, 0], [1, 0, 0]], ids=str)
async def test_the_last_final_says_why_the_session_ended(reason: str, script: list[int]) -> None:
    pool = MemoryPool(workers=1)
    player = Player(pool)
    player.push(speech(script))
    player.session.finish(reason)  # type: ignore[arg-type]
    finals = await player.finals()
    assert [final.reason for final in finals if final.reason not in ("silence", "max_duration")] == [reason]
    assert finals[-1].reason == reason


async def test_silence_makes_no_finals_and_is_not_kept() -> None:
    pool = MemoryPool(workers=1)
    player = Player(pool)
    for _ in range(100):
        player.push(speech([0] * 25))
        pool.run()
    assert player.session.tracks[0].uncommitted == 0
    player.session.finish()
    assert [final.text for final in await player.finals()] == [""]


async def test_cancel_ends_the_events_and_frees_the_worker() -> None:
    pool = MemoryPool(workers=1)
    player = Player(pool)
    player.push(speech([1, 2]))
    pool.run()
    player.session.cancel()
    pool.run()
    assert pool.router.tracks == 0
    assert not pool.workers[0].recognizer.streams
    async for event in player.session.events():
        assert isinstance(event, Partial)


async def test_partials_that_nobody_has_read_give_way_to_newer_ones() -> None:
    pool = MemoryPool(workers=1)
    player = Player(pool)
    for value in range(1, 30):
        player.push(speech([value]))
        pool.run()
    player.session.finish()
    await player.finals()
    assert len([event for event in player.events if isinstance(event, Partial)]) == 1


@tries(40)
@given(left=scripts, right=scripts, data=st.data())
def test_two_channels_are_each_whole_and_numbered_together(
    left: list[int], right: list[int], data: st.DataObject
) -> None:
    async def play() -> None:
        pool = MemoryPool(workers=2, poison=None)
        player = Player(pool, channels=2)
        pieces = [speech(left), speech(right)]
        while any(map(len, pieces)):
            channel = data.draw(st.sampled_from([c for c in (0, 1) if len(pieces[c])]))
            player.push(pieces[channel][:BLOCK], channel)
            pieces[channel] = pieces[channel][BLOCK:]
            if data.draw(st.booleans()):
                pool.step(data.draw(st.sampled_from(pool.workers)))
            elif data.draw(st.booleans()):
                pool.kill(data.draw(st.sampled_from(pool.workers)))
        player.session.finish()
        finals = await player.finals()
        for channel, script in enumerate((left, right)):
            assert texts([final for final in finals if final.channel == channel]) == transcript(script)
        assert [final.seq for final in finals] == list(range(len(finals)))
        assert finals[-1].reason == "stop"

    asyncio.run(play())


async def test_a_call_comes_out_in_order_of_time() -> None:
    pool = MemoryPool(workers=2)
    player = Player(pool, channels=2)
    left = [1, 1, 0, 0, 0, 0, 3, 3, 0, 0]
    right = [0, 0, 0, 2, 2, 0, 0, 0, 0, 4]
    player.push(speech(right), 1)
    pool.run()
    player.push(speech(left), 0)
    player.session.finish()
    finals = await player.finals()
    assert [final.text for final in finals] == ["w1 w1", "w2 w2", "w3 w3", "w4"]
    assert [final.channel for final in finals] == [0, 1, 0, 1]
