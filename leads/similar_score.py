"""How probably two rows are one person's, by the frozen model that comes with the package, and why so.

It loads numpy and pandas, so it is imported when the first lead is compared. The model was learnt by
`python -m bench.similar learn`; a score is a function of two rows and the model, whatever else there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from identity.matching import normalise
from identity.matching.compare import MISSING, Levels, level_names
from identity.matching.match import contradicts
from identity.matching.model import Model, load_model
from identity.matching.pairs import compare_pairs
from identity.matching.records import Records, column_of
from identity.matching.score import probability, score_pairs
from identity.reviews import Reason
from leads.similar_keys import Row, is_surname

CACHED_NAMES = 50_000
"""Names whose sound is remembered, at 200 bytes each."""

SAME_NAME = ("equal", "pinyin", "sound")


class Scored(NamedTuple):
    """`place` in the list that was compared with; `levels` of agreement by column, those with a missing side left out;
    `named` where both have a given name, and so are more than of one family; `contradicted` where both have one car
    whose owners have different names; `model` the version that says so."""

    place: int
    probability: float
    levels: Mapping[str, str]
    named: bool
    contradicted: bool
    model: str

    def reasons(self) -> list[Reason]:
        """What speaks for and against, column by column, without any value."""
        told = [(_COLUMNS[name], _LEVELS[level]) for name, level in self.levels.items()]
        return [Reason(f"{column[0]}{level[0]}", f"{column[1]}: {level[1]}") for column, level in told]


@cache
def model() -> Model:
    """The model of this version of the package."""
    return load_model(files("leads").joinpath("similar_model.json").read_text(encoding="utf-8"))


@cache
def version() -> str:
    """Of the model, by its content."""
    return model().version


def scored(row: Row, among: Sequence[Row]) -> list[Scored]:
    """`row` against each of `among`, which has at least one, in their order."""
    rows = [row, *among]
    columns = {each.name: column_of(each.kind, [held[each.name] for held in rows]) for each in model().columns}
    records = Records(np.arange(len(rows)).astype(object), columns)
    right = np.arange(1, len(rows))
    left = np.zeros_like(right)
    levels = dict(zip(columns, compare_pairs(records, left, right), strict=True))
    told = {name: _names(records, name, own) for name, own in levels.items()}
    pairs = [{name: own[place] for name, own in told.items()} for place in range(len(among))]
    for place, (other, pair) in enumerate(zip(among, pairs, strict=True)):
        if pair["phone"] == "slip" and not _slip_counts(row, other, pair):
            levels["phone"][place] = MISSING
            pair["phone"] = "missing"
    in_order = list(levels.values())
    chances = probability(score_pairs(model(), records, left, right, in_order)).tolist()
    against = contradicts(records, in_order).tolist()
    _bound_memory()
    return [
        Scored(
            place,
            chances[place],
            {name: level for name, level in pair.items() if level != "missing"},
            bool(row["name"] and other["name"]) and not _is_short(row, other),
            against[place],
            version(),
        )
        for place, (other, pair) in enumerate(zip(among, pairs, strict=True))
    ]


def _names(records: Records, column: str, levels: Levels) -> list[str]:
    names = level_names(records.columns[column].kind)
    return [names[level] for level in levels.tolist()]


def _slip_counts(row: Row, other: Row, told: Mapping[str, str]) -> bool:
    """One wrong digit is mostly another subscriber; it counts with the same name and the same place alone."""
    same_name = told["name"] in SAME_NAME or (_is_short(row, other) and told["name"] == "surname")
    return same_name and ("equal" in (told["dealer"], told["city"]))


def _is_short(row: Row, other: Row) -> bool:
    return is_surname(row["name"]) or is_surname(other["name"])


def _bound_memory() -> None:
    for cached in (normalise.pinyin, normalise.sound_class):
        if cached.cache_info().currsize > CACHED_NAMES:
            cached.cache_clear()


_COLUMNS = {
    "name": ("姓名", "Name"),
    "phone": ("手机号", "Phone"),
    "city": ("城市", "City"),
    "dealer": ("经销商", "Dealer"),
    "series": ("意向车系", "Series"),
    "plate": ("车牌", "Plate"),
    "vin": ("车架号", "VIN"),
}
_LEVELS = {
    "equal": ("相同", "the same"),
    "pinyin": ("读音相同", "sounds the same"),
    "sound": ("读音或字形相近", "sounds or looks alike"),
    "one_sign": ("差一个字", "differs in one sign"),
    "one_sign_of_surname": ("姓差一个字", "differs in one sign, the surname"),
    "surname": ("同姓", "the same surname"),
    "last_8": ("末八位相同", "the same last 8 digits"),
    "slip": ("差一位或相邻两位颠倒", "differs by one slip"),
    "close": ("几乎相同", "nearly the same"),
    "shared": ("部分相同", "the same in part"),
    "alike": ("相近", "alike"),
    "somewhat": ("有些相近", "somewhat alike"),
    "other": ("不同", "differs"),
}
