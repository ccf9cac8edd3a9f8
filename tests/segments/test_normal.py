"""What means the same has one form and one key; what means another thing has another."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.language import parse
from segments.normal import key, normal
from segments.tree import All, Any_, Attr, Definition, Entity, Not, Op
from segments.tree import Test as Compared
from segments.walk import leaves_of
from segments.written import as_json
from tests.segments.documents import DEFINITIONS, unhurried
from tests.segments.examples import TAKEN, TZ, person


def key_of(where: Any, **fields: Any) -> str:
    return key(parse(person(where, **fields), tz=TZ))


A = {"attr": "a", "op": "present"}
B = {"attr": "b", "op": "=", "value": 1}
C = {"did": "c"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"all": [A, B]}, {"all": [B, A]}),
        ({"all": [A, {"all": [B, C]}]}, {"all": [{"all": [A, B]}, C]}),
        ({"any": [A, {"any": [B, {"any": [C]}]}]}, {"any": [C, B, A, B]}),
        ({"all": [A]}, A),
        ({"any": [{"all": [A]}]}, A),
        ({"not": {"not": A}}, A),
        ({"not": {"all": [{"not": {"any": [B]}}]}}, B),
        ({"not": {"attr": "a", "op": "missing"}}, A),
        ({"all": [A, {"all": []}]}, A),
        ({"all": [A, {"not": {"all": []}}]}, {"not": {"all": []}}),
        ({"any": [A, {"all": []}]}, {"all": []}),
        ({"any": [B, {"not": {"all": []}}]}, B),
        ({"any": [{"not": {"all": []}}]}, {"not": {"all": []}}),
        ({"all": [{"any": [A, B]}, {"any": [B, A]}]}, {"any": [A, B]}),
        ({"attr": "a", "op": "in", "value": [2, 1, 2.0]}, {"attr": "a", "op": "in", "value": [1.0, 2]}),
        ({"attr": "a", "op": "=", "value": 0}, {"attr": "a", "op": "=", "value": -0.0}),
        ({"did": ["y", "x", "y"]}, {"did": ["x", "y"]}),
        ({"did": "*"}, {"did": ["*"]}),
        (C, {"did": "c", "agg": {"fn": "count"}, "op": ">=", "value": 1}),
        ({"did": "c", "window": {"last": "P7D"}}, {"did": "c", "window": {"last": "P1W", "until": "PT0S"}}),
        ({"did": "c", "window": {"last": "PT48H"}}, {"did": "c", "window": {"last": "P1DT24H"}}),
        (
            {"did": "c", "window": {"calendar": "day"}},
            {"did": "c", "window": {"calendar": "day", "back": 0, "count": 1}},
        ),
        (
            {"did": "c", "window": {"from": "2026-03-01"}},
            {"did": "c", "window": {"from": "2026-02-28T16:00:00Z"}},
        ),
        (
            {"did": "c", "window": {"since": {"did": "d"}, "for": "P1D"}},
            {"did": "c", "window": {"since": {"did": "d", "which": "last"}, "for": "P1D"}},
        ),
        (
            {"did": "c", "where": {"all": [{"not": {"prop": "p", "op": "missing"}}, {"all": []}]}},
            {"did": "c", "where": {"prop": "p", "op": "present"}},
        ),
        (
            {"seq": [{"did": "a"}, {"did": "b", "without": ["d", "c"]}], "same": ["n", "m"]},
            {"seq": [{"did": "a"}, {"did": "b", "without": ["c", "d"]}], "same": ["m", "n"]},
        ),
        ({"rel": "lead", "agg": {"fn": "none"}}, {"rel": "lead", "op": "=", "value": 0}),
    ],
)
def test_equivalent_conditions_have_one_key(one: Any, other: Any) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"all": [A, B]}, {"any": [A, B]}),
        ({"all": [A, {"any": [B, C]}]}, {"any": [{"all": [A, B]}, C]}),
        (A, {"not": A}),
        ({"all": []}, {"not": {"all": []}}),
        (B, {"attr": "b", "op": "=", "value": True}),
        (B, {"attr": "b", "op": "=", "value": "1"}),
        ({"attr": "b", "op": "in", "value": [1, True]}, {"attr": "b", "op": "in", "value": [1]}),
        ({"any": [B, {"attr": "b", "op": "=", "value": True}]}, B),
        ({"attr": "a", "op": "between", "value": [1, 2]}, {"attr": "a", "op": "between", "value": [2, 1]}),
        ({"not": {"attr": "b", "op": "=", "value": 1}}, {"attr": "b", "op": "!=", "value": 1}),
        ({"attr": "a", "op": "=", "value": "b"}, {"attr": "a", "op": "=", "ref": "b"}),
        ({"did": ["a", "b"]}, {"any": [{"did": "a"}, {"did": "b"}]}),
        ({"did": "c", "window": {"last": "P1D"}}, {"did": "c", "window": {"calendar": "day"}}),
        ({"seq": [{"did": "a"}, {"did": "b"}]}, {"seq": [{"did": "b"}, {"did": "a"}]}),
        (
            {"absent": {"did": "a"}, "after": {"did": "b"}, "for": "PT0S"},
            {"absent": {"did": "b"}, "after": {"did": "a"}, "for": "PT0S"},
        ),
        ({"not": {"any": [A, B]}}, {"all": [{"not": A}, {"not": B}]}),  # De Morgan is left alone
    ],
)
def test_different_conditions_have_different_keys(one: Any, other: Any) -> None:
    assert key_of(one) != key_of(other)


def test_the_universe_and_the_entity_are_part_of_the_key() -> None:
    anyone, known = person(C), person(C, universe={"attr": "a", "op": "present"})
    of_leads = {**person(C), "entity": "lead"}
    assert len({key(parse(each, tz=TZ)) for each in (anyone, known, of_leads)}) == 3


@pytest.mark.parametrize(
    "where",
    [
        {"did": "c", "window": {"calendar": "day"}},
        {"did": "c", "agg": {"fn": "distinct_periods", "period": "day"}, "op": ">", "value": 1},
        {"attr": "born", "op": "older_than", "value": "P1D"},
        {"not": {"did": "c", "where": {"prop": "day", "op": "newer_than", "value": "P1D"}}},
        {"did": "c", "agg": {"fn": "last", "of": "day"}, "op": "newer_than", "value": "P1D"},
        {"did": "c", "window": {"since": {"attr": "born"}, "for": "P1D"}},
    ],
)
def test_the_zone_is_part_of_the_key_where_a_calendar_or_a_date_may_be_meant(where: Any) -> None:
    assert key_of(where, tz="Asia/Shanghai") != key_of(where, tz="America/New_York")


@pytest.mark.parametrize(
    "where",
    [
        {"did": "c", "window": {"last": "P1D"}},
        {"did": "c", "agg": {"fn": "since_last"}, "op": "older_than", "value": "P1D"},
        {"attr": "$last_seen", "op": "older_than", "value": "P1D"},
        {"did": "c", "window": {"from": "2026-03-01T00:00:00Z"}},
        {"rel": "lead", "where": {"prop": "created_at", "op": "newer_than", "value": "P1D"}},
    ],
)
def test_the_zone_is_no_part_of_the_key_where_nothing_uses_it(where: Any) -> None:
    assert key_of(where, tz="Asia/Shanghai") == key_of(where, tz="America/New_York")


@unhurried
@given(DEFINITIONS, st.randoms(use_true_random=False))
def test_shuffling_nesting_and_double_negation_change_no_key(document: Any, chance: random.Random) -> None:
    disguised = {name: _disguised(each, chance) if name in CONDITIONS else each for name, each in document.items()}
    assert key(parse(disguised, tz=TZ)) == key(parse(document, tz=TZ))


CONDITIONS = ("where", "universe")


def _disguised(condition: Any, chance: random.Random) -> Any:
    """The same in other words, one or two levels deeper at most."""
    for word in ("all", "any"):
        if word in condition:
            parts = [_disguised(part, chance) for part in condition[word]]
            parts += parts[:1]
            chance.shuffle(parts)
            return {word: [{word: parts}] if chance.random() < 0.2 else parts}
    if "not" in condition:
        return {"not": _disguised(condition["not"], chance)}
    return chance.choice([condition, {"not": {"not": condition}}, {"all": [condition]}, {"any": [condition] * 2}])


@unhurried
@given(DEFINITIONS)
def test_the_normal_form_is_its_own_and_can_be_written_and_read(document: Any) -> None:
    form = normal(parse(document, tz=TZ))
    assert normal(form) == form
    assert key(form) == key(parse(document, tz=TZ))
    assert normal(parse(as_json(form), tz="UTC")) == form


@unhurried
@given(DEFINITIONS)
def test_the_normal_form_holds_no_constant_and_no_connective_that_says_nothing(document: Any) -> None:
    form = normal(parse(document, tz=TZ))
    for condition in (form.where, form.universe):
        if condition not in (All(), Not(All())):
            _assert_plain(condition)


def _assert_plain(node: Any) -> None:
    match node:
        case All(parts) | Any_(parts):
            assert len(parts) > 1
            assert not any(isinstance(part, type(node)) for part in parts)
            for part in parts:
                _assert_plain(part)
        case Not(part):
            assert not isinstance(part, Not)
            _assert_plain(part)


def test_a_leaf_that_two_segments_share_has_one_key() -> None:
    def leaves(where: Any, tz: str) -> list[str]:
        definition = parse(person(where, tz=tz), tz=TZ)
        return [key(replace(definition, where=leaf)) for _, leaf in leaves_of(definition)]

    [first, second] = leaves({"all": [{"did": ["b", "a"]}, {"did": "a", "window": {"calendar": "day"}}]}, "UTC")
    [third, fourth] = leaves(
        {"any": [{"did": "a", "window": {"calendar": "day"}}, {"not": {"did": ["a", "b"]}}]}, "Asia/Shanghai"
    )
    assert first == fourth
    assert second != third


def test_equal_numbers_and_booleans_are_told_apart() -> None:
    leaves = [Attr("a", Compared(Op.EQ, value)) for value in (1, True, 1.0)]
    keys = [key(Definition(Entity.PERSON, TZ, leaf)) for leaf in leaves]
    assert keys[0] == keys[2] != keys[1]


def test_keys_stay_what_they_are_from_release_to_release() -> None:
    assert {name: key(parse(each, tz=TZ)) for name, each in TAKEN.items()} == {
        "A": "0f90cc684ea136bb",
        "B": "0159c127d8dd90d0",
        "C": "5dd6b890f62cfe0d",
        "D": "9ace0bbace612ae7",
        "E": "9cea8242496cccdb",
        "G": "800e97384b25cb4a",
    }
