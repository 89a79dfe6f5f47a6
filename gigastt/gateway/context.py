"""The context: the parts of one server, from which `app.create_app` gives each route those that it needs.

Built once by the composition root; lives on the event loop. `limits` may change while the server runs
(`change_limits`), `preparing` is set while the model is fetched, and `model` and `settings` change with an upgrade of
the workers; everything else stays.
"""

from __future__ import annotations

import resource
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gigastt.authority import Authority
from gigastt.config import Limits, Settings
from gigastt.gateway.access.addresses import parse_networks
from gigastt.gateway.access.keys import ApiKeys
from gigastt.gateway.access.tokens import Tokens
from gigastt.gateway.access.usage_file import UsageFile
from gigastt.gateway.feeds import Feeds
from gigastt.gateway.files.decoder_report import DecodedFile
from gigastt.gateway.files.decoding import Decodes, Decoding
from gigastt.gateway.history import History
from gigastt.gateway.jobs.jobs import Jobs
from gigastt.gateway.metrics import Metrics
from gigastt.gateway.pool.events import Event
from gigastt.gateway.pool.ports import ServingPool
from gigastt.gateway.rate import Rate, RateLimiter
from gigastt.gateway.server.caps import Caps, Connections, most_connections
from gigastt.gateway.waiting_room import WaitingRoom
from gigastt.speakers import Book
from gigastt.transcript import Options


class FileTranscriber(Protocol):
    """How a decoded file is recognised."""

    def __call__(
        self, channels: Sequence[DecodedFile], request_id: str, options: Options, book: Book | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield finals and progress, and partials if asked to; the last final has the reason `stop`.

        Args:
            channels: of one file; a channel is told by its place here.
            book: tells speakers apart; who they are comes behind the last final.
        """
        ...


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Facts about the model for clients, known also before any worker has loaded it.

    likeness: of voices that are one person's, as `SpeakerBook` takes it; None where speakers are not told apart.
    """

    name: str
    title: str
    demo: bool = False
    likeness: float | None = None


@dataclass(frozen=True, slots=True)
class Listening:
    """A listener for the clients of one protocol."""

    protocol: str
    host: str
    port: int


@dataclass(slots=True)
class AppContext:
    """The parts of one server. ConfigError: the file of API keys, of usage or of the secret is wrong."""

    settings: Settings
    model: ServedModel
    metrics: Metrics
    pool: ServingPool
    decoder: Decodes
    transcribe: FileTranscriber
    clock: Callable[[], float] = time.monotonic
    installed: Sequence[str] = ()  # names of the models whose files are here
    authority: Authority | None = None  # the server's own, with --tls auto
    preparing: Callable[[], str] | None = None  # while the model is being fetched: "downloading 37 %"
    feeds: Feeds = field(default_factory=Feeds)
    listeners: Sequence[Listening] = ()  # besides the server's own
    jobs: Jobs | None = None
    limits: Limits = field(init=False)
    decoding: Decoding = field(init=False)
    rate_limiter: RateLimiter = field(init=False)
    connections: Connections = field(init=False)
    history: History = field(init=False)
    tokens: Tokens = field(init=False)
    waiting_room: WaitingRoom[Any] = field(init=False)
    api_keys: ApiKeys | None = field(init=False)  # None: no key is asked for
    usage_file: UsageFile | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.limits = self.settings.limits
        self.decoding = Decoding(self.decoder, lambda: self.limits.max_audio_secs)
        self.rate_limiter = RateLimiter(_rate(self.limits))
        trusted = parse_networks(self.settings.trusted_proxy)
        self.connections = Connections(_caps(self.limits), trusted, self.metrics.count_refusal)
        self.history = History(self.pool, self.metrics)
        self.tokens = Tokens.load(self.settings.secret_file) if self.settings.secret_file is not None else Tokens()
        self.waiting_room = WaitingRoom(lambda: self.limits.resume_secs)
        self.pool.drain_listeners.add(self.feeds.drain)
        file = self.settings.api_keys_file
        self.api_keys = ApiKeys.load(file) if file is not None else None
        if self.api_keys is not None:
            keys = self.api_keys
            self.metrics.keys.read = lambda: keys.usages
            if (usage_file := self.settings.usage_file) is not None:
                self.usage_file = UsageFile(usage_file, keys)

    @property
    def preparation(self) -> str | None:
        """How far the download of the model is, in words; None when none is running."""
        return self.preparing() if self.preparing is not None else None

    def change_limits(self, limits: Limits) -> None:
        """Apply other limits to new requests and new sessions."""
        self.limits = limits
        self.rate_limiter.change(_rate(limits))
        self.connections.change(_caps(limits))
        self.pool.keep_promise(limits.final_latency_ms)


def _rate(limits: Limits) -> Rate:
    return Rate(limits.rate_limit_per_minute, limits.rate_limit_burst)


def _caps(limits: Limits) -> Caps:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Caps(limits.max_connections_per_address, most_connections(limits.max_connections, descriptors))
