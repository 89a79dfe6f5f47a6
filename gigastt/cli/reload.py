"""`gigastt reload`: have a server on this machine replace its workers, as SIGUSR2 does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from gigastt.cli.config_file import config_option
from gigastt.cli.mistakes import SettingsCommand
from gigastt.cli.options import setting
from gigastt.config import Settings

_LISTENING = "0A"  # a socket's state in /proc/net/tcp


@click.command(cls=SettingsCommand)
@config_option
@setting("--port", type=click.IntRange(1, 65_535), default=Settings().port, help="Port of the server.")
def reload(port: int) -> int:
    """Have a running server replace its workers, with the model and settings as they are now."""
    found = [pid for pid in listeners(port) if b"gigastt" in _command_line(pid)]
    if len(found) != 1:
        raise click.ClickException(f"{len(found) or 'no'} gigastt of this user listens on port {port} of this machine.")
    os.kill(found[0], signal.SIGUSR2)
    click.echo(f"Asked the server (process {found[0]}). Its log says `upgraded`, or `upgrade_failed` and why.")
    return 0


def listeners(port: int) -> list[int]:
    """Return the processes that listen on a TCP port, of those that this user may look into."""
    links = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _inodes(Path("/proc/net") / table, port)}
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and links & _open_files(entry)]


def _inodes(table: Path, port: int) -> Iterator[str]:
    with suppress(OSError):
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _open_files(process: Path) -> set[str]:
    files: set[str] = set()
    with suppress(OSError):  # it has ended, or is somebody else's
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                files.add(str(link.readlink()))
    return files


def _command_line(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
