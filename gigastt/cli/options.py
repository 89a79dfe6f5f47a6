"""Options: one way to declare a setting, so that flag, environment and file always go together.

`setting("--pool-size")` is the flag `--pool-size`, the variable `GIGASTT_POOL_SIZE` and the key `pool-size`
(or `pool_size`) of the TOML file. Runs while the command line is parsed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from gigastt.cli.environment import PREFIX, is_service_link
from gigastt.cli.kinds import FILE_PATH, FOLDER_PATH, ListItem
from gigastt.cli.mistakes import collects_mistakes, mistakes_of
from gigastt.config import DEFAULT_MODEL, Settings, default_pool_size
from gigastt.errors import ProviderMissing

Function = TypeVar("Function", bound=Callable[..., Any])


class NonEmptyOption(click.Option):
    """An option that has a value or is not given: an empty variable, key or argument is a mistake, not a default."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        for name in self.envvar or ():  # a list, in every option of ours
            value = os.environ.get(name)
            if value is None or is_service_link(name, value):
                continue
            if not value.strip():
                raise click.UsageError(f"{name} is empty: give it a value, or unset it.")
            return value
        return None

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, click.Parameter]
    ) -> tuple[Any, click.core.ParameterSource]:
        value, source = super().consume_value(ctx, opts)
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, str) and not item.strip():
                raise click.BadParameter("expected a value, but got an empty one.", ctx, self)
        return value, source

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Process the value; a wrong one is remembered where the command collects mistakes."""
        try:
            return super().handle_parse_result(ctx, opts, args)
        except click.UsageError as exc:
            if not collects_mistakes(ctx.command):
                raise
            mistakes = mistakes_of(ctx)
            mistakes.texts.append(exc.format_message())
            mistakes.names.add(self.name or "")
            if self.expose_value:
                ctx.params[self.name] = None
            return None, args


def setting(flag: str, *, aliases: Sequence[str] = (), **attributes: Any) -> Callable[[Function], Function]:
    """Declare one setting: its flag, and `GIGASTT_…` (plus `aliases`) in the environment."""
    variable = PREFIX + flag.split("/")[0].strip("-").replace("-", "_").upper()
    attributes.setdefault("show_default", True)
    return click.option(flag, cls=NonEmptyOption, envvar=[variable, *aliases], show_envvar=True, **attributes)


def variables_of(command: click.Command) -> set[str]:
    """Return the names of the variables that a command reads."""
    options = [parameter for parameter in command.params if isinstance(parameter, NonEmptyOption)]
    return {name for option in options for name in option.envvar or ()}


host_option = setting("--host", default=Settings().host, help="Address to listen on.")
tls_cert_option = setting(
    "--tls-cert", type=FILE_PATH, help="Serve over TLS with this certificate and its chain (PEM)."
)
tls_option = setting(
    "--tls",
    type=click.Choice(["off", "auto"]),
    default=Settings().tls,
    help="auto: TLS with a certificate of an own authority, unless --host is a loopback one.",
)
allowed_host_option = setting(
    "--allowed-host", type=ListItem(), multiple=True, help="Name to answer to in Host; repeatable."
)
model_option = setting(
    "--model", default=DEFAULT_MODEL, help="Which model; 'demo' needs no download, and understands no real people."
)
model_dir_option = setting(
    "--model-dir",
    type=FOLDER_PATH,
    default=lambda: Settings().model_dir,
    show_default="~/.gigastt/models",
    help="Where the model files are.",
)
precision_option = setting(
    "--precision",
    type=click.Choice(["auto", "int8", "fp32", "fp16"]),
    default="auto",
    help="Which encoder file to load; fp16 is for cards.",
)

provider_option = setting(
    "--provider",
    type=click.Choice(["cpu", "cuda"]),
    default=Settings().provider,
    is_eager=True,  # the number of workers depends on it
    help="What runs the encoder; cuda needs NVIDIA cards and gigastt[cuda].",
)


def _one_for_each_card(ctx: click.Context, option: click.Parameter, value: int) -> int:
    """Return how many workers there are: with cards one for each, unless the user says otherwise."""
    if ctx.params.get("provider") != "cuda" or ctx.get_parameter_source(option.name) is not ParameterSource.DEFAULT:
        return value
    from gigastt.cards import ask_driver

    try:
        return len(ask_driver())
    except ProviderMissing:  # which is said when they are needed
        return 1


pool_size_option = setting(
    "--pool-size",
    type=click.IntRange(1, 256),
    default=default_pool_size,
    show_default="physical cores, at most 4 and what a container may use; with --provider cuda the cards",
    callback=_one_for_each_card,
    help="Inference workers.",
)
min_confidence_option = setting(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=Settings().min_confidence,
    help="Leave out utterances in which no word is this sure, 0 to 1.",
)

tls_dir_option = setting(
    "--tls-dir",
    type=FOLDER_PATH,
    default=lambda: Settings().tls_dir,
    show_default="~/.gigastt/tls",
    help="Where `gigastt tls init` and --tls auto keep authority and certificate.",
)

hotwords_file_option = setting(
    "--hotwords-file", type=FILE_PATH, help="File of phrases, one a line, that are preferred to what sounds alike."
)
speaker_model_option = setting(
    "--speaker-model",
    default=Settings().speaker_model,
    help="Which model tells speakers apart: auto, off, small, a name, or an ONNX file.",
)
speaker_likeness_option = setting(
    "--speaker-likeness",
    type=click.FloatRange(0, 1),
    show_default="the model's own",
    help="Mean similarity from which on two voices are one person's.",
)


def model_options(function: Function) -> Function:
    """Declare the settings that name a model and the folder of its files."""
    return model_option(model_dir_option(precision_option(function)))


def listener_options(function: Function) -> Function:
    """Declare the settings that open a listener for the clients of one protocol: `config.LISTENERS`."""
    served = {
        "audiosocket": "calls of Asterisk over AudioSocket",
        "wyoming": "voice assistants over Wyoming",
        "vosk": "clients of Vosk",
    }
    for name, whose in served.items():
        function = setting(f"--{name}", metavar="HOST:PORT", help=f"Serve {whose} on a listener of its own.")(function)
    return function
