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

from gigastt.errors import ConfigError
from gigastt.quota import cpu_quota

Precision: TypeAlias = Literal["auto", "int8", "fp32"]

DEFAULT_MODEL = "gigaam-v3-e2e-rnnt"
DEMO_MODEL = "demo"
AUTO_MODEL = "auto"  # the default one where it is installed, else the demo model
_ON_PURPOSE = "add --bind-all (or set GIGASTT_ALLOW_BIND_ANY=1) if that is meant."


def default_pool_size() -> int:
    """Return one worker per physical core, at most four, and no more than a container's processor quota pays for."""
    quota = cpu_quota()
    return max(1, min(4, _physical_cores(), math.ceil(quota) if quota is not None else 4))


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
    min_confidence: float = 0.0
    pool_size: int = field(default_factory=default_pool_size)
    max_sessions: int | None = None  # None = as many as the workers carry, measured while they run
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
    api_keys_file: Path | None = None
    secret_file: Path | None = None  # None = a secret of this process's own
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls: Literal["off", "auto"] = "off"
    tls_dir: Path = field(default_factory=lambda: Path.home() / ".gigastt" / "tls")
    auto_download: bool = False
    log_level: str = "info"
    log_format: Literal["auto", "json", "console"] = "auto"

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


def check_settings(settings: Settings) -> None:
    """Check the settings together.

    Raises:
        ConfigError: the server would listen to the network unasked, the file of keys is not there, or TLS has half of
            what it needs.
    """
    if not is_loopback(settings.host) and not settings.bind_all:
        raise ConfigError(
            f"--host {settings.host} would let every machine that reaches this one use the server, "
            f"which asks for no password by default; {_ON_PURPOSE}"
        )
    if settings.metrics_listen is not None:
        host, _ = split_address(settings.metrics_listen)
        if not is_loopback(host) and not settings.bind_all:
            raise ConfigError(
                f"--metrics-listen {settings.metrics_listen} would show the metrics, which ask for no password, "
                f"to every machine that reaches this one; {_ON_PURPOSE}"
            )
    if settings.vosk is not None:
        host, _ = split_address(settings.vosk, "--vosk")
        if not is_loopback(host) and not settings.bind_all:
            raise ConfigError(
                f"--vosk {settings.vosk} would let every machine that reaches this one use the server; {_ON_PURPOSE}"
            )
    if settings.api_keys_file is not None and not settings.api_keys_file.is_file():
        raise ConfigError(f"--api-keys-file {settings.api_keys_file}: no such file.")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing = "--tls-key" if settings.tls_key is None else "--tls-cert"
        raise ConfigError(f"{missing} is missing: --tls-cert and --tls-key belong together.")
    if settings.tls_cert is not None and settings.tls == "auto":
        raise ConfigError("--tls auto makes a certificate, and --tls-cert names one: leave one of them out.")
