"""What was learnt about agreement: the frozen model that scores pairs.

The weight of a column is the natural logarithm of m/u: how often its level shows among records of one person, by how
often among records of two. A rare value weighs more than a common one. The score of two records is a function of them
and of this value; whatever else the file held has no part in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from identity.matching.columns import ColumnType

FORMAT = 1
"""Of the JSON; another one is refused."""

NEVER = 1e-30
"""In place of a chance of zero under a logarithm."""


@dataclass(frozen=True, slots=True)
class Frequencies:
    """Shares of persons, not of rows, that hold each value.

    `unseen` is the share given to a value that the learning set did not hold, `collision` the chance that two
    different persons agree.
    """

    shares: Mapping[str, float]
    unseen: float
    collision: float

    def rarity(self, values: Iterable[str]) -> NDArray[np.float64]:
        """What agreement on each value tells beyond agreement on any: above zero for a rare one. Natural logarithm."""
        shares = np.array([self.shares.get(value, self.unseen) for value in values], np.float64)
        return np.asarray(np.log(self.collision) - np.log(shares), np.float64)


@dataclass(frozen=True, slots=True)
class ColumnModel:
    """One column: `m[state of its parents][level]` and `u` likewise, one row where there are none.

    `related` has the shares of levels among relatives, None where they are as strangers. `surnames` are those of
    Chinese names, None for other types.
    """

    name: str
    kind: ColumnType
    parents: tuple[int, ...]
    m: tuple[tuple[float, ...], ...]
    u: tuple[tuple[float, ...], ...]
    related: tuple[float, ...] | None
    values: Frequencies
    surnames: Frequencies | None


@dataclass(frozen=True, slots=True)
class Model:
    """`prior` is the chance that two random records are one person, `related_prior` that they are of relatives."""

    columns: tuple[ColumnModel, ...]
    prior: float
    related_prior: float = 0.0

    @property
    def version(self) -> str:
        """A hash of all that the model knows; equal models have equal versions."""
        return sha256(dump_model(self).encode()).hexdigest()[:16]


def dump_model(model: Model) -> str:
    """JSON from which `load_model` makes an equal model."""
    return json.dumps({"format": FORMAT, **asdict(model)}, ensure_ascii=False, sort_keys=True)


def load_model(text: str) -> Model:
    """Raises ValueError for what `dump_model` has not written."""
    table = json.loads(text)
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise ValueError(f"a model of format {FORMAT} was expected")
    try:
        columns = tuple(_column(each) for each in table["columns"])
        return Model(columns, float(table["prior"]), float(table["related_prior"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"the model is not complete: {error}") from None


def _column(table: dict[str, Any]) -> ColumnModel:
    rows = {key: tuple(tuple(map(float, row)) for row in table[key]) for key in ("m", "u")}
    surnames = table["surnames"] and Frequencies(**table["surnames"])
    frequencies = {"values": Frequencies(**table["values"]), "surnames": surnames}
    related = table["related"] and tuple(map(float, table["related"]))
    plain = {"related": related, "kind": ColumnType(table["kind"]), "parents": tuple(map(int, table["parents"]))}
    return ColumnModel(**{**table, **rows, **frequencies, **plain})
