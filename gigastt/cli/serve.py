"""`gigastt serve`: flags, environment and file become `Settings`; then the server runs until it is told to stop.

Runs on the main thread. The server itself is `gigastt.serve`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gigastt import __version__
from gigastt.cli.config_file import config_file_of, config_option
from gigastt.cli.kinds import FILE_PATH, FOLDER_PATH, Cidr, CountOrAuto, HttpAddress, ListItem, Origin
from gigastt.cli.mistakes import SettingsCommand
from gigastt.cli.options import (
    Function,
    allowed_host_option,
    host_option,
    hotwords_file_option,
    listener_options,
    min_confidence_option,
    model_options,
    pool_size_option,
    provider_option,
    setting,
    speaker_likeness_option,
    speaker_model_option,
    tls_cert_option,
    tls_dir_option,
    tls_option,
)
from gigastt.config import AUTO_MODEL, Limits, Settings, check_settings, find_mistakes
from gigastt.errors import ConfigError, GigasttError

_ARGUMENTS = "gigastt.cli.serve.arguments"
_DEFAULTS = Settings()
_SECONDS = click.FloatRange(min=0)
_POSITIVE = click.FloatRange(min=0, min_open=True)
_DEMO_CLIP = "tests/data/espeak_03.wav"  # of a checkout


class RereadableCommand(SettingsCommand):
    """A command that remembers its arguments, so that they can be parsed again over a changed file."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        arguments = tuple(args)
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[_ARGUMENTS] = arguments
        return context


def limit_setting(flag: str, kind: click.ParamType[Any], text: str) -> Callable[[Function], Function]:
    """Declare the setting of one field of `Limits`, with that field's default."""
    name = flag.removeprefix("--").replace("-", "_")
    return setting(flag, type=kind, default=getattr(_DEFAULTS.limits, name), help=text)


def find_more(values: Mapping[str, Any], wrong: set[str]) -> Sequence[str]:
    """Return the mistakes of several settings together, without those that are `wrong` alone."""
    settings = settings_of({name: value for name, value in values.items() if name not in wrong})
    return [mistake.text for mistake in find_mistakes(settings) if not mistake.names & wrong]


@click.command(cls=RereadableCommand, find_more=find_more)
@config_option
@host_option
@setting("--port", type=click.IntRange(0, 65_535), default=_DEFAULTS.port, help="Port to listen on; 0: any free one.")
@model_options
@min_confidence_option
@speaker_model_option
@speaker_likeness_option
@setting("--auto-download", is_flag=True, help="Fetch a missing model at start.")
@provider_option
@pool_size_option
@setting("--max-sessions", type=CountOrAuto(), default="auto", help="Live sessions at once.")
@limit_setting(
    "--final-latency-ms", click.FloatRange(50, 10_000), "How late 95 % of the finals may be, if places are auto."
)
@setting(
    "--worker-memory-mib",
    type=click.IntRange(0),
    default=0,
    help="Replace a worker whose memory reaches this; sessions go on. 0 is never.",
)
@setting(
    "--worker-passes", type=click.IntRange(0), default=0, help="Replace a worker after so many passes; 0 is never."
)
@setting("--bind-all", is_flag=True, aliases=["GIGASTT_ALLOW_BIND_ANY"], help="Allow addresses that others can reach.")
@setting("--allow-origin", type=Origin(), multiple=True, help="Web origin to allow; repeatable.")
@setting("--cors-allow-any", is_flag=True, help="Allow every web origin.")
@allowed_host_option
@setting("--trusted-proxy", type=Cidr(), multiple=True, help="Network whose X-Forwarded-For counts; repeatable.")
@limit_setting("--idle-timeout-secs", _POSITIVE, "Close a session that sends nothing for this long.")
@limit_setting("--max-session-secs", _SECONDS, "Longest session; 0 is none.")
@limit_setting("--ws-frame-max-bytes", click.IntRange(1024, 64 * 1024 * 1024), "Longest WebSocket frame.")
@limit_setting("--body-limit-bytes", click.IntRange(1), "Largest upload.")
@limit_setting("--max-audio-secs", _POSITIVE, "Longest audio in an upload.")
@limit_setting("--rate-limit-per-minute", click.IntRange(0), "Requests a minute for one address; 0 is off.")
@limit_setting("--rate-limit-burst", click.IntRange(1), "Requests at once.")
@limit_setting(
    "--max-connections",
    click.IntRange(1),
    "Open connections in total; at most three quarters of the open files allowed.",
)
@limit_setting("--max-connections-per-address", click.IntRange(0), "Open connections of one address; 0 is any number.")
@limit_setting("--pool-checkout-timeout-secs", _SECONDS, "How long a client waits for capacity.")
@limit_setting("--shutdown-drain-secs", _SECONDS, "How long sessions may take to finish when the server stops.")
@limit_setting("--resume-secs", _SECONDS, "How long a session waits for a client that lost its connection; 0 is not.")
@setting("--metrics", is_flag=True, help="Publish GET /metrics.")
@setting("--metrics-listen", metavar="HOST:PORT", help="Publish /metrics on a listener of its own.")
@listener_options
@setting(
    "--vosk-plain/--no-vosk-plain",
    default=_DEFAULTS.vosk_plain,
    help="Give clients of --vosk words in lower case, without punctuation.",
)
@setting(
    "--audiosocket-allow",
    type=Cidr(),
    multiple=True,
    help="Network that may use --audiosocket, instead of this machine only; repeatable.",
)
@setting("--webhook", type=HttpAddress(), help="Send the text of calls to this URL.")
@setting("--webhook-secret-file", type=FILE_PATH, help="File with the secret that signs what is sent there.")
@setting("--wyoming-allow", type=Cidr(), multiple=True, help="Network that may use --wyoming (else all); repeatable.")
@setting("--wyoming-announce", is_flag=True, help="Announce --wyoming to Home Assistant (needs gigastt[zeroconf]).")
@hotwords_file_option
@setting("--jobs-dir", type=FOLDER_PATH, help="Take jobs, and keep their recordings and transcripts in this folder.")
@setting(
    "--jobs-quota-bytes",
    type=click.IntRange(1),
    default=_DEFAULTS.jobs_quota_bytes,
    help="Disk space for the recordings of jobs.",
)
@setting("--jobs-keep", type=_SECONDS, default=_DEFAULTS.jobs_keep, help="How long ended jobs are kept, in seconds.")
@setting(
    "--jobs-url-host",
    type=ListItem(),
    multiple=True,
    help="Host from which jobs may fetch audio, and to which they may send webhooks; repeatable.",
)
@setting(
    "--api-keys-file",
    type=FILE_PATH,
    help="File of API keys, made by `gigastt keys add`; without it no key is asked for.",
)
@setting(
    "--usage-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep in this file how much audio came with each key today, over a restart.",
)
@setting(
    "--secret-file",
    type=FILE_PATH,
    help="File with a secret that signs tokens; servers that share it accept each other's.",
)
@tls_cert_option
@setting("--tls-key", type=FILE_PATH, help="Its private key (PEM).")
@tls_option
@tls_dir_option
@setting("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", help="Least to log.")
@setting(
    "--log-format",
    type=click.Choice(["auto", "json", "console"]),
    default="auto",
    help="auto is console on a terminal, else JSON lines.",
)
@click.pass_context
def serve(ctx: click.Context, /, **values: Any) -> int:
    """Serve speech-to-text over HTTP and WebSocket."""
    settings = build_settings(values)
    from gigastt import log
    from gigastt.serve import run_server

    has_readers = log.configure(settings.log_level, settings.log_format)
    log.get_logger(__name__).info("starting", version=__version__, **origins_of(ctx))
    for sentence in ctx.obj or ():
        log.get_logger(__name__).warning("not_a_setting", message=sentence)
    read_settings = settings_reader(ctx.meta[_ARGUMENTS])
    if not has_readers:
        try:
            return run_server(settings, read_settings)
        except GigasttError as exc:
            log.get_logger(__name__).error("failed", code=exc.code, reason=str(exc), exit_code=exc.exit_code)
            return exc.exit_code
    authority = settings.tls_dir / "ca.crt" if settings.has_own_authority else None
    return run_server(
        settings, read_settings, partial(greet, fetching=settings.model == AUTO_MODEL, authority=authority)
    )


def origins_of(ctx: click.Context) -> dict[str, object]:
    """Return the file that settings were read from, and which settings are no defaults, by where they come from."""
    file = config_file_of(ctx)
    origins: dict[str, object] = {} if file is None else {"config": str(file)}
    for name, source in (
        ("from_command_line", ParameterSource.COMMANDLINE),
        ("from_environment", ParameterSource.ENVIRONMENT),
        ("from_config", ParameterSource.DEFAULT_MAP),
    ):
        if given := [each.replace("_", "-") for each in ctx.params if ctx.get_parameter_source(each) is source]:
            origins[name] = sorted(given)
    return origins


def greet(url: str, demo: bool, *, fetching: bool = False, authority: Path | None = None) -> None:
    """Tell the person who has started the server how to use it, and whether the real model is on its way.

    Args:
        authority: the certificate that has to be trusted first, where the server has made its own.
    """
    trust = f"--cacert {authority} " if authority is not None else ""
    clip = _DEMO_CLIP if demo and Path(_DEMO_CLIP).exists() else "FILE"
    lines = [
        "",
        f"gigastt is ready on {url}. Try, from another terminal:",
        "",
        f"    curl {trust}--data-binary @{clip} {url}/v1/transcribe",
        "",
        "Live audio, and examples of it: README.md, examples/. Ctrl-C stops the server.",
    ]
    if authority is not None:
        lines += [f"Devices must be told once to trust {authority}: `gigastt tls init` says how."]
    if demo:
        lines += [
            "This is the demo model: it knows synthetic voices only and gets most words of people wrong.",
            "The real one is being fetched, and takes its place when it is here: the log and /ready tell."
            if fetching
            else "`gigastt download` fetches the real one; `gigastt serve` without `--model demo` then uses it.",
        ]
    click.echo("\n".join([*lines, ""]), err=True)


def build_settings(values: Mapping[str, Any]) -> Settings:
    """Sort parsed options into `Settings` and its `Limits`, and check them.

    Raises:
        ConfigError: values that are valid alone but not together.
    """
    settings = settings_of(values)
    check_settings(settings)
    return settings


def settings_of(values: Mapping[str, Any]) -> Settings:
    """Sort parsed options into `Settings` and its `Limits`; what is missing has its default."""
    of_limits = {field.name for field in fields(Limits)}
    limits = Limits(**{name: value for name, value in values.items() if name in of_limits})
    return Settings(limits=limits, **{name: value for name, value in values.items() if name not in of_limits})


def settings_reader(arguments: Sequence[str]) -> Callable[[], Settings]:
    """Return the function that parses the same arguments again, over the environment and the file as they are then.

    It raises ConfigError if the file is no longer good; what was set then stays.
    """

    def read_settings() -> Settings:
        try:
            with serve.make_context("serve", list(arguments)) as context:
                return build_settings(dict(context.params))
        except click.ClickException as exc:
            raise ConfigError(exc.format_message()) from exc

    return read_settings
