"""Quota: the processor time and the memory that this process's control group may use, as containers are limited.

Both versions of control groups: in version 1 each controller has folders of its own, in version 2 they share them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the processors' worth of time that the control group and those around it allow; None where unlimited.

    Args:
        root: under which `proc` and `sys` are.
    """
    return min((quota for group in _groups(root, "cpu") for quota in _quota_of(group)), default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that they allow; None where unlimited.

    Args:
        root: as above.
    """
    return min((limit for group in _groups(root, "memory") for limit in _limit_of(group)), default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders that may limit a controller."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            base = root / "sys/fs/cgroup" / (controller if controllers else "")
            inside = PurePosixPath(path.lstrip("/"))
            for group in (inside, *inside.parents):  # in a container the path may be the host's: its root is ours then
                yield base / group


def _quota_of(group: Path) -> list[float]:
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return [int(quota) / int(period)] if quota != "max" else []
    with suppress(OSError, ValueError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        return [int(quota) / int(period)] if int(quota) > 0 else []
    return []


def _limit_of(group: Path) -> list[int]:
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limit = int((group / name).read_text(encoding="ascii"))  # the word `max` is none
            return [limit] if limit < 1 << 60 else []  # version 1 says so where there is none
    return []
