"""Nobody is lost whose owner changes at an awkward moment: during a round, by a block, or before a crash."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete, select

from cdp import at_work, records
from cdp.api_client import connect
from cdp.errors import StoreUnavailable
from cdp.feeds import drop_places
from cdp.model import Identifier, PersonId, SetId
from cdp.records import reading, writing
from cdp.segment_work import Moved, SegmentWork, Task, work_rows
from identity.observation import set_id
from leads.store import lead_rows
from profiles.owners import Owners
from segments import live
from segments.health import health_of
from segments.lead_rows import FEED
from segments.live_touched import Index, Touched
from segments.live_writing import Writer
from segments.stays import Reason
from tests.cdp.import_desk import a_desk
from tests.collectors.sheets import as_csv
from tests.segments.live_world import CONSENT, DAY, HOUR, MINUTE, World
from tests.segments.test_live_undo import segment, size

VIEWED = {"did": "viewed"}


def test_who_is_merged_while_a_round_forgets_another_is_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = world.segment("both", {"all": [VIEWED, {"did": "bought"}]})
    world.take("viewed", "phone")
    world.take("bought", "laptop")
    world.take("viewed", "another")
    world.log_in("phone", "member-a")
    world.live.drain()
    world.erase(world.person("another"))
    follow = Owners.follow

    def merged_before(self: Owners, *args: Any, **options: Any) -> Any:
        monkeypatch.setattr(Owners, "follow", follow)
        followed = follow(self, *args, **options)
        world.log_in("laptop", "member-a")
        return followed

    monkeypatch.setattr(Owners, "follow", merged_before)
    world.live.drain()
    assert world.members(both) == {world.person("laptop")}
    world.check()


def test_the_lead_of_somebody_who_is_nobody_any_more_is_looked_at(world: World) -> None:
    viewed = world.segment("viewed", VIEWED, entity="lead")
    not_viewed = world.segment("not viewed", {"not": VIEWED}, entity="lead")
    world.take("viewed", "li")
    world.log_in("li", "member-a")
    identifiers = [{"kind": "member_id", "value": "member-a"}]
    lead = world.capture({"source": "dealer", "contact": {}, "consent": CONSENT, "identifiers": identifiers})
    world.live.drain()
    assert world.members(viewed) == {lead}
    with reading(world.system.records) as connection:
        subject = SetId(connection.execute(select(lead_rows.c.subject)).scalar_one())
    members = world.system.identity.members_of_sets([subject])[subject]
    world.system.identity.block({each.identifier: "a test number" for each in members})
    world.live.drain()
    assert (world.members(viewed), world.members(not_viewed)) == (set(), {lead})
    world.check()


def test_who_dies_after_the_leads_are_mirrored_leaves_a_word_to_look_at_everybody(world: World) -> None:
    asked = world.segment("asked", {"rel": "lead", "op": ">=", "value": 1})
    world.live.drain()
    with writing(world.system.records) as connection:
        drop_places(connection, FEED)
    world.capture({"source": "dealer", "contact": {"phone": "13812345678"}, "consent": CONSENT})
    with writing(world.system.records) as connection:
        connection.execute(delete(work_rows))
    world.crash()
    world.live._rounds._toucher._leads.follow([])
    world.crash()
    world.live.drain()
    assert len(world.members(asked)) == 1


def test_an_undo_that_dies_after_deleting_leaves_nobody_in_a_segment(tmp_path: Path) -> None:
    with a_desk(tmp_path) as desk:
        asked = segment(desk, "asked", {"did": "*"}, "person")
        job = desk.begin(as_csv([["手机", "姓名"], ["13812350001", "郑"]]))
        desk.system.importer.drain()
        desk.system.live_segments.drain()
        assert size(desk, asked) == 1
        erasing = desk.system.events.erasing
        delete = type(erasing).delete_that_came

        def and_die(*args: Any) -> Any:
            delete(erasing, *args)
            raise StoreUnavailable("records", "killed")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(erasing), "delete_that_came", lambda _, *args: and_die(*args))
            with pytest.raises(StoreUnavailable, match="killed"):
                desk.undo(job)
        desk.system.importer.drain()
        desk.system.live_segments.drain()
        assert size(desk, asked) == 0


def test_a_view_on_a_tablet_is_of_whoever_has_it_and_moves_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.segment("viewed", VIEWED)
    for n in range(8):
        world.log_in("tablet", f"member-{n}")
        world.take("viewed", "tablet")
        world.now += 2 * HOUR
    world.live.drain()
    touched = type(world.live._rounds._toucher).touched
    asked: list[frozenset[str]] = []

    def noted(self: Any, tasks: list[Task], index: Index, **options: Any) -> Touched:
        found = touched(self, tasks, index, **options)
        asked.extend(each.units for each in found.asks)
        return found

    monkeypatch.setattr(type(world.live._rounds._toucher), "touched", noted)
    world.take("viewed", "tablet")
    world.live.drain()
    assert len(frozenset().union(*asked)) == 1
    asked.clear()
    world.log_in("tablet", "member-3")
    world.live.drain()
    assert len(frozenset().union(*asked)) <= 2
    world.check()


def test_a_move_that_was_noted_before_it_had_sets_can_still_be_read() -> None:
    from cdp.segment_work import _decode

    assert _decode(b"\x92\xa5Moved\x91\xa1p") == Moved([PersonId("p")])


def test_who_looked_before_another_wrote_changes_nothing(world: World) -> None:
    viewed = world.segment("viewed", VIEWED)
    world.take("viewed", "li")
    writer = world.live._writer
    write = writer.write
    late: list[Any] = []

    def too_late(*args: Any, **options: Any) -> None:
        # Another round goes all the way between the look and the write of this one.
        late.append(None)
        if len(late) == 1:
            world.another_live().drain()
        write(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "write", too_late)
        world.live.drain()
    assert late
    assert [each.entered for each in world.changes(viewed)] == [True]
    world.check()
    world.check_published()


def fail_once(writer: Writer) -> None:
    """What it is to write next is lost."""
    write = writer.write

    def full(*_: Any, **__: Any) -> None:
        writer.write = write  # type: ignore[method-assign]
        raise StoreUnavailable("records", "its disk is full")

    writer.write = full  # type: ignore[method-assign]


def test_what_could_not_be_written_is_looked_at_again_with_what_was_seen_meanwhile(tmp_path: Path) -> None:
    world = World(tmp_path, late=True)
    viewed = world.segment("viewed", VIEWED)
    fail_once(world.live._writer)
    world.take("viewed", "li")
    assert world.live._round()
    world.log_in("wang", "member-1")
    world.take("viewed", "wang")
    with pytest.raises(StoreUnavailable):
        world.live._round()
    assert world.members(viewed) == set()
    world.live.drain()
    assert world.members(viewed) == {world.person("li"), world.person("wang")}
    assert all(each.reason is Reason.EVENT and each.cause for each in world.changes(viewed))
    world.check()
    world.check_published()
    world.close()


def test_a_look_at_everybody_goes_on_where_what_a_round_found_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SETTLE_S", 0.0)
    world = World(tmp_path, late=True)
    viewed = world.segment("viewed", VIEWED)
    world.live._reconciled -= live.RECONCILE_S
    while not world.live._job:
        world.live._turn()
    job = world.live._job
    fail_once(world.live._writer)
    world.take("viewed", "li")
    with pytest.raises(StoreUnavailable):
        world.live._turn()
    assert world.live._job is job
    world.live.drain()
    assert world.members(viewed) == {world.person("li")}
    assert world.live._job is None
    world.close()


def test_a_fill_that_fails_again_and_again_puts_no_comparison_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.segment("viewed", VIEWED)
    clock = [time.monotonic()]
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def slowly() -> Iterator[bool]:
        clock[0] += 2 * live.AGAIN_S
        raise StoreUnavailable("event", "no answer")
        yield True

    monkeypatch.setattr(live, "filling", lambda *_: slowly())
    world.make("never filled", {"did": "form_sent"})
    compared = world.live._reconciled = clock[0] - live.RECONCILE_S - 1
    with pytest.raises(StoreUnavailable):
        world.live._turn()
    assert world.live._failed
    assert world.live._reconciled == compared
    world.live.drain()
    assert world.live._reconciled > compared + live.RECONCILE_S


def test_a_segment_is_not_said_to_be_known_up_to_a_moment_that_has_yet_to_be_written(tmp_path: Path) -> None:
    world = World(tmp_path, late=True)
    viewed = world.segment("viewed", VIEWED | {"window": {"last": "PT2H"}})
    world.segment("forms", {"did": "form_sent"})
    world.take("viewed", "li")
    world.live.drain()
    [entered] = [each.at for each in world.changes(viewed)]
    world.take("form_sent", "li")
    world.live._round()
    world.now += 3 * HOUR
    world.take("viewed", "wang")
    world.round()
    assert world.members(viewed) == {world.person("li"), world.person("wang")}
    with reading(world.system.records) as connection:
        told = health_of(connection, viewed.n, now=world.now)
    assert told is not None
    assert told.fresh_at is not None
    assert told.fresh_at < entered + 2 * HOUR
    world.live.drain()
    assert world.members(viewed) == {world.person("wang")}
    world.close()


def test_who_is_just_being_taken_out_of_a_segment_has_not_been_in_it_for_an_hour(tmp_path: Path) -> None:
    world = World(tmp_path, late=True)
    viewed = world.segment("viewed", VIEWED | {"window": {"last": "PT50M"}})
    asked = world.segment("asked", {"all": [{"in": viewed.id, "for": "PT1H"}, {"did": "form_sent"}]})
    world.take("viewed", "li")
    world.live.drain()
    world.now += 55 * MINUTE
    world.live._round()
    world.now += 6 * MINUTE
    world.take("form_sent", "li")
    world.live.drain()
    assert [each.entered for each in world.changes(viewed)] == [True, False]
    assert world.changes(asked) == []
    world.close()


def test_of_shared_stores_a_command_writes_no_membership(tmp_path: Path) -> None:
    world = World(tmp_path)
    made = world.make("viewed", VIEWED)
    world.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "is_shared", lambda _: True)
        with connect(world.settings, segments=True):
            pass
        world._open()
        assert not world.book.get(made.id).live
        world.close()
    with connect(world.settings, segments=True):
        pass
    world._open()
    assert world.book.get(made.id).live
    world.close()


def test_a_change_by_an_event_whose_row_comes_a_moment_after_the_graph_moved_names_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewed = world.segment("viewed", VIEWED)
    stored = SegmentWork.stored
    kept: list[Any] = []

    def kept_back(self: SegmentWork, _: Any, events: Any, *, at: int) -> None:
        kept.append((self, [*events], at))

    monkeypatch.setattr(SegmentWork, "stored", kept_back)
    world.take("viewed", "li")
    world.round()
    assert world.members(viewed) == set()
    for work, events, at in kept:
        with writing(world.system.records) as connection:
            stored(work, connection, events, at=at)
    world.live.drain()
    [change] = world.changes(viewed)
    assert (change.reason, change.cause is None) == (Reason.EVENT, False)


def test_evidence_that_proved_a_session_is_taken_back_and_its_events_are_not_hers(world: World) -> None:
    viewed = world.segment("viewed", VIEWED)
    for n in range(8):
        world.log_in("tablet", f"member-{n}")
        world.now += 2 * HOUR
    world.take("viewed", "tablet")
    world.log_in("tablet", "member-3")
    world.live.drain()
    her = world.person("member-3", "member_id")
    assert world.members(viewed) == {her}
    system = world.system
    mine = Identifier("member_id", "member-3")
    proofs = [each for each in system.graph.every_observation() if mine in each.identifiers]
    system.identity.retract({each.id: "it was somebody else" for each in proofs})
    with writing(system.records) as connection:
        sets = [set_id(each.identifiers) for each in proofs]
        system.segment_work.note(connection, Moved([], sets), at=world.now)
    world.live.drain()
    assert her not in world.members(viewed)
    world.check()


def test_events_past_their_retention_go_once_a_day_and_what_was_cut_off_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewed = world.segment("viewed", {"did": "model_viewed"})
    world.take("model_viewed", "li")
    world.live.drain()
    assert world.members(viewed) == {world.person("li")}
    day = (world.now // DAY + 2) * DAY
    trim, trimmed = world.system.events.erasing.trim, []

    def cut_off(before: int) -> None:
        trimmed.append(before)
        trim(before)
        if len(trimmed) == 1:
            raise StoreUnavailable("event", "no answer")

    monkeypatch.setattr(world.system.events.erasing, "trim", cut_off)
    with pytest.raises(StoreUnavailable):
        at_work._trim_events(world.system, day)
    for hour in (1, 2, 23):
        at_work._trim_events(world.system, day + hour * HOUR)
    assert trimmed == [day, day]
    world.live.drain()
    assert world.members(viewed) == set()
    world.check()
