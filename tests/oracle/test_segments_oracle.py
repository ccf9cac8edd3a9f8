"""What is counted and compared, worked by hand at its edges; and the cases at which other platforms fail."""

from __future__ import annotations

from segments.tree import (
    All,
    Any_,
    Calendar,
    Fixed,
    Fn,
    Not,
    Op,
    Rolling,
    Since,
    Step,
)
from tests.oracle.history import Happened, History
from tests.oracle.makers import (
    DAY,
    HOUR,
    NOW,
    ago,
    at,
    attr,
    changes,
    did,
    holds,
    prop,
    segment,
    trait,
)
from tests.oracle.segments import next_change, truth

# Connectives


def test_everyone_no_one_and_the_order_of_parts() -> None:
    assert holds(All())
    assert not holds(Not(All()))
    viewed, bought = did("viewed"), did("bought")
    for connective in (All, Any_):
        for events in ((), (ago(1),), (ago(1, "bought"),), (ago(1), ago(2, "bought"))):
            assert holds(connective((viewed, bought)), *events) == holds(connective((bought, viewed)), *events)
            assert changes(connective((viewed, bought)), *events) == changes(connective((bought, viewed)), *events)


def test_outside_the_universe_nobody_is_a_member() -> None:
    universe = did("viewed", window=Rolling(DAY))
    one = segment(Not(did("bought")), universe=universe)
    assert truth(one, History("p", [ago(23)]), NOW, {})
    assert not truth(one, History("p", []), NOW, {})
    assert next_change(one, History("p", [ago(23)]), NOW, {}) == NOW + HOUR


# Attributes and missing values


def test_not_equal_means_present_and_different_and_not_of_equal_means_anything_else() -> None:
    different, otherwise = attr("city", Op.NE, "北京"), Not(attr("city", Op.EQ, "北京"))
    for city, is_different, is_otherwise in (("北京", False, False), ("成都", True, True), (None, False, True)):
        known = [trait("city", city)] if city else []
        assert holds(different, traits=known) is is_different
        assert holds(otherwise, traits=known) is is_otherwise


def test_an_attribute_may_be_compared_with_another() -> None:
    same = attr("home", ref="city")
    assert holds(same, traits=[trait("home", "成都"), trait("city", "成都")])
    assert not holds(same, traits=[trait("home", "成都"), trait("city", "北京")])
    assert not holds(same, traits=[trait("home", "成都")])
    assert not holds(attr("home", Op.NE, ref="city"), traits=[trait("home", "成都")])
    assert holds(attr("$first_seen", Op.LT, ref="$last_seen"), ago(2), ago(1))
    assert not holds(attr("$first_seen", Op.LT, ref="$last_seen"), ago(2))


def test_traits_and_events_of_the_future_are_not_known_yet() -> None:
    assert not holds(attr("city", Op.PRESENT), traits=[trait("city", "北京", hours=-1)])
    assert not holds(did(), ago(-1))
    assert holds(did(), ago(-1), now=NOW + HOUR)
    assert changes(did(), ago(-1)) is None


def test_the_age_of_an_attribute_changes_by_time_alone() -> None:
    delivered = [trait("delivered_at", "2026-03-17T12:00:00+08:00")]
    assert changes(attr("delivered_at", Op.OLDER, DAY), traits=delivered) == 1
    assert changes(attr("delivered_at", Op.NEWER, DAY), traits=delivered) == 1
    assert changes(attr("delivered_at", Op.OLDER, 2 * DAY), traits=delivered) == DAY + 1
    assert changes(attr("delivered_at", Op.OLDER, DAY - 1), traits=delivered) is None
    assert changes(attr("delivered_at", Op.OLDER, DAY), traits=[trait("delivered_at", "soon")]) is None
    assert changes(attr("$last_seen", Op.OLDER, 2 * HOUR), ago(1), ago(9)) == HOUR + 1
    day = [trait("delivered_at", "2026-03-18")]
    assert changes(attr("delivered_at", Op.NEWER, DAY), traits=day) == 12 * HOUR + 1
    assert changes(attr("delivered_at", Op.NEWER, DAY), traits=day, tz="Europe/Berlin") == 19 * HOUR + 1
    assert changes(attr("delivered_at", Op.NEWER, DAY), traits=[trait("delivered_at", NOW + 0.5)]) == DAY + 1


# Counts and other aggregates


def test_zero_counts_somebody_without_events() -> None:
    for op, value, of_nobody in ((Op.EQ, 0, True), (Op.LE, 2, True), (Op.GE, 1, False), (Op.LT, 0, False)):
        assert holds(did("login", op, value)) is of_nobody
        assert holds(did("login", op, value), ago(1)) is of_nobody
    assert not holds(did("login", Op.EQ, 0), ago(1, "login"))


def test_names_of_which_any_will_do_and_any_name() -> None:
    both = (ago(1, "看车"), ago(2, "it's"))
    assert holds(did(("看车", "it's"), Op.EQ, 2), *both)
    assert holds(did((), Op.EQ, 3), *both, ago(3, "*"))
    assert not holds(did("看"), *both)


def test_ten_thousand_and_one_are_all_counted() -> None:
    assert holds(did(op=Op.GT, value=10_000), *(ago(1) for _ in range(10_001)))


def test_a_filter_asks_the_properties_and_the_fields_of_one_event() -> None:
    long_a = All((prop("model", value="A"), prop("stay", Op.GE, 10)))
    assert holds(did(where=long_a), ago(1, model="A", stay=10))
    assert not holds(did(where=long_a), ago(1, model="A", stay=9.5), ago(1, model="B", stay=99))
    assert holds(did(where=Not(prop("stay", Op.GE, 10))), ago(1))
    assert holds(did(where=prop("a", Op.GT, ref="b")), ago(1, a=2, b=1))
    assert not holds(did(where=prop("a", Op.NE, ref="b")), ago(1, a=2))
    paged = ago(1)._replace(fields={"page.path": "/a", "platform": ""}, properties={"platform": "web"})
    assert holds(did(where=prop("$page.path", value="/a")), paged)
    assert holds(did(where=prop("$platform", Op.MISSING)), paged)
    assert not holds(did(where=prop("page.path", Op.PRESENT)), paged)


def test_the_sum_of_nothing_is_zero_and_other_aggregates_of_nothing_are_missing() -> None:
    assert holds(did(op=Op.EQ, value=0, fn=Fn.SUM, of="price"), ago(1, price="9"), ago(1))
    for fn in (Fn.AVG, Fn.MIN, Fn.MAX):
        assert holds(did(op=Op.MISSING, fn=fn, of="price"), ago(1, price="9"), ago(1))
        assert not holds(did(op=Op.NE, value=1, fn=fn, of="price"), ago(1, price="9"))
    for fn in (Fn.FIRST, Fn.LAST, Fn.NTH, Fn.SINCE_FIRST, Fn.SINCE_LAST):
        assert holds(did(op=Op.MISSING, fn=fn, n=1))


def test_numbers_are_added_and_compared() -> None:
    paid = (ago(1, price=1), ago(2, price=2.5), ago(3, price="9"), ago(4, price=True), ago(5, price=-1))
    for fn, value in ((Fn.SUM, 2.5), (Fn.AVG, 2.5 / 3), (Fn.MIN, -1), (Fn.MAX, 2.5), (Fn.DISTINCT, 5), (Fn.COUNT, 5)):
        assert holds(did(op=Op.EQ, value=value, fn=fn, of="price"), *paid), fn


def test_distinct_counts_present_values() -> None:
    seen = [ago(1, x=x) for x in (1, 1.0, "1", True, None, "", [1], [1.0])] + [ago(1)]
    assert holds(did(op=Op.EQ, value=5, fn=Fn.DISTINCT, of="x"), *seen)


def test_distinct_periods_are_those_of_the_zone() -> None:
    at_midnight = (ago(12), ago(12, ms=-1), ago(13), ago(37))
    for zone, days, hours in (("Asia/Shanghai", 3, 3), ("Europe/Berlin", 2, 3)):
        assert holds(did(op=Op.EQ, value=days, fn=Fn.PERIODS, period="day"), *at_midnight, tz=zone)
        assert holds(did(op=Op.EQ, value=hours, fn=Fn.PERIODS, period="hour"), *at_midnight, tz=zone)
    assert holds(did(op=Op.EQ, value=1, fn=Fn.PERIODS, period="week"), *at_midnight)
    assert holds(did(op=Op.EQ, value=2, fn=Fn.PERIODS, period="week"), *at_midnight, ago(60.5))


def test_first_last_and_nth_go_by_time_and_of_one_moment_are_any() -> None:
    late, early = ago(1, x="late"), ago(3, x="early")
    tied = ago(1, x="tied")
    events = (tied, late, early)
    for fn, n, value in ((Fn.FIRST, 0, "early"), (Fn.NTH, 2, "late"), (Fn.NTH, 3, "tied"), (Fn.LAST, 0, "tied")):
        assert holds(did(op=Op.EQ, value=value, fn=fn, of="x", n=n), *events)
    assert holds(did(op=Op.MISSING, fn=Fn.NTH, of="x", n=4), *events)
    assert holds(did(op=Op.MISSING, fn=Fn.FIRST, of="x"), ago(4), *events), "the first match lacks it"
    assert holds(did(op=Op.EQ, value=NOW - 3 * HOUR, fn=Fn.FIRST), *events)
    assert holds(did(op=Op.GT, value="2026-03-18", fn=Fn.FIRST), *events)


def test_since_last_is_older_when_more_has_passed() -> None:
    older, newer = (did(op=op, value=2 * HOUR, fn=Fn.SINCE_LAST) for op in (Op.OLDER, Op.NEWER))
    assert not holds(older)
    assert not holds(newer)
    assert (holds(older, ago(2)), holds(newer, ago(2))) == (False, True)
    assert (holds(older, ago(2, ms=-1)), holds(newer, ago(2, ms=-1))) == (True, False)
    assert changes(older, ago(2)) == changes(newer, ago(2)) == 1
    assert changes(older, ago(2, ms=-1)) is None
    assert not holds(older, ago(3), ago(1))
    assert holds(did(op=Op.OLDER, value=2 * HOUR, fn=Fn.SINCE_FIRST), ago(3), ago(1))


# Windows


def test_a_rolling_window_has_its_end_and_not_its_beginning() -> None:
    day = did(window=Rolling(DAY))
    assert [holds(day, ago(24, ms=ms)) for ms in (-1, 0, 1)] == [False, False, True]
    assert holds(day, ago(0))
    assert changes(day, ago(24, ms=1)) == 1
    assert changes(day, ago(24)) is None
    between = did(window=Rolling(DAY, 2 * HOUR))
    assert [holds(between, ago(2, ms=ms)) for ms in (-1, 0, 1)] == [True, True, False]
    assert changes(between, ago(1)) == HOUR
    assert changes(between, ago(2)) == 22 * HOUR


def test_of_a_threshold_the_nth_newest_decides_when() -> None:
    twice = did(op=Op.GE, value=2, window=Rolling(DAY))
    assert changes(twice, ago(20), ago(10), ago(1)) == 14 * HOUR
    assert changes(twice, ago(20)) is None
    assert changes(did(op=Op.EQ, value=1, window=Rolling(DAY)), ago(20), ago(10)) == 4 * HOUR
    assert changes(did(op=Op.LE, value=1, window=Rolling(DAY)), ago(20), ago(10)) == 4 * HOUR
    assert changes(did(op=Op.LE, value=5, window=Rolling(DAY)), ago(20), ago(10)) is None


def test_a_sum_may_change_and_change_back() -> None:
    total = did(op=Op.GE, value=3, fn=Fn.SUM, of="x", window=Rolling(DAY))
    events = (ago(23, x=3), ago(22, x=-3), ago(21, x=3))
    assert holds(total, *events)
    assert changes(total, *events) == HOUR
    assert changes(total, *events, now=NOW + HOUR) == HOUR
    assert changes(total, *events, now=NOW + 2 * HOUR) == HOUR
    assert changes(total, *events, now=NOW + 3 * HOUR) is None


def test_calendar_windows_are_whole_units_of_the_zone() -> None:
    today, yesterday, both = (Calendar("day"), Calendar("day", 1), Calendar("day", 1, 2))
    for hours, inside in ((12.0, (True, False, True)), (12.5, (False, True, True)), (36.5, (False, False, False))):
        assert tuple(holds(did(window=window), ago(hours)) for window in (today, yesterday, both)) == inside
    assert changes(did(window=today), ago(1)) == 12 * HOUR
    assert changes(did(window=yesterday), ago(1)) == 12 * HOUR
    assert changes(did(window=both), ago(1)) == 36 * HOUR
    assert changes(did(window=both), ago(13)) == 12 * HOUR
    assert changes(did(window=today), ago(1), tz="Europe/Berlin") == 19 * HOUR
    assert changes(did(window=Calendar("week")), ago(1)) == 4 * DAY + 12 * HOUR
    assert holds(did(window=Calendar("month", 1)), ago(18 * 24))
    assert not holds(did(window=Calendar("month")), ago(18 * 24))
    assert holds(did(window=Calendar("quarter")), ago(76 * 24))
    assert not holds(did(window=Calendar("quarter")), ago(77 * 24))


def test_the_day_on_which_clocks_change_is_an_hour_shorter() -> None:
    monday = at("2026-03-30T00:00:00+02:00")
    first, last = (Happened(each, "viewed", monday + ms) for each, ms in (("a", -23 * HOUR), ("b", -1)))
    yesterday = did(op=Op.EQ, value=2, window=Calendar("day", 1))
    assert holds(yesterday, first, last, now=monday, tz="Europe/Berlin")
    assert not holds(yesterday, first._replace(at=first.at - 1), last, now=monday, tz="Europe/Berlin")
    assert changes(yesterday, first, last, now=monday - 1, tz="Europe/Berlin") == 1


def test_fixed_windows_do_not_move() -> None:
    march = Fixed(at("2026-03-01T00:00:00+08:00"), NOW - HOUR)
    assert [holds(did(window=march), ago(1, ms=ms)) for ms in (-1, 0)] == [True, False]
    assert holds(did(window=Fixed(march.start)), ago(0))
    assert changes(did(window=march), ago(2)) is None


def test_a_window_may_begin_with_another_moment() -> None:
    after_first = Since("", Step(("lead",)), "first", DAY)
    after_last = Since("", Step(("lead",)), "last", DAY)
    leads = (ago(50, "lead"), ago(40, "lead"))
    assert [holds(did(window=after_first), *leads, ago(each)) for each in (50.5, 50, 26.5, 26)] == [
        False,
        True,
        True,
        False,
    ]
    assert holds(did(window=after_last), *leads, ago(17))
    assert not holds(did(window=after_last), *leads, ago(45))
    assert not holds(did(window=after_last), ago(1))
    assert holds(did(op=Op.EQ, value=0, window=after_last), ago(1))
    delivered = did(window=Since("delivered_at", None, "", 2 * HOUR))
    assert holds(delivered, ago(1), traits=[trait("delivered_at", "2026-03-18T10:30:00+08:00")])
    assert not holds(delivered, ago(1), traits=[trait("delivered_at", "soon")])
