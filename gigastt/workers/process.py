"""The worker process: loads a model, says that it is ready, and works until the pipe ends.

The main thread loads, encodes and sends; the reader thread moves what the gateway sends into the inbox; one more waits
for signals (`outside`). The end of the pipe is the only way out: it means that the gateway closed it or is gone.
Started with spawn semantics (`python -m gigastt.workers`), so no other process holds this end of the pipe.
"""

from __future__ import annotations

import argparse
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from gigastt.errors import ConfigError, GigasttError, ProtocolViolation
from gigastt.ipc.blackbox import BlackBox
from gigastt.ipc.messages import AttachAudio, Closed, OpenStream, PassRecord, Stats, ToGateway, ToWorker
from gigastt.ipc.packets import PacketDecoder, decode_to_worker, encode_message, encode_packet
from gigastt.log import bind_fields, configure, get_logger
from gigastt.processes import return_free_memory
from gigastt.workers.config import WorkerConfig
from gigastt.workers.engine import Engine
from gigastt.workers.start import start_engine

log = get_logger(__name__)

MESSAGES_PER_STEP = 256
BEAT_SECONDS = 0.4  # half a second is promised; waking up takes its time on a busy machine
MEMORY_SECONDS = 10.0  # between two readings: the kernel walks all pages of the process for one
_ROLLUP = Path("/proc/self/smaps_rollup")
_STATM = Path("/proc/self/statm")
_GRACE_SECONDS = 0.5  # from the end of the pipe to the end of the process, even amid a long pass
_READ_BYTES = 256 * 1024
_CRASHED = 1


class GatewayGone(Exception):
    """The gateway does not read any more."""


def main(arguments: Sequence[str]) -> int:
    """Run a worker; the body of `python -m gigastt.workers`. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gigastt.workers")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket to the gateway")
    parser.add_argument("--box", type=int, required=True, help="the inherited descriptor of the black box")
    parser.add_argument("--place", type=int, default=0, help="its place in the pool, from 0 on: its card")
    parser.add_argument("--config", required=True, help="WorkerConfig, as JSON")
    options = parser.parse_args(arguments)
    try:
        config = WorkerConfig.from_json(options.config)
    except ConfigError as exc:
        parser.error(str(exc))
    configure(config.log_level, config.log_format)
    bind_fields(worker_pid=os.getpid())
    box = BlackBox(options.box)
    with socket.socket(fileno=options.fd) as sock:
        return run_worker(sock, box, config, options.place)


def run_worker(sock: socket.socket, box: BlackBox, config: WorkerConfig, place: int) -> int:
    """Serve the gateway at the other end of `sock` until it is gone; return the exit code."""
    inbox, stopped = Inbox(), threading.Event()
    finished = partial(_leave_soon, stopped)
    threading.Thread(target=read_socket, args=(sock, inbox, finished), name="reader", daemon=True).start()
    try:
        engine, ready = start_engine(config, place, box.write)
        _send(sock, [ready])
        work(engine, inbox, partial(_send, sock), Heartbeat(time.monotonic(), settle_memory), time.monotonic)
    except GatewayGone:
        pass
    except GigasttError as exc:
        log.error("worker_failed", reason=str(exc))
        return exc.exit_code
    except Exception:  # the border of the process: log, and let the gateway start another
        log.exception("worker_crashed")
        return _CRASHED
    finally:
        stopped.set()
    return 0


class Inbox:
    """Messages in order of arrival, until the pipe ends; all that the reader thread and the main thread share.

    Attributes:
        ended: whether the end of the pipe was reached (main thread).
        violation: what the gateway did against the protocol, if that ended it.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        self.ended = False
        self.violation: ProtocolViolation | None = None

    def put(self, message: ToWorker) -> None:
        """Add a message (reader thread)."""
        self._queue.put(message)

    def end(self, violation: ProtocolViolation | None = None) -> None:
        """Say that nothing more comes, and why if it is not the end of the pipe (reader thread)."""
        self.violation = violation
        self._queue.put(None)

    def receive(self, timeout: float | None, most: int) -> list[ToWorker]:
        """Return the waiting messages; wait for the first one up to `timeout` seconds (main thread).

        Args:
            timeout: None waits without end, 0 not at all.
            most: messages to return at once, so that the worker's own work is not put off by a flood.
        """
        messages: list[ToWorker] = []
        try:
            while not self.ended and len(messages) < most:
                wait = timeout if not messages else 0.0
                message = self._queue.get(timeout=wait) if wait != 0.0 else self._queue.get_nowait()
                if message is None:
                    self.ended = True
                else:
                    messages.append(message)
        except queue.Empty:
            pass
        return messages


def read_socket(sock: socket.socket, inbox: Inbox, finished: Callable[[], None]) -> None:
    """Move everything the gateway sends into the inbox; the body of the reader thread.

    Args:
        finished: called when the pipe has ended: the gateway is gone, or broke the protocol.
    """
    decoder = PacketDecoder()
    violation: ProtocolViolation | None = None
    try:
        while piece := sock.recv(_READ_BYTES):
            for body in decoder.feed(piece):
                inbox.put(decode_to_worker(body))
    except ProtocolViolation as exc:
        violation = exc
    except OSError:  # a reset is as much an end as any
        pass
    inbox.end(violation)
    finished()


class Heartbeat:
    """The signs of life of a worker: a `Stats` when one is due, of the work since the one before.

    Args:
        now: seconds, of any steady clock.
        read_memory: returns the bytes that this process holds.
    """

    def __init__(self, now: float, read_memory: Callable[[], int]) -> None:
        self._read_memory = read_memory
        self._memory = read_memory()
        self._memory_at = now
        self._beat_at = now
        self._listening = 0.0
        self._passes: list[PassRecord] = []

    def record(self, listening: float, made: PassRecord | None) -> None:
        """Note a step: how long it took what had come, and the pass that it ran, if any."""
        self._listening += listening
        if made is not None:
            self._passes.append(made)

    def seconds_left(self, now: float) -> float:
        """Return the seconds until a beat is due; 0 when it is."""
        return max(0.0, self._beat_at + BEAT_SECONDS - now)

    def beat(self, now: float, streams: int) -> Stats:
        """Return what was done since the last beat, and begin anew."""
        if now - self._memory_at >= MEMORY_SECONDS:
            self._memory, self._memory_at = self._read_memory(), now
        stats = Stats(streams, self._listening, self._memory, self._passes)
        self._beat_at, self._listening, self._passes = now, 0.0, []
        return stats


def work(
    engine: Engine,
    inbox: Inbox,
    send: Callable[[Sequence[ToGateway]], None],
    heartbeat: Heartbeat,
    clock: Callable[[], float],
) -> None:
    """Work until the inbox ends."""
    while True:
        # 1. Wait for the gateway, no longer than until there is work or a heartbeat is due.
        now = clock()
        pause = heartbeat.seconds_left(now)
        until_work = engine.wait_seconds(now)
        messages = inbox.receive(pause if until_work is None else min(pause, until_work), MESSAGES_PER_STEP)
        if inbox.ended:
            if inbox.violation is not None:
                raise inbox.violation
            return
        # 2. Take what came, and tell its progress before a pass begins; a replay brings minutes of audio at once.
        begun = clock()
        for message in messages:
            _log_opened(message)
            engine.handle(message)
            if heartbeat.seconds_left(now := clock()) == 0.0:
                send([*engine.collect(), heartbeat.beat(now, engine.streams)])
        send(engine.collect())
        # 3. A heartbeat also goes out before the pass, which may be a long one.
        if heartbeat.seconds_left(begun) == 0.0:
            send([heartbeat.beat(begun, engine.streams)])
        # 4. At most one encoder pass.
        step_begun, cpu_begun = clock(), time.process_time()
        results = engine.step(step_begun)
        ended = clock()
        made = engine.account(ended - step_begun, time.process_time() - cpu_begun)
        heartbeat.record(step_begun - begun, made)
        if made is not None:
            log.debug("pass", kind=made.kind, windows=made.batch, audio_seconds=made.audio_seconds,
                      seconds=round(made.seconds, 4), streams=engine.streams)  # fmt: skip
        # 5. What came of it.
        send(results)


def settle_memory() -> int:
    """Give back what the passes since the last time have freed; return what this process holds, in bytes."""
    return_free_memory()
    return read_memory()


def read_memory() -> int:
    """Return this process's share of memory (PSS), in bytes; its resident set where the kernel does not tell."""
    try:
        for line in _ROLLUP.read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _send(sock: socket.socket, messages: Sequence[ToGateway]) -> None:
    if not messages:
        return
    try:
        sock.sendall(b"".join(encode_packet(encode_message(message)) for message in messages))
    except OSError as exc:
        raise GatewayGone from exc
    for message in messages:
        if isinstance(message, Closed):
            log.debug("stream_closed", stream=message.stream)


def _log_opened(message: ToWorker) -> None:
    if isinstance(message, OpenStream | AttachAudio):
        log.debug("stream_opened", stream=message.stream, request_id=message.request_id)


def _leave_soon(stopped: threading.Event) -> None:
    """Give the main thread a moment to end by itself, then end the process (reader thread).

    Nothing is lost: whatever a worker holds can be computed again by another.
    """
    if not stopped.wait(_GRACE_SECONDS):
        os._exit(0)
