"""Which column says again what another has said: a tree of dependences, learnt from pairs of different persons.

A full name repeats the surname, a postcode its town. Taken as independent they would be counted twice, and relatives
would become one person. So each column may have one parent, and its weight is that which remains once the agreement of
the parent is known. (Chow and Liu, Approximating Discrete Probability Distributions with Dependence Trees, 1968.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAST_INFORMATION = 3e-4
"""Nats of mutual information below which a dependence is not worth its parameters."""

Weights = NDArray[np.float64]
Patterns = NDArray[np.int64]


def dependence_tree(patterns: Patterns, weights: Weights, sizes: Sequence[int]) -> tuple[int | None, ...]:
    """The parent of each column, or None. `patterns` are rows of levels, `sizes` the number of levels per column."""
    gain = {(one, two): _gain(patterns, weights, sizes, one, two) for one in range(len(sizes)) for two in range(one)}
    parents: list[int | None] = [None] * len(sizes)
    linked, waiting = [0], list(range(1, len(sizes)))
    while waiting:
        # Prim's maximum spanning tree; ties go to the earlier column.
        best, parent, child = max((gain[max(a, b), min(a, b)], -a, -b) for a in linked for b in waiting)
        parents[-child] = -parent if best > 0 else None
        linked.append(-child)
        waiting.remove(-child)
    return tuple(parents)


def _gain(patterns: Patterns, weights: Weights, sizes: Sequence[int], one: int, two: int) -> float:
    """Mutual information of two columns where both are filled, less what chance and thrift ask for."""
    shape = sizes[one], sizes[two]
    together = np.bincount(patterns[:, one] * shape[1] + patterns[:, two], weights, shape[0] * shape[1])
    together = together.reshape(shape)[1:, 1:]
    count = together.sum()
    if count <= 0:
        return 0.0
    share = together / count
    alone = share.sum(1, keepdims=True) * share.sum(0, keepdims=True)
    seen = share > 0
    information = float((share[seen] * np.log(share[seen] / alone[seen])).sum())
    # Independent columns show (rows - 1)(columns - 1) / 2n nats by chance.
    chance = (shape[0] - 2) * (shape[1] - 2) / (2 * count)
    return float(information - 2 * chance - LEAST_INFORMATION)
