"""A definition is read as it is meant, and written again as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from segments.language import parse
from segments.tree import (
    Absent,
    Aggregate,
    All,
    Any_,
    Attr,
    Calendar,
    Definition,
    Did,
    Entity,
    Fixed,
    Fn,
    In,
    Not,
    Op,
    Prop,
    Rel,
    Rolling,
    Sample,
    Seq,
    Since,
    Step,
)
from segments.tree import Test as Compared  # pytest takes a class named Test for tests
from segments.written import as_json
from tests.segments.documents import DEFINITIONS, unhurried
from tests.segments.examples import TAKEN, TZ, person

HOUR, DAY = 3_600_000, 86_400_000
AT_LEAST_ONCE = Compared(Op.GE, 1)


def read(where: Any, **fields: Any) -> Any:
    return parse(person(where, **fields), tz=TZ).where


def test_the_remarketing_case_is_read_as_it_is_meant() -> None:
    viewed = Step(("model_page_viewed",), Prop("stay_seconds", Compared(Op.GE, 10)))
    assert parse(TAKEN["A"], tz="UTC") == Definition(
        Entity.PERSON,
        "Asia/Shanghai",
        All(
            (
                Absent(viewed, Step(("lead_submitted",)), 2 * HOUR, 14 * DAY, ("model_id",)),
                Did(
                    Step(("model_page_viewed",)),
                    Rolling(7 * DAY),
                    Aggregate(Fn.PERIODS, period="day"),
                    Compared(Op.GE, 2),
                ),
                Not(In("owners_all")),
                Attr("city", Compared(Op.IN, ("成都", "重庆"))),
            )
        ),
    )


@pytest.mark.parametrize(
    ("where", "tree"),
    [
        ({"did": "a"}, Did(Step(("a",)), None, Aggregate(), AT_LEAST_ONCE)),
        ({"did": "*"}, Did(Step(()), None, Aggregate(), AT_LEAST_ONCE)),
        ({"did": ["a", "b"]}, Did(Step(("a", "b")), None, Aggregate(), AT_LEAST_ONCE)),
        (
            {"did": "a", "agg": {"fn": "first"}, "op": ">=", "value": "1970-01-02"},
            Did(Step(("a",)), None, Aggregate(Fn.FIRST), Compared(Op.GE, DAY - 8 * HOUR)),
        ),
        (
            {"did": "a", "agg": {"fn": "nth", "n": 2, "of": "x"}, "op": "missing"},
            Did(Step(("a",)), None, Aggregate(Fn.NTH, "x", 2), Compared(Op.MISSING)),
        ),
        ({"attr": "a", "op": "<", "ref": "b"}, Attr("a", Compared(Op.LT, ref="b"))),
        ({"attr": "a", "op": "older_than", "value": "P1WT1S"}, Attr("a", Compared(Op.OLDER, 7 * DAY + 1_000))),
        (
            {"attr": "$first_seen", "op": "between", "value": ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.0019Z"]},
            Attr("$first_seen", Compared(Op.BETWEEN, (0, 1))),
        ),
        ({"in": "s", "as_of": "1970-01-01T08:00:00+08:00"}, In("s", as_of=0)),
        ({"in": "s", "for": "P30D"}, In("s", held=30 * DAY)),
        ({"rel": "lead", "agg": {"fn": "none"}}, Rel("lead", All(), Aggregate(), Compared(Op.EQ, 0))),
        (
            {"rel": "lead", "where": {"prop": "campaign.x", "op": "present"}, "agg": {"fn": "any"}},
            Rel("lead", Prop("campaign.x", Compared(Op.PRESENT)), Aggregate(), AT_LEAST_ONCE),
        ),
        ({"sample": {"salt": "s", "from": 0, "to": 0.5}}, Sample("s", 0.0, 0.5)),
        (
            {"seq": [{"did": "a"}, {"did": "b", "gap": "PT1H", "without": ["c"]}], "same": ["m"]},
            Seq((Step(("a",)), Step(("b",), gap=HOUR, without=("c",))), same=("m",)),
        ),
        (
            {"any": [{"not": {"all": []}}, {"attr": "a", "op": "present"}]},
            Any_((Not(All()), Attr("a", Compared(Op.PRESENT)))),
        ),
    ],
)
def test_each_kind_of_condition(where: Any, tree: Any) -> None:
    assert read(where) == tree


@pytest.mark.parametrize(
    ("window", "tree"),
    [
        ({"last": "P30D", "until": "P7D"}, Rolling(30 * DAY, 7 * DAY)),
        ({"calendar": "month"}, Calendar("month")),
        ({"calendar": "week", "back": 2, "count": 3}, Calendar("week", 2, 3)),
        ({"from": "1970-01-02"}, Fixed(DAY - 8 * HOUR)),
        ({"from": "1970-01-01T00:00:00Z", "to": "1970-01-02"}, Fixed(0, DAY - 8 * HOUR)),
        ({"since": {"attr": "born"}, "for": "P1D"}, Since("born", None, "", DAY)),
        ({"since": {"did": "b"}, "for": "P1D"}, Since("", Step(("b",)), "last", DAY)),
        ({"since": {"did": "b", "which": "first"}, "for": "P1D"}, Since("", Step(("b",)), "first", DAY)),
    ],
)
def test_each_kind_of_window(window: Any, tree: Any) -> None:
    assert read({"did": "a", "window": window}).window == tree


def test_a_date_is_midnight_in_the_zone_of_the_segment_even_on_a_day_that_has_none() -> None:
    [before, after] = [
        parse(person({"did": "a", "window": {"from": day}}, tz="America/Sao_Paulo"), tz=TZ).where.window.start
        for day in ("2018-11-04", "2018-11-05")
    ]
    assert before == 1_541_300_400_000  # clocks went from 00:00 to 01:00
    assert after - before == 23 * HOUR


def test_the_time_zone_is_the_installations_where_none_is_named() -> None:
    assert parse(person({"all": []}), tz="Europe/Paris").tz == "Europe/Paris"
    assert parse(person({"all": []}, tz="UTC"), tz="Europe/Paris").tz == "UTC"


@unhurried
@given(DEFINITIONS)
def test_what_is_written_again_reads_the_same(document: Any) -> None:
    definition = parse(document, tz=TZ)
    assert parse(as_json(definition), tz="UTC") == definition


PATTERNS = [r"^蒙迪欧|锐界$", r"(?i)suv\b", r"[^a-z\d]{2,5}?", r"\p{Han}+", r"\$\.", "(a|b)*c"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_of_re2_is_taken(pattern: str) -> None:
    assert read({"attr": "a", "op": "matches", "value": pattern}) == Attr("a", Compared(Op.MATCHES, pattern))
