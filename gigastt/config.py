"""Settings: one frozen value that the command line builds and everything else only reads.

Flag beats environment (`GIGASTT_…`) beats the TOML file of `--config` beats the default; `cli` does the
merging, this module owns names, defaults and the checks that need more than one field.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from gigastt.errors import ConfigError, ConfigErrors
from gigastt.quota import cpu_quota, memory_limit

Precision: TypeAlias = Literal["auto", "int8", "fp32", "fp16"]
Provider: TypeAlias = Literal["cpu", "cuda"]

MOST_TOLD_APART = 20  # speakers of one session or file

DEFAULT_MODEL = "gigaam-v3-e2e-rnnt"
DEMO_MODEL = "demo"
AUTO_MODEL = "auto"  # the default one where it is installed, else the demo model
MOST_WORKERS = 4  # by default
WORKER_MEMORY = 384 * 2**20  # bytes, of the optimised default model where workers share no weights, with some to spare
LISTENERS = (
    "vosk",
    "wyoming",
    "audiosocket",
)  # settings that are the address of a listener for one protocol, and its name
_ON_PURPOSE = "add --bind-all (or set GIGASTT_ALLOW_BIND_ANY=1) if that is meant."


def default_pool_size() -> int:
    """Return one worker per physical core, at most four, and no more than a container's limits pay for."""
    quota, memory = cpu_quota(), memory_limit()
    by_quota = math.ceil(quota) if quota is not None else MOST_WORKERS
    by_memory = memory // WORKER_MEMORY - 1 if memory is not None else MOST_WORKERS  # the gateway takes as much as one
    return max(1, min(MOST_WORKERS, _physical_cores(), by_quota, by_memory))


def usable_cpus() -> set[int]:
    """Return the logical processors this process may run on; all of them if the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _physical_cores() -> int:
    """Return the number of physical cores this process may run on; of logical ones if the kernel does not tell."""
    usable = usable_cpus()
    siblings = set()
    for cpu in usable:
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            siblings.add(path.read_text(encoding="ascii").strip())
        except OSError:
            return len(usable)
    return len(siblings)


def encoder_for(provider: Provider, precision: Precision) -> Precision:
    """Return which encoder a provider loads: a card the one in 16 bits, unless told otherwise."""
    return "fp16" if provider == "cuda" and precision == "auto" else precision


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings that SIGHUP may change while the server runs. Seconds, bytes and counts; 0 means no limit if noted."""

    idle_timeout_secs: float = 300.0
    max_session_secs: float = 3600.0  # 0 = none
    ws_frame_max_bytes: int = 512 * 1024
    body_limit_bytes: int = 512 * 1024 * 1024
    max_audio_secs: float = 4 * 3600.0
    rate_limit_per_minute: int = 0  # 0 = off
    rate_limit_burst: int = 10
    max_connections: int = 16_384  # some 40 kB each at most
    max_connections_per_address: int = 0  # 0 = any number: a whole office may stand behind one address
    pool_checkout_timeout_secs: float = 30.0
    final_latency_ms: float = 500.0  # of 95 % of the finals; places follow from it
    shutdown_drain_secs: float = 30.0
    resume_secs: float = 60.0  # 0 = a session ends with its connection


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything `serve` needs to know."""

    host: str = "127.0.0.1"
    port: int = 9876
    model: str = DEFAULT_MODEL
    model_dir: Path = field(default_factory=lambda: Path.home() / ".gigastt" / "models")
    precision: Precision = "auto"
    provider: Provider = "cpu"
    min_confidence: float = 0.0
    speaker_model: str = "auto"
    speaker_likeness: float | None = None  # None = the model's own
    pool_size: int = field(default_factory=default_pool_size)
    max_sessions: int | None = None  # None = as many as the workers carry, measured while they run
    worker_memory_mib: int = 0  # after which a worker is replaced; 0 = never
    worker_passes: int = 0  # likewise
    bind_all: bool = False
    allow_origin: tuple[str, ...] = ()
    cors_allow_any: bool = False
    allowed_host: tuple[str, ...] = ()
    trusted_proxy: tuple[str, ...] = ()
    limits: Limits = Limits()
    metrics: bool = False
    metrics_listen: str | None = None  # HOST:PORT
    vosk: str | None = None  # HOST:PORT
    vosk_plain: bool = True
    audiosocket: str | None = None  # HOST:PORT
    audiosocket_allow: tuple[str, ...] = ()  # networks; none: this machine only
    webhook: str | None = None  # URL
    webhook_secret_file: Path | None = None
    wyoming: str | None = None  # HOST:PORT
    wyoming_allow: tuple[str, ...] = ()
    wyoming_announce: bool = False
    hotwords_file: Path | None = None
    jobs_dir: Path | None = None
    jobs_quota_bytes: int = 20 * 1024**3
    jobs_keep: float = 7 * 24 * 3600.0  # seconds
    jobs_url_host: tuple[str, ...] = ()  # HOST or HOST:PORT
    api_keys_file: Path | None = None
    usage_file: Path | None = None  # None = a restart forgets what keys have sent today
    secret_file: Path | None = None  # None = a secret of this process's own
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls: Literal["off", "auto"] = "off"
    tls_dir: Path = field(default_factory=lambda: Path.home() / ".gigastt" / "tls")
    auto_download: bool = False
    log_level: str = "info"
    log_format: Literal["auto", "json", "console"] = "auto"

    @property
    def encoder(self) -> Precision:
        """Which encoder to load."""
        return encoder_for(self.provider, self.precision)

    @property
    def has_own_authority(self) -> bool:
        """Whether the server makes its certificate by itself."""
        return self.tls == "auto" and not is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server that listens on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def split_address(address: str, setting: str = "--metrics-listen") -> tuple[str, int]:
    """Split HOST:PORT; an IPv6 address stands in brackets.

    Raises:
        ConfigError: it is something else.
    """
    match = re.fullmatch(r"(?:([^:\[\]]+)|\[([^\[\]]+)\]):([0-9]{1,5})", address)
    if match is None or int(match[3]) > 65_535:
        raise ConfigError(f"{setting} {address}: expected HOST:PORT.")
    return match[1] or match[2], int(match[3])


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake that settings make together, and the names of their fields."""

    names: frozenset[str]
    text: str


def find_mistakes(settings: Settings) -> list[Mistake]:
    """Return every mistake that settings make together.

    Such are: the server would listen to the network unasked, the file of keys is not there, or TLS has half of what it
    needs.
    """
    found: list[Mistake] = []

    def add(text: str, *names: str) -> None:
        found.append(Mistake(frozenset(names), text))

    if not is_loopback(settings.host) and not settings.bind_all:
        add(
            f"--host {settings.host} would let every machine that reaches this one use the server, "
            f"which asks for no password by default; {_ON_PURPOSE}",
            "host",
            "bind_all",
        )
    for name in ("metrics_listen", *LISTENERS):
        if (address := getattr(settings, name)) is None:
            continue
        flag = f"--{name.replace('_', '-')}"
        try:
            host, _ = split_address(address, flag)
        except ConfigError as exc:
            add(str(exc), name)
            continue
        if not is_loopback(host) and not settings.bind_all:
            harm = "show the metrics, which ask for no password, to" if name == "metrics_listen" else "serve"
            add(f"{flag} {address} would {harm} every machine that reaches this one; {_ON_PURPOSE}", name, "bind_all")
    if settings.precision == ("int8" if settings.provider == "cuda" else "fp16"):
        other = "cpu" if settings.provider == "cuda" else "cuda"
        add(f"--precision {settings.precision} is for --provider {other}.", "precision", "provider")
    if settings.webhook is not None and settings.webhook_secret_file is None:
        add(
            "--webhook-secret-file is missing: without a signature nobody can trust a webhook.",
            "webhook",
            "webhook_secret_file",
        )
    if settings.wyoming_announce and settings.wyoming is None:
        add("--wyoming-announce announces a listener that --wyoming opens.", "wyoming_announce", "wyoming")
    if settings.wyoming is not None and settings.api_keys_file is not None and not settings.wyoming_allow:
        add(
            "--wyoming serves clients that cannot present an API key; name their networks with --wyoming-allow, "
            "127.0.0.1/32 for this machine.",
            "wyoming",
            "wyoming_allow",
            "api_keys_file",
        )
    for name in ("api_keys_file", "secret_file", "hotwords_file"):
        if (file := getattr(settings, name)) is not None and not file.is_file():
            add(f"--{name.replace('_', '-')} {file}: no such file.", name)
    if settings.usage_file is not None and settings.api_keys_file is None:
        add("--usage-file keeps what is sent with the keys of --api-keys-file.", "usage_file", "api_keys_file")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing = "--tls-key" if settings.tls_key is None else "--tls-cert"
        add(f"{missing} is missing: --tls-cert and --tls-key belong together.", "tls_cert", "tls_key")
    if settings.tls_cert is not None and settings.tls == "auto":
        add("--tls auto makes a certificate, and --tls-cert names one: leave one of them out.", "tls_cert", "tls")
    return found


def check_settings(settings: Settings) -> None:
    """Check the settings together. ConfigErrors: `find_mistakes` finds some."""
    found = find_mistakes(settings)
    if found:
        raise ConfigErrors([mistake.text for mistake in found])
