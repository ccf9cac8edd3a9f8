"""The model by which leads are compared while they come in: learn it, and measure it on rows that it has not seen.

    python -m bench.similar learn      writes leads/similar_model.json
    python -m bench.similar            measures it

It is learnt without labels from made-up rows of dealers' CRMs (`tests/matching/crm_rows.py`). What is made up in them
is taken out of the model again: a real dealer's name is neither rarer nor commoner than another.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from identity.matching.blocking import candidate_pairs
from identity.matching.columns import Columns, ColumnType
from identity.matching.learn import learn_model
from identity.matching.model import ColumnModel, Frequencies, Model, dump_model
from identity.matching.pairs import compare_pairs
from identity.matching.records import build_records
from leads.similar_keys import CAP, Row, keys_of, plain_name
from leads.similar_score import scored, version
from tests.matching.crm_rows import COLUMNS, crm_rows

SHIPPED = Path(__file__).parents[1] / "leads" / "similar_model.json"
PERSONS, SEED = 50_000, 20_261_125
UNSEEN_SEED = 7
PEOPLE = 1_000_000
"""Persons that a car maker has leads of. Two of a million rows are less often one person's than two of those learnt
from, and a name is shared by more at one dealer; so the priors are those of so many."""
KEPT = 5
"""Rows that a name must have to keep a share of its own."""
DIGITS = 4
"""Of each number in the model; what follows is noise of the draw."""


def learn() -> Model:
    rows = [clean(row) for row in crm_rows(PERSONS, SEED)]
    columns = Columns("id", {name: ColumnType(kind) for name, kind in COLUMNS.items()})
    records = build_records({name: [row[name] for row in rows] for name in ("id", *COLUMNS)}, columns)
    left, right = candidate_pairs(records)
    learnt = learn_model(records, left, right, compare_pairs(records, left, right))
    counts = Counter(row["name"] for row in rows)
    fewer = PERSONS / PEOPLE
    return replace(
        learnt,
        columns=tuple(_shipped(each, counts) for each in learnt.columns),
        prior=_rounded(learnt.prior * fewer),
        related_prior=_rounded(learnt.related_prior * fewer),
    )


def clean(row: Row) -> dict[str, str]:
    """As a lead's row is made."""
    return {**row, "name": plain_name(row["name"])}


def _shipped(column: ColumnModel, counts: Counter[str]) -> ColumnModel:
    known = {ColumnType.NAME_ZH: lambda name: counts[name] >= KEPT, ColumnType.PLACE: lambda city: True}
    values, keep = column.values, known.get(column.kind)
    if keep is None:
        values = Frequencies({}, unseen=values.collision, collision=values.collision)
    shares = {value: _rounded(share) for value, share in values.shares.items() if keep is not None and keep(value)}
    if column.kind is ColumnType.PLACE:
        values = replace(values, unseen=min(shares.values()))
    own = Frequencies(shares, unseen=_rounded(values.unseen), collision=_rounded(values.collision))
    surnames = column.surnames and replace(
        column.surnames, shares={name: _rounded(share) for name, share in column.surnames.shares.items()}
    )
    return replace(column, values=own, surnames=surnames)


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def measure() -> None:
    """Precision and recall of each band on other rows, and what one row costs."""
    rows = crm_rows(PERSONS, UNSEEN_SEED)
    blocks: defaultdict[str, list[int]] = defaultdict(list)
    cleaned = [clean(row) for row in rows]
    for place, row in enumerate(cleaned):
        for key in keys_of(row):
            blocks[key].append(place)
    near: defaultdict[int, set[int]] = defaultdict(set)
    for block in blocks.values():
        if len(block) <= CAP:
            for one, other in combinations(sorted(block), 2):
                near[other].add(one)
    bands: dict[str, Counter[bool]] = {"strict": Counter(), "loose": Counter()}
    seconds, compared = [], 0
    for place, others in near.items():
        among = [each for each in sorted(others) if not _one_phone(rows[place], rows[each])]
        if not among:
            continue
        began = time.perf_counter()
        found = scored(cleaned[place], [cleaned[each] for each in among])
        seconds.append(time.perf_counter() - began)
        compared += len(among)
        for each in found:
            if each.probability >= 0.8:
                band = "strict" if each.probability >= 0.99 and not each.contradicted else "loose"
                bands[band][rows[place]["person"] == rows[among[each.place]]["person"]] += 1
    persons: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        persons[row["person"]].append(row)
    wanted = sum(not _one_phone(a, b) for of in persons.values() for a, b in combinations(of, 2))
    print(f"model {version()}, {len(rows):,} rows, {wanted:,} pairs of one person without a phone in common")
    for band, counts in bands.items():
        found_of = counts[True] + counts[False]
        print(f"{band}: {found_of:,} pairs, precision {counts[True] / max(found_of, 1):.4f}", end=", ")
        print(f"recall {counts[True] / wanted:.4f}")
    print(f"{compared / len(seconds):.1f} compared per row, median {statistics.median(seconds) * 1000:.2f} ms")


def _one_phone(one: Row, other: Row) -> bool:
    """Whether an identifier joins them anyway."""
    return any(one[name] == other[name] != "" for name in ("phone", "vin", "plate"))


if __name__ == "__main__":
    if sys.argv[1:] == ["learn"]:
        made = learn()
        SHIPPED.write_text(dump_model(made) + "\n", encoding="utf-8")
        print(made.version)
    else:
        measure()
