"""Kinds of values that options have, beside those of click."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import click

FILE_PATH = click.Path(dir_okay=False, path_type=Path)
FOLDER_PATH = click.Path(file_okay=False, path_type=Path)


class CountOrAuto(click.ParamType[int | None]):
    """A positive whole number, or `auto` (None)."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or value == "auto":
            return None
        try:
            count = int(value)
        except ValueError:
            count = 0
        if count < 1:
            self.fail(f"expected 'auto' or a positive whole number, but got {value!r}", param, ctx)
        return count


class ListItem(click.ParamType[str]):
    """One of several; in the environment they are separated by commas or spaces."""

    name = "text"

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return [item for item in re.split(r"[,\s]+", rv) if item]


class Origin(ListItem):
    """An origin as browsers send it: `scheme://host[:port]`, or `null`."""

    name = "origin"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        parts = _split(text)
        if text != "null" and (not parts.scheme or not parts.netloc or text != f"{parts.scheme}://{parts.netloc}"):
            self.fail(f"expected scheme://host[:port] without a path, or null, but got {text!r}", param, ctx)
        return text


class Cidr(ListItem):
    """An IP address or a network in CIDR form."""

    name = "cidr"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(ipaddress.ip_network(str(value)))
        except ValueError as exc:
            self.fail(f"expected an address or a network such as 10.0.0.0/8: {exc}", param, ctx)


class HttpAddress(click.ParamType[str]):
    """`http(s)://HOST[:PORT][/PATH]`."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        parts = _split(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            self.fail(f"expected http(s)://host[:port][/path], but got {text!r}", param, ctx)
        return text


class NamedFile(click.ParamType[tuple[str, Path]]):
    """`NAME=FILE`."""

    name = "name=file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        name, _, path = str(value).partition("=")
        if not name or not path:
            self.fail(f"expected NAME=FILE, but got {value!r}", param, ctx)
        return name, Path(path)


def _split(address: str) -> SplitResult:
    """Take an address apart; every part is empty if its brackets or port are wrong."""
    with suppress(ValueError):
        parts = urlsplit(address)
        _ = parts.port  # raises if it is no number
        return parts
    return SplitResult("", "", "", "", "")
