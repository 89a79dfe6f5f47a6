"""The composition root of the server: finds the parts, joins them, and ends them in order.

    startup     model files → sockets → event loop → listening; the workers load while `/health` already answers
    main loop   the server serves; SIGHUP reads the limits again, SIGUSR2 replaces the workers
    shutdown    drain (server) → metrics listener → workers → decoder's processes

The only module besides the command line that knows both the gateway and the workers. Runs on the main thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import resource
import signal
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from functools import partial

import uvloop
from starlette.types import ASGIApp

from gigastt import __version__
from gigastt.announcement import announce_listener, check_zeroconf
from gigastt.cautions import warn
from gigastt.config import AUTO_MODEL, LISTENERS, Settings, split_address
from gigastt.duties import Duties
from gigastt.gateway.api.enrolment import open_file_book
from gigastt.gateway.api.wyoming_turns import listen_for_wyoming
from gigastt.gateway.app import (
    create_app,
    create_audiosocket,
    create_metrics_app,
    create_plain_app,
    create_vosk_app,
    split_by_port,
)
from gigastt.gateway.call_webhook import CallWebhook, read_secret
from gigastt.gateway.context import AppContext, Listening
from gigastt.gateway.feeds import Feeds
from gigastt.gateway.files.decoder import FileDecoder
from gigastt.gateway.files.decoder_report import DecodedFile
from gigastt.gateway.jobs.jobs import Jobs
from gigastt.gateway.jobs.running import JobSession, OnSettled
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.events import Event
from gigastt.gateway.pool.pool import Pool
from gigastt.gateway.pool.session import Session, transcribe_files
from gigastt.gateway.pool.sources import FileSource
from gigastt.gateway.server.listener import ConnectionFactory, Server, bind, watch_loop_lag
from gigastt.log import get_logger
from gigastt.model_loading import (
    FetchCommand,
    describe,
    fetch_model,
    find_hotwords,
    find_model,
    find_speakers,
    keep_improving,
    load,
    require_provider,
)
from gigastt.models.fetch import FetchRequest
from gigastt.models.store import ModelFiles
from gigastt.processes import forbid_core_files
from gigastt.reloading import (
    SettingsReader,
    find_authority,
    find_certificate,
    keep_certificate,
    keep_upgrading,
    reload_limits,
)
from gigastt.speakers import Book
from gigastt.transcript import Options

log = get_logger(__name__)

_SWITCH_SECONDS = 0.001  # the loop waits so long for a thread, as one that renders a long transcript
Greeting = Callable[
    [str, bool], None
]  # what to do when the server is ready: its URL, and whether it has the demo model

# What serves the listeners of `LISTENERS`: an application over HTTP, or connections of their own kind.
APPS: Mapping[str, Callable[[AppContext], ASGIApp]] = {"vosk": create_vosk_app}
TCP: Mapping[str, Callable[[AppContext], ConnectionFactory]] = {
    "wyoming": listen_for_wyoming,
    "audiosocket": create_audiosocket,
}


def run_server(settings: Settings, read_settings: SettingsReader, greet: Greeting = lambda url, demo: None) -> int:
    """Serve until told to stop; return the exit code.

    Raises:
        ProviderMissing: what is to run the encoder is not here.
        ModelMissing, ModelInvalid: no model files, and nobody asked to fetch them.
        PortUnavailable: the port is taken.
        ConfigError: a file that the settings name is wrong.
        WorkerBootFailed: the workers end before they are ready.
        DutyFailed: a part of the server did not last as long as the server.
    """
    forbid_core_files()
    sys.setswitchinterval(_SWITCH_SECONDS)
    if settings.wyoming_announce:
        check_zeroconf()
    require_provider(settings)
    model = find_model(settings)
    find_speakers(settings)
    find_hotwords(settings)
    listeners = bind(settings.host, settings.port)
    metrics_listeners = (
        bind(*split_address(settings.metrics_listen), "--metrics-listen") if settings.metrics_listen else []
    )
    others = {
        name: bind(*split_address(address, f"--{name}"), f"--{name}")
        for name in LISTENERS
        if (address := getattr(settings, name)) is not None
    }
    raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_model(settings, model, listeners, metrics_listeners, read_settings, greet, others=others))
    return 0


async def serve_model(
    settings: Settings,
    model: ModelFiles | None,
    listeners: list[socket.socket],
    metrics_listeners: list[socket.socket],
    read_settings: SettingsReader,
    greet: Greeting,
    fetch_command: FetchCommand = FetchRequest.command,
    *,
    others: Mapping[str, Sequence[socket.socket]] = {},
) -> None:
    """Join the parts, serve, and end them; `model` is None while it must be fetched first.

    `others` are listeners of one protocol each, by its name.
    """
    # startup
    metrics = Metrics()
    decoder = FileDecoder()
    pool = Pool(settings, metrics)
    authority = find_authority(settings)
    context = AppContext(
        settings=settings,
        authority=authority,
        model=describe(settings, model),
        metrics=metrics,
        pool=pool,
        decoder=decoder,
        transcribe=FileTranscription(pool),
    )
    context.listeners = [
        Listening(name, *listener.getsockname()[:2]) for name, listeners in others.items() for listener in listeners
    ]
    names = {listening.port: listening.protocol for listening in context.listeners}
    context.jobs = await open_jobs(context)
    app: ASGIApp = create_app(context)
    certificate = find_certificate(settings, authority)
    server = Server(
        split_by_port(app, {port: APPS[name](context) for port, name in names.items() if name in APPS}),
        max_frame_bytes=settings.limits.ws_frame_max_bytes,
        begin_drain=pool.begin_drain,
        drain_seconds=lambda: context.limits.shutdown_drain_secs,
        connections=context.connections,
        certificate=certificate,
        plain_app=create_plain_app(context) if certificate is not None else None,
        events={port: f"{name}_listening" for port, name in names.items()},
        protocols={port: TCP[name](context) for port, name in names.items() if name in TCP},
    )
    warn(context)
    duties = Duties(on_failure=server.stop)

    def ready() -> None:
        addresses = [address_of(listener) for listener in itertools.chain(listeners, *others.values())]
        tell_ready(context, url_of(listeners[0], "https" if server.certificate else "http"), addresses, greet)
        if settings.model == AUTO_MODEL and context.model.demo:
            duties.start("better_model", keep_improving(context, fetch_command))

    upgrade_asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload_limits, context, server, read_settings)
    loop.add_signal_handler(signal.SIGUSR2, upgrade_asked.set)
    try:
        # main loop
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(decoder)
            if context.jobs is not None:
                stack.callback(context.jobs.close)
            await stack.enter_async_context(duties)
            if context.usage_file is not None:
                duties.start("usage", context.usage_file.keep())
            duties.start("workers", keep_workers(pool, context, model, ready))
            duties.start("upgrades", keep_upgrading(context, read_settings, upgrade_asked))
            duties.start("history", context.history.run())
            duties.start("loop_lag", watch_loop_lag(metrics))
            if authority is not None:
                duties.start("certificate", keep_certificate(authority, server))
            if settings.wyoming_announce:
                announced = next(each for each in context.listeners if each.protocol == "wyoming")
                duties.start("announcement", announce_listener(announced))
            if context.jobs is not None:
                duties.start("jobs", context.jobs.run())
            if metrics_listeners:
                await stack.enter_async_context(serving_metrics(context, metrics_listeners, duties))
            if (webhook := find_webhook(settings, context.feeds, metrics)) is not None:
                await stack.enter_async_context(webhook)
            await server.serve([*listeners, *itertools.chain(*others.values())])
            duties.release()
    finally:
        # shutdown
        await pool.close()
        log.info("stopped")
    if duties.failure is not None:
        raise duties.failure


async def keep_workers(pool: Pool, context: AppContext, model: ModelFiles | None, ready: Callable[[], None]) -> None:
    """Fetch the model if need be, load it, call `ready`, and keep the workers at work."""
    await load(pool, context, model or await fetch_model(context, context.settings.model))
    tune_garbage_collection()
    ready()
    await pool.watch()


def tell_ready(context: AppContext, url: str, addresses: Sequence[str], greet: Greeting) -> None:
    """Say that the server can be used, where, and as what: the line to look for after a start."""
    pool, settings, card = context.pool, context.settings, context.pool.model
    log.info(
        "ready",
        url=url,
        version=__version__,
        model=context.model.name,
        encoder=card.encoder if card is not None else None,
        workers=pool.workers_ready,
        places=pool.places.capacity,
        fitting=pool.fitting,
        addresses=addresses,
        metrics=settings.metrics_listen or settings.metrics,
        keys=context.api_keys is not None,
        tls=url.startswith("https"),
    )
    greet(url, context.model.demo)


def url_of(listener: socket.socket, scheme: str) -> str:
    """Return an address under which this machine reaches a listener."""
    return f"{scheme}://" + address_of(listener).replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")


def address_of(listener: socket.socket) -> str:
    """Return where a listener listens."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class FileTranscription:
    """How an upload is recognised: a session over its shared segments."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __call__(
        self, channels: Sequence[DecodedFile], request_id: str, options: Options, book: Book | None = None
    ) -> AsyncGenerator[Event, None]:
        files = [FileSource(file.name, file.samples) for file in channels]
        async for event in transcribe_files(self._pool, files, options, request_id, book):
            yield event


async def open_jobs(context: AppContext) -> Jobs | None:
    """Open the folder of jobs, where there is to be one. ConfigError: it cannot be had."""
    settings, pool = context.settings, context.pool
    if settings.jobs_dir is None:
        return None

    def open_session(
        files: Sequence[FileSource], options: Options, request_id: str, on_settled: OnSettled
    ) -> JobSession:
        return Session(pool, options, request_id=request_id, files=files, on_settled=on_settled)

    jobs = Jobs(
        settings.jobs_dir,
        settings.jobs_quota_bytes,
        settings.jobs_keep,
        settings.jobs_url_host,
        lambda: context.limits.body_limit_bytes,
        context.decoding,
        open_session,
        partial(open_file_book, context),
        context.metrics,
        charge=context.api_keys.charge if context.api_keys is not None else lambda owner, seconds: None,
    )
    await jobs.take_up()
    pool.drain_listeners.add(jobs.begin_drain)
    return jobs


def find_webhook(settings: Settings, feeds: Feeds, metrics: Metrics) -> CallWebhook | None:
    """Return the webhook where there is to be one. ConfigError: its secret is wrong."""
    if settings.webhook is None or settings.webhook_secret_file is None:
        return None
    return CallWebhook(settings.webhook, read_secret(settings.webhook_secret_file), feeds, metrics)


def raise_descriptor_limit() -> None:
    """Take as many descriptors as the system lets us: every client needs one, and the usual 1,024 are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tune_garbage_collection() -> None:
    """Keep collections from holding up the event loop.

    With thousands of connections a full collection takes hundreds of milliseconds. Objects that live on from here
    need not be looked at again; the others nearly always die young. A collection of the young takes a millisecond; the
    next older ones are looked at once there are a million.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 500, 1_000)


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
