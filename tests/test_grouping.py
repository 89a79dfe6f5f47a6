"""Grouping vectors by likeness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigastt.grouping import group_vectors


def cloud(people: int, voices: int, seed: int, spread: float = 0.3) -> tuple[npt.NDArray[np.float32], list[int]]:
    """Return vectors around the centres of so many people, and whose each is; all of them appear in the beginning."""
    rng = np.random.default_rng(seed)
    centres = np.eye(people, 32)
    whose = [*range(people), *rng.integers(0, people, voices - people).tolist()]
    vectors = centres[whose] + spread * rng.standard_normal((voices, 32)) / np.sqrt(32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), whose


@pytest.mark.parametrize("people", [1, 2, 5])
def test_clouds_are_groups_in_order_of_appearance(people: int) -> None:
    vectors, whose = cloud(people, 40, seed=people)

    assert group_vectors(vectors, 0.5, exactly=0, most=20).tolist() == whose


def test_there_are_as_many_groups_as_are_wanted() -> None:
    vectors, _ = cloud(4, 30, seed=1)

    assert group_vectors(vectors, 0.5, exactly=2, most=20).max() == 1
    assert group_vectors(vectors, 0.5, exactly=6, most=20).max() == 5
    assert group_vectors(vectors, 0.5, exactly=0, most=3).max() == 2
    assert group_vectors(vectors[:3], 0.5, exactly=6, most=20).tolist() == [0, 1, 2]


def slow_groups(vectors: npt.NDArray[np.float32], likeness: float) -> set[frozenset[int]]:
    """Join the two groups with the largest mean similarity, again and again."""
    similar = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    groups = [[one] for one in range(len(vectors))]
    while len(groups) > 1:
        pairs = [
            (similar[np.ix_(groups[first], groups[second])].mean(), first, second)
            for second in range(len(groups))
            for first in range(second)
        ]
        best, first, second = max(pairs)
        if best < likeness:
            break
        groups[first] += groups.pop(second)
    return {frozenset(group) for group in groups}


@given(seed=st.integers(0, 1_000), count=st.integers(1, 14), likeness=st.sampled_from([0.2, 0.5, 0.8]))
def test_the_groups_are_those_of_average_linkage(seed: int, count: int, likeness: float) -> None:
    vectors = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    groups = group_vectors(vectors, likeness, exactly=0, most=count)

    found = {frozenset(np.flatnonzero(groups == one).tolist()) for one in range(groups.max() + 1)}
    assert found == slow_groups(vectors, likeness)
