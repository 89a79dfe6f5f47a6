"""Files over many workers that die: everything is told once and in order, and what kills workers is given up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.audio.shared import SharedSegment
from gigastt.gateway.pool.dispatch import AHEAD, IN_HAND
from gigastt.gateway.pool.events import Event, ProgressEvent
from gigastt.gateway.pool.session import Session
from gigastt.gateway.pool.sources import START_STEP, FileSource
from gigastt.ipc.blackbox import Touch
from gigastt.ipc.messages import AttachAudio, Cancel, FinalMessage, Proceed, Recognise
from gigastt.transcript import Final, Gap, Options
from tests.fakes.memory_pool import MemoryPool, MemoryWorker
from tests.fakes.scripted import BLOCK, BLOCK_SECONDS, POISON, SOUR, speech, transcript
from tests.properties import tries

scripts = st.lists(st.integers(0, 9), max_size=80)
TALK = [1, 2, 0, 3, 0, 4, 5, 0, 6, 0, 7]  # five utterances


@contextmanager
def reading(
    pool: MemoryPool, script: Sequence[int], settled: list[FinalMessage | Gap] | None = None, **source: Any
) -> Iterator[Session]:
    """Yield a session over a file."""
    with SharedSegment.create() as segment:
        segment.append(speech(script))
        news = [] if settled is None else settled
        session = Session(
            pool,
            Options(),
            files=[FileSource(segment.name, len(script) * BLOCK, **source)],
            on_settled=lambda channel, one: news.append(one),
        )
        try:
            yield session
        finally:
            session.cancel()
            segment.unlink()


async def events_of(session: Session) -> list[Event]:
    return [event async for event in session.events()]


def texts(events: Sequence[Event]) -> list[list[str]]:
    return [event.text.split() for event in events if isinstance(event, Final) and event.text]


def requests(worker: MemoryWorker) -> int:
    """Count the utterances that a worker was asked for and has not done."""
    return sum(isinstance(message, Recognise) for message in worker.inbox)


@tries(80)
@given(script=scripts, workers=st.integers(1, 4), data=st.data())
async def test_all_is_told_once_and_in_order_however_workers_die(
    script: list[int], workers: int, data: st.DataObject
) -> None:
    pool = MemoryPool(workers=workers, poison=None)
    with reading(pool, script) as session:
        for _ in range(data.draw(st.integers(0, 30))):
            worker = data.draw(st.sampled_from(pool.workers))
            if data.draw(st.booleans()):
                pool.step(worker, answers=data.draw(st.none() | st.integers(0, 3)))
            else:
                pool.kill(worker)
        pool.run()
        events = await events_of(session)
    finals = [event for event in events if isinstance(event, Final)]
    assert texts(events) == transcript(script)
    assert [final.seq for final in finals] == list(range(len(finals)))
    assert finals[-1].reason == "stop"
    assert not any(isinstance(event, Gap) for event in events)
    progress = [event.seconds for event in events if isinstance(event, ProgressEvent)]
    assert progress == sorted(progress)
    assert pool.router.tracks == 0


async def test_utterances_of_one_file_are_spread_over_all_workers() -> None:
    pool = MemoryPool(workers=3)
    with reading(pool, TALK) as session:
        pool.step(pool.workers[0])
        assert [requests(worker) for worker in pool.workers] == [2, 2, 1]
        pool.run()
        assert texts(await events_of(session)) == transcript(TALK)
    assert pool.metrics.accepted_samples == len(TALK) * BLOCK


async def test_no_worker_has_more_than_two_in_hand_and_the_finder_learns_how_far_it_may_go() -> None:
    pool = MemoryPool(workers=2)
    script = [1, 0] * 30
    with reading(pool, script):
        finder, _ = pool.workers
        [opening] = [message for message in finder.sent if isinstance(message, AttachAudio)]
        assert opening.ahead == 2 * AHEAD
        pool.step(finder)
        assert [requests(worker) for worker in pool.workers] == [IN_HAND, IN_HAND]
        pool.run()
        assert sum(isinstance(message, Proceed) for message in finder.sent) == 0  # it has found everything


async def test_a_worker_whose_passes_hold_many_windows_has_two_passes_in_hand() -> None:
    pool = MemoryPool(workers=1, width=16)
    with reading(pool, [1, 0] * 80):
        [card] = pool.workers
        [opening] = [message for message in card.sent if isinstance(message, AttachAudio)]
        assert opening.ahead == 16 * AHEAD
        pool.step(card)
        assert requests(card) == 16 * IN_HAND
        pool.run()
    assert pool.router.tracks == 0


async def test_what_a_worker_crashed_over_is_asked_for_again_as_one_that_shares_no_pass() -> None:
    pool = MemoryPool(workers=1, width=16, poison=None)
    with reading(pool, TALK):
        pool.step(pool.workers[0])
        first, *_ = [message for message in pool.workers[0].inbox if isinstance(message, Recognise)]
        assert not first.alone
        touched = Touch(first.stream, 0, BLOCK)
        pool.kill(pool.workers[0], [touched])
        again = {message.excerpt: message.alone for message in pool.workers[0].sent if isinstance(message, Recognise)}
        assert [excerpt for excerpt, alone in again.items() if alone] == [first.excerpt]
        pool.run()


async def test_a_worker_that_somebody_speaks_to_gets_no_utterance_while_another_can_take_it() -> None:
    pool = MemoryPool(workers=2)
    live = Session(pool, Options())
    await live.send(0, speech([1] * 30).tobytes())
    pool.run()
    spoken_to = next(worker for worker in pool.workers if worker.recognizer.streams)
    with reading(pool, TALK):
        pool.step(next(worker for worker in pool.workers if worker is not spoken_to))
        assert requests(spoken_to) == 0
        await live.send(0, speech([0]).tobytes())
        pool.step(spoken_to)
        pool.router.balance()
        assert requests(spoken_to) == IN_HAND
    live.cancel()


async def test_an_upload_goes_before_a_job_that_came_first() -> None:
    pool = MemoryPool(workers=2)
    with reading(pool, TALK, is_background=True) as job, reading(pool, TALK) as upload:
        segments = [session.tracks[0].source.segment for session in (job, upload)]  # type: ignore[union-attr]
        finders = [
            next(worker for worker in pool.workers for message in worker.sent if _opens(message, segment))
            for segment in segments
        ]

        def asked() -> list[int]:
            sent = [message for worker in pool.workers for message in worker.sent if isinstance(message, Recognise)]
            return [sum(message.segment == segment for message in sent) for segment in segments]

        pool.step(finders[1])
        pool.step(finders[0])
        assert asked() == [0, 4]  # all that both workers may have in hand
        pool.step(finders[0])
        assert asked() == [0, 5]
        pool.step(finders[0])
        assert asked() == [1, 5]
        pool.run()
        assert texts(await events_of(job)) == texts(await events_of(upload))


async def test_a_reading_goes_on_from_a_commit_of_an_earlier_one() -> None:
    pool = MemoryPool(workers=1)
    settled: list[FinalMessage | Gap] = []
    with reading(pool, TALK, settled) as whole:
        pool.run()
        said = texts(await events_of(whole))
    commit = settled[1]
    assert isinstance(commit, FinalMessage)
    with reading(pool, TALK, start=commit.committed, resume=commit.resume) as rest:
        pool.run()
        assert texts(await events_of(rest)) == said[2:]


def _opens(message: object, segment: str) -> bool:
    return isinstance(message, AttachAudio) and message.segment == segment


async def test_a_file_that_is_given_up_takes_its_utterances_back() -> None:
    pool = MemoryPool(workers=2)
    with reading(pool, TALK):
        pool.step(pool.workers[0])
    assert [sum(isinstance(message, Cancel) for message in worker.sent) for worker in pool.workers] == [2, 2]


async def test_two_crashes_over_an_utterance_give_it_up_and_nothing_else() -> None:
    script = [1, 0, 2, SOUR, 0, 3]
    pool = MemoryPool(workers=2)
    with reading(pool, script) as session:
        pool.run()
        events = await events_of(session)
    assert texts(events) == [["w1"], ["w3"]]
    [gap] = [event for event in events if isinstance(event, Gap)]
    assert gap == Gap("segment_failed", 2 * BLOCK_SECONDS, 4 * BLOCK_SECONDS)
    assert pool.deaths == 2


async def test_the_last_utterance_given_up_still_ends_the_file() -> None:
    pool = MemoryPool(workers=1)
    with reading(pool, [1, 0, SOUR]) as session:
        pool.run()
        events = await events_of(session)
    finals = [event for event in events if isinstance(event, Final)]
    assert texts(events) == [["w1"]]
    assert finals[-1].reason == "stop"


async def test_poison_where_utterances_are_found_is_skipped_and_the_rest_comes_out() -> None:
    pool = MemoryPool(workers=2)
    with reading(pool, [1, 0, POISON] + [0] * 200 + [2]) as session:
        pool.run()
        events = await events_of(session)
    assert texts(events)[-1] == ["w2"]
    [failed] = [event for event in events if isinstance(event, Gap) and event.code == "segment_failed"]
    assert failed.end * SAMPLE_RATE % START_STEP == 0  # a file goes on at a step, and all before it is declared
