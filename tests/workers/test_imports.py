"""What a worker loads: four of them should not each hold what only the gateway needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LIST = "import sys, gigastt.workers.process; print(*sys.modules)"


@pytest.mark.slow
def test_a_worker_imports_only_what_it_works_with() -> None:
    done = subprocess.run([sys.executable, "-c", _LIST], check=True, capture_output=True, text=True)
    unwanted = {"asyncio", "ssl", "email", "http", "importlib.metadata", "onnx", "starlette", "uvicorn"}
    assert unwanted & set(done.stdout.split()) == set()
