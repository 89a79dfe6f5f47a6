"""Mistakes in settings: all of them are found before any is told.

A command of the class `SettingsCommand` collects those of its flags, of the environment and of the file of `--config`,
and fails with every one of them, each on a line of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import click

from gigastt.errors import ConfigErrors

_MISTAKES = "gigastt.cli.mistakes"

FindMore: TypeAlias = Callable[[Mapping[str, Any], set[str]], Sequence[str]]


@dataclass(slots=True)
class Mistakes:
    """Those of one command line: what is wrong, and the names of the settings that have no value because of it."""

    texts: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


def mistakes_of(ctx: click.Context) -> Mistakes:
    """Return the mistakes of a context; a command has those that were found before it, too."""
    mistakes: Mistakes = ctx.meta.setdefault(_MISTAKES, Mistakes())
    return mistakes


def collects_mistakes(command: click.Command | None) -> bool:
    """Tell whether a command, or those of a group, tell every mistake."""
    if isinstance(command, click.Group):
        return any(map(collects_mistakes, command.commands.values()))
    return isinstance(command, SettingsCommand)


def note_mistakes(ctx: click.Context, texts: Sequence[str]) -> None:
    """Remember mistakes. ConfigErrors: there are some, and the command collects none."""
    if texts and not collects_mistakes(ctx.command):
        raise ConfigErrors(texts)
    mistakes_of(ctx).texts.extend(texts)


class SettingsCommand(click.Command):
    """A command that tells every mistake in its settings.

    Args:
        find_more: returns the mistakes that settings have together, of the values and the names of those that are wrong
            by themselves.
    """

    def __init__(self, *arguments: Any, find_more: FindMore = lambda values, wrong: (), **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self._find_more = find_more

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        mistakes, rest = mistakes_of(ctx), list[str]()
        try:
            rest = super().parse_args(ctx, list(args))  # it takes the list apart
        except click.UsageError as exc:
            mistakes.texts.append(exc.format_message())
            if not ctx.params:  # no value was looked at, for one of the flags is none
                self._look_further(ctx, args)
        if mistakes.texts:
            raise ConfigErrors([*mistakes.texts, *self._find_more(ctx.params, mistakes.names)])
        return rest

    def _look_further(self, ctx: click.Context, args: list[str]) -> None:
        """Look at the values behind a flag that there is not; further such flags are mistakes, too."""
        ctx.ignore_unknown_options = ctx.allow_extra_args = True
        try:
            others = [word for word in super().parse_args(ctx, list(args)) if word.startswith("--")]
        except click.UsageError:  # a flag lacks its value: what file and environment have is left
            others = []
            super().parse_args(ctx, [])
        mistakes_of(ctx).texts.extend(click.NoSuchOption(name).format_message() for name in others[1:])
