"""Sequences, what did not follow, other segments and leads, worked by hand; and when each changes by time alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from segments.tree import (
    Absent,
    All,
    Any_,
    Calendar,
    Definition,
    Entity,
    Fn,
    In,
    Not,
    Op,
    Rolling,
    Sample,
    Seq,
    Since,
    Step,
)
from tests.oracle.history import History
from tests.oracle.makers import (
    DAY,
    HOUR,
    NOW,
    ago,
    attr,
    changes,
    did,
    holds,
    make_lead,
    prop,
    rel,
    segment,
    steps,
)
from tests.oracle.segments import bucket, next_change, truth
from tests.segments.histories import Case, cases

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
