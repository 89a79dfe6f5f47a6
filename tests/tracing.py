"""What a process and its children do to the outside: connections, look-ups and files, as strace sees them.

The program runs with an environment of its own (`outside_environment`), in which nothing but a home and a folder for
temporary files is set: above all not `CI`, which makes some libraries behave better than they do for people.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.shared import do_without
from tests.waiting import wait_for

_CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,symlink,symlinkat"
_INET = re.compile(r'htons\((?P<port>\d+)\).*?(?:inet_addr\("(?P<v4>[^"]+)"\)|inet_pton\(AF_INET6, "(?P<v6>[^"]+)")')
_UNIX = re.compile(r'sa_family=AF_UNIX, sun_path="(?P<path>[^"]+)"')
_NAMES = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<name>[^"]*)"')
_DNS_PORTS = {53, 5353, 5355}
_SYSTEM = ("/dev/", "/proc/")  # devices, shared memory, and what a process says of itself


def require_strace() -> str:
    """Return the path of a strace that may trace here; do without otherwise."""
    strace = shutil.which("strace")
    if strace is None:
        do_without("needs strace, which is not installed here")
    tried = subprocess.run([strace, "-f", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        do_without(f"needs to trace processes, which is not allowed here: {tried.stderr.strip()}")
    return strace


def outside_environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment like that of somebody who has just logged in."""
    temporary = home.parent / "tmp"
    for folder in (home, temporary):
        folder.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


class Trace:
    """One traced run: a prefix for its command line, and what it did once it has ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._strace = require_strace()

    @property
    def prefix(self) -> list[str]:
        """What to put before a command; the process that is started is still the command's own."""
        return [self._strace, "-D", "-f", "-q", "-y", "--seccomp-bpf", "-e", f"trace={_CALLS}", "-o", str(self._path)]

    def wait(self, pid: int) -> None:
        """Wait until the end of the command has been written down."""
        ending = re.compile(rf"^{pid} +\+\+\+ (?:exited|killed)", re.MULTILINE)
        wait_for(lambda: self._path.exists() and ending.search(self._path.read_text(errors="replace")))

    def reached(self) -> list[str]:
        """Return every address beyond this machine that was sent to, and every question for a name."""
        found = []
        for line in self._lines("connect(", "sendto(", "sendmsg(", "sendmmsg("):
            inet, unix = _INET.search(line), _UNIX.search(line)
            if inet is not None:
                address = ipaddress.ip_address(inet["v4"] or inet["v6"])
                if not address.is_loopback or int(inet["port"]) in _DNS_PORTS:
                    found.append(line)
            elif unix is not None and "resolve" in unix["path"]:
                found.append(line)
        return found

    def written(self, *allowed: Path) -> list[str]:
        """Return every attempt to write outside these folders."""
        roots = tuple(f"{folder}/" for folder in allowed)
        found = []
        for line in self._lines("open", "creat(", "mkdir", "rename", "symlink"):
            call, _, arguments = line.partition("(")
            if "open" in call and not re.search(r"O_WRONLY|O_RDWR|O_CREAT", arguments):
                continue
            names = [str(Path(match["folder"] or "/") / match["name"]) for match in _NAMES.finditer(arguments)]
            if not all(f"{name}/".startswith((*roots, *_SYSTEM)) for name in names):
                found.append(line)
        return found

    def _lines(self, *calls: str) -> list[str]:
        text = self._path.read_text(encoding="utf-8", errors="replace")
        lines = [line.partition(" ")[2].lstrip() for line in text.splitlines()]
        assert lines, "strace saw nothing"
        return [line for line in lines if line.startswith(calls)]


def run_traced(
    trace: Trace, command: Sequence[str], environment: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, traced, in `folder`; its standard input stays open, and nothing comes from there."""
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        subprocess.Popen(
            [*trace.prefix, *command],
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=folder,
        ) as process,
    ):
        output, _ = process.communicate(timeout=120)
    trace.wait(process.pid)
    return subprocess.CompletedProcess(process.args, process.returncode, output)
