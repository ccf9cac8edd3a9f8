"""Segments are made, changed and deleted, and whoever acts on them hears nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from api.auditing import Auditor
from api.keys import ApiKey
from api.people import People
from api.permissions import Role
from api.showing import Showing
from cdp.errors import Conflict, NotFound, Refused
from cdp.records import reading
from segments import references
from segments.faults import MalformedSegment
from segments.stays import Reason, stay_rows
from tests.segments.live_world import DAY, World, defined

VIEWED: dict[str, Any] = {"did": "model_viewed", "window": {"last": "P7D"}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path)
    yield opened
    opened.check()
    opened.close()


@contextmanager
def refused(expected: str) -> Iterator[None]:
    with pytest.raises(MalformedSegment) as told:
        yield
    assert [each.expected for each in told.value.faults] == [expected]


def test_filling_and_changing_a_segment_publishes_nothing(world: World) -> None:
    world.take("model_viewed", "li", ago=2 * DAY)
    world.take("model_viewed", "wang")
    viewers = world.segment("viewers", VIEWED)
    assert world.members(viewers) == {world.person("li"), world.person("wang")}
    changed = world.change(viewers, VIEWED | {"window": {"last": "P1D"}})
    assert (changed.version, changed.live) == (2, True)
    assert world.members(changed) == {world.person("wang")}
    assert [each.reason for each in world.changes(changed)] == [Reason.BACKFILL, Reason.BACKFILL, Reason.DEFINITION]
    assert world.published() == []


def test_what_happens_while_a_segment_is_filled_is_silent_too_and_not_missed(world: World) -> None:
    world.take("model_viewed", "li")
    world.live.drain()
    made, _ = world.book.create("viewers", defined(VIEWED))
    world.live._turn()
    assert not world.book.get(made.id).live
    world.take("model_viewed", "wang")
    world.live.drain()
    assert world.members(made) == {world.person("li"), world.person("wang")}
    assert world.published() == []


def test_a_fill_that_is_cut_off_is_done_again(world: World) -> None:
    for visitor in ("li", "wang", "zhao", "qian"):
        world.take("model_viewed", visitor)
    made, _ = world.book.create("viewers", defined(VIEWED))
    for _ in range(9):
        world.live._turn()
    world.crash()
    world.live.drain()
    assert len(world.members(made)) == 4
    assert world.book.get(made.id).live


def test_the_same_segment_again_is_the_one_that_is_there(world: World) -> None:
    first, new = world.book.create("viewers", defined(VIEWED))
    again, newer = world.book.create(" viewers", defined({"all": [VIEWED]}))
    assert (again.id, new, newer) == (first.id, True, False)
    with pytest.raises(Conflict):
        world.book.create("viewers", defined({"not": VIEWED}))


def test_another_way_to_say_the_same_keeps_version_and_members(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    assert world.book.update(viewers.id, name="who looked", definition=defined({"not": {"not": VIEWED}})).version == 1
    assert world.book.get(viewers.id).live
    assert world.book.get(viewers.id).name == "who looked"


def test_a_name_that_another_has_is_refused(world: World) -> None:
    world.segment("viewers", VIEWED)
    others = world.segment("others", {"not": VIEWED})
    with pytest.raises(Conflict):
        world.book.update(others.id, name="viewers")


def test_a_segment_that_others_name_is_not_deleted_and_they_are_listed(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    others = world.segment("others", {"not": {"in": viewers.id}})
    with pytest.raises(Conflict) as refused:
        world.book.delete(viewers.id)
    assert [(each["path"], each["got"]) for each in refused.value.errors] == [(others.id, "others")]
    world.book.delete(others.id)
    world.book.delete(viewers.id)
    with pytest.raises(NotFound):
        world.book.get(viewers.id)


def test_nothing_is_left_of_who_was_in_a_deleted_segment(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    world.take("model_viewed", "li")
    world.live.drain()
    assert [each["name"] for each in world.membership.segments_of(world.person("li"))] == ["viewers"]
    world.book.delete(viewers.id)
    assert world.membership.segments_of(world.person("li")) == []
    world.live.drain()
    with reading(world.system.records) as connection:
        assert connection.execute(select(func.count()).select_from(stay_rows)).scalar() == 0
    again = world.segment("viewers", VIEWED)
    assert again.n > viewers.n
    world.pass_by(30 * DAY)


def test_a_circle_an_unknown_segment_and_one_about_something_else_are_refused(world: World) -> None:
    a = world.segment("a", VIEWED)
    b = world.segment("b", {"in": a.id})
    with refused("a segment that does not depend on this one"):
        world.book.update(a.id, definition=defined({"not": {"in": b.id}}))
    with refused("the id of a segment"):
        world.book.create("c", defined({"in": "sg_nowhere"}))
    with refused("a segment of the same entity"):
        world.book.create("c", defined({"in": a.id}, entity="lead"))


def test_no_segment_becomes_too_large_by_those_that_it_names(world: World) -> None:
    small = world.segment("small", VIEWED)
    large = world.segment("large", {"any": [{"in": small.id}] * 64})
    with refused("at most 256 conditions, with those of the segments it names"):
        world.book.create("larger", defined({"any": [{"in": large.id}] * 2}))
    assert world.change(small, {"any": [VIEWED, {"did": "seat_viewed"}, {"did": "form_sent"}]}).version == 2
    for fourth in ("price_viewed", "form_sent"):
        many = [VIEWED, *({"did": each} for each in ("seat_viewed", "form_sent", fourth))]
        with pytest.raises(Refused, match=r"'large' names it.*more than 256"):
            world.book.update(small.id, definition=defined({"any": many}))
    assert world.book.get(large.id).version == 2


def test_what_is_too_large_already_may_become_smaller_and_be_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = ["viewed", "seat_viewed", "form_sent", "price_viewed"]
    small = world.segment("small", {"any": [{"did": each} for each in named]})
    with monkeypatch.context() as patch:
        patch.setattr(references, "MAX_INLINED_LEAVES", 1_000)
        world.segment("large", {"any": [{"in": small.id}] * 64})
    changed = {"any": [{"did": each} for each in ["login", *named[1:]]]}
    assert world.change(small, changed).version == 2
    with pytest.raises(Refused, match="'large' names it"):
        world.book.update(small.id, definition=defined({"any": [changed, {"did": "login"}]}))
    assert world.change(small, {"did": "login"}).version == 3


def test_nobody_is_remembered_in_a_segment_that_means_something_else_now(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    world.take("model_viewed", "li")
    world.live.drain()
    remembering = People(world.system, Showing(world.system.vault, Auditor(world.system.records)))
    reader, her = ApiKey("tests", Role.MARKETER), world.person("li")
    assert viewers.id.encode() in remembering.read(reader, her)
    assert remembering.remembered(reader, her)
    world.book.update(viewers.id, definition=defined(VIEWED | {"op": ">=", "value": 2}))
    assert viewers.id.encode() not in (remembering.remembered(reader, her) or remembering.read(reader, her))
    world.live.drain()


def test_who_names_a_segment_that_changes_is_filled_again_in_silence(world: World) -> None:
    viewers = world.segment("viewers", VIEWED)
    others = world.segment("others", {"not": {"in": viewers.id}})
    world.take("model_viewed", "li", ago=2 * DAY)
    world.live.drain()
    told = world.published()
    world.change(viewers, VIEWED | {"window": {"last": "P1D"}})
    assert world.members(others) == {world.person("li")}
    assert world.book.get(others.id).version == 2
    assert world.published() == told


def test_what_a_round_found_by_a_definition_that_changed_meanwhile_is_not_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewers = world.segment("viewers", VIEWED)
    world.take("model_viewed", "li")
    evaluate = world.system.evaluator.evaluate

    def change_meanwhile(*asked: Any, **how: Any) -> Any:
        found = list(evaluate(*asked, **how))
        monkeypatch.undo()
        world.book.update(viewers.id, definition=defined({"did": "form_sent"}))
        return found

    monkeypatch.setattr(world.system.evaluator, "evaluate", change_meanwhile)
    world.live.drain()
    assert world.members(viewers) == set()
    assert world.published() == []


def test_a_segment_that_is_changed_while_it_is_filled_has_the_members_of_its_new_definition(world: World) -> None:
    for visitor in ("li", "wang", "zhao", "qian", "sun"):
        world.take("model_viewed", visitor)
    world.take("form_sent", "li")
    made = world.make("viewers", VIEWED)
    world.live._turn()
    world.book.update(made.id, definition=defined({"did": "form_sent"}))
    world.live.drain()
    assert world.members(made) == {world.person("li")}
    assert world.book.get(made.id).live
