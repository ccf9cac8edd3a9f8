"""Which records are one person, by similarity, offline: the verb of this package.

Three bands say how sure a row is. `exact`: nothing that its cluster's core and it both fill differs. `strict`: held
to the core at a probability of .99 or more, and no strong identifier or date of birth speaks against it. `loose`: at
.8 or more, for a person to look at. A fuzzy join never proposes another one: pairs are scored once, on records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from identity.matching.blocking import candidate_pairs
from identity.matching.cluster import components, contract
from identity.matching.columns import ColumnType
from identity.matching.compare import EQUAL, MISSING, Levels, level_names
from identity.matching.learn import learn_model, possible_pairs
from identity.matching.model import Model
from identity.matching.pairs import compare_pairs
from identity.matching.records import Codes, Records, column_of
from identity.matching.score import Scores, probability, score_pairs

STRICT_ODDS = float(np.log(0.99 / 0.01))
LOOSE_ODDS = float(np.log(0.8 / 0.2))

NAMES = frozenset((ColumnType.GIVEN_NAME, ColumnType.SURNAME, ColumnType.FULL_NAME, ColumnType.NAME_ZH))
CONTRADICTING = frozenset((ColumnType.ID_NUMBER, ColumnType.DATE))
"""Types that one person has one of: two that differ by more than slips keep a pair out of the strict band."""

Row = Mapping[str, str]
"""Raw values by name of column; a missing name is an empty field."""

Tell = Callable[[str, float], None]
"""Takes what is done now, and the share of the whole that is done."""


class Confidence(StrEnum):
    EXACT = "exact"
    STRICT = "strict"
    LOOSE = "loose"


@dataclass(frozen=True, slots=True)
class Matched:
    """`clusters` has the place of the first record of its cluster per record, `confidence` a band; `model` is None
    where no two records could be compared."""

    clusters: Codes
    confidence: list[Confidence]
    compared: int
    model: Model | None


def match(records: Records, *, tell: Tell = lambda stage, share: None) -> Matched:
    """Learn a model of these records and group them. Equal records, in any order, give an equal result."""
    if len(records) < 2 or possible_pairs(records) == 0:
        return Matched(np.arange(len(records)), [Confidence.EXACT] * len(records), 0, None)
    tell("blocking", 0.0)
    left, right = candidate_pairs(records)
    tell("comparing", 0.2)
    levels = compare_pairs(records, left, right)
    tell("learning", 0.5)
    model = learn_model(records, left, right, levels)
    tell("scoring", 0.7)
    scores = score_pairs(model, records, left, right, levels)
    tell("clustering", 0.8)
    clusters, confidence = _decide(records, left, right, levels, scores)
    tell("done", 1.0)
    return Matched(clusters, confidence, len(left), model)


@dataclass(frozen=True, slots=True)
class Candidate:
    """How a record scored against another: `place` is that in the list which was searched."""

    place: int
    probability: float
    contradicted: bool


def candidates(record: Row, among: Sequence[Row], model: Model) -> list[Candidate]:
    """The rows of `among` by how likely they are the person of `record`, likeliest first; ties in their order.

    A function of the rows and the frozen model: what else there is, and what was asked before, changes nothing.
    """
    rows = [record, *among]
    columns = {each.name: column_of(each.kind, [row.get(each.name, "") for row in rows]) for each in model.columns}
    records = Records(np.arange(len(rows)).astype(object), columns)
    right = np.arange(1, len(rows))
    left = np.zeros_like(right)
    levels = compare_pairs(records, left, right)
    chances = probability(score_pairs(model, records, left, right, levels))
    against = contradicts(records, levels)
    order = np.argsort(-chances, kind="stable").tolist()
    return [Candidate(place, float(chances[place]), bool(against[place])) for place in order]


def contradicts(records: Records, levels: Sequence[Levels]) -> NDArray[np.bool_]:
    """Pairs with different ID numbers or dates, or with one car whose owners have different names."""
    kinds = [column.kind for column in records.columns.values()]
    other = {number: own == len(level_names(kinds[number])) - 1 for number, own in enumerate(levels)}
    found = np.zeros(len(levels[0]), bool)
    for number, kind in enumerate(kinds):
        if kind in CONTRADICTING:
            found |= other[number]
        if kind is ColumnType.VIN:
            names = [other[place] for place, each in enumerate(kinds) if each in NAMES]
            found |= (levels[number] == EQUAL) & np.any([*names, np.zeros_like(found)], axis=0)
    return found


def _decide(
    records: Records, left: Codes, right: Codes, levels: Sequence[Levels], scores: Scores
) -> tuple[Codes, list[Confidence]]:
    """Contract, then see by which pairs each cluster is held together: a row is as sure as the core that it is in."""
    clusters = contract(len(records), left, right, scores, least=LOOSE_ODDS)
    within = clusters[left] == clusters[right]
    left, right, scores, levels = left[within], right[within], scores[within], [own[within] for own in levels]
    strict = (scores >= STRICT_ODDS) & ~contradicts(records, levels)
    exact = strict & np.all([(own == EQUAL) | (own == MISSING) for own in levels], axis=0)
    parts = [components(len(records), left[held], right[held]) for held in (strict, exact)]
    return clusters, _bands(clusters, *parts)


def _bands(clusters: Codes, strict: Codes, exact: Codes) -> list[Confidence]:
    in_strict = _core(clusters, strict)
    in_exact = _core(clusters, np.where(in_strict, exact, -1 - np.arange(len(exact))))
    size = np.bincount(clusters, minlength=len(clusters))[clusters]
    bands = np.full(len(clusters), Confidence.LOOSE, object)
    bands[in_strict & (np.bincount(strict, minlength=len(strict))[strict] > 1)] = Confidence.STRICT
    whole = in_strict & in_exact & (np.bincount(exact, minlength=len(exact))[exact] > 1)
    bands[whole | (size == 1)] = Confidence.EXACT
    return [Confidence(band) for band in bands]


def _core(clusters: Codes, parts: Codes) -> NDArray[np.bool_]:
    """Rows of the largest part of each cluster; of equals, the part with the first row."""
    _, place, sizes = np.unique(parts, return_inverse=True, return_counts=True)
    order = np.lexsort((np.arange(len(parts)), -sizes[place], clusters))
    first = order[np.append(True, clusters[order][1:] != clusters[order][:-1])] if len(order) else order
    core = np.empty(len(parts), np.int64)
    core[clusters[first]] = parts[first]
    return np.asarray(core[clusters] == parts, bool)
