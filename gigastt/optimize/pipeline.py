"""The pipeline: each pass rewrites the graph, is compared with the graph before it, and is undone if they differ.

Owns the order of the passes and their tolerances. Runs in the process that optimises, never in a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gigastt.errors import ModelInvalid
from gigastt.optimize.attention import fuse_attention, rotary_positions
from gigastt.optimize.fold import drop_masks, fold_constants, fold_factors, join_norms, keep_sums
from gigastt.optimize.graph import Graph, tidy
from gigastt.optimize.layout import cut_round_trips, depthwise_convolutions, pointwise_convolutions, sink_transposes
from gigastt.optimize.observe import SAME, Values, make_trial, relative_difference, run_graph, settle_batch
from gigastt.optimize.quantise import quantise
from gigastt.speech.model import Floats

MINIMUM_OPSET = 13  # Squeeze and Unsqueeze take their axes as inputs from here on
COARSE = 0.10  # for 8 bits; a trained encoder stays near 0.02


@dataclass(frozen=True, slots=True)
class Pass:
    """One rewriting step. `rewrite` returns in how many places its pattern was found."""

    name: str
    rewrite: Callable[[Graph], int]
    tolerance: float = SAME


@dataclass(frozen=True, slots=True)
class PassResult:
    """The outcome of a pass.

    difference: relative, against the graph before it; 0 if the pass came to no result.
    reason: why it was undone, in words; else empty.
    """

    name: str
    outcome: Literal["done", "not found", "undone"]
    places: int = 0
    difference: float = 0.0
    reason: str = ""


PASSES = (
    Pass("constants kept as weights", fold_constants),
    Pass("layer norms joined", join_norms),
    Pass("masks of equal lengths left out", drop_masks),
    Pass("factors folded into weights", fold_factors),
    Pass("one rotary embedding per layer", rotary_positions),
    Pass("round trips of layout cut", cut_round_trips),
    Pass("attention fused", fuse_attention),
    Pass("kernel-1 convolutions as matrix products", pointwise_convolutions),
    Pass("transposes cancelled", sink_transposes),
    Pass("depthwise convolutions blocked", depthwise_convolutions),
    Pass("sums kept apart from layer norms", keep_sums),
    Pass("8-bit weights per channel", quantise, COARSE),
)


def run_passes(
    graph: Graph, passes: tuple[Pass, ...] = PASSES, progress: Callable[[str], None] = lambda step: None
) -> tuple[Graph, list[PassResult]]:
    """Apply the passes in order; return the rewritten graph and what each pass did.

    A pass whose pattern is missing is skipped; one whose result differs, or that onnxruntime refuses, is undone.

    Raises:
        ModelInvalid: an opset from before 13.
        ValueError: onnxruntime does not take the graph.
    """
    if graph.opset < MINIMUM_OPSET:
        raise ModelInvalid(f"Expected an ONNX graph of opset {MINIMUM_OPSET} or later, but got {graph.opset}.")
    tidy(graph)
    settle_batch(graph)
    trials = [make_trial(1, 203), make_trial(min(2, graph.batch), 90, seed=1)]
    reference = run_graph(graph, trials)
    results: list[PassResult] = []
    for step in passes:
        progress(step.name)
        candidate = graph.copy()
        try:
            places = step.rewrite(candidate)
            if not places:
                results.append(PassResult(step.name, "not found"))
                continue
            difference, values = _compare(candidate, trials, reference)
        except (ValueError, LookupError, TypeError, AttributeError) as exc:  # a graph that the pass was not written for
            results.append(PassResult(step.name, "undone", reason=f"{type(exc).__name__}: {exc}"))
            continue
        if difference <= step.tolerance:
            graph, reference = candidate, values
            results.append(PassResult(step.name, "done", places, difference))
        else:
            reason = f"it changed the result by {difference:.2%}"
            results.append(PassResult(step.name, "undone", places, difference, reason))
    return graph, results


def _compare(graph: Graph, trials: list[Floats], reference: list[Values]) -> tuple[float, list[Values]]:
    """Run a rewritten graph; return the largest relative difference of any output, and the outputs.

    Raises:
        ValueError: onnxruntime does not take the graph, or its outputs are not comparable.
    """
    tidy(graph)
    values = run_graph(graph, trials)
    pairs = [(old[name], new[name]) for old, new in zip(reference, values, strict=True) for name in old]
    difference = max(relative_difference(old, new) for old, new in pairs)
    if not np.isfinite(difference):
        raise ValueError("an output has another shape, or numbers that are none")
    return difference, values
