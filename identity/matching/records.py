"""Records in columns of numbers: each distinct value is written once, and a record holds its place in that list.

Records stand in the order of their ids and values in their own, so nothing that follows can depend on the order of
rows in a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from identity.matching.columns import Columns, ColumnType, Mode
from identity.matching.normalise import normalise

Codes = NDArray[np.int64]

NONE = -1
"""The code of a missing value."""


@dataclass(frozen=True, slots=True)
class Column:
    """`values` are distinct, normalised and sorted; `codes` has one place in them per record, or NONE."""

    kind: ColumnType
    values: NDArray[np.object_]
    codes: Codes


@dataclass(frozen=True, slots=True)
class Records:
    ids: NDArray[np.object_]
    columns: Mapping[str, Column]
    sources: Codes | None = None
    """Which source each record is of; None where records of one source may be one person."""

    def __len__(self) -> int:
        return len(self.ids)


def build_records(
    rows: Mapping[str, Sequence[str]], columns: Columns, *, sources: Sequence[str] | None = None
) -> Records:
    """Records of raw columns of equal length; `sources` are looked at in mode `link` only, and are needed there.

    Ids must be distinct, and `rows` hold the id and every typed column.
    """
    ids = _objects(rows[columns.id])
    order = np.argsort(ids, kind="stable")
    linked = columns.mode is Mode.LINK and sources is not None
    numbers = _distinct(_objects(sources)[order])[1] if linked and sources is not None else None
    typed = {name: column_of(kind, _objects(rows[name])[order].tolist()) for name, kind in columns.types.items()}
    return Records(ids[order], typed, numbers)


def _objects(values: Sequence[str]) -> NDArray[np.object_]:
    made = np.empty(len(values), object)
    made[:] = values
    return made


def _distinct(values: NDArray[np.object_]) -> tuple[NDArray[np.object_], Codes]:
    distinct = sorted(set(values.tolist()))
    place = {value: number for number, value in enumerate(distinct)}
    return _objects(distinct), np.fromiter((place[value] for value in values.tolist()), np.int64, len(values))


def column_of(kind: ColumnType, raw: Sequence[str]) -> Column:
    """A column of raw values, in their order."""
    forms = {value: normalise(kind, value) for value in set(raw)}
    distinct = sorted({form for form in forms.values() if form is not None})
    place = {form: number for number, form in enumerate(distinct)}
    places = {value: NONE if form is None else place[form] for value, form in forms.items()}
    codes = np.fromiter((places[value] for value in raw), np.int64, len(raw))
    return Column(kind, _objects(distinct), codes)
