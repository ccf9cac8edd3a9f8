"""Which column says again what others have said: known of some types, learnt of the rest.

A full name repeats the surname, a postcode its town. Taken as independent they would be counted twice, and relatives
would become one person. So a column may have parents, and its weight is that which remains once the agreement of its
parents is known. (Chow and Liu, Approximating Discrete Probability Distributions with Dependence Trees, 1968.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from identity.matching.columns import ColumnType

LEAST_INFORMATION = 3e-4
"""Nats of mutual information below which a dependence is not worth its parameters."""

TINY = 1e-300
"""In place of zero under a logarithm whose result is not used."""

Weights = NDArray[np.float64]
Patterns = NDArray[np.int64]
Parents = tuple[int, ...]


def state_of(levels: Sequence[NDArray[np.integer]], parents: Parents, sizes: Sequence[int]) -> NDArray[np.int64]:
    """The levels of the parents as one number per pair: the row of a table."""
    state = np.zeros(len(levels[0]), np.int64)
    for parent in parents:
        state = state * sizes[parent] + levels[parent]
    return state


def known_parents(kinds: Sequence[ColumnType]) -> tuple[Parents, ...]:
    """A full name holds the surname and the given name, whatever the file; nothing else is known beforehand."""
    names = [kinds.index(kind) for kind in (ColumnType.SURNAME, ColumnType.GIVEN_NAME) if kind in kinds]
    return tuple(tuple(names) if kind is ColumnType.FULL_NAME else () for kind in kinds)


def find_parents(drawn: Drawn, known: Sequence[Parents]) -> tuple[Parents, ...]:
    """The known parents, and for the other columns one that is learnt, if any is worth it.

    Columns join in the order of Prim's maximum spanning tree; ties go to the earlier column.
    """
    open_columns = [column for column, parents in enumerate(known) if not parents]
    gain = {(one, two): drawn.gain(one, two) for one in open_columns for two in open_columns if two < one}
    parents = dict(enumerate(known))
    linked, waiting = open_columns[:1], open_columns[1:]
    while waiting:
        best, parent, child = max((gain[max(a, b), min(a, b)], -a, -b) for a in linked for b in waiting)
        if best > 0:
            parents[-child] = (-parent,)
        linked.append(-child)
        waiting.remove(-child)
    return tuple(parents[column] for column in range(len(known)))


@dataclass(frozen=True, slots=True)
class Drawn:
    """Random pairs by pattern of levels, and what each column says of them: `weights` are log(m/u) per column."""

    patterns: Patterns
    counts: Weights
    sizes: Sequence[int]
    weights: Weights
    prior_odds: float

    def gain(self, one: int, two: int) -> float:
        """Mutual information of two columns where both are filled, less what chance and thrift ask for.

        A pair counts with the chance that it is of different persons, as the *other* columns see it: with these two
        in it, persons of one name would be taken for one, and their agreeing would go unnoticed. But where all
        columns together see one person, agreement is no testimony of a dependence.
        """
        filled = (self.patterns[:, [one, two]] > 0).all(1)
        evidence = self.prior_odds + self.weights[filled].sum(1)
        counts = self.counts[filled] * _different(evidence - self.weights[filled][:, [one, two]].sum(1))
        shape = self.sizes[one], self.sizes[two]
        cell = self.patterns[filled, one] * shape[1] + self.patterns[filled, two]
        together = np.bincount(cell, counts, shape[0] * shape[1]).reshape(shape)
        total = together.sum()
        if total <= 0:
            return 0.0
        alone = together.sum(1, keepdims=True) * together.sum(0, keepdims=True) / total
        told = np.log(np.maximum(together, TINY)) - np.log(np.maximum(alone, TINY))
        information = (counts * _different(evidence) * told.ravel()[cell]).sum() / total
        # Independent columns show about (rows - 1)(columns - 1) / 2n nats by chance.
        chance = (shape[0] - 2) * (shape[1] - 2) / (2 * total)
        return float(information - 2 * chance - LEAST_INFORMATION)


def _different(odds: Weights) -> Weights:
    """The chance that pairs of such log-odds are of different persons."""
    return np.asarray(np.exp(-np.logaddexp(0.0, odds)), np.float64)
