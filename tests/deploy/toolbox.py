"""The tools that judge what is in deploy/: found beside `make deploy-tools`' Python or on the machine, and run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.shared import do_without

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
_WHEELS = ROOT / ".venv-deploy" / "bin"
_SECONDS = 60.0


def find(tool: str) -> str:
    """Return the path of a tool, or do without."""
    places = (str(_WHEELS), None, "/usr/sbin")
    found = next((path for path in (shutil.which(tool, path=place) for place in places) if path is not None), None)
    if found is None:
        do_without(f"needs {tool}, which is not installed here (make deploy-tools; Debian: prometheus, nginx, haproxy)")
    return found


def run(tool: str, *arguments: str | Path, input: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end and return what it said, errors included, as its `stdout`."""
    return subprocess.run(
        [find(tool), *map(str, arguments)],
        input=input,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


def passes(tool: str, *arguments: str | Path, input: str | None = None) -> str:
    """Run a tool, which must find nothing wrong; return what it said."""
    done = run(tool, *arguments, input=input)
    assert done.returncode == 0, f"{tool} {' '.join(map(str, arguments))}: {done.stdout}"
    return done.stdout


def output(tool: str, *arguments: str | Path) -> str:
    """Run a tool, which must succeed; return its standard output alone."""
    done = subprocess.run(
        [find(tool), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    assert done.returncode == 0, f"{tool} {' '.join(map(str, arguments))}: {done.stderr}"
    return done.stdout
