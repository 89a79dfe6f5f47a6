"""The worker process: loads a model, says that it is ready, and works until the pipe ends.

The main thread loads, encodes and sends; the reader thread moves what the gateway sends into the inbox; one more waits
for signals (`outside`). The end of the pipe is the only way out: it means that the gateway closed it or is gone.
Started with spawn semantics (`python -m gigastt.workers`), so no other process holds this end of the pipe.
"""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from gigastt.audio.pcm import Samples
from gigastt.audio.shared import SharedSegment
from gigastt.errors import ConfigError, GigasttError, ModelInvalid
from gigastt.ipc.blackbox import BlackBox
from gigastt.ipc.messages import AttachAudio, Closed, OpenStream, Ready, ToGateway, ToWorker, encode_message
from gigastt.ipc.packets import encode_packet
from gigastt.log import bind_fields, configure, get_logger
from gigastt.processes import return_free_memory
from gigastt.speech.activity import ActivityDetector, ActivityModel
from gigastt.speech.device import choose_device
from gigastt.speech.model import recogniser_files
from gigastt.speech.recognizer import Recognizer
from gigastt.speech.stream import Stream
from gigastt.speech.voices import VoiceModel
from gigastt.transcript import Hotword, Options
from gigastt.workers.canary import run_canary, time_passes
from gigastt.workers.config import WorkerConfig
from gigastt.workers.engine import Engine
from gigastt.workers.heartbeat import Heartbeat, read_memory
from gigastt.workers.inbox import Inbox, read_socket
from gigastt.workers.voices import LoadVoices

log = get_logger(__name__)

_GRACE_SECONDS = 0.5  # from the end of the pipe to the end of the process, even amid a long pass
MESSAGES_PER_STEP = 256
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
        engine = _start(sock, box, config, place)
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


def _start(sock: socket.socket, box: BlackBox, config: WorkerConfig, place: int) -> Engine:
    """Load the model, run the canary, and say that the worker is ready."""
    begun = time.monotonic()
    decoder, joint = (Path(path) if path else None for path in (config.decoder, config.joint))
    files = recogniser_files(Path(config.encoder), decoder, joint, Path(config.vocabulary))
    device = choose_device(config.provider, place, stands_in=config.stands_in)
    hotwords = tuple(Hotword(phrase, weight) for phrase, weight in config.hotwords)
    recognizer = Recognizer.load(files, session_config=config.session_config, hotwords=hotwords, device=device)
    detector = partial(ActivityDetector, ActivityModel.load())

    def open_stream(options: Options, start: int, resume: bytes) -> Stream:
        # without partials nobody waits for the next block: a file, as a rule
        recorded = partial(detector, is_recorded=not options.partials)
        return Stream(options, recorded, start, resume, config.min_confidence)

    run_canary(Engine(recognizer, open_stream, attach))
    # A card's time is the worker's: while it computes, the processor may seem to have nothing to do.
    timed = time_passes(recognizer, time.perf_counter, time.perf_counter if device.is_card else time.process_time)
    return_free_memory()
    seconds = time.monotonic() - begun
    pieces = len(recognizer.vocabulary.pieces)
    alphabet, width = recognizer.alphabet, recognizer.sharing.width
    ready = Ready(os.getpid(), seconds, recognizer.encoder_name, pieces, config.provider, timed, alphabet, width)
    _send(sock, [ready])
    log.debug("worker_loaded", model=config.model, load_seconds=round(seconds, 3))
    return Engine(recognizer, open_stream, attach, box.write, config.min_confidence, voices_of(config))


def voices_of(config: WorkerConfig) -> LoadVoices:
    """Return what loads the speaker model at its first call; words are told without speakers if it cannot."""

    @cache
    def load() -> VoiceModel | None:
        if config.speaker_model is None or config.segmentation_model is None:
            return None
        try:
            return VoiceModel(Path(config.speaker_model), Path(config.segmentation_model))
        except ModelInvalid as exc:
            log.error("speaker_model_invalid", reason=str(exc))
            return None

    return load


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


def attach(name: str, samples: int) -> Samples:
    """Map the first samples of a shared segment.

    Raises:
        OSError: it is gone.
        ValueError: it holds fewer.
    """
    with SharedSegment.attach(name) as segment:
        return segment.map(samples)


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
