"""Names of hits, and what a masked value still shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.model import Identifier, Position, mask

counts = st.integers(min_value=0, max_value=2**63 - 1)


@given(counts, counts)
def test_the_name_of_a_hit_leads_back_to_its_place(partition: int, offset: int) -> None:
    position = Position(partition, offset)
    assert Position.of_hit(position.hit_id) == position


@pytest.mark.parametrize("name", ["", "0", "0-", "-1", "0-1-2", "a-1", "0-b", "-1-2", "0 - 1", "0-1.0", "+0-1"])
def test_what_is_no_name_of_a_hit_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a hit id looks like 0-123"):
        Position.of_hit(name)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("+8613812348000", "+86138****8000"),
        ("li@example.com", "l****@example.com"),
        ("沪A12345", "沪A****"),
        ("LSVAA4182E2123456", "LSV****456"),
        ("x", "x****"),
        ("", "****"),
    ],
)
def test_a_masked_value_can_be_recognised_and_not_used(value: str, shown: str) -> None:
    assert mask(value) == shown


@given(st.text(st.characters(exclude_characters="*@"), min_size=2))
def test_a_mask_takes_something_away_from_every_value(value: str) -> None:
    assert len(mask(value).replace("****", "")) < len(value)


def test_an_identifier_in_an_application_log_is_masked() -> None:
    assert "13812348000" not in repr(Identifier("phone", "+8613812348000"))
