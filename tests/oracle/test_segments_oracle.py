"""Segments worked by hand: each leaf at its edges, and the cases at which other platforms fail.

Times are told in hours before noon of 18 March 2026 in Shanghai, which is now.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hypothesis import given, settings

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
from segments.tree import Test as Compare
from tests.oracle.history import Happened, History, TraitSaid
from tests.oracle.segments import bucket, next_change, truth
from tests.oracle.values import EPOCH, MS
from tests.segments.histories import Case, cases

HOUR, DAY = 3_600_000, 86_400_000


def at(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // MS


NOW = at("2026-03-18T12:00:00+08:00")
NUMBERS = itertools.count()
AT_LEAST_ONCE = Compare(Op.GE, 1)


def ago(hours: float, name: str = "viewed", /, ms: int = 0, **properties: Any) -> Happened:
    """So many hours before now, and milliseconds after that."""
    return Happened(f"{next(NUMBERS):09d}", name, NOW - int(hours * HOUR) + ms, properties)


def segment(where: Any, tz: str = "Asia/Shanghai", entity: Entity = Entity.PERSON, universe: Any = All()) -> Definition:  # noqa: B008
    return Definition(entity, tz, where, universe)


def holds(where: Any, *events: Happened, now: int = NOW, tz: str = "Asia/Shanghai", **known: Any) -> bool:
    return truth(segment(where, tz), History("p", events, **known), now, {})


def changes(where: Any, *events: Happened, now: int = NOW, tz: str = "Asia/Shanghai", **known: Any) -> int | None:
    """How long after now, in milliseconds."""
    found = next_change(segment(where, tz), History("p", events, **known), now, {})
    return None if found is None else found - now


def did(
    name: str | tuple[str, ...] = "viewed",
    op: Op = Op.GE,
    value: Any = 1,
    *,
    window: Any = None,
    fn: Fn = Fn.COUNT,
    of: str = "",
    where: Any = All(),  # noqa: B008
    n: int = 0,
    period: str = "",
) -> Did:
    names = (name,) if isinstance(name, str) else name
    return Did(Step(names, where), window, Aggregate(fn, of, n, period), Compare(op, value))


def prop(name: str, op: Op = Op.EQ, value: Any = None, ref: str = "") -> Prop:
    return Prop(name, Compare(op, value, ref))


def attr(name: str, op: Op = Op.EQ, value: Any = None, ref: str = "") -> Attr:
    return Attr(name, Compare(op, value, ref))


def steps(*names: str) -> tuple[Step, ...]:
    return tuple(Step((name,)) for name in names)


def trait(name: str, value: Any, hours: float = 1) -> TraitSaid:
    return TraitSaid(NOW - int(hours * HOUR), f"e{next(NUMBERS)}", 0, "set", name, value)


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


def test_first_last_and_nth_go_by_time_and_then_by_id() -> None:
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


# Sequences


def test_two_events_of_one_millisecond_are_no_sequence() -> None:
    then = Seq(steps("a", "b"))
    assert not holds(then, ago(1, "a"), ago(1, "b"))
    assert holds(then, ago(1, "a"), ago(1, "b", ms=1))
    assert not holds(then, ago(1, "b"), ago(1, "a", ms=1))
    assert not holds(Seq(steps("a", "a")), ago(1, "a"), ago(1, "a"))


def test_gaps_and_the_whole_have_limits_that_are_kept_when_met_exactly() -> None:
    gap = Seq((Step(("a",)), Step(("b",), gap=HOUR)))
    assert [holds(gap, ago(5, "a"), ago(4, "b", ms=ms)) for ms in (0, 1)] == [True, False]
    assert holds(gap, ago(5, "a"), ago(4.5, "a"), ago(3.5, "b")), "a later beginning will do"
    whole = Seq(steps("a", "b", "c"), within=2 * HOUR)
    assert [holds(whole, ago(5, "a"), ago(4, "b"), ago(3, "c", ms=ms)) for ms in (0, 1)] == [True, False]
    assert holds(whole, ago(5, "a"), ago(4.5, "a"), ago(4, "b"), ago(2.5, "c"))


def test_the_nearest_match_of_a_step_need_not_be_the_right_one() -> None:
    leaf = Seq((Step(("a",)), Step(("b",)), Step(("c",), gap=HOUR)), within=3 * HOUR)
    assert holds(leaf, ago(9, "a"), ago(8, "b"), ago(7, "b"), ago(6, "c"))
    assert not holds(leaf, ago(9, "a"), ago(8, "b"), ago(7, "c", ms=1))


def test_all_steps_have_the_same_values_where_that_is_asked() -> None:
    same = Seq(steps("a", "b"), same=("model",))
    assert holds(same, ago(2, "a", model=1), ago(1, "b", model=1.0))
    assert not holds(same, ago(2, "a", model=1), ago(1, "b", model="1"))
    assert not holds(same, ago(2, "a"), ago(1, "b"))
    assert not holds(same, ago(2, "a", model=None), ago(1, "b", model=None))
    assert holds(same, ago(3, "a", model="A"), ago(2, "a", model="B"), ago(1, "b", model="A"))


def test_a_forbidden_event_lies_strictly_between() -> None:
    leaf = Seq((Step(("a",)), Step(("b",), without=("x",))))
    assert not holds(leaf, ago(3, "a"), ago(2, "x", model="whatever"), ago(1, "b"))
    assert holds(leaf, ago(3, "a"), ago(3, "x"), ago(1, "x"), ago(1, "b"))
    assert holds(leaf, ago(3, "a"), ago(2, "x"), ago(1.5, "a"), ago(1, "b"))


def test_all_steps_lie_in_the_window_and_leave_it_with_the_first() -> None:
    leaf = Seq(steps("a", "b"), window=Rolling(DAY))
    assert [holds(leaf, ago(24, "a", ms=ms), ago(1, "b")) for ms in (0, 1)] == [False, True]
    assert changes(leaf, ago(23, "a"), ago(22, "b")) == HOUR
    assert changes(leaf, ago(23, "a"), ago(22, "b"), ago(21, "a"), ago(20, "b")) == 3 * HOUR
    assert changes(Seq(steps("a", "b")), ago(23, "a"), ago(22, "b")) is None


# What did not follow


REMARKETED = Absent(Step(("viewed",)), Step(("lead",)), 2 * HOUR, 14 * DAY)


def test_absent_begins_when_the_wait_is_over_and_ends_with_its_limit() -> None:
    assert [holds(REMARKETED, ago(2, ms=ms)) for ms in (0, 1)] == [True, False]
    assert [holds(REMARKETED, ago(14 * 24, ms=ms)) for ms in (0, 1)] == [False, True]
    assert changes(REMARKETED, ago(1)) == HOUR
    assert changes(REMARKETED, ago(2)) == 14 * DAY - 2 * HOUR
    assert changes(Absent(Step(("viewed",)), Step(("lead",)), HOUR), ago(1)) is None
    assert not holds(REMARKETED)


def test_absent_looks_at_the_newest_and_at_what_came_strictly_later() -> None:
    assert not holds(REMARKETED, ago(5), ago(1)), "the newest has not waited long enough"
    assert not holds(REMARKETED, ago(5), ago(0, "lead"))
    assert holds(REMARKETED, ago(5), ago(5, "lead"))
    assert holds(REMARKETED, ago(6, "lead"), ago(5))
    assert changes(REMARKETED, ago(1), ago(0.5, "lead")) is None


def test_absent_is_asked_for_each_value_of_same() -> None:
    each = Absent(Step(("viewed",)), Step(("lead",)), 2 * HOUR, None, ("model",))
    assert holds(each, ago(5, model="A"), ago(4, model="B"), ago(3, "lead", model="A"))
    assert not holds(each, ago(5, model="A"), ago(3, "lead", model="A"))
    assert holds(each, ago(5, model="A"), ago(3, "lead"))
    assert not holds(each, ago(5))
    assert holds(each, ago(5, model="A"), ago(1, model="B"))
    assert changes(each, ago(1, model="A"), ago(0.5, model="B")) == HOUR


def test_a_late_event_may_end_a_membership_or_revive_it() -> None:
    history = [ago(5)]
    assert holds(REMARKETED, *history)
    assert not holds(REMARKETED, *history, ago(4, "lead"))
    assert holds(REMARKETED, *history, ago(4, "lead"), ago(3))


# Other segments, leads, samples


def test_in_is_the_other_segments_truth_in_its_own_zone() -> None:
    segments = {"today": segment(did(window=Calendar("day")), tz="Pacific/Apia", universe=did(()))}
    seen = History("p", [ago(13)])
    assert truth(segment(In("today")), seen, NOW, segments)
    assert not truth(segment(did(window=Calendar("day"))), seen, NOW, {})
    assert next_change(segment(In("today")), seen, NOW, segments) == NOW + 7 * HOUR
    assert not truth(segment(In("today")), History("p"), NOW, segments)


def test_in_as_of_looks_at_the_history_up_to_then_and_never_changes() -> None:
    segments = {"day": segment(did(window=Rolling(DAY)))}
    seen = History("p", [ago(30), ago(1)])
    for hours, member in ((31, False), (30, True), (6.5, True), (6, False), (1, True)):
        then = segment(In("day", as_of=NOW - int(hours * HOUR)))
        assert truth(then, seen, NOW, segments) is member
        assert next_change(then, seen, NOW, segments) is None


def test_in_for_a_while_goes_by_the_recorded_membership() -> None:
    segments = {"s": segment(All())}
    kept = {("s", "p"): NOW - 2 * HOUR}
    for held, member, change in ((HOUR, True, None), (2 * HOUR, True, None), (2 * HOUR + 1, False, NOW + 1)):
        assert truth(segment(In("s", held=held)), History("p"), NOW, segments, kept) is member
        assert next_change(segment(In("s", held=held)), History("p"), NOW, segments, kept) == change
    assert not truth(segment(In("s", held=HOUR)), History("p"), NOW, segments)


def make_lead(hours: float, **known: Any) -> Mapping[str, Any]:
    return {"id": "ld_1", "source": "site", "stage": "new", "created_at": NOW - int(hours * HOUR), **known}


def rel(op: Op = Op.GE, value: Any = 1, where: Any = All(), fn: Fn = Fn.COUNT, of: str = "") -> Rel:  # noqa: B008
    return Rel("lead", where, Aggregate(fn, of), Compare(op, value))


def test_a_persons_leads_are_counted_from_their_making() -> None:
    assert holds(rel(), leads=[make_lead(0)])
    assert not holds(rel(), leads=[make_lead(-1)])
    assert holds(rel(Op.EQ, 0), leads=[])
    assert holds(rel(where=prop("status", value="new")), leads=[make_lead(1)])
    assert not holds(rel(where=prop("owner", Op.NE, "li")), leads=[make_lead(1, owner=None)])
    paid = [make_lead(1, campaign={"cost": 2}), make_lead(2, campaign={"cost": 3.5}), make_lead(3, campaign={})]
    assert holds(rel(Op.EQ, 5.5, fn=Fn.SUM, of="campaign.cost"), leads=paid)
    assert holds(rel(Op.MISSING, fn=Fn.AVG, of="campaign.cost"), leads=paid[2:])
    assert changes(rel(where=prop("created_at", Op.OLDER, DAY)), leads=[make_lead(1)]) == 23 * HOUR + 1


def test_a_lead_has_its_own_attributes_and_its_persons_events() -> None:
    one = make_lead(10, channel="懂车帝", contact={"phone": "token"}, interest={"model": "A"})
    known = History("ld_1", [ago(20), ago(1, "drive")], lead=one)

    def of_lead(where: Any, now: int = NOW) -> bool:
        return truth(segment(where, entity=Entity.LEAD), known, now, {})

    for name, value in (("channel", "懂车帝"), ("stage", "new"), ("status", "new"), ("interest.model", "A")):
        assert of_lead(attr(name, value=value))
    assert of_lead(attr("contact.phone", Op.PRESENT))
    assert of_lead(attr("contact.email", Op.MISSING))
    assert of_lead(attr("owner", Op.MISSING))
    within_a_day = did("drive", window=Since("created_at", None, "", DAY))
    assert of_lead(within_a_day)
    assert not of_lead(did(window=Since("created_at", None, "", DAY)))
    assert of_lead(attr("created_at", Op.NEWER, 10 * HOUR))
    assert not of_lead(All(), NOW - 11 * HOUR), "it was not there"
    assert of_lead(All(), NOW - 10 * HOUR)
    assert next_change(segment(All(), entity=Entity.LEAD), known, NOW - 11 * HOUR, {}) is None


def test_samples_are_stable_and_do_not_overlap() -> None:
    units = [f"person {number}" for number in range(2_000)]
    low, high = Sample("盐", 0.0, 0.25), Sample("盐", 0.25, 1.0)
    members = [truth(segment(low), History(unit), NOW, {}) for unit in units]
    assert members == [not truth(segment(high), History(unit), NOW, {}) for unit in units]
    assert 400 < sum(members) < 600
    assert bucket("p", "s1") == int("f9c68f57f4bc91af", 16) / 2**64


# What two persons become


def test_of_two_that_are_one_the_counts_add_up_and_the_first_is_recomputed() -> None:
    one, other = [ago(9, x="first"), ago(8)], [ago(10, x="earlier"), ago(7)]
    assert holds(did(op=Op.EQ, value=4), *one, *other)
    assert holds(did(op=Op.EQ, value="earlier", fn=Fn.FIRST, of="x"), *one, *other)
    assert holds(did(op=Op.EQ, value="first", fn=Fn.FIRST, of="x"), *one)


# When it changes


def test_of_a_tree_the_first_leaf_to_change_counts_though_the_whole_stays() -> None:
    soon, later = did(window=Rolling(DAY)), did(window=Rolling(2 * DAY))
    assert changes(Any_((soon, later)), ago(20)) == 4 * HOUR
    assert holds(Any_((soon, later)), ago(20), now=NOW + 4 * HOUR)
    assert changes(Not(All((soon, later))), ago(20)) == 4 * HOUR
    assert changes(Any_((soon, Not(soon))), ago(30)) is None


@settings(max_examples=300, deadline=None)
@given(cases(tiny=True))
def test_the_next_change_is_the_first_that_somebody_finds_who_looks_every_millisecond(case: Case) -> None:
    """At the leaves one by one, each a segment of its own."""
    horizon, now = 40, case.clock.now
    definition = case.definitions[0]
    leaves = [Definition(definition.entity, definition.tz, each) for each in leaves_of(definition.where)]
    for unit in case.world.histories(definition.entity).values():
        known = unit.until(now)
        for leaf in leaves if unit.exists(now) else ():
            present = truth(leaf, known, now, case.segments, case.kept)
            moments = range(now + 1, now + horizon + 1)
            looked = (at for at in moments if truth(leaf, known, at, case.segments, case.kept) != present)
            change = next_change(leaf, unit, now, case.segments, case.kept)
            assert next(looked, None) == (change if change is not None and change <= now + horizon else None)


def leaves_of(condition: Any) -> list[Any]:
    """Those that are not trees themselves."""
    match condition:
        case All(parts) | Any_(parts):
            return [leaf for part in parts for leaf in leaves_of(part)]
        case Not(part):
            return leaves_of(part)
        case In(_, None, None):
            return []
    return [condition]
