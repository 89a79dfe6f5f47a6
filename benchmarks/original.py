"""The original server's recogniser, in Rust, as its own bindings for Python give it: the yardstick of `uploads`.

    python -m venv /tmp/original && /tmp/original/bin/pip install gigastt

It runs in a process of its own, under that interpreter (its package is called as ours is), with the files of the same
model: its server is not part of the bindings, so what HTTP costs it is left out.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from gigastt.models.catalog import DECODER, ENCODER_OPTIMIZED, JOINT, VOCABULARY

_MANIFEST = """architecture = "e2e_rnnt"
[files]
encoder = "encoder.onnx"
encoder_int8 = "encoder.onnx"
decoder = "decoder.onnx"
joint = "joint.onnx"
vocab = "vocabulary.txt"
"""

_PROGRAM = """
import concurrent.futures, sys, time
import gigastt_uniffi
engine = gigastt_uniffi.Engine.new_with_pool_size(sys.argv[1], int(sys.argv[2]))
files = sys.argv[3:]
with concurrent.futures.ThreadPoolExecutor(int(sys.argv[2])) as threads:
    print("ready", flush=True)
    for _ in sys.stdin:
        began, cpu = time.monotonic(), time.process_time()
        texts = list(threads.map(lambda path: engine.transcribe_file(path).text, files))
        print(time.monotonic() - began, time.process_time() - cpu, sum(len(text.split()) for text in texts), flush=True)
"""


class Original:
    """A process that transcribes a list of files, as often as it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def transcribe(self) -> tuple[float, float]:
        """Transcribe all files at once; return the seconds that took, by the clock and of processor time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print("again", file=self._process.stdin, flush=True)
        clock, cpu, _ = map(float, self._process.stdout.readline().split())
        return clock, cpu


@contextlib.contextmanager
def run_original(python: Path, model: Path, workers: int, files: Sequence[Path], folder: Path) -> Iterator[Original]:
    """Start it, with so many recognisers.

    Args:
        python: an interpreter that has the bindings.
        model: a folder of our model files.
        folder: an empty one, for links to them.
    """
    named = {"encoder.onnx": ENCODER_OPTIMIZED, "decoder.onnx": DECODER, "joint.onnx": JOINT}
    for name, ours in (named | {"vocabulary.txt": VOCABULARY}).items():
        (folder / name).symlink_to((model / ours).resolve())
    (folder / "manifest.toml").write_text(_MANIFEST, encoding="utf-8")  # else it takes the published files alone
    command = [str(python), "-c", _PROGRAM, str(folder), str(workers), *map(str, files)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("The original did not start: see its messages above.")
        yield Original(process)
        process.communicate()
