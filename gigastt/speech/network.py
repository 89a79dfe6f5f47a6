"""One ONNX graph on one thread, with its tensors known by their place in a contract.

Used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state

from gigastt.errors import InferenceError, ModelInvalid
from gigastt.speech.device import CORE, Device, open_session

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = Sequence[int | str | None]

_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32"}
_ERRORS_ONLY = 3
# onnxruntime's own exception classes (Fail, InvalidArgument, NoSuchFile, …) have no common base below Exception
_REFUSALS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    TypeError,
    *(cls for cls in vars(onnxruntime_pybind11_state).values() if isinstance(cls, type) and issubclass(cls, Exception)),
)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The contract of one input or output; None in the shape stands for any size."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {_sizes(self.shape)}"

    def admits(self, value: Array) -> bool:
        """Tell whether an array is of this type and shape."""
        return value.dtype.name == self.dtype and self.admits_shape(value.shape)

    def admits_shape(self, shape: Shape) -> bool:
        """Tell whether a declared shape can be this one: dynamic sizes fit anywhere, and so does none at all."""
        return not shape or (
            len(shape) == len(self.shape)
            and all(
                want is None or not isinstance(got, int) or want == got
                for want, got in zip(self.shape, shape, strict=True)
            )
        )


class _Node(Protocol):
    """An input or output as onnxruntime describes it."""

    name: str
    type: str
    shape: Shape


def session_options() -> ort.SessionOptions:
    """Return how every session of a process that recognises runs: on one thread that does not spin."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # An arena never gives back what the longest pass took, and patterns are kept for every length of window for
    # ever; malloc is as fast here, and gives back (gigastt.processes).
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return options


class NetworkGraph:
    """An onnxruntime session that is fed and read in the order of its contract."""

    def __init__(
        self,
        path: Path,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        session_config: Mapping[str, str] | None = None,
        device: Device = CORE,
    ) -> None:
        """Open an ONNX file.

        Raises:
            ProviderMissing: onnxruntime does not get the device.
            ModelInvalid: the file is missing, is no ONNX graph, or its inputs or outputs are not the contract's.
        """
        self.name = path.name
        options = session_options()
        for key, value in (session_config or {}).items():
            options.add_session_config_entry(key, value)
        try:
            self._session = open_session(path, options, device)
        except _REFUSALS as exc:
            raise ModelInvalid(f"Expected an ONNX graph in {path.name}, but onnxruntime cannot load it.") from exc
        nodes = self._match("input", inputs, self._session.get_inputs())
        self._inputs = [node.name for node in nodes]
        self.input_shapes = [node.shape for node in nodes]
        self._outputs = [node.name for node in self._match("output", outputs, self._session.get_outputs())]
        self._output_specs = outputs

    def run(self, *values: Array) -> list[Array]:
        """Run the graph once; inputs and outputs in the order of the contract.

        Raises:
            InferenceError: onnxruntime refused the inputs or failed, or an output is not of the contract's type
                or shape; the session stays usable.
        """
        try:
            outputs: list[Array] = self._session.run(self._outputs, dict(zip(self._inputs, values, strict=True)))
        except _REFUSALS as exc:
            shapes = ", ".join(f"{value.dtype} {_sizes(value.shape)}" for value in values)
            raise InferenceError(f"onnxruntime failed to run {self.name} on {shapes}.") from exc
        for spec, output in zip(self._output_specs, outputs, strict=True):
            if not spec.admits(output):
                raise InferenceError(
                    f"Expected {spec} from {self.name}, but got {output.dtype} {_sizes(output.shape)}."
                )
        return outputs

    def _match(self, kind: str, specs: Sequence[TensorSpec], nodes: Sequence[_Node]) -> list[_Node]:
        """Return the graph's tensors in the order of the contract: by name, else by position."""
        by_name = {node.name: node for node in nodes}
        if all(spec.name in by_name for spec in specs):
            matched = [by_name[spec.name] for spec in specs]
        elif len(nodes) == len(specs):
            matched = list(nodes)
        else:
            wanted = ", ".join(spec.name for spec in specs)
            raise ModelInvalid(f"Expected {kind}s {wanted} in {self.name}, but it has {', '.join(by_name) or 'none'}.")
        for spec, node in zip(specs, matched, strict=True):
            if _TYPES.get(node.type) != spec.dtype or not spec.admits_shape(node.shape):
                raise ModelInvalid(
                    f"Expected {kind} {spec} in {self.name}, but {node.name} is {node.type} {_sizes(node.shape)}."
                )
        return matched


def _sizes(shape: Shape) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"
