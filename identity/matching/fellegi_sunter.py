"""Learning without labels how much each agreement tells: Fellegi and Sunter's m and u, by expectation maximisation.

Two heaps of pairs are read. Random pairs are nearly all of different persons and tell u; the candidates hold nearly all
pairs of one person and tell m. Each pair counts in either heap with the probability that the model gives it, so that a
file of ten rows a person does not spoil u, and a file without duplicates does not invent m. A third kind of pair,
relatives, agree in surname and home but in nothing personal; without it EM takes households for persons. Pairs are
counted by pattern of levels, so that a turn of EM costs the same for a thousand pairs and for a million.

Fellegi and Sunter, A Theory for Record Linkage, JASA 1969; Winkler on EM and on rare values, 1988 and 1989.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from identity.matching.columns import PERSONAL, ColumnType
from identity.matching.compare import EQUAL, MISSING, Levels, level_names
from identity.matching.dependence import Drawn, Parents, Patterns, find_parents, known_parents, state_of
from identity.matching.model import NEVER

Table = NDArray[np.float64]
"""Probabilities of levels, one row per state of the parents; 1 in the column of `missing`, which tells nothing."""

Weights = NDArray[np.float64]

MOST_TURNS = 200
CONVERGED = 1e-4
"""Relative change of the number of matches at which EM stops."""

MATCHES_ASSUMED = 4.0
"""Typical matching pairs added to those of the file, for a file of few matches to fall back on."""

START_MATCHES = 0.3
"""Matching pairs per record at the start of EM; few, so that EM grows from evident ones."""

MOST_PRIOR = 0.45
"""Of one person, and of relatives, in a file so small that nearly all rows are of one."""

LARGEST_CODE = 2**50
"""Of a pattern of levels in one integer, so that one more column does not overflow it."""

EQUAL_ASSUMED = 0.7
"""Share of equal values in these pairs, and at the start of EM."""

PARENT_STRENGTH = 20.0
"""Pairs with the distribution that holds without a parent, added to each row of a table with parents."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Pairs as distinct patterns of levels; `place` is the pattern of each pair, `counts` the pairs of each pattern."""

    patterns: Patterns
    counts: Weights
    place: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Learnt:
    """`related` are shares of levels among relatives, None for personal columns, in which they are as strangers."""

    m: Sequence[Table]
    u: Sequence[Table]
    related: Sequence[Weights | None]
    parents: Sequence[Parents]
    prior: float
    related_prior: float


def learn(
    kinds: Sequence[ColumnType], candidates: Sequence[Levels], random: Sequence[Levels], *, records: int, possible: int
) -> Learnt:
    """m, u, the parents of each column and the prior. `possible` pairs could be made of so many `records`."""
    sizes = [len(level_names(kind)) for kind in kinds]
    pairs = Pairs(count_patterns(candidates, sizes), count_patterns(random, sizes), sizes, possible)
    expected = min(START_MATCHES * records / possible, MOST_PRIOR)
    known, personal = known_parents(kinds), [kind in PERSONAL for kind in kinds]
    first = _maximise(_start(known, personal, pairs, expected), pairs)
    parents = find_parents(_drawn(first, pairs), known)
    return _maximise(_start(parents, personal, pairs, expected), pairs) if parents != known else first


@dataclass(frozen=True, slots=True)
class Pairs:
    """What is learnt from: candidates, random pairs, the number of levels per column, and of possible pairs."""

    proposed: Counted
    drawn: Counted
    sizes: Sequence[int]
    possible: int


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


def _start(parents: Sequence[Parents], personal: Sequence[bool], pairs: Pairs, prior: float) -> Learnt:
    """Where EM starts: typical m, and u as if no random pair were of one person, so that matches are few at first."""
    assumed = [_shares(_assumed(size)) for size in pairs.sizes]
    rows = [int(np.prod([pairs.sizes[parent] for parent in each])) for each in parents]
    return Learnt(
        m=[np.tile(shares, (count, 1)) for shares, count in zip(assumed, rows, strict=True)],
        u=_tables(pairs.drawn, pairs.drawn.counts, parents, pairs.sizes, _even),
        related=[None if own else shares for own, shares in zip(personal, assumed, strict=True)],
        parents=parents,
        prior=prior,
        # Relatives are told from one person by personal columns, and from strangers by the others.
        related_prior=prior if any(personal) and not all(personal) else 0.0,
    )


def _maximise(start: Learnt, pairs: Pairs) -> Learnt:
    now = start
    for _ in range(MOST_TURNS):
        before, now = now, _turn(now, pairs)
        if abs(now.prior / before.prior - 1) < CONVERGED:
            break
    return now


def _turn(now: Learnt, pairs: Pairs) -> Learnt:
    """How likely each pattern is of one person, and the tables that follow."""
    same, related = pairs.proposed.counts * _chances(now, pairs.proposed.patterns, pairs.sizes)
    different = pairs.drawn.counts * (1 - _chances(now, pairs.drawn.patterns, pairs.sizes).sum(0))
    shares = _tables(pairs.proposed, related, [()] * len(pairs.sizes), pairs.sizes, _assumed, MATCHES_ASSUMED)
    return Learnt(
        m=_tables(pairs.proposed, same, now.parents, pairs.sizes, _assumed, MATCHES_ASSUMED),
        u=_tables(pairs.drawn, different, now.parents, pairs.sizes, _even),
        related=[None if own is None else table[0] for own, table in zip(now.related, shares, strict=True)],
        parents=now.parents,
        prior=min(max(float(same.sum()), 1.0) / pairs.possible, MOST_PRIOR),
        related_prior=min(float(related.sum()) / pairs.possible, MOST_PRIOR),
    )


def _chances(model: Learnt, patterns: Patterns, sizes: Sequence[int]) -> Weights:
    """The chance that each pattern is of one person (first row), and of relatives (second)."""
    levels = list(patterns.T)
    same = np.log(model.prior) + _column_weights(model, patterns, sizes).sum(1)
    related = np.full(len(patterns), np.log(max(model.related_prior, NEVER)))
    for own, shares, u, parents in zip(levels, model.related, model.u, model.parents, strict=True):
        if shares is not None:
            related += np.log(shares)[own] - np.log(u)[state_of(levels, parents, sizes), own]
    strangers = np.full(len(patterns), np.log(1 - model.prior - model.related_prior))
    total = np.logaddexp(np.logaddexp(same, related), strangers)
    return np.asarray(np.exp(np.stack([same, related]) - total), np.float64)


def _column_weights(model: Learnt, patterns: Patterns, sizes: Sequence[int]) -> Weights:
    """log(m/u) per pattern and column."""
    levels = list(patterns.T)
    columns = zip(levels, model.m, model.u, model.parents, strict=True)
    return np.stack(
        [(np.log(m) - np.log(u))[state_of(levels, parents, sizes), own] for own, m, u, parents in columns], 1
    )


def _drawn(model: Learnt, pairs: Pairs) -> Drawn:
    weights = _column_weights(model, pairs.drawn.patterns, pairs.sizes)
    return Drawn(pairs.drawn.patterns, pairs.drawn.counts, pairs.sizes, weights, float(np.log(model.prior)))


def _tables(
    counted: Counted,
    weights: Weights,
    parents: Sequence[Parents],
    sizes: Sequence[int],
    usual: Callable[[int], Weights],
    strength: float = 1.0,
) -> list[Table]:
    """Shares of levels by weight, with `strength` pairs of the `usual` distribution added."""
    levels = list(counted.patterns.T)
    tables = []
    for own, size, chain in zip(levels, sizes, parents, strict=True):
        table = _shares(np.bincount(own, weights, size) + strength * usual(size))[np.newaxis]
        # Each further parent splits the rows of the table before, which a row of few pairs falls back on.
        for depth in range(1, len(chain) + 1):
            rows = len(table) * sizes[chain[depth - 1]]
            counts = np.bincount(state_of(levels, chain[:depth], sizes) * size + own, weights, rows * size)
            back = np.repeat(table, sizes[chain[depth - 1]], axis=0)
            table = np.stack([_shares(row) for row in counts.reshape(rows, size) + PARENT_STRENGTH * back])
        tables.append(table)
    return tables


def _shares(counts: Weights) -> Weights:
    shares: Weights = counts / counts[EQUAL:].sum()
    shares[MISSING] = 1.0
    return shares


def _even(size: int) -> Weights:
    return np.append(0.0, np.full(size - 1, 1 / (size - 1)))


def _assumed(size: int) -> Weights:
    return np.array([0.0, EQUAL_ASSUMED, *[(1 - EQUAL_ASSUMED) / (size - 2)] * (size - 2)])
