"""Pairs of records as rows of levels, one column of levels per column of the records."""

from __future__ import annotations

import numpy as np

from identity.matching.columns import ColumnType
from identity.matching.compare import EQUAL, MISSING, Levels, compare_values, level_names
from identity.matching.records import NONE, Codes, Column, Records


def compare_pairs(records: Records, left: Codes, right: Codes) -> list[Levels]:
    """Levels of each pair, in the order of the columns."""
    levels = {name: _levels(column, left, right) for name, column in records.columns.items()}
    _mark_swapped(records, left, right, levels)
    return list(levels.values())


def _levels(column: Column, left: Codes, right: Codes) -> Levels:
    one, other = column.codes[left], column.codes[right]
    levels = np.full(len(left), MISSING, np.int8)
    levels[(one == other) & (one != NONE)] = EQUAL
    unequal = np.flatnonzero((one != other) & (one != NONE) & (other != NONE))
    one, other = one[unequal], other[unequal]
    size = len(column.values)
    distinct, place = _distinct(np.minimum(one, other) * size + np.maximum(one, other))
    low, high = np.divmod(distinct, max(size, 1))
    levels[unequal] = compare_values(column.kind, column.values[low], column.values[high])[place]
    return levels


def _distinct(keys: Codes) -> tuple[Codes, Codes]:
    import pandas as pd

    place, distinct = pd.factorize(keys)
    return distinct, place


def _mark_swapped(records: Records, left: Codes, right: Codes, levels: dict[str, Levels]) -> None:
    """Where the surname stands in the field of the given name, and the other way round."""
    given, surname = (
        next((name for name, column in records.columns.items() if column.kind is kind), None)
        for kind in (ColumnType.GIVEN_NAME, ColumnType.SURNAME)
    )
    if given is None or surname is None:
        return
    one, other = records.columns[given], records.columns[surname]
    place = {value: number for number, value in enumerate(other.values.tolist())}
    as_surname = np.append(np.array([place.get(value, -2) for value in one.values.tolist()], np.int64), -3)[one.codes]
    crossed = (as_surname[left] == other.codes[right]) | (as_surname[right] == other.codes[left])
    swapped = level_names(ColumnType.GIVEN_NAME).index("swapped")
    for name in (given, surname):
        levels[name][crossed & (levels[name] > EQUAL + 1)] = swapped
