"""Turns: everything arrives in order, nobody waits for a whole read of another, nothing is read while bytes wait."""

from __future__ import annotations

import asyncio
import gc
import weakref
from time import perf_counter

from hypothesis import given
from hypothesis import strategies as st

from gigastt.gateway.server.turns import TASK_SECONDS, Rota, Turns
from tests.waiting import wait_until


class FakeTransport(asyncio.Transport):
    """Counts pauses; may be paused once and resumed once, in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True


class Eater:
    """A parser that takes a few bytes a step."""

    def __init__(self, rota: Rota, bite: int = 3, seconds: float = 0.0, order: list[Eater] | None = None) -> None:
        self.order = order  # of all bites of several eaters
        self.transport = FakeTransport()
        self.turns = Turns(rota, self.transport, self.step)
        self.eaten = b""
        self.full = False
        self._bite = bite
        self._seconds = seconds

    def step(self, data: bytes, offset: int) -> int:
        if self.full:
            return offset
        until = perf_counter() + self._seconds
        while perf_counter() < until:
            pass
        end = min(len(data), offset + self._bite)
        if self.order is not None:
            self.order.append(self)
        self.eaten += data[offset:end]
        return end


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.booleans()), max_size=20), st.sampled_from([0.0, 1.0]))
def test_every_byte_arrives_once_and_in_order(pieces: list[tuple[bytes, bool]], turn_seconds: float) -> None:
    async def feed() -> None:
        eater = Eater(Rota(turn_seconds=turn_seconds))
        for piece, full in pieces:
            eater.full = full
            eater.turns.receive(piece)
            assert eater.turns.waiting == 0 or not eater.transport.reading
            if not full:
                eater.turns.wake()
            await asyncio.sleep(0)
        eater.full = False
        eater.turns.wake()
        await wait_until(lambda: not eater.turns.waiting)
        assert eater.eaten == b"".join(piece for piece, _ in pieces)
        assert eater.transport.reading

    asyncio.run(feed())


async def test_what_fits_a_turn_is_taken_at_once() -> None:
    eater = Eater(Rota(turn_seconds=10.0, pass_seconds=10.0))
    eater.turns.receive(b"x" * 1000)
    assert eater.eaten == b"x" * 1000


async def test_others_come_between_two_turns() -> None:
    eater = Eater(Rota(turn_seconds=0.0, pass_seconds=0.0005), seconds=0.0004)
    eater.turns.receive(b"x" * 30)
    seen = []
    while eater.turns.waiting:
        seen.append(len(eater.eaten))
        await asyncio.sleep(0)
    assert len(seen) > 1


async def test_connections_take_turns_and_share_one_pass() -> None:
    rota = Rota(turn_seconds=0.0, pass_seconds=0.001)
    eaters = [Eater(rota, bite=1, seconds=0.0004) for _ in range(20)]
    for eater in eaters:
        eater.turns.receive(b"x" * 10)
    assert sum(len(eater.eaten) for eater in eaters) <= 3  # the others have to wait for the next pass
    while any(eater.turns.waiting for eater in eaters):
        assert max(len(eater.eaten) for eater in eaters) - min(len(eater.eaten) for eater in eaters) <= 2
        before = sum(len(eater.eaten) for eater in eaters)
        await asyncio.sleep(0)
        assert sum(len(eater.eaten) for eater in eaters) - before <= 6
    assert len(rota) == 0


async def test_a_step_that_takes_nothing_is_called_again_only_when_woken() -> None:
    eater = Eater(Rota())
    eater.full = True
    eater.turns.receive(b"abc")
    for _ in range(5):
        await asyncio.sleep(0)
    assert (eater.eaten, eater.turns.waiting, eater.transport.reading) == (b"", 3, False)
    eater.full = False
    eater.turns.wake()
    await asyncio.sleep(0)
    assert (eater.eaten, eater.turns.waiting, eater.transport.reading) == (b"abc", 0, True)


async def test_closing_drops_what_waits_and_lets_go() -> None:
    eater = Eater(Rota(turn_seconds=0.0))
    eater.turns.receive(b"abcdef")
    eater.turns.close()
    eater.turns.receive(b"ghi")
    eater.turns.wake()
    await asyncio.sleep(0)
    assert (eater.eaten, eater.turns.waiting) == (b"abc", 0)
    assert eater.transport.reading
    gone = weakref.ref(eater)
    gc.disable()
    try:
        del eater
        assert gone() is None
    finally:
        gc.enable()


async def test_a_closing_transport_is_left_alone() -> None:
    eater = Eater(Rota(turn_seconds=0.0))
    eater.transport.closing = True
    eater.turns.receive(b"abcdef")
    await wait_until(lambda: not eater.turns.waiting)
    assert eater.transport.reading


async def test_one_that_comes_does_not_wait_for_all_that_always_have_something_to_do() -> None:
    rota = Rota()
    order: list[Eater] = []
    busy = [Eater(rota, bite=1, seconds=0.0006, order=order) for _ in range(20)]
    for eater in busy:
        eater.turns.receive(b"x" * 20)
    await wait_until(lambda: all(len(eater.eaten) >= 2 for eater in busy))
    light = Eater(rota, bite=1, order=order)
    light.turns.receive(b"x")
    before = len(order)
    await wait_until(lambda: not any(eater.turns.waiting for eater in (*busy, light)))
    assert order.index(light) - before <= 2  # not twenty


async def test_newcomers_without_end_do_not_keep_a_busy_one_waiting() -> None:
    rota = Rota()
    busy = Eater(rota, bite=1, seconds=0.0006)
    busy.turns.receive(b"x" * 10)
    newcomers = 0
    while busy.turns.waiting and newcomers < 1_000:
        while len(rota) < 10:
            newcomers += 1
            Eater(rota, bite=1, seconds=0.0006).turns.receive(b"x")
        await asyncio.wait({asyncio.ensure_future(asyncio.sleep(0))})
    assert newcomers < 400  # a tenth of the turns are the busy one's, more or less
    await wait_until(lambda: not len(rota))


async def test_a_pass_that_took_long_leaves_less_time_for_turns() -> None:
    clock = 0.0

    def work() -> None:
        nonlocal clock
        clock += 0.002

    class Client(Eater):
        """Each of its bites is work for somebody else, later in the same pass."""

        def step(self, data: bytes, offset: int) -> int:
            asyncio.get_running_loop().call_soon(work)
            return super().step(data, offset)

    rota = Rota(turn_seconds=0.0, clock=lambda: clock)
    client = Client(rota, bite=1, seconds=0.0004)
    client.turns.receive(b"x" * 100)
    bites = []
    while client.turns.waiting:
        before = len(client.eaten)
        await asyncio.sleep(0)
        bites.append(len(client.eaten) - before)
    assert max(bites[8:]) <= 4  # seven without that measure, and 14 ms of work in a pass


async def test_tasks_are_woken_in_their_order_a_few_in_each_pass_and_turns_come_between() -> None:
    rota = Rota(pass_seconds=5 * TASK_SECONDS, clock=lambda: 0.0)
    waiting = [asyncio.get_running_loop().create_future() for _ in range(100)]
    for waited_for in waiting:
        rota.wake(waited_for)
    assert sum(waited_for.done() for waited_for in waiting) <= 5
    eater = Eater(rota)
    eater.turns.receive(b"x" * 3)
    await asyncio.sleep(0)
    assert eater.eaten == b"x" * 3
    waiting[50].cancel()
    passes = 0
    while not waiting[-1].done():
        before = [waited_for.done() for waited_for in waiting]
        await asyncio.sleep(0)
        after = [waited_for.done() for waited_for in waiting]
        assert sum(after) - sum(before) <= 6
        assert sorted(after[:50], reverse=True) == after[:50]
        passes += 1
    assert passes >= 15


async def test_a_new_connection_does_not_wait_behind_a_hundred_that_begin_to_speak() -> None:
    rota = Rota()
    order: list[Eater] = []
    for _ in range(100):
        Eater(rota, seconds=0.0006, order=order).turns.receive(b"x")
    newcomer = Eater(rota, order=order)
    newcomer.turns = Turns(rota, newcomer.transport, newcomer.step, is_new=True)
    before = len(order)
    newcomer.turns.receive(b"x")
    await wait_until(lambda: not len(rota))
    assert order.index(newcomer) - before <= 1
    assert len(order) == 101
