"""gigastt: a self-hosted, multi-user speech-to-text server for Russian."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Look `__version__` up when it is asked for: a worker never does, and looking takes tens of milliseconds."""
    if name == "__version__":
        from importlib.metadata import version

        return version("gigastt")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
