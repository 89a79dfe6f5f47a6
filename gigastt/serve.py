"""The composition root of the server: finds the parts, joins them, and ends them in order.

    startup     model files → sockets → event loop → listening; the workers load while `/health` already answers
    main loop   the server serves; SIGHUP reads the limits again
    shutdown    drain (server) → metrics listener → workers → decoder's processes

The only module besides the command line that knows both the gateway and the workers. Runs on the main thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import uvloop

from gigastt import __version__
from gigastt.config import DEMO_MODEL, Limits, Settings, split_address
from gigastt.errors import DutyFailed, GigasttError, ModelInvalid, ModelMissing
from gigastt.gateway.app import create_app, create_metrics_app
from gigastt.gateway.context import AppContext, ServedModel
from gigastt.gateway.files.decoder import DecodedFile, Decoder
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.ops import DEMO_WARNING
from gigastt.gateway.pool.events import Event
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.pool.session import transcribe_segment
from gigastt.gateway.server.listener import Server, bind, watch_loop_lag
from gigastt.log import get_logger
from gigastt.models.catalog import find
from gigastt.models.fetch import FetchRequest, fetch_in_child
from gigastt.models.prepacked import LoadPlan, prepare_load
from gigastt.models.stages import DownloadProgress
from gigastt.models.store import ModelFiles, resolve
from gigastt.processes import forbid_core_files
from gigastt.transcript import Options
from gigastt.workers.config import WorkerConfig

log = get_logger(__name__)

LimitsReader = Callable[[], Limits]
Greeting = Callable[
    [str, bool], None
]  # what to do when the server is ready: its URL, and whether it has the demo model


def run(settings: Settings, read_limits: LimitsReader, greet: Greeting = lambda url, demo: None) -> int:
    """Serve until told to stop; return the exit code.

    Raises:
        ModelMissing, ModelInvalid: no model files, and nobody asked to fetch them.
        PortUnavailable: the port is taken.
        ConfigError: a file that the settings name is wrong.
        WorkerBootFailed: the workers end before they are ready.
        DutyFailed: a part of the server did not last as long as the server.
    """
    forbid_core_files()
    model = find_model(settings)
    listeners = bind(settings.host, settings.port)
    metrics_listeners = (
        bind(*split_address(settings.metrics_listen), "--metrics-listen") if settings.metrics_listen else []
    )
    raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, model, listeners, metrics_listeners, read_limits, greet))
    return 0


async def serve(
    settings: Settings,
    model: ModelFiles | None,
    listeners: list[socket.socket],
    metrics_listeners: list[socket.socket],
    read_limits: LimitsReader,
    greet: Greeting,
) -> None:
    """Join the parts, serve, and end them; `model` is None while it must be fetched first."""
    # startup
    workers = WorkerCommand(settings)
    metrics = Metrics()
    decoder = Decoder()
    pool = Pool(settings, workers, metrics)
    context = AppContext(
        settings=settings,
        model=describe(settings, model),
        metrics=metrics,
        pool=pool,
        decoder=decoder,
        transcribe=FileTranscription(pool),
    )
    server = Server(
        create_app(context),
        max_frame_bytes=settings.limits.ws_frame_max_bytes,
        begin_drain=pool.begin_drain,
        drain_seconds=lambda: context.limits.shutdown_drain_secs,
        connections=context.connections,
    )
    warn(context)
    ready = partial(tell_ready, context, url_of(listeners[0]), greet)
    duties = Duties(on_failure=server.stop)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload_limits, context, server, read_limits)
    try:
        # main loop
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(decoder)
            await stack.enter_async_context(duties)
            duties.start("workers", keep_workers(context, workers, model, ready))
            duties.start("loop_lag", watch_loop_lag(metrics))
            duties.start("history", context.history.run())
            if metrics_listeners:
                await stack.enter_async_context(serving_metrics(context, metrics_listeners, duties))
            await server.serve(listeners)
            duties.release()
    finally:
        # shutdown
        await pool.close()
        log.info("stopped")
    if duties.failure is not None:
        raise duties.failure


async def keep_workers(
    context: AppContext, workers: WorkerCommand, model: ModelFiles | None, ready: Callable[[], None]
) -> None:
    """Load the model, call `ready`, and keep the workers at work."""
    await load(context, workers, model, ready)
    await context.pool.watch()


async def load(
    context: AppContext, workers: WorkerCommand, model: ModelFiles | None, ready: Callable[[], None]
) -> None:
    """Fetch the model if need be, start the workers, wait until each is ready, and call `ready`."""
    if model is None:
        model = await fetch_model(context)
    began = time.monotonic()
    plan = await prepare_load(model.encoder)
    seconds = round(time.monotonic() - began, 1)
    log.info("encoder_chosen", form=model.form, file=str(plan.encoder), shared=plan.prepacked, seconds=seconds)
    workers.use(model, plan)
    await context.pool.start()
    await context.pool.wait_ready()
    card = context.pool.model
    context.metrics.build_info.labels(__version__, model.name, card.provider if card else "").set(1)
    tune_garbage_collection()
    ready()


def tell_ready(context: AppContext, url: str, greet: Greeting) -> None:
    """Say that the server can be used, and where."""
    log.info("ready", url=url, workers=context.pool.workers_ready, sessions=context.pool.total)
    greet(url, context.model.demo)


def url_of(listener: socket.socket) -> str:
    """Return an address under which this machine reaches a listener."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def fetch_model(context: AppContext) -> ModelFiles:
    """Fetch the model in a process of its own; `/ready` tells how far it is."""
    settings = context.settings
    progress = DownloadProgress()
    context.preparing = progress.describe
    log.info("fetching_model", model=settings.model)
    request = FetchRequest(settings.model, str(settings.model_dir), settings.precision, settings.log_format)
    await fetch_in_child(request.command(), progress)
    context.preparing = None
    return resolve(settings.model, settings.model_dir, settings.precision)


class WorkerCommand:
    """The command that starts a worker, once the model is known."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config: WorkerConfig | None = None

    def use(self, model: ModelFiles, plan: LoadPlan) -> None:
        """Have workers load these files, the encoder in the form that was planned."""
        self._config = WorkerConfig(
            model=model.name,
            encoder=str(plan.encoder),
            decoder=str(model.decoder),
            joint=str(model.joint),
            vocabulary=str(model.vocabulary),
            log_level=self._settings.log_level,
            log_format=self._settings.log_format,
        )

    def __call__(self, descriptor: int) -> list[str]:
        assert self._config is not None, "the model is found before a worker is started"
        return self._config.command(descriptor)


class FileTranscription:
    """How an upload is recognised: a session over its shared segment."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __call__(self, file: DecodedFile, request_id: str, options: Options) -> AsyncGenerator[Event, None]:
        async for event in transcribe_segment(self._pool, file.name, file.samples, options, request_id):
            yield event


def find_model(settings: Settings) -> ModelFiles | None:
    """Return the model's files; None when they are missing or damaged and may be fetched.

    Raises:
        ModelMissing, ModelInvalid: they are missing or wrong.
    """
    try:
        files = resolve(settings.model, settings.model_dir, settings.precision)
    except (ModelMissing, ModelInvalid) as exc:
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
    if model is None:
        return ServedModel(settings.model, find(settings.model).title)
    return ServedModel(model.name, model.title, demo=model.demo)


def warn(context: AppContext) -> None:
    """Say at start what nobody should find out later."""
    settings = context.settings
    if context.model.demo:
        log.warning("demo_model", message=DEMO_WARNING)
    if settings.cors_allow_any:
        log.warning("cors_allow_any", message="Every web page that a user of this network opens may use the server.")
    if settings.bind_all and settings.api_keys_file is None:
        log.warning("open_to_the_network", message="Whoever reaches this machine may use the server: no key is asked.")


def reload_limits(context: AppContext, server: Server, read_limits: LimitsReader) -> None:
    """Read the limits again; keep the old ones when that fails."""
    try:
        limits = read_limits()
    except GigasttError as exc:
        log.error("reload_failed", reason=str(exc), message="The limits stay as they are.")
        return
    context.change_limits(limits)
    server.change_frame_limit(limits.ws_frame_max_bytes)
    log.info("limits_reloaded")


def raise_descriptor_limit() -> None:
    """Take as many descriptors as the system lets us: every client needs one, and the usual 1,024 are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tune_garbage_collection() -> None:
    """Keep collections from holding up the event loop.

    With thousands of connections a full collection takes hundreds of milliseconds. What lives from here to the end
    need not be looked at again; what dies, nearly always dies young.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 1_000)


class Duties:
    """Tasks that last as long as the server; one that ends before, however it does, ends the server.

    Used as a context: what still runs at its end is cancelled.

    Attributes:
        failure: what the server is to end with; None while every duty is done.
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self.failure: Exception | None = None
        self._on_failure = on_failure
        self._released = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a duty."""
        task = asyncio.create_task(self._see_through(name, work), name=name)
        self._tasks.add(task)
        return task

    def release(self) -> None:
        """Let duties end from now on."""
        self._released = True

    async def __aenter__(self) -> Duties:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _see_through(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            failure: Exception = DutyFailed(f"A part of the server ended that must not: {name}.")
        except GigasttError as exc:  # the model or the workers, in words for people
            failure = exc
        except Exception as exc:  # the border of a duty
            log.exception("duty_failed", duty=name)
            failure = DutyFailed(f"A part of the server failed: {name}. The log has the cause.")
            failure.__cause__ = exc
        if not self._released:
            self.failure = self.failure or failure
            self._on_failure()


@contextlib.asynccontextmanager
async def serving_metrics(
    context: AppContext, listeners: Sequence[socket.socket], duties: Duties
) -> AsyncIterator[None]:
    """Serve `/metrics` on its own listener beside the body."""
    server = Server(
        create_metrics_app(context),
        max_frame_bytes=1024,
        handle_signals=False,
        connections=context.connections,
        event="metrics_listening",
    )
    serving = duties.start("metrics", server.serve(list(listeners)))
    try:
        yield
    finally:
        server.stop(force=True)
        await asyncio.wait({serving})
