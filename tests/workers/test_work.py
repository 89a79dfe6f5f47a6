"""The worker's loop, over an engine on a bench."""

from __future__ import annotations

import itertools

import numpy as np

from gigastt.ipc.messages import Audio, OpenStream, Progress, Stats, StreamId, ToGateway
from gigastt.transcript import Options
from gigastt.workers.process import MESSAGES_PER_STEP, Heartbeat, Inbox, work
from tests.fakes.engine_bench import Bench


def test_heartbeats_go_out_amid_a_replay_of_many_packets() -> None:
    ticks = itertools.count(0.0, 0.1)  # a slow machine
    inbox, stream = Inbox(), StreamId(1)
    inbox.put(OpenStream(stream, 0, b"", Options(), "request"))
    for _ in range(MESSAGES_PER_STEP - 1):
        inbox.put(Audio(stream, np.zeros(1_600, "<i2").tobytes()))
    inbox.end()
    sent: list[ToGateway] = []

    work(Bench().engine, inbox, sent.extend, Heartbeat(0.0, lambda: 1), lambda: next(ticks))

    kinds = [type(message) for message in sent]
    assert kinds.count(Stats) >= MESSAGES_PER_STEP // 10
    assert Progress in kinds[: kinds.index(Stats) + 10]
