"""`gigastt keys`: add, list and revoke the API keys of a file. A running server reads it again on SIGHUP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gigastt.cli.kinds import FILE_PATH

_file = click.argument("file", type=FILE_PATH)
_name = click.argument("name")


@click.group()
def keys() -> None:
    """Add, list and revoke the API keys of FILE, the --api-keys-file of a server.

    SIGHUP makes a running server read the file again. The file has the keys' SHA-256 only.
    """


@keys.command()
@_file
@_name
@click.option("--sessions", type=click.IntRange(1), help="Live sessions at once.")
@click.option("--requests-per-minute", type=click.IntRange(1), help="Requests a minute.")
@click.option("--audio-hours-per-day", type=click.FloatRange(0, 9999, min_open=True), help="Hours of audio a day.")
def add(file: Path, name: str, **limits: Any) -> None:
    """Make a key, and print it this once; FILE is made if it is not there. Without limits there are none."""
    from gigastt.gateway.access.key_file import KeyLimits, add_key

    click.echo(add_key(file, name, KeyLimits(**limits)))


@keys.command("list")
@_file
def list_keys(file: Path) -> None:
    """Print the name and the limits of each key."""
    from gigastt.gateway.access.key_file import read_keys

    for key in read_keys(file):
        click.echo(f"{key.label} {key.limits}".rstrip())


@keys.command()
@_file
@_name
def revoke(file: Path, name: str) -> None:
    """Take a key out; SIGHUP then closes its sessions."""
    from gigastt.gateway.access.key_file import revoke_key

    revoke_key(file, name)
