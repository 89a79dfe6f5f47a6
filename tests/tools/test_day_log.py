"""The day in docs/operations.md is what a server says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.day_log import DOCUMENT, block, run_day, shapes, written

pytestmark = pytest.mark.e2e


def test_the_documents_have_the_log_of_such_a_day(tmp_path: Path) -> None:
    day = "".join(f"{written(event)}\n" for event in run_day(tmp_path))
    assert shapes(block(DOCUMENT.read_text(encoding="utf-8"))) == shapes(day)
