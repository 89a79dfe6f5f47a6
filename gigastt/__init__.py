"""gigastt: a self-hosted, multi-user speech-to-text server for Russian.

Importing the package keeps onnxruntime from reporting to its maker: its wheels look up an event host and write a
device id under `~/.cache` unless the environment says otherwise before they are loaded. Every process of ours imports
this file first, and so does a program that uses us as a library.
"""

import os
import sys
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
if "onnxruntime" in sys.modules:  # loaded before us by somebody else: it has begun already, but can be told to stop
    sys.modules["onnxruntime"].disable_telemetry_events()


def __getattr__(name: str) -> Any:
    """Look `__version__` up when it is asked for: a worker never does, and looking takes tens of milliseconds."""
    if name == "__version__":
        from importlib.metadata import version

        return version("gigastt-server")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
