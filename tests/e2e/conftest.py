"""Servers shared by the end-to-end tests; every test here starts the shipped program or talks to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import ServerProcess

_HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """A server with two workers and default limits, for tests that leave it as they found it."""
    with ServerProcess("--pool-size", "2") as running:
        yield running
