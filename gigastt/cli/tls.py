"""`gigastt tls init`: an own certificate authority, this machine's certificate, and how devices trust them."""

from __future__ import annotations

from pathlib import Path

import click

from gigastt.cli.config_file import config_option
from gigastt.cli.mistakes import SettingsCommand
from gigastt.cli.options import allowed_host_option, tls_dir_option

_TRUST = """
How a device comes to trust it, once ({path} is also served at /ca.crt; check the SHA-256):
  Android        open it: Settings, Security, Encryption & credentials, Install a certificate, CA certificate
  iPhone, iPad   open it in Safari; Settings, Profile Downloaded, Install; then General, About, Certificate Trust
                 Settings: switch it on
  Windows        certutil -addstore -user Root ca.crt
  macOS          security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db ca.crt
  Linux          sudo cp ca.crt /usr/local/share/ca-certificates/gigastt.crt && sudo update-ca-certificates
    Chromium     certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n gigastt -i ca.crt
    Firefox      Settings, Certificates, View Certificates, Authorities, Import

Serve with it:
  gigastt serve --host 0.0.0.0 --bind-all --tls auto{folder}
or in another server: the certificate and its key are both in {server}
"""


@click.group()
def tls() -> None:
    """Certificates for a server on a network without a public name."""


@tls.command(cls=SettingsCommand)
@config_option
@tls_dir_option
@allowed_host_option
def init(tls_dir: Path, allowed_host: tuple[str, ...]) -> None:
    """Make a certificate authority and a certificate for this machine; what is there and good stays."""
    from gigastt.authority import own_authority
    from gigastt.config import Settings

    authority = own_authority(tls_dir, allowed_host)
    made = authority.ensure()
    click.echo(f"Authority    {authority.certificate}")
    click.echo(f"  SHA-256    {authority.fingerprint()}")
    click.echo(f"Certificate  {authority.server}{'' if made else ', as it was'}")
    click.echo(f"  for        {', '.join(authority.names())}")
    folder = "" if tls_dir == Settings().tls_dir else f" --tls-dir {tls_dir}"
    click.echo(_TRUST.format(path=authority.certificate, server=authority.server, folder=folder), nl=False)
