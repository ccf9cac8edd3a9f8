"""What a marketer may rely on, told by examples. Live membership has such tests of its own."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.oracle.makers import DAY, HOUR, NOW, at
from tests.segments.examples import NOT_BEIJING, REMARKETING, SEQUENCE, SLEEPING, TEST_DRIVE, ZERO_COUNTS
from tests.segments.store import StoredWorlds
from tests.segments.stories import Story

MINUTE = 60_000
OWNERS = {"owners_all": {"attr": "is_owner", "op": "=", "value": True}}


@pytest.fixture
def story(worlds: StoredWorlds) -> Story:
    return Story(worlds)


def test_neither_the_order_of_events_nor_that_of_conditions_matters(story: Story) -> None:
    chance = random.Random(7)
    parts: list[Any] = [
        {"did": "viewed", "window": {"last": "P7D"}, "op": ">=", "value": 2},
        {"did": "viewed", "agg": {"fn": "first", "of": "model"}, "op": "=", "value": "A"},
        {"seq": [{"did": "viewed"}, {"did": "asked"}]},
        {"attr": "city", "op": "=", "value": "成都"},
    ]
    for n in range(60):
        when = NOW - chance.randrange(10) * DAY - n
        name, who = chance.choice(["viewed", "asked"]), chance.choice(["li", "wang", "zhou"])
        story.tell(who, name, when, model=chance.choice("AB"), traits={"city": chance.choice(["成都", "北京"])})
    expected = story.said({"all": parts}), story.said({"any": parts})
    chance.shuffle(story.rows)
    assert (story.said({"all": parts[::-1]}), story.said({"any": parts[::-1]})) == expected


def test_never_counts_as_zero_times(story: Story) -> None:
    story.knows("never")
    for n, who in enumerate(["once", "often", "often", "often", "long ago", "long ago", "long ago"]):
        story.tell(who, "login", NOW - (HOUR if who != "long ago" else 31 * DAY) - n)
    assert story.members(ZERO_COUNTS) == {"never", "once", "long ago"}
    assert story.members({"did": "login", "op": "=", "value": 0}) == {"never"}


def test_what_is_missing_does_not_differ_but_is_not_equal_either(story: Story) -> None:
    story.knows("nobody knows")
    story.tell("li", "", NOW - HOUR, traits={"city": "北京"})
    story.tell("wang", "", NOW - HOUR, traits={"city": "成都"})
    assert story.members({"attr": "city", "op": "!=", "value": "北京"}) == {"wang"}
    assert story.members(NOT_BEIJING) == {"wang", "nobody knows"}


def test_what_is_as_old_as_the_window_is_out(story: Story) -> None:
    story.tell("out", "viewed", NOW - DAY)
    story.tell("in", "viewed", NOW - DAY + 1)
    assert story.said({"did": "viewed", "window": {"last": "P1D"}}) == {"out": (False, None), "in": (True, NOW + 1)}


def test_two_events_at_once_are_no_sequence(story: Story) -> None:
    for who, later in (("at once", 0), ("in turn", 1), ("the other way round", -1)):
        story.tell(who, "viewed", NOW - HOUR)
        story.tell(who, "asked", NOW - HOUR + later)
    assert story.members({"seq": [{"did": "viewed"}, {"did": "asked"}]}) == {"in turn"}


START, END = at("2026-07-01T00:00:00+08:00"), at("2026-07-02T00:00:00+08:00")


@pytest.mark.parametrize(
    ("window", "now"),
    [
        ({"from": "2026-07-01T00:00:00+08:00", "to": "2026-07-02T00:00:00+08:00"}, END),
        ({"calendar": "day", "back": 1}, END),
        ({"last": "P1D"}, END - 1),
        ({"last": "P2D", "until": "P1D"}, END - 1 + DAY),
        ({"since": {"did": "began"}, "for": "P1D"}, END),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_sequence_lies_in_its_window_from_the_first_moment_to_before_the_last(
    story: Story, window: Any, now: int
) -> None:
    times = {"begun before": (START - 1, START), "all of it": (START, END - 1), "ended after": (START, END)}
    for who, (viewed, asked) in times.items():
        story.tell(who, "began", START)
        story.tell(who, "viewed", viewed)
        story.tell(who, "asked", asked)
    assert story.members({"seq": [{"did": "viewed"}, {"did": "asked"}], "window": window}, now) == {"all of it"}


def test_what_comes_with_a_step_or_with_the_one_before_does_not_lie_between(story: Story) -> None:
    for who, paused in (("with the first", 0), ("between", 1), ("with the last", 2)):
        for name, later in (("viewed", 0), ("left", paused), ("asked", 2)):
            story.tell(who, name, NOW - HOUR + later, model="A")
    steps = [{"did": "viewed"}, {"did": "asked", "without": ["left"]}]
    for same in ({}, {"same": ["model"]}):
        assert story.members({"seq": steps} | same) == {"with the first", "with the last"}


def test_what_lies_between_is_not_hidden_by_what_comes_with_the_step(story: Story) -> None:
    for name, later in (("viewed", 0), ("left", 1), ("left", 2), ("asked", 2)):
        story.tell("li", name, NOW - HOUR + later, model="A")
    steps = [{"did": "viewed"}, {"did": "asked", "without": ["left"]}]
    assert story.members({"any": [{"seq": steps}, {"seq": steps, "same": ["model"]}]}) == set()


def test_the_day_on_which_summer_begins_has_23_hours(story: Story) -> None:
    for who, when in (("last", "2026-03-28T23:59:59.999+01:00"), ("first", "2026-03-29T00:00:00+01:00")):
        story.tell(who, "viewed", at(when))
    today = {"v": 1, "entity": "person", "tz": "Europe/Berlin"}
    today["where"] = {"did": "viewed", "window": {"calendar": "day"}}
    midnight = at("2026-03-30T00:00:00+02:00")
    assert midnight - at("2026-03-29T00:00:00+01:00") == 23 * HOUR
    assert story.said(today, at("2026-03-29T12:00:00+02:00")) == {"last": (False, None), "first": (True, midnight)}
    assert story.members(today, midnight - 1) == {"first"}
    assert story.members(today, midnight) == set()


def test_who_becomes_one_has_done_what_both_did_and_began_when_the_first_of_them_did(story: Story) -> None:
    story.tell("phone", "viewed", NOW - 3 * DAY, model="A")
    story.tell("tablet", "viewed", NOW - 2 * DAY, model="B")
    twice = {"did": "viewed", "op": ">=", "value": 2}
    first = {"did": "viewed", "agg": {"fn": "first", "of": "model"}, "op": "=", "value": "B"}
    last = {"did": "viewed", "agg": {"fn": "last", "of": "model"}, "op": "=", "value": "B"}
    apart = [set(), {"tablet"}, {"tablet"}]
    assert [story.members(each) for each in (twice, first, last)] == apart
    story.is_one("li", "phone", "tablet")
    assert [story.members(each) for each in (twice, first, last)] == [{"li"}, set(), {"li"}]
    story.is_one("phone", "phone")
    story.is_one("tablet", "tablet")
    assert [story.members(each) for each in (twice, first, last)] == apart


def test_example_a_who_looked_at_a_model_and_left_no_contact_for_it(story: Story) -> None:
    viewed = at("2026-03-10T20:00:00+08:00")
    apart: dict[str, dict[str, Any]] = {"li": {}, "hasty": {"stay": 9}, "elsewhere": {"city": "北京"}, "owner": {}}
    for who, but in apart.items():
        traits = {"city": but.get("city", "成都"), "is_owner": who == "owner"}
        story.tell(who, "model_page_viewed", viewed - DAY, model_id="m1", stay_seconds=1, traits=traits)
        story.tell(who, "model_page_viewed", viewed, model_id="m1", stay_seconds=but.get("stay", 10))
    due = viewed + 2 * HOUR
    assert story.members(REMARKETING, due - 1, OWNERS) == set()
    assert story.members(REMARKETING, due, OWNERS) == {"li"}
    assert story.members(REMARKETING, viewed + 6 * DAY - 1, OWNERS) == {"li"}
    assert story.members(REMARKETING, viewed + 6 * DAY, OWNERS) == set(), "seen on one day of seven"


def test_example_a_ends_at_once_with_the_form_for_that_model_and_after_14_days(story: Story) -> None:
    viewed = at("2026-03-10T20:00:00+08:00")
    for who in ("silent", "asked for it", "asked for another"):
        story.tell(who, "model_page_viewed", viewed, model_id="m1", stay_seconds=10, traits={"city": "重庆"})
        for days in range(1, 15):
            story.tell(who, "model_page_viewed", viewed + days * DAY - HOUR, model_id="m2", stay_seconds=1)
    sent = viewed + 3 * DAY
    story.tell("asked for it", "lead_submitted", sent, model_id="m1")
    story.tell("asked for another", "lead_submitted", sent, model_id="m2")
    others = {"silent", "asked for another"}
    assert story.members(REMARKETING, sent - 1, OWNERS) == {*others, "asked for it"}
    assert story.members(REMARKETING, sent, OWNERS) == others
    assert story.members(REMARKETING, viewed + 14 * DAY - 1, OWNERS) == others
    assert story.members(REMARKETING, viewed + 14 * DAY, OWNERS) == set()


def test_example_b_leads_that_have_been_silent_for_180_days(story: Story) -> None:
    made = at("2025-08-01T10:00:00+08:00")
    leads = {"ld_lost": ("战败", "懂车帝"), "ld_new": ("new", "懂车帝"), "ld_other": ("战败", "官网")}
    for id_, (stage, channel) in leads.items():
        story.lead(id_, id_, made, stage)
        story.tell(id_, "lead_created", made, channel=channel)
        story.tell(id_, "sales_call", made + DAY)
    story.lead("ld_untouched", "ld_untouched", made, "战败")
    story.tell("ld_untouched", "lead_created", made, channel="懂车帝")
    due = made + 181 * DAY + 1
    assert story.members(SLEEPING, due - 1) == set()
    assert story.members(SLEEPING, due) == {"ld_lost"}
    story.tell("ld_lost", "wecom_message_in", due)
    assert story.members(SLEEPING, due) == set()


def test_example_d_steps_in_turn_for_one_model(story: Story) -> None:
    def goes(who: str, gap: int = HOUR, *, model: str = "m1", whole: int = 2 * HOUR, between: str = "") -> None:
        begun = NOW - 2 * DAY
        story.tell(who, "config_page_viewed", begun, model_id="m1")
        story.tell(who, "finance_calc_used", begun + gap, model_id=model)
        if between:
            story.tell(who, between, begun + gap + MINUTE)
        story.tell(who, "test_drive_form_opened", begun + whole, model_id="m1")

    goes("right")
    goes("a moment too slow", HOUR + 1)
    goes("of two models", model="m2")
    goes("in a day", whole=DAY)
    goes("in more than a day", whole=DAY + 1)
    goes("done already", between="test_drive_requested")
    goes("looked again", between="page_viewed")
    assert story.members(SEQUENCE) == {"right", "in a day", "looked again"}
    assert story.members(SEQUENCE, NOW + 5 * DAY - 1) == {"right", "in a day", "looked again"}
    assert story.members(SEQUENCE, NOW + 5 * DAY) == set(), "its beginning is seven days old"


def test_example_g_a_test_drive_in_24_hours_after_the_lead(story: Story) -> None:
    for id_, later in (("ld_before", -1), ("ld_at_once", 0), ("ld_in_time", DAY - 1), ("ld_late", DAY)):
        story.lead(id_, id_, NOW - 3 * DAY)
        story.tell(id_, "test_drive_done", NOW - 3 * DAY + later)
    story.lead("ld_none", "ld_none", NOW - 3 * DAY)
    assert story.members(TEST_DRIVE) == {"ld_at_once", "ld_in_time"}
