"""Lanes: which tests `make unit` runs, and a guard that keeps processes and sockets out of them.

    e2e    starts the shipped program, or talks to it
    slow   real sockets, processes, downloads, or much work for a model
    unit   all others

A room of tests has its mark from here; in any other room a test or its file has `pytest.mark.slow` itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
_E2E_ROOMS = ("page", "e2e", "clients")
_SLOW_ROOMS = ("hostile", "faults", "examples", "processes", "benchmarks", "optimize")
_OUTSIDE = {"subprocess.Popen", "os.fork", "os.posix_spawn", "socket.bind", "socket.connect"}  # audit events

_seen: set[str] = set()  # of those, in this test


def is_left_out(path: Path) -> bool:
    """Whether `make unit` need not even import what is at a path."""
    if path.is_dir():
        return path.parent == _HERE and path.name in (*_E2E_ROOMS, *_SLOW_ROOMS)
    return path.name.startswith("test_") and "\npytestmark = pytest.mark." in path.read_text(encoding="utf-8")


def rank(item: pytest.Item) -> int:
    """Return where a test stands in the order: files of minutes first, so that no process waits for one at the end."""
    rooms = (*_E2E_ROOMS, *_SLOW_ROOMS)
    room = _room(item)
    return rooms.index(room) if room in rooms else len(rooms)


def mark(item: pytest.Item) -> None:
    """Give a test the mark of its room."""
    room = _room(item)
    if room in _E2E_ROOMS:
        item.add_marker(pytest.mark.e2e)
    elif room in _SLOW_ROOMS:
        item.add_marker(pytest.mark.slow)


def guard() -> None:
    """Watch for processes and sockets from now on."""
    sys.addaudithook(_watch)


def begin() -> None:
    """A test begins."""
    _seen.clear()


def check(item: pytest.Item) -> None:
    """Fail a test of `make unit` that has started a process or used a socket."""
    if _seen and not item.get_closest_marker("e2e") and not item.get_closest_marker("slow"):
        pytest.fail(f"This is no quick test ({', '.join(sorted(_seen))}): give it pytest.mark.slow.", pytrace=False)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in _OUTSIDE and arguments[:1] != ("lscpu",):  # which numpy.testing runs when it is imported
        _seen.add(event)


def _room(item: pytest.Item) -> str:
    return item.path.relative_to(_HERE).parts[0]
