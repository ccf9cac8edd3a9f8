"""What a stream says once a day, and how well."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.model import DAY_MS, Fact, Trust
from identity.kinds import BUILT_IN
from identity.observation import Proof, assertion, fold, pid, set_id, strength_of
from tests.identity.makers import identifiers

LI = identifiers("member_id:M1", "anonymous_id:a1")


@pytest.mark.parametrize(
    ("fact", "trust", "proven", "strength"),
    [
        (Fact.LOGIN, Trust.SERVER, False, 5),
        (Fact.LOGIN, Trust.PUBLIC, False, 4),
        (Fact.LOGIN, Trust.PUBLIC, True, 5),
        (Fact.FORM, Trust.SERVER, False, 3),
        (Fact.FORM, Trust.PUBLIC, False, 2),
        (Fact.FORM, Trust.PUBLIC, True, 2),
        (Fact.CO_OCCURRENCE, Trust.SERVER, False, 1),
        (Fact.CO_OCCURRENCE, Trust.PUBLIC, True, 1),
    ],
)
def test_a_key_that_everybody_can_read_proves_little(fact: Fact, trust: Trust, proven: bool, strength: int) -> None:
    assert strength_of(fact, trust, proven) == strength


def test_a_repeat_within_the_day_is_the_same_observation() -> None:
    one, again = (assertion(BUILT_IN, "site", met, 4, 100) for met in (LI, LI[::-1]))
    assert one is not None
    assert again is not None
    assert one == again
    assert one.occurred_at == 100 * DAY_MS


@pytest.mark.parametrize(("source", "strength", "day"), [("app", 4, 100), ("site", 1, 100), ("site", 4, 101)])
def test_another_source_strength_or_day_is_another_observation(source: str, strength: int, day: int) -> None:
    one, other = assertion(BUILT_IN, "site", LI, 4, 100), assertion(BUILT_IN, source, LI, strength, day)
    assert one is not None
    assert other is not None
    assert one.id != other.id


def test_one_identifier_alone_says_nothing() -> None:
    assert assertion(BUILT_IN, "site", LI[:1], 4, 100) is None
    assert assertion(BUILT_IN, "site", identifiers("member_id:M1", "ip:10.0.0.1"), 4, 100) is None
    assert assertion(BUILT_IN, "site", identifiers("name:li", "city:x"), 4, 100) is None


def test_a_name_is_kept_beside_a_phone_because_names_are_counted() -> None:
    kept = assertion(BUILT_IN, "form", identifiers("phone:p", "name:li", "ip:10.0.0.1"), 2, 100)
    assert kept is not None
    assert kept.identifiers == identifiers("name:li", "phone:p")


def test_a_set_is_named_by_its_members_only() -> None:
    assert set_id(LI) == set_id(LI[::-1]) == set_id(LI + LI)
    assert set_id(LI) != set_id(LI[:1])
    assert set_id(identifiers("member_id:M1")) != set_id(identifiers("phone:M1"))


def test_set_ids_are_the_same_in_every_process() -> None:
    assert set_id(LI) == 4708577051049256024
    assert pid(LI[0]) == pid(identifiers("member_id:M1")[0])


proofs = st.builds(Proof, st.integers(1, 5), st.integers(0, 5), st.integers(0, 5), st.integers(1, 9))


@given(many=st.lists(proofs, min_size=1, max_size=6), seed=st.integers(0, 99))
def test_proofs_fold_to_the_same_in_any_order_and_with_repeats(many: list[Proof], seed: int) -> None:
    shuffled = many + many[:2]
    random.Random(seed).shuffle(shuffled)
    one, other = many[0], shuffled[0]
    for each in many[1:]:
        one = fold(one, each)
    for each in shuffled[1:]:
        other = fold(other, each)
    assert one == other
    assert one.strength == max(each.strength for each in many)
