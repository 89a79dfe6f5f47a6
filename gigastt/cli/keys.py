"""`gigastt keys`: add, list and revoke the API keys of a file. A running server reads it again on SIGHUP."""

from __future__ import annotations

from pathlib import Path

import click

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_name = click.argument("name")


@click.group()
def keys() -> None:
    """Add, list and revoke the API keys of FILE, the --api-keys-file of a server.

    SIGHUP makes a running server read the file again. The file has the keys' SHA-256 only.
    """


@keys.command()
@_file
@_name
def add(file: Path, name: str) -> None:
    """Make a key, and print it this once; FILE is made if it is not there."""
    from gigastt.gateway.access.key_file import add_key

    click.echo(add_key(file, name))


@keys.command("list")
@_file
def list_keys(file: Path) -> None:
    """Print the name of each key."""
    from gigastt.gateway.access.key_file import read_keys

    for key in read_keys(file):
        click.echo(key.label)


@keys.command()
@_file
@_name
def revoke(file: Path, name: str) -> None:
    """Take a key out; SIGHUP then closes its sessions."""
    from gigastt.gateway.access.key_file import revoke_key

    revoke_key(file, name)
