"""The doctor's checks: look at this machine as the server will; name every fault and its remedy.

Each check is a function that looks at one thing and returns one finding; it raises nothing. Runs on the main thread of
`gigastt doctor` for as long as reading the model files takes. It changes nothing, except that the files of a copied
directory are sealed again.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Literal

from gigastt import sandbox
from gigastt.cards import INSTALL, FindVersion, ask_driver, check_build, installed_version
from gigastt.config import Precision, Provider, default_pool_size, encoder_for, split_address, usable_cpus
from gigastt.errors import GigasttError, PortUnavailable, ProviderMissing
from gigastt.gateway.server.listener import bind
from gigastt.models.catalog import CATALOG
from gigastt.models.disk import Seals, sha256_of
from gigastt.models.prepacked import LoadPlan, plan_load
from gigastt.models.room import free_memory, in_mib
from gigastt.models.store import ModelFiles, resolve

NEEDED_CODECS = ("flac", "mp3", "vorbis", "opus", "aac", "pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_alaw", "pcm_mulaw")
SHARED_MEMORY_BYTES_PER_MINUTE = 60 * 16_000 * 2
WANTED_SHARED_MEMORY_BYTES = 256 * 1024 * 1024
WANTED_OPEN_FILES = 4096
WORKER_SPARE_BYTES = 128 * 1024 * 1024  # of a worker, besides the model: interpreter, libraries, buffers


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `mend` names the remedy unless all is well."""

    subject: str
    verdict: Literal["ok", "warning", "broken"]
    text: str
    mend: str = ""


def check_all(
    host: str,
    port: int,
    model: str,
    model_dir: Path,
    precision: Precision,
    provider: Provider,
    listeners: Mapping[str, str],
) -> Iterator[Finding]:
    """Make every check that the server's settings call for, and yield its finding at once.

    listeners: addresses of those for one protocol, by its name.
    """
    yield check_machine()
    yield check_cores()
    yield check_onnxruntime()
    if provider == "cuda":
        yield from check_cards()
    yield check_decoders()
    yield check_sandbox()
    yield from check_model(model, model_dir, encoder_for(provider, precision), provider)
    yield check_shared_memory()
    yield check_port(host, port)
    for name, address in listeners.items():
        yield check_listener(name, address, lambda: _answers_health(host, port))
    yield check_open_files()


def check_machine() -> Finding:
    """Name Python and the system."""
    text = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.platform != "linux":
        return Finding("system", "broken", text, "gigastt runs on Linux: use a container or a virtual machine.")
    return Finding("system", "ok", text)


def check_cores() -> Finding:
    """Count cores, and say how many workers there will be."""
    workers = default_pool_size()
    usable = len(usable_cpus())
    noun = "worker" if workers == 1 else "workers"
    return Finding("cores", "ok", f"{usable} usable; {workers} {noun} unless --pool-size says otherwise")


def check_onnxruntime() -> Finding:
    """Load ONNX Runtime and say which version, with which providers."""
    try:
        import onnxruntime

        available = onnxruntime.get_available_providers()
    except (ImportError, AttributeError) as exc:  # nothing is left in it where one of two builds was taken away
        return Finding("onnxruntime", "broken", f"does not load: {exc}", "Install gigastt again.")
    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in available)
    return Finding("onnxruntime", "ok", f"{onnxruntime.__version__}, providers: {providers}")


def check_cards(
    find_version: FindVersion = installed_version, ask: Callable[[], list[str]] = ask_driver
) -> Iterator[Finding]:
    """Look for the build of onnxruntime that uses cards, and for the cards."""
    try:
        yield Finding("cuda", "ok", f"onnxruntime-gpu {check_build(find_version)}")
    except ProviderMissing as exc:
        yield Finding("cuda", "broken", str(exc).partition(". ")[0], INSTALL)
    try:
        names = ask()
    except ProviderMissing as exc:
        yield Finding("cards", "broken", *str(exc).removeprefix("--provider cuda: ").split(". ", 1))
    else:
        yield Finding("cards", "ok", f"{', '.join(names)}; a worker for each unless --pool-size says otherwise")


def check_sandbox() -> Finding:
    """Say whether uploads are decoded where a fault of a library reaches nothing."""
    if (reason := sandbox.missing()) is None:
        return Finding("sandbox", "ok", "uploads are decoded without network, files or other processes in reach")
    return Finding("sandbox", "warning", reason, "Uploads are decoded with fewer walls: see docs/operations.md.")


def check_decoders() -> Finding:
    """Look for every decoder that uploads need in PyAV's FFmpeg libraries."""
    try:
        import av
    except ImportError as exc:
        return Finding("ffmpeg", "broken", f"PyAV does not load: {exc}", "Install gigastt again.")
    versions = getattr(av, "library_versions", {})
    codec = ".".join(str(part) for part in versions.get("libavcodec", ()))
    missing = [name for name in NEEDED_CODECS if name not in av.codecs_available]
    text = f"PyAV {av.__version__}, libavcodec {codec}"
    if missing:
        return Finding("ffmpeg", "broken", f"{text}; no decoder for {', '.join(missing)}", "Install PyAV's own wheel.")
    return Finding("ffmpeg", "ok", f"{text}, every decoder there")


def check_model(
    model: str, model_dir: Path, precision: Precision = "auto", provider: Provider = "cpu"
) -> Iterator[Finding]:
    """Find the model files, read them whole, load them, and weigh the memory of a worker."""
    try:
        files = resolve(model, model_dir, precision)
    except GigasttError as exc:
        yield Finding("model", "broken", f"{model} is not usable", str(exc))
        return
    size = sum(path.stat().st_size for path in files.paths)
    where = "in the package" if files.demo else f"in {files.directory}"
    yield Finding("model", "ok", f"{files.name}, {files.form} encoder, {in_mib(size)} {where}")
    if files.form == "fp32" and provider == "cpu" and not files.demo:
        yield Finding("encoder", "warning", "fp32 runs a third as fast as it could here", "Run `gigastt optimize`.")
    if files.demo:
        yield Finding("model", "warning", "the demo model knows synthetic voices only", "Use it to try things out.")
    yield check_digests(files)
    yield from check_loading(files, provider)


def check_digests(files: ModelFiles) -> Finding:
    """Read the files in use whole, and compare them with the published digests and with their seals."""
    entry, seals = CATALOG.get(files.name), Seals(files.directory)
    known: list[str] = []
    changed: list[str] = []
    other: list[str] = []
    for path in files.paths:
        digest, seal = sha256_of(path), seals.get(path.name)
        published = entry.digest(path.name) if entry is not None else None
        if digest == published or (seal is not None and digest == seal.sha256):
            known.append(path.name)
        elif seal is not None:
            changed.append(path.name)
        elif published is not None:
            other.append(path.name)
    if changed:
        text = f"changed since it was checked: {', '.join(changed)}"
        return Finding("digests", "broken", text, "Run `gigastt download`.")
    if other:
        text = f"not the published file: {', '.join(other)}"
        return Finding("digests", "warning", text, "If that is not on purpose, run `gigastt download`.")
    return Finding("digests", "ok", f"match: {', '.join(known)}" if known else "none known for these files")


def check_loading(files: ModelFiles, provider: Provider = "cpu") -> Iterator[Finding]:
    """Load the model as a worker does; the memory that each worker adds must be free for all of them."""
    try:
        from gigastt.speech.device import choose_device
        from gigastt.speech.model import recogniser_files
        from gigastt.speech.recognizer import Recognizer
    except ImportError as exc:
        yield Finding("loading", "broken", f"onnxruntime does not load: {exc}", "Install gigastt again.")
        return
    device = choose_device(provider, 0)
    plan = LoadPlan(files.encoder, prepacked=False) if device.is_card else plan_load(files.encoder)
    before, begun = _private_bytes(), time.monotonic()
    try:
        paths = recogniser_files(plan.encoder, files.decoder, files.joint, files.vocabulary)
        Recognizer.load(paths, device=device)
    except ProviderMissing as exc:
        yield Finding("loading", "broken", str(exc), "The lines above on cuda and cards say what is missing.")
        return
    except GigasttError as exc:
        yield Finding("loading", "broken", str(exc), "Run `gigastt download` again, or see --precision.")
        return
    cost = max(_private_bytes() - before, 0)
    form = "its encoder weights shared by all workers" if plan.prepacked else "no weights shared between workers"
    text = f"{time.monotonic() - begun:.1f} s, {in_mib(cost)} of memory for each worker, {form}"
    yield Finding("loading", "ok", text)
    yield check_memory(cost + WORKER_SPARE_BYTES, default_pool_size(), free_memory())


def check_memory(worker_bytes: int, workers: int, available: int | None) -> Finding:
    """Compare the memory of all workers with the free memory (None: the system does not tell)."""
    needed = worker_bytes * workers
    text = f"about {in_mib(worker_bytes)} a worker, {in_mib(needed)} for {workers}"
    if available is None:
        return Finding("memory", "ok", text)
    text += f"; {in_mib(available)} free"
    if available < needed:
        return Finding("memory", "broken", text, "Fewer workers (--pool-size), `gigastt optimize`, or more memory.")
    return Finding("memory", "ok", text)


def check_shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Look at the room for decoded uploads."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as exc:
        return Finding("shared memory", "broken", f"{folder}: {exc.strerror}", "Mount a tmpfs there.")
    minutes = free // SHARED_MEMORY_BYTES_PER_MINUTE
    text = f"{in_mib(free)} free in {folder}: {minutes} minutes of uploaded audio at once"
    if not os.access(folder, os.W_OK):
        return Finding("shared memory", "broken", f"{folder} is not writable", "Mount a writable tmpfs there.")
    if free < WANTED_SHARED_MEMORY_BYTES:
        return Finding("shared memory", "warning", text, "Give the container more, e.g. `--shm-size 1g`.")
    return Finding("shared memory", "ok", text)


def check_port(host: str, port: int, ask: Callable[[str, int], bool] | None = None) -> Finding:
    """See whether the server could listen, or already does.

    Args:
        ask: tells whether a gigastt answers there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            if (ask or _answers_health)(host, port):
                return Finding("port", "ok", f"{host}:{port}: a gigastt is already serving there")
            reason = exc.strerror or str(exc)
            return Finding("port", "broken", f"{host}:{port}: {reason}", "Stop what listens there, or choose --port.")
    return Finding("port", "ok", f"{host}:{port} is free")


def check_listener(protocol: str, address: str, serves: Callable[[], bool]) -> Finding:
    """See whether the listener of a protocol could be opened; `serves` tells whether a gigastt runs already."""
    try:
        for listener in bind(*split_address(address, f"--{protocol}"), f"--{protocol}"):
            listener.close()
    except PortUnavailable as exc:
        if serves():
            return Finding(protocol, "ok", f"{address}: in use, and a gigastt is serving already")
        return Finding(protocol, "broken", address, str(exc))
    except GigasttError as exc:
        return Finding(protocol, "broken", address, str(exc))
    return Finding(protocol, "ok", f"{address} is free")


def check_open_files() -> Finding:
    """Look at how many connections the process may hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} open files allowed"
    if soft < WANTED_OPEN_FILES:
        most = "any number" if hard == resource.RLIM_INFINITY else str(hard)
        return Finding("connections", "warning", text, f"`ulimit -n {WANTED_OPEN_FILES}` ({most} may be asked for).")
    return Finding("connections", "ok", text)


def _answers_health(host: str, port: int) -> bool:
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return b'"status"' in connection.getresponse().read(4096)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _private_bytes() -> int:
    """Return the memory that this process shares with no other: one more worker like it would add as much."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    match = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0
