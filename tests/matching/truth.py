"""The known sets, and how well a grouping of them agrees with their truth."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from identity.matching.columns import Columns, ColumnType, Mode
from identity.matching.match import Matched, match
from identity.matching.records import Records, build_records
from tests.matching.historical import COLUMNS, persons

DATA = Path(__file__).parents[1] / "data" / "record_linkage"

FEBRL = {
    "given_name": "given_name",
    "surname": "surname",
    "street_number": "text",
    "address_1": "address",
    "address_2": "address",
    "suburb": "place",
    "postcode": "postcode",
    "state": "category",
    "date_of_birth": "date",
    "soc_sec_id": "id_number",
}
FAKE = {"first_name": "given_name", "surname": "surname", "dob": "date", "city": "place", "email": "email"}

Rows = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class KnownSet:
    """Raw columns, what they mean, and the person of each row."""

    name: str
    rows: Rows
    columns: Columns
    truth: Sequence[str]

    def records(self) -> Records:
        return build_records(self.rows, self.columns, sources=self.rows.get("source"))


def read(name: str) -> dict[str, list[str]]:
    with (DATA / name).open(encoding="utf-8") as file:
        return columns_of({key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(file))


def columns_of(rows: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    listed = list(rows)
    return {name: [row[name] for row in listed] for name in listed[0]}


def typed(types: Mapping[str, str]) -> dict[str, ColumnType]:
    return {name: ColumnType(kind) for name, kind in types.items()}


def _person(rec_id: str) -> str:
    return "-".join(rec_id.split("-")[:2])


def febrl3() -> KnownSet:
    rows = read("dataset3.csv")
    return KnownSet("FEBRL3", rows, Columns("rec_id", typed(FEBRL)), [_person(each) for each in rows["rec_id"]])


def febrl4() -> KnownSet:
    one, other = read("dataset4a.csv"), read("dataset4b.csv")
    rows = {name: one[name] + other[name] for name in one}
    rows["source"] = ["a"] * len(one["rec_id"]) + ["b"] * len(other["rec_id"])
    columns = Columns("rec_id", typed(FEBRL), source="source", mode=Mode.LINK)
    return KnownSet("FEBRL4", rows, columns, [_person(each) for each in rows["rec_id"]])


def fake_1000() -> KnownSet:
    rows = read("fake_1000.csv")
    return KnownSet("fake_1000", rows, Columns("unique_id", typed(FAKE)), rows["cluster"])


def historical(rows: int, *, seed: int = 0) -> KnownSet:
    made = columns_of(persons(rows, seed))
    name = f"synthetic {rows // 1000}k"
    return KnownSet(name, made, Columns("unique_id", typed(COLUMNS)), made["cluster"])


# How well


@dataclass(frozen=True)
class Quality:
    """Of pairs, and `b_cubed` the F1 of B³ (Bagga and Baldwin 1998), in which each row counts the same."""

    f1: float
    precision: float
    recall: float
    b_cubed: float


def quality(truth: Sequence[object], clusters: Sequence[object]) -> Quality:
    """Both have one label per row, in the same order."""
    true, found = _codes(truth), _codes(clusters)
    _, place, agreed = np.unique(np.stack([true, found]), axis=1, return_inverse=True, return_counts=True)
    of_true, of_found = np.bincount(true), np.bincount(found)
    right = _pairs(agreed)
    precision, recall = right / max(_pairs(of_found), 1), right / max(_pairs(of_true), 1)
    own = agreed[place.ravel()]
    return Quality(
        f1=_mean(precision, recall),
        precision=precision,
        recall=recall,
        b_cubed=_mean(float((own / of_found[found]).mean()), float((own / of_true[true]).mean())),
    )


def _codes(labels: Sequence[object]) -> NDArray[np.int64]:
    places = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return np.array([places[label] for label in labels], np.int64)


def _pairs(sizes: NDArray[np.int64]) -> float:
    return float((sizes * (sizes - 1) // 2).sum())


def _mean(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other else 0.0


def measured(known: KnownSet) -> tuple[Quality, Matched]:
    records = known.records()
    person = dict(zip(known.rows[known.columns.id], known.truth, strict=True))
    matched = match(records)
    return quality([person[each] for each in records.ids.tolist()], matched.clusters.tolist()), matched
