"""The fault matrix of docs/reliability.md names tests and guards that there are."""

from __future__ import annotations

import re
from pathlib import Path

from tools.guards import GUARDS, ROOT

ROWS = re.findall(
    r"^\| (\d+) \| .+ \| `(tests/[\w/]+\.py)::(\w+)` \| (\d*) \|$",
    (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def test_the_matrix_has_its_rows_in_order() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) >= 33


def test_every_row_names_a_test() -> None:
    for _, path, name, _ in ROWS:
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), (path, name)


def test_every_guard_can_be_switched_off() -> None:
    for guard in GUARDS:
        text = (ROOT / guard.file).read_text(encoding="utf-8")
        assert all(text.count(before) == 1 for before, _ in guard.changes), guard
        assert (ROOT / guard.test.partition("::")[0]).exists(), guard
    assert {int(guard) for *_, guard in ROWS if guard} <= set(range(1, len(GUARDS) + 1))


def test_the_folder_is_this_project() -> None:
    assert Path(__file__).resolve().parent.parent.parent == ROOT
