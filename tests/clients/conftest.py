"""The server that other people's clients are tried on, and the environments that hold them (`make clients`)."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import ServerProcess
from tests.shared import do_without

_HERE = Path(__file__).resolve().parent
ENVIRONMENTS = _HERE.parent.parent / ".venv-clients"
NODE_MODULES = _HERE / "javascript" / "node_modules"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """A server with two workers, for tests that leave it as they found it."""
    with ServerProcess("--pool-size", "2") as running:
        yield running


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
