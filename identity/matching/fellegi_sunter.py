"""Learning without labels how much each agreement tells: Fellegi and Sunter's m and u, by expectation maximisation.

Two heaps of pairs are read. Random pairs are nearly all of different persons and tell u; the candidates hold nearly all
pairs of one person and tell m. Each pair counts in either heap with the probability that the model gives it, so that a
file of ten rows a person does not spoil u, and a file without duplicates does not invent m. Pairs are counted by
pattern of levels, so that a turn of EM costs the same for a thousand pairs and for a million.

Fellegi and Sunter, A Theory for Record Linkage, JASA 1969; Winkler on EM and on rare values, 1988 and 1989.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from identity.matching.columns import ColumnType
from identity.matching.compare import EQUAL, MISSING, Levels, level_names
from identity.matching.dependence import Patterns, dependence_tree

Table = NDArray[np.float64]
"""Probabilities of levels, one row per level of the parent; 1 in the column of `missing`, which tells nothing."""

Weights = NDArray[np.float64]

MOST_TURNS = 200
CONVERGED = 1e-4
"""Relative change of the number of matches at which EM stops."""

MATCHES_ASSUMED = 4.0
"""Typical matching pairs added to those of the file, for a file of few matches to fall back on."""

START_MATCHES = 0.3
"""Matching pairs per record at the start of EM; any small number leads to the same end."""

LARGEST_CODE = 2**50
"""Of a pattern of levels in one integer, so that one more column does not overflow it."""

EQUAL_ASSUMED = 0.7
"""Share of equal values in these pairs, and at the start of EM."""

PARENT_STRENGTH = 20.0
"""Pairs with the distribution that holds without a parent, added to each row of a table with a parent."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Pairs as distinct patterns of levels; `place` is the pattern of each pair, `counts` the pairs of each pattern."""

    patterns: Patterns
    counts: Weights
    place: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Learnt:
    m: Sequence[Table]
    u: Sequence[Table]
    parents: Sequence[int | None]
    prior: float


def learn(
    kinds: Sequence[ColumnType], candidates: Sequence[Levels], random: Sequence[Levels], *, records: int, possible: int
) -> Learnt:
    """m, u, the tree of dependences and the prior. `possible` pairs could be made of so many `records`."""
    sizes = [len(level_names(kind)) for kind in kinds]
    proposed, drawn = count_patterns(candidates, sizes), count_patterns(random, sizes)
    alone: list[int | None] = [None] * len(sizes)
    start = Learnt(
        m=[_shares(_assumed(size))[np.newaxis] for size in sizes],
        u=_tables(drawn.patterns, drawn.counts, [_even(size) for size in sizes], alone, 1.0),
        parents=alone,
        prior=min(START_MATCHES * records / possible, 0.5),
    )
    independent = _maximise(start, sizes, proposed, drawn, possible)
    different = drawn.counts * (1 - _matches(independent, drawn.patterns))
    parents = dependence_tree(drawn.patterns, different, sizes)
    if not any(parent is not None for parent in parents):
        return independent
    return _maximise(
        _estimate(independent, parents, sizes, proposed, drawn, possible), sizes, proposed, drawn, possible
    )


def count_patterns(levels: Sequence[Levels], sizes: Sequence[int]) -> Counted:
    code, bound = np.zeros(len(levels[0]), np.int64), 1
    for own, size in zip(levels, sizes, strict=True):
        code, bound = code * size + own, bound * size
        if bound > LARGEST_CODE:
            code = _places(code)
            bound = len(code) + 1
    place = _places(code)
    first = np.empty(int(place.max(initial=-1)) + 1, np.int64)
    first[place[::-1]] = np.arange(len(place))[::-1]
    patterns = np.stack([own[first] for own in levels], 1).astype(np.int64)
    return Counted(patterns, np.bincount(place, minlength=len(first)).astype(np.float64), place)


def _places(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Distinct codes numbered as they appear."""
    import pandas as pd

    return pd.factorize(codes)[0].astype(np.int64)


def _maximise(start: Learnt, sizes: Sequence[int], proposed: Counted, drawn: Counted, possible: int) -> Learnt:
    now = start
    for _ in range(MOST_TURNS):
        before, now = now, _estimate(now, now.parents, sizes, proposed, drawn, possible)
        if abs(now.prior / before.prior - 1) < CONVERGED:
            break
    return now


def _estimate(
    now: Learnt, parents: Sequence[int | None], sizes: Sequence[int], proposed: Counted, drawn: Counted, possible: int
) -> Learnt:
    """One turn: how likely each pattern is of one person, and the tables that follow, with these `parents`."""
    same = proposed.counts * _matches(now, proposed.patterns)
    different = drawn.counts * (1 - _matches(now, drawn.patterns))
    return Learnt(
        m=_tables(proposed.patterns, same, [_assumed(size) for size in sizes], parents, MATCHES_ASSUMED),
        u=_tables(drawn.patterns, different, [_even(size) for size in sizes], parents, 1.0),
        parents=parents,
        prior=min(max(float(same.sum()), 1.0) / possible, 0.5),
    )


def _matches(model: Learnt, patterns: Patterns) -> Weights:
    odds = np.full(len(patterns), np.log(model.prior) - np.log1p(-model.prior))
    for number, (m, u, parent) in enumerate(zip(model.m, model.u, model.parents, strict=True)):
        state = patterns[:, parent] if parent is not None else 0
        odds += (np.log(m) - np.log(u))[state, patterns[:, number]]
    return np.asarray(np.exp(-np.logaddexp(0.0, -odds)), np.float64)


def _tables(
    patterns: Patterns, weights: Weights, priors: Sequence[Weights], parents: Sequence[int | None], strength: float
) -> list[Table]:
    """Shares of levels by weight, with `strength` pairs of the prior distribution added."""
    tables = []
    for number, (prior, parent) in enumerate(zip(priors, parents, strict=True)):
        size = len(prior)
        alone = _shares(np.bincount(patterns[:, number], weights, size) + strength * prior)
        if parent is None:
            tables.append(alone[np.newaxis])
            continue
        rows = len(priors[parent])
        counts = np.bincount(patterns[:, parent] * size + patterns[:, number], weights, rows * size)
        tables.append(np.stack([_shares(row + PARENT_STRENGTH * alone) for row in counts.reshape(rows, size)]))
    return tables


def _shares(counts: Weights) -> Weights:
    shares: Weights = counts / counts[EQUAL:].sum()
    shares[MISSING] = 1.0
    return shares


def _even(size: int) -> Weights:
    return np.append(0.0, np.full(size - 1, 1 / (size - 1)))


def _assumed(size: int) -> Weights:
    return np.array([0.0, EQUAL_ASSUMED, *[(1 - EQUAL_ASSUMED) / (size - 2)] * (size - 2)])
