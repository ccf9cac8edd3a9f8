"""The score of a pair: the natural log-odds that its two records are one person, given a frozen model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from identity.matching.columns import ColumnType
from identity.matching.compare import EQUAL, Levels, level_names
from identity.matching.dependence import state_of
from identity.matching.model import NEVER, ColumnModel, Frequencies, Model
from identity.matching.normalise import surname_zh
from identity.matching.records import Codes, Column, Records

Scores = NDArray[np.float64]

PHONE_SLIP = level_names(ColumnType.PHONE).index("slip")


def score_pairs(model: Model, records: Records, left: Codes, right: Codes, levels: Sequence[Levels]) -> Scores:
    """Log-odds of pairs whose `levels` stand in the order of the model's columns."""
    sizes = [len(level_names(column.kind)) for column in model.columns]
    weights = []
    relatives = np.full(len(left), np.log(max(model.related_prior, NEVER)))
    for column, own in zip(model.columns, levels, strict=True):
        state = state_of(levels, column.parents, sizes)
        rarity = _rarity(column, records.columns[column.name], left, right, own, state)
        weights.append(level_weights(column)[state, own] + rarity)
        if column.related is not None:
            relatives += np.log(column.related)[own] - np.log(column.u)[state, own] + rarity
    evidence = np.sum(weights, axis=0)
    for column, own, weight in zip(model.columns, levels, weights, strict=True):
        if column.kind is ColumnType.PHONE:
            # One wrong digit is mostly another subscriber: it counts only where the rest speaks for one person.
            alone = (own == PHONE_SLIP) & (evidence - weight <= 0)
            evidence = evidence - np.where(alone, np.maximum(weight, 0.0), 0.0)
    # What relatives share cannot tell one person from two of them, however rare it is.
    others = np.logaddexp(np.log(1 - model.prior - model.related_prior), relatives)
    return np.asarray(evidence + np.log(model.prior) - others, np.float64)


def probability(scores: Scores) -> Scores:
    """From log-odds; without overflow at either end."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -scores)), np.float64)


def level_weights(column: ColumnModel) -> Scores:
    """log(m/u) per state of the parents and level; 0 where a value is missing."""
    return np.asarray(np.log(np.array(column.m)) - np.log(np.array(column.u)), np.float64)


def _rarity(
    column: ColumnModel, held: Column, left: Codes, right: Codes, own: Levels, state: NDArray[np.int64]
) -> Scores:
    """What the value itself adds: a rare one that is equal, or a rare Chinese surname under names that differ."""
    added = np.zeros(len(left))
    equal = np.flatnonzero(own == EQUAL)
    if len(equal):
        rarity = column.values.rarity(held.values.tolist())
        added[equal] = rarity[held.codes[left[equal]]] * _left_to_tell(column)[state[equal]]
    if column.surnames is not None and len(held.values):
        added += _surname_rarity(column.surnames, held, left, right, own)
    return added


def _left_to_tell(column: ColumnModel) -> Scores:
    """Per state of the parents, the part of a value's rarity that their agreement has not told already."""
    if column.values.collision >= 1:
        return np.zeros(len(column.u))
    told = np.log(np.array(column.u)[:, EQUAL]) / np.log(column.values.collision)
    return np.asarray(np.clip(told, 0.0, 1.0), np.float64)


def _surname_rarity(surnames: Frequencies, held: Column, left: Codes, right: Codes, own: Levels) -> Scores:
    of_value = [surname_zh(value) for value in held.values.tolist()]
    place = {surname: number for number, surname in enumerate(sorted(set(of_value)))}
    code = np.array([place[surname] for surname in of_value])
    one, other = code[held.codes[left]], code[held.codes[right]]
    near = (own > EQUAL) & (own < len(level_names(held.kind)) - 1) & (one == other)
    return np.where(near, surnames.rarity(of_value)[held.codes[left]], 0.0)
