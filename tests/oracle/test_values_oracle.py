"""Values, moments, traits and calendars, worked by hand."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from segments.tree import Op
from segments.tree import Test as Compare
from tests.oracle.history import History, TraitSaid, fold
from tests.oracle.makers import DAY, NOW, at
from tests.oracle.values import Moment, day_start, first_day, found, key, moment, passes, period, units_later

SHANGHAI, BERLIN, LORD_HOWE = (ZoneInfo(each) for each in ("Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe"))
APIA = ZoneInfo("Pacific/Apia")


def meets(value: Any, op: Op, other: Any = None) -> bool:
    return passes(Compare(op, other), value, other, NOW, SHANGHAI)


@pytest.mark.parametrize("op", [each for each in Op if each is not Op.MISSING])
def test_every_comparison_with_a_missing_value_is_false_but_missing(op: Op) -> None:
    other = {Op.BETWEEN: (0, 9), Op.IN: ("A",), Op.NOT_IN: ("A",), Op.OLDER: 0, Op.NEWER: 0}.get(op, "A")
    assert not meets(None, op, other)
    assert meets(None, Op.MISSING)


def test_an_empty_text_a_zero_and_an_empty_list_are_not_missing() -> None:
    for value in ("", 0, False, [], {}):
        assert meets(value, Op.PRESENT)
        assert not meets(value, Op.MISSING)


def test_nothing_is_coerced_but_one_is_one_point_zero() -> None:
    assert meets(1, Op.EQ, 1.0)
    assert meets(-0.0, Op.EQ, 0)
    for value, other in ((1, "1"), (True, 1), (False, 0), ("true", True), ("", 0), ("null", False), ([1], 1)):
        assert not meets(value, Op.EQ, other)
        assert meets(value, Op.NE, other)
        assert not meets(value, Op.IN, (other,))
        assert meets(value, Op.NOT_IN, (other,))
    assert meets("北京", Op.IN, ("上海", "北京"))
    assert not meets("北京", Op.NOT_IN, ("上海", "北京"))


def test_order_is_between_two_numbers_or_two_texts() -> None:
    assert meets(2, Op.GT, 1.5)
    assert meets("10", Op.LT, "9")
    assert meets("Z", Op.LT, "a")
    assert meets("z", Op.LT, "京")
    assert meets("\uffff", Op.LT, "😀"), "by code points, not by UTF-16"
    for value, other in (("2", 1), (True, 0), (2, "1"), ([2], 1), ({"a": 2}, 1), (True, False)):
        for op in (Op.GT, Op.GE, Op.LT, Op.LE):
            assert not meets(value, op, other)


def test_between_holds_both_its_ends() -> None:
    assert [meets(value, Op.BETWEEN, (1, 3)) for value in (0, 1, 2.5, 3, 4, "2", True)] == [
        False,
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert not meets(2, Op.BETWEEN, (3, 1))
    assert meets("b", Op.BETWEEN, ("a", "b"))


def test_a_text_contains_texts_and_a_list_its_elements() -> None:
    assert meets("蒙迪欧 2026", Op.CONTAINS, "迪欧")
    assert meets("A", Op.CONTAINS, "")
    assert not meets("ABC", Op.CONTAINS, "b")
    assert meets(["A", 1, True], Op.CONTAINS, 1.0)
    assert not meets(["AB"], Op.CONTAINS, "A")
    assert not meets([True], Op.CONTAINS, 1)
    assert not meets([["A"]], Op.CONTAINS, "A")
    assert not meets(121, Op.CONTAINS, "2")
    assert not meets("121", Op.CONTAINS, 2)


def test_texts_start_and_match() -> None:
    assert meets("/model/a", Op.STARTS, "/model")
    assert not meets("/Model", Op.STARTS, "/model")
    assert not meets(["/model"], Op.STARTS, "/model")
    assert meets("看车 42", Op.MATCHES, "[0-9]+$")
    assert not meets("42 看车", Op.MATCHES, "[0-9]+$")
    assert not meets(42, Op.MATCHES, "42")


def test_moments_are_read_from_texts_with_a_zone_from_dates_and_from_numbers() -> None:
    ten = at("2026-03-01T10:00:00+08:00")
    assert moment("2026-03-01T10:00:00+08:00", BERLIN) == ten
    assert moment("2026-03-01T02:00:00Z", BERLIN) == ten
    assert moment("2026-03-01T02:00:00.2509Z", BERLIN) == ten + 250
    assert moment("2026-03-01", SHANGHAI) == at("2026-03-01T00:00:00+08:00")
    assert moment("2026-03-01", BERLIN) == at("2026-03-01T00:00:00+01:00")
    assert moment(ten, BERLIN) == ten
    assert moment(-2.5, BERLIN) == -2.5
    wrong = ("2026-03-01T10:00:00", "2026-02-30", "20260301", "10:00", "soon", "", True, [ten], {"at": ten}, None)
    assert [moment(each, BERLIN) for each in wrong] == [None] * len(wrong)


def test_older_is_more_than_and_newer_at_most() -> None:
    for value in (NOW - DAY, Moment(NOW - DAY), "2026-03-17T12:00:00+08:00"):
        assert meets(value, Op.NEWER, DAY)
        assert not meets(value, Op.OLDER, DAY)
    assert meets(NOW - DAY - 1, Op.OLDER, DAY)
    assert not meets(NOW - DAY - 1, Op.NEWER, DAY)
    assert meets("2026-03-17", Op.OLDER, DAY)
    assert meets(NOW + 1, Op.NEWER, DAY), "what is still to come is new"
    assert not meets("soon", Op.OLDER, 0)
    assert not meets("soon", Op.NEWER, 0)


def test_a_moment_is_compared_with_moments() -> None:
    assert meets(Moment(NOW), Op.EQ, "2026-03-18T04:00:00Z")
    assert meets(Moment(NOW), Op.GT, "2026-03-18")
    assert meets(Moment(NOW), Op.NE, NOW + 1)
    assert meets(Moment(NOW), Op.BETWEEN, ("2026-03-18", "2026-03-19"))
    assert not meets(Moment(NOW), Op.BETWEEN, ("2026-03-19", "2026-03-20"))
    assert passes(Compare(Op.LT, ref="x"), Moment(1), Moment(2), NOW, SHANGHAI)
    assert not passes(Compare(Op.NE, ref="x"), Moment(1), None, NOW, SHANGHAI)


def test_names_with_dots_mean_nested_objects_and_names_with_dots() -> None:
    for holder in ({"a.b.c": 1}, {"a": {"b": {"c": 1}}}, {"a.b": {"c": 1}}, {"a": {"b.c": 1}}):
        assert found(holder, "a.b.c") == 1
    assert found({"a": {"b": None}}, "a.b") is None
    assert found({"a": "b"}, "a.b") is None
    assert found({"a": [{"b": 1}]}, "a.b") is None
    assert found({"a": {"b": 1}}, "a") is None


def test_equal_values_have_one_key() -> None:
    assert key([1, "A", True]) == key([1.0, "A", True]) != key([1, "A", 1])
    assert len({key(each) for each in (1, True, "1", "true", [1], None, {"a": 1})}) == 7


# Traits


def said(at: int, operation: str, value: Any = None, name: str = "x", event: str = "e", order: int = 0) -> TraitSaid:
    return TraitSaid(at, event, order, operation, name, value)


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ([said(2, "set", "b"), said(1, "set", "a")], "b"),
        ([said(1, "set", "a", order=1), said(1, "set", "b")], "a"),
        ([said(1, "set", "a", event="f"), said(1, "set", "b", order=9)], "a"),
        ([said(1, "set_once", "a"), said(2, "set_once", "b")], "a"),
        ([said(1, "set", "a"), said(2, "unset"), said(3, "set_once", "b")], "b"),
        ([said(1, "set", None), said(2, "set_once", "b")], None),
        ([said(1, "increment", 2), said(2, "increment", 0.5)], 2.5),
        ([said(1, "set", "a"), said(2, "increment", 2)], 2),
        ([said(1, "set", True), said(2, "increment", True)], 0),
        ([said(1, "append", 1), said(2, "append", [2, 3])], [1, 2, 3]),
        ([said(1, "set", "a"), said(2, "append", "b")], ["a", "b"]),
        ([said(1, "append", None)], []),
        ([said(1, "set", "a"), said(2, "delete", name="")], None),
        ([said(1, "delete", name=""), said(2, "set", "a")], "a"),
        ([said(1, "increment", 2), said(1, "increment", 2)], 2),
    ],
)
def test_traits_are_folded_in_the_order_of_time_event_and_place(rows: list[TraitSaid], value: Any) -> None:
    assert fold(rows).get("x") == fold(reversed(rows)).get("x") == value


def test_the_attributes_of_somebody_without_events() -> None:
    nobody = History("p")
    assert nobody.get("$events") == 0
    assert nobody.get("$first_seen") is nobody.get("$last_seen") is nobody.get("city") is None


# Calendars


def test_a_day_begins_at_midnight_on_the_wall_whatever_its_length() -> None:
    spring, autumn = date(2026, 3, 29), date(2026, 10, 25)
    assert day_start(spring, BERLIN) == at("2026-03-29T00:00:00+01:00")
    assert day_start(date(2026, 3, 30), BERLIN) - day_start(spring, BERLIN) == 23 * 3_600_000
    assert day_start(date(2026, 10, 26), BERLIN) - day_start(autumn, BERLIN) == 25 * 3_600_000
    assert day_start(date(2026, 4, 6), LORD_HOWE) - day_start(date(2026, 4, 5), LORD_HOWE) == 24.5 * 3_600_000


def test_a_day_that_samoa_left_out_has_no_length() -> None:
    assert day_start(date(2011, 12, 30), APIA) == day_start(date(2011, 12, 31), APIA) == at("2011-12-30T10:00:00Z")
    assert day_start(date(2011, 12, 29), APIA) == at("2011-12-29T10:00:00Z")


def test_a_day_without_midnight_begins_when_the_clock_has_jumped_over_it() -> None:
    assert day_start(date(2023, 4, 28), ZoneInfo("Africa/Cairo")) == at("2023-04-28T01:00:00+03:00")


def test_a_day_with_two_midnights_begins_at_the_first() -> None:
    assert day_start(date(2026, 11, 1), ZoneInfo("America/Havana")) == at("2026-11-01T00:00:00-04:00")


def test_weeks_begin_on_monday_and_quarters_in_january() -> None:
    sunday = date(2026, 3, 1)
    assert first_day("week", sunday) == date(2026, 2, 23)
    assert first_day("month", sunday) == sunday
    assert first_day("quarter", sunday) == first_day("year", sunday) == date(2026, 1, 1)
    assert units_later("month", date(2026, 1, 1), -1) == date(2025, 12, 1)
    assert units_later("quarter", date(2026, 1, 1), -5) == date(2024, 10, 1)
    assert units_later("year", date(2024, 1, 1), 2) == date(2026, 1, 1)
    assert units_later("week", date(2026, 2, 23), 1) == date(2026, 3, 2)


def test_periods_are_those_of_the_clock_on_the_wall() -> None:
    late = at("2026-03-17T23:30:00+08:00")
    assert period("day", late, SHANGHAI) == date(2026, 3, 17)
    assert period("day", late, BERLIN) == date(2026, 3, 17)
    assert period("day", late + 3_600_000, SHANGHAI) != period("day", late, SHANGHAI)
    assert period("day", late + 3_600_000, BERLIN) == period("day", late, BERLIN)
    twice = at("2026-10-25T02:30:00+02:00")
    assert period("hour", twice, BERLIN) == period("hour", twice + 3_600_000, BERLIN)
