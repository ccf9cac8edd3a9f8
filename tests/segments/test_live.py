"""Who is in a segment is known at once, for the right reason, and to the millisecond."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import delete, select

from cdp import segment_work
from cdp.model import Identifier, PersonId
from cdp.records import reading, writing
from cdp.segment_work import work_rows
from segments import health, live
from segments.stays import Reason, stay_rows
from segments.timers import timer_rows
from tests.real.product import until
from tests.segments.live_world import CONSENT, DAY, HOUR, MINUTE, SECOND, World

VIEWED: dict[str, Any] = {"did": "model_viewed", "window": {"last": "P7D"}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path)
    yield opened
    opened.check()
    opened.check_published()
    opened.close()


def test_an_event_brings_its_person_in_and_time_takes_her_out_to_the_millisecond(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    world.take("model_viewed", "li")
    at = world.now
    world.live.drain()
    world.check()
    world.pass_by(DAY * 7 - 10)
    assert world.members(viewers) == {world.person("li")}
    world.pass_by(HOUR)
    assert world.members(viewers) == set()
    came, went = world.changes(viewers)
    assert (came.entered, came.reason, went.entered, went.reason) == (True, Reason.EVENT, False, Reason.TIMER)
    assert (went.at, went.cause) == (at + 7 * DAY, None)
    assert came.cause is not None
    assert world.system.events.event(came.cause) is not None


def test_a_timer_that_later_events_moved_away_still_tells_the_exact_moment(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    for _ in range(3):
        world.take("model_viewed", "li")
        world.pass_by(40 * MINUTE)
    last = world.now - 40 * MINUTE
    world.pass_by(30 * DAY)
    assert [(each.at, each.reason) for each in world.changes(viewers)][1:] == [(last + 7 * DAY, Reason.TIMER)]


def test_two_hours_without_a_form_are_two_hours(world: World) -> None:
    absent = {"after": {"did": "model_viewed"}, "absent": {"did": "form_sent"}, "for": "PT2H", "until": "P14D"}
    missed = world.segment("no form", absent)
    world.take("model_viewed", "li")
    world.take("model_viewed", "wang")
    at = world.now
    world.pass_by(HOUR)
    world.take("form_sent", "wang")
    world.pass_by(HOUR - 1 * SECOND)
    assert world.members(missed) == set()
    world.pass_by(3 * SECOND)
    assert world.members(missed) == {world.person("li")}
    assert [each.at for each in world.changes(missed)] == [at + 2 * HOUR]
    world.take("form_sent", "li")
    world.live.drain()
    assert world.members(missed) == set()


def test_a_late_event_revives_a_membership(world: World) -> None:
    idle = world.segment("idle", {"did": "*", "agg": {"fn": "since_last"}, "op": "older_than", "value": "P3D"})
    world.take("model_viewed", "li")
    world.pass_by(4 * DAY)
    assert world.members(idle) == {world.person("li")}
    world.take("page_viewed", "li", ago=2 * DAY)
    world.live.drain()
    assert world.members(idle) == set()
    world.pass_by(1 * DAY + SECOND)
    assert [each.entered for each in world.changes(idle)] == [True, False, True]


def test_an_event_a_moment_ahead_of_our_clock_counts_when_its_time_has_come(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    world.take("model_viewed", "li", ago=-30 * SECOND)
    world.pass_by(SECOND)
    assert world.members(viewers) == set()
    world.pass_by(30 * SECOND)
    assert world.members(viewers) == {world.person("li")}


def test_an_attribute_is_told_as_the_reason(world: World) -> None:
    local = world.segment("local", {"attr": "city", "op": "=", "value": "成都"})
    world.log_in("li", "member-a", city="成都")
    world.pass_by(SECOND)
    world.log_in("li", "member-a", city="重庆")
    world.live.drain()
    assert [(each.entered, each.reason) for each in world.changes(local)] == [
        (True, Reason.ATTRIBUTE),
        (False, Reason.ATTRIBUTE),
    ]


def test_persons_who_turn_out_to_be_one_are_one_member_with_all_they_did(world: World) -> None:
    twice = world.segment("twice", VIEWED | {"op": ">=", "value": 2})
    once = world.segment("once", VIEWED)
    for screen in ("phone", "laptop"):
        world.take("model_viewed", screen)
    world.live.drain()
    both = {world.person("phone"), world.person("laptop")}
    assert world.members(once) == both
    for screen in ("phone", "laptop"):
        world.log_in(screen, "member-a")
    world.live.drain()
    survivor = world.person("phone")
    assert world.members(once) == world.members(twice) == {survivor}
    [gone] = both - {survivor}
    assert [(each.unit, each.entered, each.reason) for each in world.changes(once)][2:] == [(gone, False, Reason.MERGE)]
    assert [(each.unit, each.reason) for each in world.changes(twice)] == [(survivor, Reason.MERGE)]


def test_persons_who_turn_out_to_be_two_are_taken_apart(world: World) -> None:
    twice = world.segment("twice", VIEWED | {"op": ">=", "value": 2})
    for screen in ("phone", "laptop"):
        world.take("model_viewed", screen)
        world.log_in(screen, "member-a")
    world.live.drain()
    assert len(world.members(twice)) == 1
    graph = world.system.graph
    laptops = Identifier("anonymous_id", "laptop")
    wrong = [each.id for each in graph.every_observation() if laptops in each.identifiers]
    world.system.identity.retract(dict.fromkeys(wrong, "a mistake"))
    world.live.drain()
    assert world.members(twice) == set()
    assert [each.reason for each in world.changes(twice)][-1] is Reason.SPLIT


def test_nothing_is_left_of_an_erased_person_but_that_somebody_was_there(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    world.take("model_viewed", "li")
    world.log_in("li", "member-a")
    world.live.drain()
    her = world.person("li")
    world.pass_by(MINUTE)
    was = world.now
    world.pass_by(MINUTE)
    world.erase(her)
    world.live.drain()
    assert world.members(viewers) == set()
    assert len(world.members(viewers, at=was)) == 1
    assert [(each.entered, each.reason, each.cause) for each in world.changes(viewers)][-1] == (
        False,
        Reason.ERASURE,
        None,
    )
    with reading(world.system.records) as connection:
        left = [json.dumps([str(one) for one in each]) for each in connection.execute(select(stay_rows))]
        timers = connection.execute(select(timer_rows.c.unit)).scalars().all()
        waiting = connection.execute(select(work_rows)).all()
    assert not any(her in each for each in left)
    assert her not in timers
    assert waiting == []
    # Whoever acts on segments must know that she is out.
    assert [each["change"] for each in world.published() if each["person"] == her] == ["entered", "exited"]


def test_a_member_for_half_an_hour_is_one_without_interruption(world: World) -> None:
    recent = world.segment("recent", {"did": "model_viewed", "window": {"last": "PT1H"}})
    stayed = world.segment("stayed", {"in": recent.id, "for": "PT30M"})
    world.take("model_viewed", "li")
    world.live.drain()
    world.pass_by(29 * MINUTE)
    assert world.members(stayed) == set()
    world.pass_by(2 * MINUTE)
    assert world.members(stayed) == {world.person("li")}
    world.pass_by(HOUR)
    came, went = world.changes(stayed)
    assert came.at == world.changes(recent)[0].at + 30 * MINUTE
    assert (went.entered, world.members(stayed)) == (False, set())


def test_a_lead_keeps_the_segments_that_its_person_was_in(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    fresh = world.segment("fresh", {"attr": "created_at", "op": "newer_than", "value": "P1D"}, entity="lead")
    asked = world.segment("asked", {"rel": "lead", "agg": {"fn": "count"}, "op": ">=", "value": 1})
    world.take("model_viewed", "li")
    world.log_in("li", "member-a")
    world.live.drain()
    identifiers = [{"kind": "member_id", "value": "member-a"}]
    contact = {"phone": "13812345678"}
    lead = world.capture({"source": "dealer", "contact": contact, "identifiers": identifiers, "consent": CONSENT})
    world.live.drain()
    assert world.system.leads.lead(lead)["segments"] == [{"id": viewers.id, "name": "viewers"}]
    assert world.members(fresh) == {lead}
    assert world.members(asked) == {world.person("li")}
    world.pass_by(8 * DAY)
    assert world.members(viewers) == world.members(fresh) == set()
    assert world.system.leads.lead(lead)["segments"] == [{"id": viewers.id, "name": "viewers"}]


def test_only_segments_that_look_at_what_came_are_looked_at(tmp_path: Path) -> None:
    world = World(tmp_path, slow=True)
    world.segment("viewers", VIEWED)
    world.segment("forms", {"did": "form_sent"})
    world.segment("local", {"attr": "city", "op": "present"})
    world.take("page_viewed", "li")
    world.live.drain()
    world.evaluator.asked.clear()
    world.take("model_viewed", "li")
    world.live.drain()
    assert world.evaluator.asked == [(1, [world.person("li")])]
    world.evaluator.asked.clear()
    world.take("page_viewed", "li")
    world.live.drain()
    assert world.evaluator.asked == []
    world.close()


def test_what_was_lost_is_found_by_reconciling_counted_and_mended(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    world.take("page_viewed", "li")
    world.live.drain()
    world.take("model_viewed", "li")
    with writing(world.system.records) as connection:
        connection.execute(delete(work_rows))
    world.live.drain()
    assert world.members(viewers) == set()
    assert world.live.reconcile() == {viewers.id: 1}
    assert world.members(viewers) == {world.person("li")}
    told = world.membership.health(viewers.n, now=world.now)
    assert told is not None
    assert told.differences == 1
    assert [each["change"] for each in world.published()] == ["entered"]
    assert world.live.reconcile() == {}


def test_each_change_is_published_once_with_what_it_is_about(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    world.take("model_viewed", "li")
    world.live.drain()
    [told] = world.published()
    [change] = world.changes(viewers)
    assert told | {"id": "", "at": ""} == {
        "id": "",
        "segment": viewers.id,
        "version": 1,
        "person": world.person("li"),
        "change": "entered",
        "at": "",
        "reason": "event",
        "cause_event": change.cause,
    }
    assert world.told == [("segment", told)]


def test_lags_are_told_for_each_segment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WRITE_S", 0)
    viewers = world.segment("viewers", VIEWED)
    world.take("model_viewed", "li")
    world.live.drain()
    told = world.membership.health(viewers.n, now=world.now)
    assert told is not None
    # The hour by which the clock of this world is ahead of the pipeline's.
    assert told.lag_p50_ms == told.lag_p95_ms == pytest.approx(HOUR, abs=MINUTE)


# Without a segment


def test_without_a_segment_rounds_keep_up_with_whose_events_are(world: World) -> None:
    system = world.system
    world.take("model_viewed", "li")
    world.live.drain()
    assert not segment_work.waiting(system.records, world.now)
    assert system.events.mirror.sets_ever([PersonId(world.person("li"))])
    assert world.owners().check() == []
    world.take("model_viewed", "wang")
    assert world.members(world.segment("viewers", VIEWED)) == {world.person("li"), world.person("wang")}


def test_who_takes_it_easy_begins_when_a_segment_is_made_and_ends_when_told_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EASE_S", 600)
    world.take("model_viewed", "li")
    with ThreadPoolExecutor(1) as hand:
        running = hand.submit(world.live.run)
        until(lambda: not world.live._rounds.needed, 60)
        viewers = world.make("viewers", VIEWED)
        until(lambda: world.book.get(viewers.id).live, 60)
        assert world.members(viewers) == {world.person("li")}
        world.book.delete(viewers.id)
        until(lambda: not world.live._rounds.needed, 60)
        world.live.stop()
        running.result(timeout=60)


def test_without_a_segment_an_hourly_comparison_does_not_keep_a_processor_busy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live.drain()
    due = Mock(wraps=world.system.segment_work.due)
    due.wait.return_value = True
    monkeypatch.setattr(world.system.segment_work, "due", due)
    world.live._reconciled -= live.RECONCILE_S
    for turn in range(1, 5):
        world.live._turn_or_wait()
        assert world.live._job is not None
        assert due.wait.call_count == turn
