"""From a set of records to the model that scores them: pairs are drawn, compared and learnt from, and then frozen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from identity.matching.columns import ColumnType
from identity.matching.compare import Levels
from identity.matching.fellegi_sunter import Learnt, learn
from identity.matching.model import ColumnModel, Frequencies, Model
from identity.matching.normalise import surname_zh
from identity.matching.pairs import compare_pairs
from identity.matching.records import NONE, Codes, Column, Records
from identity.matching.score import probability, score_pairs

RANDOM_PAIRS = 400_000
"""Drawn for u; a level that one pair in ten thousand shows is then known to within a sixth."""

SEED = 20_211_101
"""Of the draw: records stand in the order of their ids, so that the same set draws the same pairs."""

Weights = NDArray[np.float64]


def learn_model(records: Records, left: Codes, right: Codes, levels: Sequence[Levels]) -> Model:
    """The model of a set, from its candidate pairs and their levels. Needs two records and a possible pair."""
    drawn = compare_pairs(records, *random_pairs(records))
    kinds = [column.kind for column in records.columns.values()]
    learnt = learn(kinds, levels, drawn, records=len(records), possible=possible_pairs(records))
    by_row = _model(records, learnt, np.ones(len(records)))
    same = probability(score_pairs(by_row, records, left, right, levels))
    return _model(records, learnt, _persons_per_row(records, left, right, same))


def possible_pairs(records: Records) -> int:
    count = len(records)
    if records.sources is None:
        return count * (count - 1) // 2
    of_source = np.bincount(records.sources)
    return int(count * count - (of_source * of_source).sum()) // 2


def random_pairs(records: Records) -> tuple[Codes, Codes]:
    """Pairs of different records, of different sources where they matter; all pairs of a small set."""
    count = len(records)
    if count * (count - 1) // 2 <= RANDOM_PAIRS:
        left, right = np.triu_indices(count, 1)
    else:
        left, right = np.random.default_rng(SEED).integers(0, count, (2, RANDOM_PAIRS))
    kept = left != right
    if records.sources is not None:
        kept &= records.sources[left] != records.sources[right]
    return left[kept].astype(np.int64), right[kept].astype(np.int64)


def _persons_per_row(records: Records, left: Codes, right: Codes, same: Weights) -> Weights:
    """The share of a person that a row stands for: one of four rows of a person is a quarter."""
    count = len(records)
    return np.asarray(1 / (1 + np.bincount(left, same, count) + np.bincount(right, same, count)), np.float64)


def _model(records: Records, learnt: Learnt, persons: Weights) -> Model:
    parts = zip(records.columns.items(), learnt.parents, learnt.m, learnt.u, learnt.related, strict=True)
    return Model(
        columns=tuple(
            ColumnModel(
                name=name,
                kind=column.kind,
                parents=parents,
                m=tuple(map(tuple, m.tolist())),
                u=tuple(map(tuple, u.tolist())),
                related=None if related is None else tuple(related.tolist()),
                values=_frequencies(column, persons),
                surnames=_surnames(column, persons) if column.kind is ColumnType.NAME_ZH else None,
            )
            for (name, column), parents, m, u, related in parts
        ),
        prior=learnt.prior,
        related_prior=learnt.related_prior,
    )


def _frequencies(column: Column, persons: Weights) -> Frequencies:
    values = column.values.tolist()
    held = _held(column, persons)
    if column.kind is not ColumnType.NAME_ZH:
        return _shares(dict(zip(values, held.tolist(), strict=True)))
    # A set holds most Chinese names once, common or not: half of what is known of a name is what its parts say.
    surnames, given = [surname_zh(name) for name in values], [name[len(surname_zh(name)) :] for name in values]
    expected = _sums(surnames, held) * _sums(given, held) / max(held.sum(), 1e-9)
    return _shares(dict(zip(values, np.sqrt(held * expected).tolist(), strict=True)))


def _surnames(column: Column, persons: Weights) -> Frequencies:
    surnames = [surname_zh(name) for name in column.values.tolist()]
    return _shares(dict(zip(surnames, _sums(surnames, _held(column, persons)).tolist(), strict=True)))


def _held(column: Column, persons: Weights) -> Weights:
    filled = column.codes != NONE
    return np.bincount(column.codes[filled], persons[filled], len(column.values)).astype(np.float64)


def _sums(parts: Sequence[str], held: Weights) -> Weights:
    """For each part the sum over all values that share it."""
    places = {part: number for number, part in enumerate(sorted(set(parts)))}
    place = np.array([places[part] for part in parts], np.int64)
    return np.asarray(np.bincount(place, held, len(places))[place] if len(place) else held, np.float64)


def _shares(held: dict[str, float]) -> Frequencies:
    total = sum(held.values())
    if not total:
        return Frequencies({}, unseen=1.0, collision=1.0)
    shares = {value: share / total for value, share in held.items()}
    return Frequencies(shares, unseen=0.5 / (total + 1), collision=sum(share * share for share in shares.values()))
