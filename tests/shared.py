"""What a test needs and may not find: skip with a reason on a user's machine, fail in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def do_without(reason: str) -> NoReturn:
    """End the test: skipped with a reason, and failed in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def require_shared(relative: str) -> Path:
    """Return a path under `../shared`, or do without."""
    path = SHARED / relative
    if not path.exists():
        do_without(f"needs ../shared/{relative}, which is not on this machine")
    return path


def require_program(name: str) -> str:
    """Return a program's path, or do without."""
    found = shutil.which(name)
    if found is None:
        do_without(f"needs {name}, which is not installed here")
    return found
