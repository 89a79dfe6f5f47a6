"""Quota: the processor time that this process's control group may use, as containers are limited (cgroup v1 and v2)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path, PurePosixPath


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the processors' worth of time that the control group and those around it allow; None where unlimited.

    Args:
        root: under which `proc` and `sys` are.
    """
    quotas: list[float] = []
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            base = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
            inside = PurePosixPath(path.lstrip("/"))
            for group in (inside, *inside.parents):  # in a container the path may be the host's: its root is ours then
                quotas += _quota_of(base / group)
    return min(quotas, default=None)


def _quota_of(group: Path) -> list[float]:
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return [int(quota) / int(period)] if quota != "max" else []
    with suppress(OSError, ValueError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        return [int(quota) / int(period)] if int(quota) > 0 else []
    return []
