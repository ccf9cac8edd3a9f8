"""A definition is hostile input: whatever it holds, it is read or refused in words, within bounds."""

from __future__ import annotations

import contextlib
import math
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.faults import MalformedSegment
from segments.language import parse
from tests.segments.documents import DEFINITIONS, unhurried
from tests.segments.examples import TZ, person, refusal, refusals

ATTR = {"attr": "a", "op": "=", "value": 1}


def parse_where(where: Any) -> None:
    parse(person(where), tz=TZ)


def nested(depth: int) -> Any:
    condition: Any = ATTR
    for _ in range(depth - 1):
        condition = {"not": condition}
    return condition


def test_conditions_go_sixteen_deep_and_no_deeper() -> None:
    parse_where(nested(16))
    path, told = refusal(nested(17))
    assert path.count(".not") == 16
    assert "at most 16" in told


def test_filters_count_on_in_depth() -> None:
    prop: Any = {"prop": "p", "op": "present"}
    for _ in range(13):
        prop = {"not": prop}
    parse_where({"all": [{"did": "a", "where": prop}]})
    _, told = refusal({"all": [{"did": "a", "where": {"not": prop}}]})
    assert "at most 16" in told


def test_sixty_four_conditions_are_taken_and_one_more_is_told_once() -> None:
    parse_where({"all": [ATTR] * 64})
    path, told = refusal({"all": [ATTR] * 200})
    assert path == "where.all[64]"
    assert "at most 64" in told


def test_connectives_without_parts_count_too() -> None:
    parse_where({"all": [{"all": []}] * 64})
    assert refusal({"all": [{"any": [{"all": []}]}] * 65})[0] == "where.all[64].any[0]"
    prop = {"did": "a", "where": {"all": [{"all": []}] * 257}}
    assert refusal(prop)[0] == "where.where.all[256]"


def test_comparisons_in_filters_are_limited_over_all_leaves() -> None:
    prop = {"prop": "p", "op": "present"}
    parse_where({"all": [{"did": "a", "where": {"all": [prop] * 128}}] * 2})
    path, _ = refusal({"all": [{"did": "a", "where": {"all": [prop] * 129}}] * 2})
    assert path == "where.all[1].where.all[127]"


def test_ten_thousand_brackets_do_no_harm() -> None:
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    for document in (deep, person(deep), person(nested(10_000))):
        assert "levels of brackets" in refusals(document)[0].expected


@pytest.mark.parametrize(
    "document",
    [
        None,
        3,
        "person",
        [],
        {1: 2},
        person({"all": [math.nan]}),
        person({**ATTR, "value": math.inf}),
        person({**ATTR, "value": 10**400}),
        person({**ATTR, "value": 2**53 + 1}),
        person({**ATTR, "value": "a\0b"}),
        person({**ATTR, "value": "\ud800"}),
        person({**ATTR, "\ud800": 1}),
        person({**ATTR, "value": b"bytes"}),
        person({**ATTR, "value": "x" * 1_000_001}),
        person({"all": [[]] * 100_001}),
        person({"all": ["x" * 30] * 40_000}),
    ],
)
def test_a_hostile_document_is_refused_in_words_that_can_be_sent(document: Any) -> None:
    for each in refusals(document):
        told = f"{each.path}; {each.expected}; {each.got}; {each.help}"
        told.encode()
        assert len(told) < 1_500


def test_the_number_of_faults_is_bounded() -> None:
    assert len(refusals(person({"did": "a", **{f"x{at}": 1 for at in range(5_000)}}))) == 100


_FIELDS = st.sampled_from(
    [
        "all",
        "any",
        "not",
        "attr",
        "did",
        "seq",
        "absent",
        "after",
        "in",
        "rel",
        "sample",
        "op",
        "value",
        "where",
        "prop",
        "window",
        "last",
        "since",
        "for",
        "agg",
        "fn",
        "of",
        "same",
        "until",
        "ref",
        "from",
        "to",
        "calendar",
        "gap",
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_FIELDS, inner, max_size=4),
    max_leaves=20,
)


def reads_or_refuses(document: Any) -> None:
    """Anything else that is raised fails the test."""
    with contextlib.suppress(MalformedSegment):
        parse(document, tz=TZ)


@unhurried
@given(_JSON)
def test_no_document_brings_the_reader_down(where: Any) -> None:
    reads_or_refuses(person(where))


@unhurried
@given(DEFINITIONS, st.data())
def test_a_definition_with_one_value_spoilt_is_read_or_refused(document: Any, data: st.DataObject) -> None:
    document = deepcopy(document)
    places = list(_places(document))
    holder, name = places[data.draw(st.integers(0, len(places) - 1))]
    holder[name] = data.draw(_JSON)
    reads_or_refuses(document)


def _places(value: Any) -> Any:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inside:
        yield value, name
        yield from _places(each)
