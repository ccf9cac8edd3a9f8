"""An estimate's interval holds the true count about as often as it says, at the ends too."""

from __future__ import annotations

import math
import random

import pytest

from segments.evaluate import SAMPLE, estimate_of

DRAWN = 500


@pytest.mark.parametrize("everybody", [87, 1_000, 20_050])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.5, 0.97, 0.999, 1.0])
def test_19_of_20_samples_hold_the_truth_between_low_and_high(everybody: int, share: float) -> None:
    chance = random.Random(f"{everybody} {share}")
    truth = round(share * everybody)
    held = 0
    for _ in range(DRAWN):
        looked_at = max(0, round(chance.gauss(everybody / SAMPLE, math.sqrt(everybody / SAMPLE))))
        members = _drawn(chance, truth, everybody, looked_at)
        found = estimate_of(members, looked_at=looked_at, everybody=everybody)
        assert 0 <= found.low <= found.count <= found.high <= everybody
        held += found.low <= truth <= found.high
    assert held / DRAWN > 0.92


def _drawn(chance: random.Random, truth: int, everybody: int, looked_at: int) -> int:
    """How many members are among as many units taken without putting back."""
    return sum(each < truth for each in chance.sample(range(everybody), looked_at))


def test_of_nobody_looked_at_nothing_is_known() -> None:
    found = estimate_of(0, looked_at=0, everybody=12)
    assert (found.low, found.high) == (0, 12)


def test_none_of_a_few_does_not_mean_none_at_all() -> None:
    assert estimate_of(0, looked_at=1, everybody=87).high > 46
