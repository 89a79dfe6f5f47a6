"""The material beside the checkout: where it is, and what happens to a test when it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def require_shared(relative: str) -> Path:
    """Return a path under `../shared`; skip the test where it is missing, and fail it in CI."""
    path = SHARED / relative
    if not path.exists():
        reason = f"needs ../shared/{relative}, which is not on this machine"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
