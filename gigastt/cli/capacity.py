"""`gigastt capacity`: how many people this machine carries with this model, measured in about a minute."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from gigastt.audio.pcm import SAMPLE_RATE
from gigastt.cli.config_file import config_option
from gigastt.cli.mistakes import SettingsCommand
from gigastt.cli.options import model_options, pool_size_option, provider_option, setting
from gigastt.config import Limits, Precision, Provider, Settings, usable_cpus

if TYPE_CHECKING:
    from pathlib import Path

    from gigastt.trial import Outcome

_GATEWAY_SHARE: Final = 0.0016  # of a core, for each live session
_SIZES: Final = (10, 50, 100, 300)
_LONGEST_SECONDS: Final = 5.0  # people pause that often, and seldom read aloud


@click.command(cls=SettingsCommand)
@config_option
@model_options
@provider_option
@pool_size_option
@setting(
    "--final-latency-ms",
    type=click.FloatRange(50, 10_000),
    default=Limits().final_latency_ms,
    help="How late 95 % of the finals may be.",
)
@click.option("--seconds", type=click.FloatRange(10), default=60.0, show_default=True, help="How long people speak.")
@click.option("--people", type=click.IntRange(1), multiple=True, help="People to reckon cores for; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def capacity(
    model: str,
    model_dir: Path,
    precision: Precision,
    provider: Provider,
    pool_size: int,
    final_latency_ms: float,
    seconds: float,
    people: tuple[int, ...],
    as_json: bool,
) -> int:
    """Measure how many people this machine carries, with the workers that `gigastt serve` would have.

    Recorded people speak to them for a minute, half of the time each, as many as are let in. Stop what else keeps the
    machine busy first, a server of gigastt too: it is measured as it is.
    """
    import asyncio

    from gigastt import log
    from gigastt.model_loading import find_model, plan_workers, require_provider
    from gigastt.optimize.words import load_clips
    from gigastt.trial import run_trial

    log.configure("warning", "auto")
    limits = Limits(final_latency_ms=final_latency_ms)
    settings = Settings(
        model=model,
        model_dir=model_dir,
        precision=precision,
        provider=provider,
        pool_size=pool_size,
        limits=limits,
        log_level="warning",
    )
    require_provider(settings)
    files = find_model(settings)
    assert files is not None, "without --auto-download a missing model is an error"
    clips = [clip.samples for clip in load_clips() if len(clip.samples) <= _LONGEST_SECONDS * SAMPLE_RATE]
    shows = sys.stderr.isatty()

    def tell(gone: float, sessions: int) -> None:
        if shows:
            click.echo(f"\r{gone:3.0f} of {seconds:.0f} s: {sessions} people speak", err=True, nl=False)

    async def run() -> Outcome:
        return await run_trial(settings, await plan_workers(settings, files), clips, seconds, tell)

    outcome = asyncio.run(run())
    if shows:
        click.echo("", err=True)
    needs = {count: cores_for(count, outcome.streams) for count in people or _SIZES}
    if as_json:
        fields = {"model": files.name, "encoder": files.form, "final_latency_ms": final_latency_ms, **asdict(outcome)}
        click.echo(json.dumps(fields | {"cores": needs}))
    else:
        served = f"{files.name}, {files.form}" + (", each worker's core with a card" if provider == "cuda" else "")
        click.echo("\n".join(outcome_lines(outcome, served, final_latency_ms, needs)))
    return 0


def cores_for(people: int, streams: float) -> int:
    """Return the cores for so many live sessions at a time: one for each worker, and the gateway's."""
    return math.ceil(people / streams) + math.ceil(people * _GATEWAY_SHARE)


def outcome_lines(outcome: Outcome, model: str, final_latency_ms: float, needs: dict[int, int]) -> list[str]:
    """Return what people read."""
    workers = f"{outcome.workers} worker{'' if outcome.workers == 1 else 's'}"
    mib = 2**20
    p95 = "no final was timed" if outcome.final_p95 is None else f"{1000 * outcome.final_p95:.0f} ms"
    lines = [
        f"{model}; {workers}, {len(usable_cpus())} cores; 95 % of the finals within {final_latency_ms:.0f} ms",
        "",
        f"streams a core   {outcome.streams:.0f}, each speaking half of the time",
        f"places           {outcome.places}: what `gigastt serve --max-sessions auto` has after such a minute",
        f"finals           95 % within {p95}, of {outcome.finals} with {outcome.sessions} people at the end",
        f"memory           {outcome.worker_bytes // mib} MiB for {workers}, {outcome.gateway_bytes // mib} MiB here",
    ]
    return lines + [f"{f'for {count}':17}{cores} cores" for count, cores in needs.items()]
