"""What people ask about segments is answered, or they are told what to do; and it holds up nobody who keeps them."""

from __future__ import annotations

from typing import Any

import pytest

from cdp.errors import Refused, StoreUnavailable
from profiles.events_clickhouse import ClickHouseEvents
from profiles.events_clickhouse_client import ASKERS
from profiles.store import AskedTooMuch, Cursor
from segments.desk import SegmentDesk
from segments.verdict import Answers
from tests.segments.live_world import DAY, World, defined

VIEWED: dict[str, Any] = {"did": "viewed"}


def desk_of(world: World, evaluator: Answers) -> SegmentDesk:
    return SegmentDesk(world.book, world.membership, evaluator, tz="Asia/Shanghai", clock=lambda: world.now)


class Failing:
    """An evaluator whose store fails so."""

    def __init__(self, error: StoreUnavailable) -> None:
        self._error = error

    def evaluate(self, *_: Any, **__: Any) -> Any:
        raise self._error

    def preview(self, *_: Any) -> Any:
        raise self._error


def test_only_a_question_that_asks_too_much_is_refused(world: World) -> None:
    made = world.make("viewed", VIEWED)
    for error, told in (
        (AskedTooMuch("event", "Memory limit exceeded"), Refused),
        (StoreUnavailable("event", "Connection refused"), StoreUnavailable),
    ):
        failing: Any = Failing(error)
        desk = desk_of(world, failing)
        with pytest.raises(told, match=error.cause):
            desk.preview(defined(VIEWED), world.now)
        with pytest.raises(told, match=error.cause):
            desk.members(made, at=made.created_at - DAY, after=None, limit=10)


def test_a_segment_that_is_named_and_deleted_meanwhile_is_told(world: World) -> None:
    viewed = world.make("viewed", VIEWED)
    desk = desk_of(world, world.system.evaluator)
    definition = desk.read({"v": 1, "entity": "person", "where": {"not": {"in": viewed.id}}})
    world.book.delete(viewed.id)
    for ask in (desk.preview, desk.estimate):
        with pytest.raises(Refused, match=f"{viewed.id}, which is not there any more"):
            ask(definition, world.now)


def test_whom_a_segment_would_have_meant_before_it_was_made_comes_in_pages_that_skip_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(25):
        world.take("viewed", f"visitor-{n}", ago=DAY)
    world.live.drain()
    made = world.make("viewed", VIEWED)
    desk = desk_of(world, world.system.evaluator)
    evaluate, asked = world.system.evaluator.evaluate, []
    monkeypatch.setattr(
        world.system.evaluator, "evaluate", lambda *what, **how: asked.append(how["part"]) or evaluate(*what, **how)
    )
    found: list[str] = []
    place: Cursor | None = None
    for _ in range(7):
        page, place = desk.members(made, at=made.created_at - 1, after=place, limit=4)
        found += [each.unit for each in page]
    assert place is None
    # However few there are, no page looks at everything sixteen times.
    assert len(asked) <= 2 * 7
    # Whatever a cursor says.
    assert desk.members(made, at=made.created_at - 1, after=Cursor(0, "zz"), limit=4) == ([], None)
    assert found == sorted(world.person(f"visitor-{n}") for n in range(25))


@pytest.mark.timeout(30)
def test_what_people_ask_and_who_keeps_segments_do_not_wait_for_each_other(world: World) -> None:
    world.take("viewed", "li", ago=DAY)
    world.live.drain()
    viewed, events = defined(VIEWED), world.system.events
    assert isinstance(events, ClickHouseEvents)
    desk = desk_of(world, world.system.evaluator)
    watcher = events._watchers.get()
    try:
        assert desk.preview(viewed, world.now).count == 1
        assert list(desk.true_of(viewed, [world.person("li")], world.now)) == [world.person("li")]
        made = world.make("viewed", VIEWED)
        assert [each.unit for each in desk.members(made, at=made.created_at - 1, after=None, limit=9)[0]]
    finally:
        events._watchers.put(watcher)
    askers = [events._askers.get() for _ in range(ASKERS)]
    try:
        world.system.live_segments.drain()
    finally:
        for each in askers:
            events._askers.put(each)
    assert world.membership.members(made.n)[0]
