"""What is reached on sets whose truth is known, with the one default and without labels."""

from __future__ import annotations

import pytest

from identity.matching.columns import Columns, Mode
from tests.matching.households import COLUMNS, households
from tests.matching.truth import (
    KnownSet,
    columns_of,
    fake_1000,
    febrl3,
    febrl4,
    historical,
    measured,
    quality,
    typed,
)


@pytest.mark.parametrize(("known", "least"), [(febrl4(), 0.9995), (febrl3(), 0.9995), (fake_1000(), 0.94)])
def test_persons_of_a_known_set_are_found(known: KnownSet, least: float) -> None:
    found, _ = measured(known)

    assert found.f1 >= least
    assert found.b_cubed >= least


@pytest.mark.parametrize("seed", [1, 2])
def test_persons_are_found_among_rows_of_heavy_errors(seed: int) -> None:
    found, _ = measured(historical(6_000, seed=seed))

    assert found.f1 >= 0.93
    assert found.b_cubed >= 0.93
    assert found.precision >= 0.95


@pytest.mark.parametrize("mode", Mode)
def test_a_family_under_one_roof_is_not_one_person(mode: Mode) -> None:
    rows = columns_of(households(3_000))
    columns = Columns("id", typed(COLUMNS), source="source", mode=mode)

    found, _ = measured(KnownSet("households", rows, columns, rows["person"]))

    assert found.precision >= 0.995
    assert found.recall >= 0.97


def test_a_set_without_duplicates_stays_apart() -> None:
    known = febrl4()
    firsts = slice(0, 5_000)
    rows = {name: values[firsts] for name, values in known.rows.items()}
    alone = KnownSet("originals", rows, febrl3().columns, known.truth[firsts])

    _, matched = measured(alone)

    assert len(set(matched.clusters.tolist())) >= 4_990


def test_quality_is_that_of_a_case_worked_by_hand() -> None:
    # Persons abc, d; found ab, cd: one of two found pairs is right, one of three true pairs is found.
    found = quality(["p", "p", "p", "q"], [1, 1, 2, 2])

    assert (found.precision, found.recall) == (1 / 2, 1 / 3)
    assert found.f1 == pytest.approx(0.4)
    # B³ precision (1 + 1 + ½ + ½)/4, recall (⅔ + ⅔ + ⅓ + 1)/4.
    assert found.b_cubed == pytest.approx(2 * 0.75 * (8 / 12) / (0.75 + 8 / 12))
