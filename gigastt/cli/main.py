"""The command line's front door: the list of commands; a failure becomes one line and an exit code.

Runs on the main thread of the process that the user started. Each command lives in a module of its own that is imported
only when it is asked for, so `gigastt --help` imports neither numpy nor onnxruntime.

Exit codes: 0 done, 1 something failed, 2 wrong command line, environment or file, 3 no model,
4 the workers cannot start, 5 a download failed, 6 too little disk or memory, 7 the port is taken, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from gigastt import __version__
from gigastt.cli.environment import PREFIX, check_environment
from gigastt.cli.mistakes import collects_mistakes, mistakes_of
from gigastt.errors import ConfigErrors, GigasttError
from gigastt.processes import use_one_thread

EXIT_INTERRUPTED = 130

# A command `name` is the function `name` of the module `cli.name`; its line is for the list of commands.
COMMANDS = {
    "serve": "Serve speech-to-text over HTTP and WebSocket.",
    "transcribe": "Transcribe files without a server.",
    "download": "Fetch the recogniser's model files.",
    "optimize": "Make the model files fast on this machine.",
    "quantize": "The same as optimize.",
    "doctor": "Say what is wrong here and how to mend it.",
    "capacity": "Measure how many people this machine carries.",
    "bench": "Measure the recogniser's speed on a file.",
    "eval": "Measure the recogniser's errors on recordings whose texts are known.",
    "config": "Show the settings and where each comes from.",
    "keys": "Add, list and revoke API keys.",
    "tls": "Make certificates for this machine.",
    "health": "Ask a running server whether it is well.",
    "reload": "Have a running server replace its workers.",
}
_ALIASES = {"quantize": "optimize", "eval": "evaluate"}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = _ALIASES.get(cmd_name, cmd_name)
        command: click.Command = getattr(import_module(f"gigastt.cli.{name}"), name)
        return command

    def variables(self, ctx: click.Context) -> set[str]:
        """Return the names of the variables that any command reads."""
        from gigastt.cli.options import variables_of

        commands = filter(None, (self.get_command(ctx, name) for name in COMMANDS))
        return set[str]().union(*map(variables_of, commands))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gigastt")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Self-hosted speech-to-text for Russian."""
    assert isinstance(ctx.command, LazyGroup)
    if any(name.startswith(PREFIX) for name in os.environ):
        unknown = check_environment(os.environ, ctx.command.variables(ctx))
        ctx.obj = unknown.said
        if unknown.mistakes and not collects_mistakes(ctx.command.get_command(ctx, ctx.invoked_subcommand or "")):
            raise ConfigErrors(unknown.mistakes)
        mistakes_of(ctx).texts.extend(unknown.mistakes)
    if ctx.invoked_subcommand != "serve":  # that one says it in its log
        for sentence in ctx.obj or ():
            click.echo(f"gigastt: {sentence}", err=True)


def main() -> NoReturn:
    """Run the command of this process's command line, and end the process with its exit code."""
    use_one_thread(unless_set=True)  # before any command imports numpy: nothing here computes on more than one
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code; a failure is one line on standard error."""
    try:
        result = cli.main(list(arguments), prog_name="gigastt", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()
        return exc.exit_code
    except click.ClickException as exc:
        return _fail(exc.format_message(), exc.exit_code)
    except ConfigErrors as exc:
        for mistake in exc.mistakes:
            _fail(mistake, exc.exit_code)
        return exc.exit_code
    except GigasttError as exc:
        return _fail(str(exc), exc.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): write nothing more, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0


def _fail(message: str, exit_code: int) -> int:
    click.echo(f"gigastt: {' '.join(message.split())}", err=True)
    return exit_code
