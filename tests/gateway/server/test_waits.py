"""What the tasks of a connection wait for loses no message, and lets everybody go on."""

from __future__ import annotations

import asyncio

from gigastt.gateway.server.waits import MessageQueue, WriteRoom
from tests.waiting import wait_until


async def test_messages_come_in_their_order_and_are_waited_for() -> None:
    queue: MessageQueue[int] = MessageQueue()
    taking = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    for number in (1, 2, 3):
        queue.put_nowait(number)
    assert await taking == 1
    assert len(queue.messages) == 2
    assert [await queue.get(), await queue.get()] == [2, 3]
    assert not queue.messages


async def test_who_gives_up_takes_no_message_along() -> None:
    queue: MessageQueue[int] = MessageQueue()
    taking = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait(1)
    taking.cancel()
    await asyncio.wait({taking})
    assert taking.cancelled()
    assert await queue.get() == 1


async def test_all_go_on_when_there_is_room_and_none_while_there_is_not() -> None:
    room = WriteRoom()
    await room.wait()
    room.clear()
    waiting = [asyncio.create_task(room.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    room.set()
    room.clear()  # before anybody could look
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    room.set()
    await wait_until(lambda: all(task.done() for task in waiting))
    assert room.is_set()
