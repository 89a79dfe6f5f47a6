"""Device: an encoder runs on this process's core, or on a card through CUDA.

onnxruntime goes on with the processor, without an error, where a card's libraries do not load or a run on it fails.
Sessions are opened here, so that it is the device that was asked for, or a sentence. One thread.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import onnxruntime as ort

from gigastt.errors import ProviderMissing

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
# An exhaustive search for the best convolution takes longer than the pass, for each length of window anew.
_CUDA_OPTIONS: Final = {"cudnn_conv_algo_search": "HEURISTIC"}


@dataclass(frozen=True, slots=True)
class Device:
    """A processor that runs an encoder.

    provider: onnxruntime's name for it.
    options: that onnxruntime gives it.
    is_card: whatever is queued shares its passes.
    """

    provider: str = CPU
    options: Mapping[str, str] = field(default_factory=dict)
    is_card: bool = False


CORE: Final = Device()


def choose_device(provider: str, number: int, *, stands_in: bool = False) -> Device:
    """Return the device of a worker.

    Args:
        provider: `cpu` or `cuda`.
        number: of the card, from 0 on.
        stands_in: the processor computes what a card would: to try its ways where there is none.
    """
    if provider == "cpu":
        return CORE
    if stands_in:
        return Device(is_card=True)
    return Device(CUDA, {"device_id": str(number), **_CUDA_OPTIONS}, is_card=True)


def open_session(path: Path, options: ort.SessionOptions, device: Device = CORE) -> ort.InferenceSession:
    """Open a graph on a device, and there only.

    Raises:
        ProviderMissing: onnxruntime does not get the device.
        Exception: onnxruntime's own, where it refuses the graph.
    """
    said = io.StringIO()
    if device.provider == CUDA:
        with contextlib.redirect_stdout(said):  # where it says which library is missing
            ort.preload_dlls()
    providers = [(device.provider, dict(device.options))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a provider that is not there: that is an error here
        try:
            session = ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
        except Exception as exc:  # onnxruntime's own classes have no common base
            if device.provider == CUDA and "CUDA" in str(exc):  # of the driver or the card, not of the graph
                raise ProviderMissing(f"onnxruntime cannot use {device.provider}: {exc}") from exc
            raise
    if device.provider not in session.get_providers():
        reason = " ".join(said.getvalue().split()) or "`gigastt doctor --provider cuda` says what is missing."
        raise ProviderMissing(f"onnxruntime cannot use {device.provider}: {reason}")
    return session
