"""Grouping vectors by likeness: agglomerative, with average linkage under the cosine. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def group_vectors(vectors: npt.NDArray[np.float32], likeness: float, exactly: int, most: int) -> npt.NDArray[np.intp]:
    """Return the group of each vector, from 0.

    Groups whose members are most similar on average are joined, as long as that is `likeness` or more, or until there
    are no more than wanted. By chains of nearest neighbours, which gives the same tree in time and room n².

    Args:
        vectors: of length 1, [count, size]; at least one.
        exactly: how many groups there must be, if there are so many vectors; 0: as many as there are.
        most: how many there may be.
    """
    count = len(vectors)
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    sizes = np.ones(count, np.float32)
    alive = np.ones(count, bool)
    joins: list[tuple[float, int, int]] = []  # similarity, and the two groups; the second one goes on
    chain: list[int] = []
    while len(joins) < count - 1:
        if not chain:
            chain.append(int(np.flatnonzero(alive)[0]))
        here = chain[-1]
        nearest = int(similar[here].argmax())
        if len(chain) > 1 and similar[here, chain[-2]] >= similar[here, nearest]:
            nearest = chain[-2]
        if len(chain) < 2 or nearest != chain[-2]:
            chain.append(nearest)
            continue
        del chain[-2:]
        joins.append((float(similar[here, nearest]), here, nearest))
        weight = sizes[here] + sizes[nearest]
        with np.errstate(invalid="ignore"):
            row = (similar[here] * sizes[here] + similar[nearest] * sizes[nearest]) / weight
        row[[here, nearest]] = -np.inf
        row[~alive] = -np.inf
        similar[nearest], similar[:, nearest] = row, row
        similar[here], similar[:, here] = -np.inf, -np.inf
        sizes[nearest], alive[here] = weight, False
    return _cut(count, joins, likeness, exactly, most)


def _cut(
    count: int, joins: list[tuple[float, int, int]], likeness: float, exactly: int, most: int
) -> npt.NDArray[np.intp]:
    """Make the joins that are wanted, the most similar first."""
    parents = list(range(count))

    def root(one: int) -> int:
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one

    left = count
    for similarity, first, second in sorted(joins, key=lambda join: -join[0]):
        if left <= exactly or (not exactly and left <= most and similarity < likeness):
            break
        parents[root(first)] = root(second)
        left -= 1
    roots = [root(one) for one in range(count)]
    numbers = {one: number for number, one in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[one] for one in roots], np.intp)
