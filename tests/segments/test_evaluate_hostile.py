"""Whatever names and values a definition holds, and however large it is, the engine runs what the language takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from segments.faults import Fault, MalformedSegment
from tests.oracle.makers import DAY, HOUR, NOW
from tests.segments.store import StoredWorlds
from tests.segments.stories import Story

NASTY = "'\"`\\{}%$_?#;-/*()[]<>:,.|^ \t\n\r\x01\x1b\x7f\u0085\u2028\ufeff\U0001f600长a1nrx"
TEXT = st.one_of(
    st.text(alphabet=NASTY, max_size=12),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.sampled_from(
        ["{x:String}", "%s", "%(x)s", "' OR 1=1 --", "\\'", "``", "\\`", "properties", "长" * 500, "$", "*"]
    ),
)
NAME = TEXT.filter(bool)
NUMBERS = (
    1e308,
    -1e308,
    -0.0,
    0,
    5e-324,
    -5e-324,
    2.0**53,
    1 - 2**53,
    0.1,
    1.7976931348623157e308,
    1e15,
    -62135596800000,
)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=NAME, prop=NAME, value=TEXT, other=TEXT)
def test_every_text_is_a_name_and_a_value_and_nothing_else(
    worlds: StoredWorlds, name: str, prop: str, value: str, other: str
) -> None:
    assume(not prop.startswith("$"))
    story = Story(worlds)
    for who, said in (("li", value), ("wang", other), ("zhou", [value, other])):
        story.tell(who, name, NOW - HOUR, traits={prop: said}, **{prop: said})
        story.tell(who, f"{name}!", NOW - HOUR + 1, **{prop: said, f"{prop}!": value})
    parts: list[Any] = [
        {"did": name, "where": {"prop": prop, "op": op, "value": value}}
        for op in ("=", "!=", ">", "contains", "starts")
    ]
    parts += [{"attr": prop, "op": op, "value": value} for op in ("=", "<=", "contains")]
    parts += [{"attr": prop, "op": op, "value": [value, other]} for op in ("in", "not_in", "between")]
    parts.append({"did": [name, f"{name}!"], "agg": {"fn": "distinct", "of": prop}, "op": "=", "value": 1})
    parts.append({"did": name, "agg": {"fn": "last", "of": prop}, "op": "=", "value": other})
    parts.append({"did": f"{name}!", "where": {"prop": prop, "op": "=", "ref": f"{prop}!"}})
    parts.append({"seq": [{"did": name}, {"did": f"{name}!", "without": [f"{name}?"]}], "same": [prop]})
    parts.append({"absent": {"did": f"{name}?"}, "after": {"did": name}, "for": "PT1H", "same": [prop]})
    parts.append({"sample": {"salt": f"{value}s", "from": 0, "to": 0.5}})
    for part in parts:
        assert_run_or_refused(story, part)


def assert_run_or_refused(story: Story, where: Any) -> None:
    """As the slow evaluator runs it, or with a sentence for each fault."""
    faults: Sequence[Fault] = ()
    try:
        story.said(where)
    except MalformedSegment as refused:
        faults = refused.faults
    assert all(each.expected and each.help for each in faults)


@pytest.mark.parametrize("name", ["{states}", "x) OR 1 -- {states}", "{p0:Array(String)}", "x`, 1 AS unit --"])
def test_a_name_that_resembles_a_query_is_a_name_and_nothing_else(worlds: StoredWorlds, name: str) -> None:
    story = Story(worlds)
    story.tell("li", "viewed", NOW - HOUR, **{name: 1})
    story.tell("wang", "viewed", NOW - HOUR, other=1)
    assert story.members({"did": "viewed", "where": {"prop": name, "op": "present"}}) == {"li"}
    assert story.members({"did": "viewed", "where": {"prop": name, "op": "missing"}}) == {"wang"}


@pytest.mark.parametrize("op", ["=", "!=", ">", ">=", "<", "<="])
def test_numbers_at_the_edge_are_numbers(worlds: StoredWorlds, op: str) -> None:
    story = Story(worlds)
    for n, number in enumerate(NUMBERS):
        story.tell(f"p{n}", "paid", NOW - HOUR, traits={"x": number}, x=number)
        story.tell(f"p{n}", "paid", NOW - HOUR + 1, x=number)
    for number in (1e308, -0.0, 5e-324, 2.0**53):
        assert_run_or_refused(
            story,
            {
                "any": [
                    {"attr": "x", "op": op, "value": number},
                    {"did": "paid", "agg": {"fn": "max", "of": "x"}, "op": op, "value": number},
                ]
            },
        )
        assert_run_or_refused(story, {"did": "paid", "agg": {"fn": "sum", "of": "x"}, "op": op, "value": number})
        assert_run_or_refused(story, {"did": "paid", "where": {"prop": "x", "op": "in", "value": [number, 7]}})


def test_whole_numbers_beyond_64_bits_are_texts(worlds: StoredWorlds) -> None:
    story = Story(worlds)
    for number in (2**53 + 1, 2**63 - 1, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30):
        story.tell(str(number), "paid", NOW - HOUR, traits={"x": number}, x=number)
    for where in ({"attr": "x"}, {"did": "paid", "agg": {"fn": "last", "of": "x"}}):
        numbers = story.members({**where, "op": ">", "value": 5})
        assert numbers == {str(2**53 + 1), str(2**63 - 1), str(2**64 - 1)}
        assert story.members({**where, "op": "=", "value": str(10**30)}) == {str(10**30)}


@pytest.mark.parametrize("pattern", ["^北京?市$", "北京*市", "(?i)a京{0,1}|x", "a.b", "(?s)a.b", "北|京", r"\bb\b"])
def test_a_pattern_means_its_characters_and_not_their_bytes(worlds: StoredWorlds, pattern: str) -> None:
    story = Story(worlds)
    for text in ("北京市", "北市", "北京京市", "京", "A", "a京", "a b", "a\nb", "é"):
        story.tell(text, "", NOW - HOUR, traits={"x": text})
    assert story.members({"attr": "x", "op": "matches", "value": pattern})


def test_an_age_is_told_of_every_number_or_it_is_no_moment(worlds: StoredWorlds) -> None:
    story = Story(worlds)
    for number in (*NUMBERS, NOW - DAY, NOW - DAY - 1, NOW - DAY + 0.5):
        story.tell(str(number), "paid", NOW - HOUR, traits={"x": number})
    older = story.members({"attr": "x", "op": "older_than", "value": "P1D"})
    assert older == {"0", "-0.0", "0.1", "5e-324", "-5e-324", "-62135596800000", str(NOW - DAY - 1)}


def test_an_age_is_told_of_every_text_that_is_a_moment(worlds: StoredWorlds) -> None:
    story = Story(worlds)
    moments = ("2020-01-01T10:00:00Z", "2020-01-01t10:00:00z", "2020-01-01T10:00:00.5+08:00", "2020-01-01")
    for text in (*moments, "2020-01-01T10:00:00", "2020-13-01T10:00:00Z", "20200101T100000Z", "z", "yesterday"):
        story.tell(text, "paid", NOW - HOUR, traits={"x": text}, x=text)
    assert story.members({"attr": "x", "op": "older_than", "value": "P1D"}) == set(moments)
    assert story.members({"did": "paid", "where": {"prop": "x", "op": "older_than", "value": "P1D"}}) == set(moments)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.5), (0.5, 1), (0, 5e-324), (0.999999999, 1)])
def test_a_sample_takes_its_share_and_bounds_do_not_overlap(worlds: StoredWorlds, low: float, high: float) -> None:
    story = Story(worlds)
    story.knows(*(f"p{n}" for n in range(200)))
    taken = story.members({"sample": {"salt": "s", "from": low, "to": high}})
    assert abs(len(taken) - 200 * (high - low)) < 40
    assert taken.isdisjoint(story.members({"sample": {"salt": "s", "from": high, "to": 1}}) if high < 1 else set())


def _viewed(**more: Any) -> dict[str, Any]:
    return {"did": "viewed", **more}


def _steps(count: int) -> list[dict[str, Any]]:
    more = {"gap": "P1D", "without": ["x", "y"]}
    return [_viewed(where={"prop": "p", "op": ">", "value": n}) | (more if n else {}) for n in range(count)]


def _deep(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"attr": "x", "op": "=", "value": 1}
    for _ in range(depth - 1):
        inner = {"any": [inner]} if "not" in inner else {"not": inner}
    return inner


LARGE = {
    "64 lists of 1,000 texts": [
        _viewed(where={"prop": f"p{n}", "op": "in", "value": [f"{n} '\\ {each}"[:12] for each in range(1_000)]})
        for n in range(64)
    ],
    "64 lists of 1,000 numbers": [
        {"attr": f"a{n}", "op": "not_in", "value": [each + 0.5 for each in range(1_000)]} for n in range(64)
    ],
    "8 steps of 8 properties": [{"seq": _steps(8), "within": "P7D", "same": [f"k{n}" for n in range(8)]}],
    "16 levels": [_deep(14)],
    "a year of days": [
        _viewed(window={"calendar": "day", "back": 400, "count": 401}, agg={"fn": "sum", "of": "x"}, op=">", value=n)
        for n in range(8)
    ],
    "10,000 matches": [
        _viewed(window={"last": "P30D"}, op=">=", value=10_000),
        _viewed(agg={"fn": "nth", "of": "x", "n": 10_000}, op="=", value=1),
    ],
    "500 counts": [_viewed(window={"last": "P30D"}, op="in", value=list(range(0, 1_000, 2)))],
    "64 attributes beside others": [{"attr": f"a{n}", "op": "contains", "ref": f"b{n}"} for n in range(64)],
    "64 windows that begin with a step": [
        _viewed(window={"since": {"did": "asked"}, "for": f"P{n + 1}D"}, agg={"fn": "avg", "of": "x"}, op=">", value=n)
        for n in range(64)
    ],
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_as_large_as_the_language_allows_is_run(worlds: StoredWorlds, name: str) -> None:
    story = Story(worlds)
    for days in range(20):
        story.tell("li", "viewed", NOW - days * DAY, x=days, p=days, p3="3 '\\ 7", traits={"a0": days})
    assert story.members({"any": LARGE[name]}) <= {"li"}
