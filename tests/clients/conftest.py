"""The environments that hold other people's clients (`make clients`)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.shared import do_without

_HERE = Path(__file__).resolve().parent
ENVIRONMENTS = _HERE.parent.parent / ".venv-clients"
NODE_MODULES = _HERE / "javascript" / "node_modules"


def interpreter(environment: str) -> str:
    """Return the Python of a client's environment: this one for `newest`."""
    if environment == "newest":
        return sys.executable
    python = ENVIRONMENTS / environment / "bin" / "python"
    if not python.exists():
        do_without(f"needs {python.relative_to(_HERE.parent.parent)}: make clients")
    return str(python)


def node(client: str = "openai") -> str:
    """Return Node, where a client for it is installed."""
    found = shutil.which("node")
    if found is None or not (NODE_MODULES / client).exists():
        do_without(f"needs Node and {client} for it: make clients")
    return found
