"""Who asks between two rounds sees what is durable, and the rounds miss nothing of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import event as sql_event

from cdp import segment_work
from cdp.errors import GateClosed
from cdp.moments import rfc3339
from segments import fresh as module
from segments.fresh import AHEAD_MS, Freshness
from segments.language import parse
from segments.lead_rows import LeadRows
from segments.stays import Reason
from tests.cdp.intake import make_event
from tests.segments.live_world import CONSENT, SECOND, World

VIEWED_TWICE = {"did": "viewed", "op": ">=", "value": 2}


@pytest.fixture
def fresh(world: World) -> Freshness:
    """That of another process."""
    system = world.system
    leads = LeadRows(system.records, system.segment_work, system.events.leads)
    return Freshness(system.records, system.segment_work, world.owners(), leads, system.gate, clock=lambda: world.now)


def meant(world: World, where: Any, entity: str = "person") -> set[str]:
    definition = parse({"v": 1, "entity": entity, "where": where}, tz="Asia/Shanghai")
    found = world.system.evaluator.evaluate([definition], world.now)
    return {each.unit for each in found if each.members}


def waiting(world: World) -> int:
    return len(segment_work.waiting(world.system.records, world.now + AHEAD_MS))


def test_an_event_is_seen_before_the_round_that_looks_at_it(world: World, fresh: Freshness) -> None:
    viewers = world.segment("viewers", {"did": "viewed"})
    world.take("viewed", "li")
    assert meant(world, {"did": "viewed"}) == set()
    fresh.catch_up()
    assert meant(world, {"did": "viewed"}) == {world.person("li")}
    assert world.members(viewers) == set()
    world.live.drain()
    assert world.members(viewers) == {world.person("li")}


def test_a_person_who_was_merged_by_who_asked_is_not_missed_by_the_round(world: World, fresh: Freshness) -> None:
    viewers = world.segment("viewers", VIEWED_TWICE)
    for visitor in ("phone", "laptop"):
        world.take("viewed", visitor)
        world.log_in("phone", "member-li")
    world.live.drain()
    world.log_in("laptop", "member-li")
    fresh.catch_up()
    assert meant(world, VIEWED_TWICE) == {world.person("laptop")}
    world.live.drain()
    assert world.members(viewers) == {world.person("laptop")}
    assert [each.reason for each in world.changes(viewers)] == [Reason.MERGE]
    world.check()


def test_events_of_a_clock_that_is_ahead_wait_in_one_row_for_each_second(world: World) -> None:
    viewers = world.segment("viewers", {"did": "viewed", "op": ">=", "value": 40})
    begins = world.now + 10 * SECOND
    moments = [begins + 50 * n for n in range(40)]
    events = [make_event(event="viewed", anonymousId="li", timestamp=rfc3339(each)) for each in moments]
    world.intake.append(world.site, *events, received_at=world.now)
    world.system.worker.drain()
    assert waiting(world) == 1 + len({each // SECOND for each in moments})
    world.pass_by(moments[-1] - world.now - 40)
    assert world.members(viewers) == set()
    world.pass_by(40)
    assert world.members(viewers) == {world.person("li")}


def test_a_lead_is_seen_before_the_round_that_looks_at_it(world: World, fresh: Freshness) -> None:
    news = world.segment("news", {"attr": "stage", "op": "=", "value": "new"}, entity="lead")
    lead = world.capture({"source": "dealer", "contact": {"phone": "13812345678"}, "consent": CONSENT})
    fresh.catch_up()
    assert meant(world, {"attr": "stage", "op": "=", "value": "new"}, entity="lead") == {lead}
    world.live.drain()
    assert world.members(news) == {lead}


def test_what_was_done_is_not_done_again_and_nothing_to_do_is_three_small_reads(
    world: World, fresh: Freshness, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.take("viewed", "li")
    fresh.catch_up()
    followed = []
    monkeypatch.setattr(fresh._owners, "follow", lambda sets, announce: followed.append(set(sets)))
    fresh.catch_up()
    world.take("viewed", "wang")
    fresh.catch_up()
    assert [len(each) for each in followed] == [0, 1]
    monkeypatch.undo()
    world.live.drain()
    assert waiting(world) == 0
    fresh.catch_up()
    asked: list[str] = []
    for engine in (world.system.records, world.system.graph._engine):  # type: ignore[attr-defined]
        sql_event.listen(engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    monkeypatch.setattr(world.system.events, "_query", lambda *_: pytest.fail("the event store was asked"))
    fresh.catch_up()
    assert len(asked) <= 3, asked


def test_what_lies_in_the_future_is_seen_when_its_time_comes(world: World, fresh: Freshness) -> None:
    world.take("viewed", "li", ago=-30 * SECOND)
    fresh.catch_up()
    assert meant(world, {"did": "viewed"}) == set()
    world.live.drain()
    world.now += 30 * SECOND
    fresh.catch_up()
    assert meant(world, {"did": "viewed"}) == {world.person("li")}


def test_where_a_store_is_away_the_next_call_does_it_all(
    world: World, fresh: Freshness, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.take("viewed", "li")
    with monkeypatch.context() as away:
        away.setattr(fresh._owners, "follow", lambda *_: pytest.fail("away"))
        with pytest.raises(BaseException, match="away"):
            fresh.catch_up()
    fresh.catch_up()
    assert meant(world, {"did": "viewed"}) == {world.person("li")}


def test_who_asks_behind_a_long_backlog_is_sent_away_and_comes_nearer_each_time(
    world: World, fresh: Freshness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1)
    monkeypatch.setattr(module, "PORTIONS", 2)
    for n in range(3):
        world.take("viewed", f"visitor-{n}")
    with pytest.raises(GateClosed):
        fresh.catch_up()
    for _ in range(5):
        with suppress(GateClosed):
            fresh.catch_up()
    fresh.catch_up()
    assert len(meant(world, {"did": "viewed"})) == 3


def test_who_asks_while_another_brings_all_up_to_date_does_not_wait_for_ever(
    world: World, fresh: Freshness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REQUEST_S", 0.05)
    with world.system.gate.turn(module.OWNERS), pytest.raises(GateClosed):
        fresh.catch_up()
    fresh.catch_up()
