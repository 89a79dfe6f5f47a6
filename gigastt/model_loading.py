"""Model loading: finds or fetches the model's files, starts the workers with them, and replaces those while they serve.

On the event loop of the server, between the settings, the files and the pool.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeAlias

from gigastt import __version__
from gigastt.cards import ask_driver, check_build, require_cards
from gigastt.config import AUTO_MODEL, DEFAULT_MODEL, DEMO_MODEL, Settings
from gigastt.errors import GigasttError, ModelInvalid, ModelMissing
from gigastt.gateway.context import AppContext, ServedModel
from gigastt.gateway.pool.pool import Pool
from gigastt.hotwords import read_hotwords_file, unusable
from gigastt.log import get_logger
from gigastt.models.catalog import find
from gigastt.models.fetch import FetchRequest, fetch_in_child
from gigastt.models.prepacked import LoadPlan, prepare_load
from gigastt.models.speaker_models import SpeakerModel, resolve_speakers
from gigastt.models.stages import DownloadProgress, Snapshot
from gigastt.models.store import ModelFiles, installed, resolve
from gigastt.transcript import Hotword
from gigastt.workers.config import WorkerConfig

log = get_logger(__name__)

FetchCommand: TypeAlias = Callable[[FetchRequest], list[str]]  # of the process that fetches a model


def require_provider(settings: Settings) -> None:
    """Check that what is to run the encoder is here. ProviderMissing: it is not."""
    if settings.provider == "cuda":
        check_build()
        require_cards(settings.pool_size, ask_driver())


def find_model(settings: Settings) -> ModelFiles | None:
    """Return the model's files; None when they are missing or damaged and may be fetched.

    Raises:
        ModelMissing, ModelInvalid: they are missing or wrong.
    """
    try:
        files = resolve(settings.model, settings.model_dir, settings.encoder)
    except (ModelMissing, ModelInvalid) as exc:
        if settings.model == AUTO_MODEL:
            log.warning("model_invalid", reason=str(exc), message="The demo model stands in for it.")
            return resolve(DEMO_MODEL, settings.model_dir)
        if not settings.auto_download or settings.model == DEMO_MODEL:
            raise
        if isinstance(exc, ModelInvalid):
            log.warning("model_invalid", reason=str(exc), message="It is fetched again.")
        return None
    if files.read_again:
        message = "Sizes or times differ from when they were checked, so they were read whole; the content is right."
        log.warning("model_read_again", files=files.read_again, for_good=files.sealed_again, message=message)
    return files


def describe(settings: Settings, model: ModelFiles | None) -> ServedModel:
    """Return what clients are told about the model."""
    speakers = find_speakers(settings)
    likeness = speakers.likeness if speakers else None
    if model is None:
        return ServedModel(settings.model, find(settings.model).title, likeness=likeness)
    return ServedModel(model.name, model.title, demo=model.demo, likeness=likeness)


def find_speakers(settings: Settings) -> SpeakerModel | None:
    """Return the speaker model's files. ConfigError, ModelMissing: as `resolve_speakers`."""
    return resolve_speakers(settings.speaker_model, settings.model_dir, settings.speaker_likeness)


def find_hotwords(settings: Settings) -> tuple[Hotword, ...]:
    """Return the server's own phrases. ConfigError: their file is wrong."""
    return read_hotwords_file(settings.hotwords_file) if settings.hotwords_file is not None else ()


async def fetch_model(context: AppContext, model: str, command: FetchCommand = FetchRequest.command) -> ModelFiles:
    """Fetch a model in a process of its own; `/ready` and the log tell how far it is.

    Raises:
        DownloadFailed, NotEnoughRoom, ModelInvalid: it cannot be had.
    """
    settings = context.settings
    told = ""

    def tell(snapshot: Snapshot) -> None:
        nonlocal told
        tenth = None if snapshot.percent is None else snapshot.percent // 10 * 10
        if (step := f"{snapshot.stage} {tenth}") != told:
            told = step
            log.info("fetching_model", model=model, stage=snapshot.stage, percent=tenth, subject=snapshot.subject)

    progress = DownloadProgress(tell)
    context.preparing = progress.describe
    request = FetchRequest(model, str(settings.model_dir), settings.encoder, settings.log_format)
    try:
        await fetch_in_child(command(request), progress)
    finally:
        context.preparing = None
    return resolve(model, settings.model_dir, settings.encoder)


async def keep_improving(context: AppContext, command: FetchCommand = FetchRequest.command) -> None:
    """Fetch the default model while the demo model serves, and put it in its place; return never.

    If it cannot be fetched, the demo model goes on serving, and the log says how to bring the files.
    """
    directory = context.settings.model_dir
    try:
        model = await fetch_model(context, DEFAULT_MODEL, command)
        log.info("upgrading", workers=context.pool.size, model=model.name)
        await change_model(context, context.settings, model)
        log.info("upgraded", model=model.name, encoder=model.form)
    except GigasttError as exc:
        message = f"The demo model goes on. Copy the model's files to {directory}, or `gigastt download` and restart."
        log.warning("no_better_model", reason=str(exc), message=message)
    await asyncio.Event().wait()


async def load(pool: Pool, context: AppContext, model: ModelFiles) -> None:
    """Start the workers with a model, and wait until each is ready.

    Raises:
        WorkerBootFailed: they end before they are ready.
    """
    await pool.start(await plan_workers(context.settings, model))
    await pool.wait_ready()
    announce(context, context.settings, model)


async def change_model(context: AppContext, settings: Settings, model: ModelFiles) -> None:
    """Have workers with this model and these settings take the place of those that run; no session loses a word.

    One worker more than usual is in memory meanwhile. If the first cannot load it, everything stays as it is.

    Raises:
        WorkerBootFailed: a new worker did not get ready.
    """
    await context.pool.replace_workers(await plan_workers(settings, model))
    context.model = describe(settings, model)
    announce(context, settings, model)


async def plan_workers(settings: Settings, model: ModelFiles) -> Callable[[int], list[str]]:
    """Choose the form in which a model is loaded; return the command of a worker, by its inherited descriptor."""
    began = time.monotonic()
    on_core = settings.provider == "cpu"
    plan = await prepare_load(model.encoder) if on_core else LoadPlan(model.encoder, prepacked=False)
    seconds = round(time.monotonic() - began, 1)
    log.info("encoder_chosen", form=model.form, file=str(plan.encoder), shared=plan.prepacked, seconds=seconds)
    if model.form == "fp32" and on_core and not model.demo:
        message = "`gigastt optimize` makes this encoder some three times as fast."
        log.warning("encoder_not_optimized", message=message)
    speakers = find_speakers(settings)
    return WorkerConfig(
        model=model.name,
        encoder=str(plan.encoder),
        vocabulary=str(model.vocabulary),
        decoder=str(model.decoder) if model.decoder else None,
        joint=str(model.joint) if model.joint else None,
        provider=settings.provider,
        min_confidence=settings.min_confidence,
        speaker_model=str(speakers.embedding) if speakers else None,
        segmentation_model=str(speakers.segmentation) if speakers else None,
        hotwords=tuple((each.phrase, each.weight) for each in find_hotwords(settings)),
        log_level=settings.log_level,
        log_format=settings.log_format,
    ).command


def announce(context: AppContext, settings: Settings, model: ModelFiles) -> None:
    """Show which model the workers have, and which others are here."""
    context.installed = installed(context.settings.model_dir)
    card = context.pool.model
    if card is not None and (phrases := unusable(find_hotwords(settings), card.alphabet)):
        message = "The served model cannot write these phrases, or takes no hotwords."
        log.warning("hotwords_unusable", phrases=phrases, message=message)
    context.metrics.build_info.clear()
    context.metrics.build_info.labels(__version__, model.name, card.provider if card else "").set(1)
