"""A real worker process: the same transcript as in this process, a clean beginning, and one way out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gigastt.audio.pcm import Samples
from gigastt.audio.shared import SharedSegment
from gigastt.ipc.messages import (
    AttachAudio,
    Cancel,
    FinalMessage,
    Finish,
    Found,
    OpenStream,
    PassRecord,
    Progress,
    Ready,
    Recognise,
    Recognised,
    Stats,
    StreamId,
    ToGateway,
)
from gigastt.speech import recording as pump
from gigastt.speech.recognizer import Recognizer
from gigastt.transcript import Options
from tests.clips import load_clips
from tests.fakes.worker import WorkerClient, demo_config, spawn_worker
from tests.recordings import DEMO_MODEL, files_in

_MINUTE_OF_SILENCE = np.zeros(16_000 * 60, dtype=np.int16)


@cache
def conversation() -> Samples:
    """Three clips with pauses that end utterances."""
    pause = np.zeros(16_000, dtype=np.int16)
    clips = [np.frombuffer(clip.pcm, dtype="<i2") for clip in load_clips()[:3]]
    return np.concatenate([part for clip in clips for part in (clip, pause)])


@cache
def finals_in_this_process() -> list[tuple[object, ...]]:
    config = demo_config()
    assert config.model == "demo"
    results = pump.transcribe_recording(Recognizer.load(files_in(DEMO_MODEL)), [conversation()])
    return [(r.text, [w.text for w in r.words], r.start, r.end, r.confidence, r.reason) for r in results]


def finals_of(messages: list[ToGateway]) -> list[tuple[object, ...]]:
    finals = [message.final for message in messages if isinstance(message, FinalMessage)]
    return [(f.text, [w.text for w in f.words], f.start, f.end, f.confidence, f.reason) for f in finals]


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerClient]:
    with spawn_worker(demo_config()) as worker:
        worker.receive_a(Ready)
        yield worker


def test_ready_comes_first_and_says_what_is_loaded() -> None:
    with spawn_worker(demo_config()) as worker:
        ready = worker.receive()

        assert isinstance(ready, Ready)
        assert ready.pid == worker.process.pid
        assert ready.encoder == "v3_e2e_rnnt_encoder"
        assert ready.vocab_size > 100
        assert all(made.cpu_seconds > 0 for made in ready.passes)
        assert ready.provider == "cpu"


@pytest.mark.parametrize("chunk", [320, 1_600, 16_000])
def test_a_live_stream_gives_the_finals_of_this_process(worker: WorkerClient, chunk: int) -> None:
    stream = StreamId(chunk)
    worker.send(OpenStream(stream, 0, b"", Options(), "request"))
    worker.send_audio(stream, conversation(), chunk)
    worker.send(Finish(stream))

    messages = worker.receive_all(stream)
    assert finals_of(messages) == finals_in_this_process()
    assert len(finals_of(messages)) >= 3
    assert any(isinstance(message, Progress) for message in messages)


def test_what_is_found_in_a_file_gives_the_finals_of_this_process_in_another_worker(worker: WorkerClient) -> None:
    stream, length = StreamId(1), len(conversation())
    segment = SharedSegment.create()
    try:
        segment.append(conversation())
        worker.send(AttachAudio(stream, segment.name, length, 0, b"", Options(partials=False), "request", ahead=100))
        messages = worker.receive_all(stream)
        with spawn_worker(demo_config()) as other:
            for number, message in enumerate(messages):
                if isinstance(message, Found):
                    request = Recognise(StreamId(100 + number), segment.name, length, message.excerpt, Options())
                    other.send(request)
                    final = other.receive_a(Recognised).final
                    messages[number] = FinalMessage(stream, final, message.consumed, message.committed, message.resume)
        assert finals_of(messages) == finals_in_this_process()
    finally:
        segment.unlink()


def test_a_stream_goes_on_in_another_worker_from_any_commit(worker: WorkerClient) -> None:
    stream = StreamId(2)
    worker.send(OpenStream(stream, 0, b"", Options(), "request"))
    worker.send_audio(stream, conversation()[:60_000], 1_600)  # the first utterance and its end
    first = worker.receive_a(FinalMessage)
    worker.send(Cancel(stream))

    with spawn_worker(demo_config()) as other:
        other.send(OpenStream(stream, first.committed, first.resume, Options(), "request"))
        other.send_audio(stream, conversation()[first.committed :], 800)
        other.send(Finish(stream))
        rest = finals_of(other.receive_all(stream))

    assert rest == finals_in_this_process()[1:]


def test_cancelled_streams_say_nothing_more(worker: WorkerClient) -> None:
    cancelled, after = StreamId(10), StreamId(11)
    worker.send(OpenStream(cancelled, 0, b"", Options(), "request"), Cancel(cancelled))
    worker.send_audio(cancelled, conversation(), 16_000)
    worker.send(OpenStream(after, 0, b"", Options(), "request"), Finish(after))

    assert worker.receive_all(after)[-2:]
    worker.send(Finish(cancelled))
    assert isinstance(worker.receive(), Stats)


def test_heartbeats_come_while_nothing_happens(worker: WorkerClient) -> None:
    worker.receive_a(Stats)
    stats = worker.receive_a(Stats)

    assert stats.memory_bytes > 10_000_000
    assert stats.listening >= 0.0


def test_passes_are_reported(worker: WorkerClient) -> None:
    stream = StreamId(20)
    worker.receive_a(Stats)
    worker.send(OpenStream(stream, 0, b"", Options(), "request"))
    worker.send_audio(stream, conversation(), 1_600)
    worker.send(Finish(stream))

    passes: list[PassRecord] = []
    while not any(record.kind == "final" for record in passes):
        passes += worker.receive_a(Stats).passes
    assert all(record.seconds > 0 and record.audio_seconds > 0 and record.batch >= 1 for record in passes)


def test_no_library_starts_a_pool_of_threads(worker: WorkerClient) -> None:
    # One works, one reads, one waits for signals, and onnxruntime keeps one of its own asleep.
    assert len(list(Path(f"/proc/{worker.process.pid}/task").iterdir())) <= 4


def test_signals_of_the_terminal_and_of_systemd_are_ignored(worker: WorkerClient) -> None:
    worker.process.send_signal(signal.SIGINT)
    worker.process.send_signal(signal.SIGTERM)

    worker.receive_a(Stats)
    worker.receive_a(Stats)
    assert worker.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT], ids=lambda number: number.name)
def test_a_signal_from_outside_ends_a_worker_as_such_and_not_as_its_own_fault(number: signal.Signals) -> None:
    with spawn_worker(demo_config()) as worker:
        worker.receive_a(Ready)
        worker.process.send_signal(number)

        assert worker.process.wait(timeout=60.0) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        ("import ctypes; ctypes.string_at(0)", signal.SIGSEGV),
        ("os.abort()", signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGSEGV); time.sleep(60)", signal.SIGSEGV),
    ],
    ids=["segmentation", "abort", "itself"],
)
def test_a_fault_of_a_workers_own_ends_it_at_once(fault: str, number: signal.Signals) -> None:
    setup = "from gigastt.processes import *; from gigastt.processes import *"
    program = f"import os, signal, time; {setup}; forbid_core_files(); watch_for_signals(); {fault}"
    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)

    assert done.returncode == -number


def test_the_end_of_the_pipe_ends_the_process() -> None:
    with spawn_worker(demo_config()) as worker:
        worker.receive_a(Ready)
        worker.socket.close()

        assert worker.process.wait(timeout=60.0) == 0


def test_the_end_of_the_pipe_ends_a_worker_that_is_stuck() -> None:
    with spawn_worker(demo_config()) as worker:
        worker.receive_a(Ready)
        stream = StreamId(1)
        worker.send(OpenStream(stream, 0, b"", Options(), "request"))
        for _ in range(20):
            worker.send_audio(stream, _MINUTE_OF_SILENCE, 1_600_000)  # work for much longer than the grace
        worker.socket.close()

        assert worker.process.wait(timeout=60.0) == 0


def test_a_gateway_that_breaks_the_protocol_is_left_with_an_error_in_the_log() -> None:
    with spawn_worker(demo_config()) as worker:
        worker.receive_a(Ready)
        worker.socket.sendall(b"\xff" * 16)

        assert worker.process.wait(timeout=60.0) == 1
        assert worker.process.stderr is not None
        assert "worker_failed" in worker.process.stderr.read().decode()


def test_a_model_that_is_none_ends_the_process_before_it_is_ready(tmp_path: Path) -> None:
    broken = tmp_path / "encoder.onnx"
    broken.write_bytes(b"this is no model")
    with spawn_worker(replace(demo_config(), encoder=str(broken))) as worker:
        with pytest.raises(EOFError):
            worker.receive()

        assert worker.process.wait(timeout=60.0) == 3


def test_the_log_names_the_request_and_no_words(worker: WorkerClient) -> None:
    with spawn_worker(replace(demo_config(), log_level="debug")) as worker:
        worker.receive_a(Ready)
        stream = StreamId(1)
        worker.send(OpenStream(stream, 0, b"", Options(), "request-of-the-log"))
        worker.send_audio(stream, conversation(), 1_600)
        worker.send(Finish(stream))
        messages = worker.receive_all(stream)
        worker.socket.close()
        worker.process.wait(timeout=60.0)
        assert worker.process.stderr is not None
        log = worker.process.stderr.read().decode()

    events = [json.loads(line) for line in log.splitlines()]
    assert any(event.get("request_id") == "request-of-the-log" for event in events)
    words = {word for text, *_ in finals_of(messages) for word in str(text).split() if len(word) > 3}
    assert words
    assert not any(word in log for word in words)


def test_idle_streams_cost_no_processor_time(worker: WorkerClient) -> None:
    streams = [StreamId(number) for number in range(100, 150)]
    worker.send(*(OpenStream(stream, 0, b"", Options(), "idle") for stream in streams))
    worker.receive_a(Stats)
    worker.receive_a(Stats)
    before = cpu_seconds(worker.process.pid)
    for _ in range(5):
        worker.receive_a(Stats)

    assert cpu_seconds(worker.process.pid) - before <= 0.1  # of two seconds
    worker.send(*map(Cancel, streams))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
