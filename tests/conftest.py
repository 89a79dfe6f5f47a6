"""What all tests share: one numerical thread, their lanes, how often properties are tried, and a server."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from gigastt.processes import use_one_thread
from tests import lanes, properties

if TYPE_CHECKING:
    from tests.server import ServerProcess

use_one_thread()  # as in a worker; numpy reads this when it is imported, which is after this file

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background of a shell: programs would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

properties.register_profiles()
hypothesis.settings.load_profile("full")  # `make unit` names another
lanes.guard()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    wanted: str = config.getoption("markexpr")
    return True if "not e2e and not slow" in wanted and lanes.is_left_out(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        lanes.mark(item)
    items.sort(key=lanes.rank)


def pytest_runtest_logstart() -> None:
    lanes.begin()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    yield
    lanes.check(item)


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """A server with two workers and default limits, for tests that leave it as they found it."""
    from tests.server import ServerProcess

    with ServerProcess("--pool-size", "2") as running:
        yield running


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The file of a `--secret-file`."""
    path = tmp_path / "secret"
    path.write_bytes(b"0123456789abcdef")
    return path
