"""Learning m and u without labels, on pairs whose m and u are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from identity.matching.columns import ColumnType
from identity.matching.compare import Levels
from identity.matching.fellegi_sunter import Learnt, count_patterns, learn

KINDS = [ColumnType.CATEGORY, ColumnType.PLATE, ColumnType.ID_NUMBER, ColumnType.EMAIL, ColumnType.PHONE]
M = [(0.9, 0.1), (0.8, 0.15, 0.05), (0.7, 0.2, 0.06, 0.04), (0.6, 0.2, 0.1, 0.05, 0.05), (0.75, 0.05, 0.1, 0.1)]
U = [
    (0.2, 0.8),
    (0.001, 0.002, 0.997),
    (0.001, 0.002, 0.005, 0.992),
    (0.002, 0.001, 0.004, 0.01, 0.983),
    (0.0005, 0.001, 0.002, 0.9965),
]
RECORDS, MATCHES = 4_000, 5_000
POSSIBLE = RECORDS * (RECORDS - 1) // 2


def draw(shares: list[tuple[float, ...]], count: int, random: np.random.Generator) -> NDArray[np.int8]:
    """Levels from `equal` on, one row per column."""
    return np.stack([1 + random.choice(len(each), count, p=each) for each in shares]).astype(np.int8)


@pytest.fixture(scope="module")
def learnt() -> Learnt:
    random = np.random.default_rng(7)
    same, different = draw(M, MATCHES, random), draw(U, 60_000, random)
    candidates: list[Levels] = list(np.concatenate([same, different], axis=1))
    return learn(KINDS, candidates, list(draw(U, 400_000, random)), records=RECORDS, possible=POSSIBLE)


@pytest.mark.parametrize("column", range(5))
def test_m_of_simulated_pairs_is_recovered(learnt: Learnt, column: int) -> None:
    assert learnt.m[column][0, 1:] == pytest.approx(M[column], abs=0.03)


@pytest.mark.parametrize("column", range(5))
def test_u_of_simulated_pairs_is_recovered(learnt: Learnt, column: int) -> None:
    assert learnt.u[column][0, 1:] == pytest.approx(U[column], abs=0.002)


def test_the_number_of_matches_is_recovered(learnt: Learnt) -> None:
    assert learnt.prior * POSSIBLE == pytest.approx(MATCHES, rel=0.03)


def test_independent_columns_have_no_parents(learnt: Learnt) -> None:
    assert learnt.parents == ((),) * 5


def test_a_column_that_repeats_another_depends_on_it() -> None:
    random = np.random.default_rng(8)
    same, different, drawn = draw(M, MATCHES, random), draw(U, 60_000, random), draw(U, 400_000, random)
    # Two persons that agree in the third column mostly agree in the second as well.
    for pairs in (different, drawn):
        pairs[1, pairs[2] < 4] = 1

    found = learn(
        KINDS, list(np.concatenate([same, different], axis=1)), list(drawn), records=RECORDS, possible=POSSIBLE
    )

    assert (1,) in found.parents or (2,) in found.parents
    assert found.prior * POSSIBLE == pytest.approx(MATCHES, rel=0.1)


def test_a_missing_value_tells_nothing(learnt: Learnt) -> None:
    assert [(m[0, 0], u[0, 0]) for m, u in zip(learnt.m, learnt.u, strict=True)] == [(1.0, 1.0)] * 5


def test_without_candidates_there_are_hardly_any_matches() -> None:
    nothing: list[Levels] = [np.empty(0, np.int8)] * 5

    found = learn(KINDS, nothing, list(draw(U, 1_000, np.random.default_rng(9))), records=46, possible=1_035)

    assert found.prior == pytest.approx(1 / 1_035)


def test_patterns_of_many_columns_are_told_apart() -> None:
    random = np.random.default_rng(10)
    levels: list[Levels] = [random.integers(0, 8, 500).astype(np.int8) for _ in range(40)]

    counted = count_patterns(levels, [8] * 40)

    assert (counted.patterns[counted.place] == np.stack(levels, 1)).all()
    assert counted.counts.sum() == 500
