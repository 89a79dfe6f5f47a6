"""What every measurement on one core shares: the core, the machine's name, sessions, rounds that take turns."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import onnxruntime


def pin(core: int | None) -> int:
    """Keep this process, its threads to come and its children on one core; returns the core."""
    chosen = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {chosen})
    return chosen


def machine(core: int | None) -> dict[str, object]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", "").split()
    return {
        "processor": facts.get("model name", platform.machine()),
        "vector": [f for f in ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8") if f in flags],
        "cores": os.cpu_count(),
        "pinned_to": core,
        "load": round(os.getloadavg()[0], 2),
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
    }


def session_options() -> onnxruntime.SessionOptions:
    """One thread that does not spin, as in a worker; the arena is onnxruntime's own, as onnx-asr has it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def median_seconds(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Run every contender once to warm up, then in turns; returns each one's median seconds of processor time.

    On one idle core that is the wall clock's time; on a shared one it leaves the neighbours out.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            if turn:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}
