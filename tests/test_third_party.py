"""The list of what others made names every package that an installation brings."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_locked_runtime_package_has_its_licence_listed() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    listed = re.sub(r"\s+", "", (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")).lower()
    packages = set(re.findall(r"^([a-z0-9_.-]+)==", lock, re.MULTILINE))

    assert len(packages) > 20
    assert [name for name in sorted(packages) if name not in listed] == []


def test_the_copied_library_is_the_one_that_is_named() -> None:
    copied = (ROOT / "gigastt" / "gateway" / "web" / "lean-qr.mjs").read_bytes()
    assert hashlib.sha256(copied).hexdigest() in (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")


def test_locks_name_no_index_and_hash_everything() -> None:
    for path in ROOT.glob("requirements*.lock"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|https?://", text), path.name
        pins = re.split(r"^(?=[a-z0-9_.-]+==)", text, flags=re.MULTILINE)[1:]
        assert all("--hash=sha256:" in pin for pin in pins), path.name
