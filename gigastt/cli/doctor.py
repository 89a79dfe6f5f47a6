"""`gigastt doctor`: print every finding as it is made; exit 1 if something is broken."""

from __future__ import annotations

from pathlib import Path

import click

from gigastt.cli.config_file import config_option
from gigastt.cli.mistakes import SettingsCommand
from gigastt.cli.options import host_option, listener_options, model_options, provider_option, setting
from gigastt.config import Precision, Provider, Settings

_MARKS = {"ok": "ok", "warning": "warning", "broken": "BROKEN"}


@click.command(cls=SettingsCommand)
@config_option
@host_option
@setting("--port", type=click.IntRange(0, 65_535), default=Settings().port, help="Port the server is to listen on.")
@model_options
@provider_option
@listener_options
def doctor(
    host: str, port: int, model: str, model_dir: Path, precision: Precision, provider: Provider, **listeners: str | None
) -> int:
    """Say what is wrong here and how to mend it; exit 1 if something is broken."""
    from gigastt.doctor import check_all

    wanted = {name: address for name, address in listeners.items() if address is not None}
    exit_code = 0
    for finding in check_all(host, port, model, model_dir, precision, provider, wanted):
        click.echo(f"{_MARKS[finding.verdict]:<7}  {finding.subject:<14} {finding.text}")
        if finding.mend:
            click.echo(f"{'':<23} → {finding.mend}")
        if finding.verdict == "broken":
            exit_code = 1
    return exit_code
