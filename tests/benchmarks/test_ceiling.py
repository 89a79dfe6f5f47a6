"""The ceiling: every product of an encoder, each with weights of its own, and values that stay finite."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from benchmarks.ceiling import Shape, make_products
from gigastt.optimize.graph import matching

LAYER = (Shape(48, 192), Shape(192, 48), Shape(48, 48), Shape(48, 48), Shape(48, 96), Shape(48, 48))


@pytest.mark.parametrize("shapes", [LAYER * 20, (Shape(48, 96), Shape(20, 16), Shape(60, 48))])
def test_every_product_is_computed_and_none_overflows(shapes: tuple[Shape, ...]) -> None:
    model = make_products(shapes)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    (result,) = session.run(None, {"x": np.ones((1, 7, 48), np.float32)})

    assert result.shape == (1, 7, shapes[-1].outputs)
    assert 0.1 < float(np.abs(result).mean()) < 100
    assert len(matching(model.graph.node, "DynamicQuantizeMatMul")) == len(shapes)


def test_no_two_products_share_their_weights() -> None:
    weights = [w.raw_data for w in make_products(LAYER * 2).graph.initializer if w.name.startswith("weight_")]
    assert len(set(weights)) == len(LAYER) * 2
