"""Damaged requests of every family: each is read and translated, or refused in words; nothing else may happen."""

from __future__ import annotations

import pytest

from tests.wire.mutants import Mutants
from tests.wire.replay import FAMILIES, taken

EACH = 5_000 // len(FAMILIES) + 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_damaged_request_is_read_or_refused_in_words(family: str) -> None:
    counts = [taken(request) for request in Mutants(7, (family,)).requests(EACH)]
    # Damage that nothing survives, or everything, would test nothing.
    assert EACH * 0.1 < sum(count > 0 for count in counts) < EACH
