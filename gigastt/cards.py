"""Cards: what `--provider cuda` needs of this machine, and what of it is missing.

The driver is asked in a process of its own (`python -m gigastt.cards`), so that no other one opens the cards. Packages
are looked up by name: onnxruntime's two builds share one folder, and the one that was installed last has overwritten
the other. Imports no onnxruntime.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, TypeAlias

from gigastt.errors import ProviderMissing
from gigastt.processes import python_command

INSTALL: Final = (
    "Install with `pip install 'gigastt-server[cuda]'`, then `pip uninstall --yes onnxruntime onnxruntime-gpu` and "
    "`pip install 'onnxruntime-gpu[cuda,cudnn]'`: the two builds overwrite each other."
)
_DRIVER: Final = "libcuda.so.1"
_DRIVER_MEND: Final = "Install NVIDIA's driver; a container needs its toolkit as well, and `--gpus all`."
_TIMEOUT_SECONDS: Final = 30.0
_NAME_BYTES: Final = 128

FindVersion: TypeAlias = Callable[[str], str | None]


def installed_version(package: str) -> str | None:
    """Return the version of a package that is installed, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def runtime_version() -> str:
    """Return the version of onnxruntime, whichever build is installed."""
    return installed_version("onnxruntime") or installed_version("onnxruntime-gpu") or ""


def check_build(find_version: FindVersion = installed_version) -> str:
    """Return the version of onnxruntime's build for cards.

    Raises:
        ProviderMissing: it is not installed, or the build for processors is there as well.
    """
    for_cards, for_processors = find_version("onnxruntime-gpu"), find_version("onnxruntime")
    if for_cards is None:
        raise ProviderMissing(f"--provider cuda needs the package onnxruntime-gpu. {INSTALL}")
    if for_processors is not None:
        raise ProviderMissing(f"onnxruntime and onnxruntime-gpu are both installed. {INSTALL}")
    return for_cards


def ask_driver(command: Sequence[str] | None = None) -> list[str]:
    """Return the names of the cards that this process may use, in the order of their numbers.

    Args:
        command: what prints them as JSON; None for the driver.

    Raises:
        ProviderMissing: there is no driver, or no card.
    """
    command = command or python_command("gigastt.cards")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
        answer = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as exc:
        raise ProviderMissing(f"--provider cuda: NVIDIA's driver gives no answer. {_DRIVER_MEND}") from exc
    if isinstance(answer, str):
        raise ProviderMissing(f"--provider cuda: {answer}. {_DRIVER_MEND}")
    return list(answer)


def require_cards(workers: int, cards: Sequence[str]) -> None:
    """Check that each worker has a card of its own. ProviderMissing: they are too few."""
    if workers > len(cards):
        held = "1 card is" if len(cards) == 1 else f"{len(cards)} cards are"
        raise ProviderMissing(
            f"--pool-size {workers}: with --provider cuda each worker has a card of its own, and {held} here."
        )


def find_cards(library: str = _DRIVER) -> list[str] | str:
    """Ask the driver for its cards; return their names, or what is missing, in words."""
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return f"there is no {library}"
    if code := driver.cuInit(0):
        return f"no card can be used (CUDA error {code})"
    count, device = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    names: list[str] = []
    for number in range(count.value):
        name = ctypes.create_string_buffer(_NAME_BYTES)
        driver.cuDeviceGet(ctypes.byref(device), number)
        driver.cuDeviceGetName(name, _NAME_BYTES, device)
        names.append(name.value.decode(errors="replace"))
    return names or "there is no card"


if __name__ == "__main__":
    json.dump(find_cards(), sys.stdout)
