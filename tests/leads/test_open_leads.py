"""A capture in one process and a batch in another, in every order of their steps: nothing of the trail is missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from threading import Event as Signal
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from cdp.records import reading, writing
from identity.observation import set_id
from leads import erase, open_leads, store, undo
from leads.late import Found
from leads.lead import LeadId, Waited
from leads.open_leads import open_rows
from leads.request import read_request
from leads.store import OpenLead, addition_rows, lead_rows
from leads.watching import Watching
from profiles.store import EventStore
from tests.leads.conftest import DAY, HOUR, MINUTE, NOON, Person, World

ORDERS = list(combinations(range(6), 3))
"""Which of six steps are the capture's; the others are the batch's."""
LONG_S = 30


def count(world: World, table: Any) -> int:
    with reading(world.records) as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def told(world: World, lead_id: str) -> tuple[list[str], list[str]]:
    """The names of the events on a lead's trail, and of those that were added."""
    trail = world.desk.lead(lead_id)["trail"]
    added = [each["event"]["name"] for each in trail["additions"]]
    return [each["name"] for each in trail["events"]], added


class Stepwise:
    """Runs something in a thread that stops where it calls `pause`, until its next `step`."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._may, self._did = Signal(), Signal()
        self._thread = Thread(target=self._run, args=(run,), daemon=True)
        self.failed: BaseException | None = None

    def step(self) -> None:
        self._may.set()
        if not self._thread.ident:
            self._thread.start()
        assert self._did.wait(LONG_S)
        self._did.clear()

    def pause(self) -> None:
        self._may.clear()
        self._did.set()
        assert self._may.wait(LONG_S)

    def end(self) -> None:
        self._thread.join(LONG_S)
        assert not self._thread.is_alive()
        assert self.failed is None

    def _run(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            self.failed = error
        finally:
            self._did.set()


class ReadAndStop:
    """An event store that stops who read a trail for the first time."""

    def __init__(self, events: EventStore, capture: Stepwise) -> None:
        self._events, self._capture, self._stops = events, capture, True

    def trail(self, *args: Any, **options: Any) -> list[dict[str, Any]]:
        events = self._events.trail(*args, **options)
        if self._stops:
            self._stops = False
            self._capture.pause()
        return events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)


class Batch:
    """The steps of a worker's batch that concern leads."""

    def __init__(self, world: World, happens: Callable[[World], tuple[Any, Any]]) -> None:
        self.world = world
        self.happens = happens
        self.found = Found()
        self.steps = iter((self.store, self.look, self.write))

    def store(self) -> None:
        self.stored = self.happens(self.world)

    def look(self) -> None:
        self.found = self.world.desk.additions_for(*self.stored, at=self.world.now)

    def write(self) -> None:
        with writing(self.world.records) as connection:
            self.world.desk.write(connection, [], self.found)
        self.world.desk.written([], self.found)


@contextmanager
def capture_in_steps(world: World, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stepwise]:
    """announce ▸ read persons and trail ▸ write"""
    announce = open_leads.announce

    def announce_and_stop(*args: Any) -> None:
        monkeypatch.undo()
        announce(*args)
        capture.pause()

    def run() -> None:
        slow.desk.capture(read_request(body), waited=Waited(complete=True), actor="forms")

    capture = Stepwise(run)
    slow = replace(world, events=ReadAndStop(world.events, capture))
    monkeypatch.setattr(open_leads, "announce", announce_and_stop)
    yield capture
    capture.end()


def late_visit(person: Person) -> Callable[[World], tuple[Any, Any]]:
    return lambda world: world.store(world.event(person.openid, at=NOON - HOUR, name="seat_viewed"))


def login_of_somebody_with_a_past(person: Person) -> Callable[[World], tuple[Any, Any]]:
    """Now, so that all that joins the trail is what was known of the other before."""
    return lambda world: world.store(world.event(person.openid, person.cookie, at=NOON + MINUTE, name="logged_in"))


@pytest.mark.parametrize("watching", [Watching.AMONG_OTHERS, Watching.BY_OTHERS])
@pytest.mark.parametrize("of_capture", ORDERS)
def test_a_late_event_is_on_the_trail_or_added_whatever_is_done_first(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch, of_capture: tuple[int, ...], watching: Watching
) -> None:
    capturing, worker = world.process(watching), world.process()
    batch = Batch(worker, late_visit(person))
    with capture_in_steps(capturing, person.body(), monkeypatch) as capture:
        for number in range(6):
            capture.step() if number in of_capture else next(batch.steps)()
    [lead] = worker.desk.lookup("phone", person.phone)
    trail, added = told(worker, lead["id"])
    assert [*trail, *added] == ["seat_viewed"]


@pytest.mark.parametrize("of_capture", ORDERS)
def test_what_a_merge_brings_is_on_the_trail_or_added_whatever_is_done_first(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch, of_capture: tuple[int, ...]
) -> None:
    capturing, worker = world.process(Watching.BY_OTHERS), world.process()
    worker.visit(person.cookie, at=NOON - HOUR, name="seat_viewed")
    batch = Batch(worker, login_of_somebody_with_a_past(person))
    with capture_in_steps(capturing, person.body(), monkeypatch) as capture:
        for number in range(6):
            capture.step() if number in of_capture else next(batch.steps)()
    # Where the batch came while the lead was not written yet, the worker's next look completes it.
    worker.desk.catch_up()
    [lead] = worker.desk.lookup("phone", person.phone)
    trail, added = told(worker, lead["id"])
    assert [each for each in [*trail, *added] if each != "logged_in"] == ["seat_viewed"]


def test_a_worker_adds_to_leads_that_others_captured(world: World, person: Person) -> None:
    worker = world.process()
    lead, _ = world.process(Watching.BY_OTHERS).capture(person.body())
    worker.visit(person.openid, at=NOON - HOUR, name="seat_viewed")
    assert told(worker, lead["id"]) == ([], ["seat_viewed"])


def test_two_workers_that_find_the_same_add_it_once(world: World, person: Person) -> None:
    one, other = world.process(), world.process()
    lead, _ = world.process(Watching.BY_OTHERS).capture(person.body())
    batch = one.store(one.event(person.openid, at=NOON - HOUR, name="seat_viewed"))
    one.add(*batch)
    other.add(*batch)
    assert told(one, lead["id"]) == ([], ["seat_viewed"])
    assert count(one, addition_rows) == 1


def test_a_merge_told_to_nobody_else_is_seen_by_every_worker(world: World, person: Person) -> None:
    one, other = world.process(), world.process()
    one.visit(person.cookie, at=NOON - DAY, name="seat_viewed")
    lead, _ = world.process(Watching.BY_OTHERS).capture(person.body())
    other.desk.catch_up()
    # A steward joined them, in a process that watches nothing.
    world.store(world.event(person.cookie, person.openid, at=NOON + MINUTE))
    other.desk.catch_up()
    assert told(one, lead["id"]) == ([], ["seat_viewed"])
    one.visit(person.cookie, at=NOON - HOUR, name="video_played")
    other.visit(person.cookie, at=NOON - MINUTE, name="price_viewed")
    assert set(told(one, lead["id"])[1]) == {"seat_viewed", "video_played", "price_viewed"}


def test_a_late_event_of_a_merged_person_is_added_by_a_worker_that_did_not_merge_them(
    world: World, person: Person
) -> None:
    one, other = world.process(), world.process()
    one.visit(person.member, person.cookie, at=NOON - DAY, name="seat_viewed")
    lead, _ = world.process(Watching.BY_OTHERS).capture(person.body())
    other.desk.catch_up()
    one.visit(person.member, person.openid, at=NOON + MINUTE, name="logged_in")
    other.visit(person.cookie, at=NOON - HOUR, name="video_played")
    assert set(told(one, lead["id"])[1]) == {"seat_viewed", "video_played"}


def test_a_worker_knows_the_shared_tablets_of_leads_that_others_captured(world: World, person: Person) -> None:
    one, other = world.process(), world.process()
    tablet = Person(person.number + 10_000).cookie
    for number in range(4):
        one.visit(Person(person.number + 20_000 + number).member, tablet, at=NOON - (9 - number) * DAY)
    one.visit(person.member, tablet, at=NOON - 10 * MINUTE, name="login_on_tablet")
    body = person.body(identifiers=[{"kind": "member_id", "value": person.member.value}])
    lead, _ = world.process(Watching.BY_OTHERS).capture(body)
    other.visit(tablet, at=NOON - 9 * MINUTE, name="video_played")
    assert told(other, lead["id"]) == (["login_on_tablet"], ["video_played"])


def test_one_lead_sent_to_two_processes_is_one_lead_with_all_additions(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, worker = world.process(), world.process(Watching.BY_OTHERS), world.process()
    with capture_in_steps(one, person.body(), monkeypatch) as capture:
        capture.step()
        capture.step()
        other.now = NOON + MINUTE
        first, created = other.capture(person.body())
        assert created
        capture.step()
    assert count(world, lead_rows) == 1
    assert count(world, open_rows) == 2
    # Of the minute between the two: the one that was written was frozen after it.
    for process, name in ((one, "seat_viewed"), (worker, "video_played")):
        process.visit(person.openid, at=NOON + MINUTE // 2, name=name)
    assert set(told(worker, first["id"])[1]) == {"seat_viewed", "video_played"}


def test_a_batch_done_again_by_another_worker_captures_once_and_misses_nothing(world: World, person: Person) -> None:
    one, other = world.process(), world.process()
    event = one.event(person.cookie, at=NOON, name="lead_submitted", mobile=person.phone)
    [stored], changed = one.store(event)
    drafts = [one.desk.from_event(stored.event, {"phone": person.phone}, stored.set)]
    # The first one freezes, and dies before its commit.
    one.desk.freeze(drafts, at=one.now)
    other.visit(person.cookie, at=NOON - HOUR, name="seat_viewed")
    other.now = NOON + MINUTE
    [lead_id] = other.finish(stored, {"phone": person.phone}, changed)
    one.restart()
    one.visit(person.cookie, at=NOON + MINUTE // 2, name="video_played")
    assert told(other, lead_id) == (["lead_submitted", "seat_viewed"], ["video_played"])


def test_an_erased_lead_gets_nothing_from_a_worker_that_still_watches_it(world: World, person: Person) -> None:
    eraser, worker = world.process(Watching.BY_OTHERS), world.process()
    lead, _ = eraser.capture(person.body())
    worker.desk.catch_up()
    batch = Batch(worker, late_visit(person))
    batch.store()
    batch.look()
    assert batch.found.additions
    with writing(eraser.records) as connection:
        erase.empty(connection, [lead["id"]])
    eraser.desk.forget([lead["id"]])
    batch.write()
    worker.visit(person.openid, at=NOON - MINUTE)
    assert (count(world, addition_rows), count(world, open_rows)) == (0, 0)


def test_an_undone_lead_gets_nothing_from_a_worker_that_still_watches_it(world: World, person: Person) -> None:
    worker = world.process()
    [lead_id] = world.process().capture_event(
        world.event(person.cookie, at=NOON, name="lead_submitted", mobile=person.phone)
    )
    worker.desk.catch_up()
    with writing(world.records) as connection:
        undo.remove(connection, undo.find(connection, [LeadId(lead_id)]))
    worker.visit(person.cookie, at=NOON - MINUTE)
    assert (count(world, addition_rows), count(world, open_rows)) == (0, 0)


def announce(world: World, person: Person, *, lead: str = "ld_never", at: int = NOON) -> None:
    """A capture whose process died before it wrote the lead."""
    subject = set_id((person.openid,))
    world.identity.register_sets({subject: (person.openid,)})
    open_leads.announce(world.records, [OpenLead(LeadId(lead), subject, at, ())])


@pytest.mark.parametrize("ending", ["a day", "an erasure"])
def test_a_lead_that_was_never_written_leaves_nothing(world: World, person: Person, ending: str) -> None:
    worker = world.process()
    announce(worker, person)
    lead, _ = world.process(Watching.BY_OTHERS).capture(person.body())
    worker.visit(person.openid, at=NOON - HOUR, name="seat_viewed")
    assert count(world, addition_rows) == 2
    with writing(world.records) as connection:
        if ending == "a day":
            open_leads.trim(connection, NOON + 1)
        else:
            open_leads.close(connection, [])
    assert told(worker, lead["id"]) == ([], ["seat_viewed"])
    assert count(world, addition_rows) == 1
    assert count(world, open_rows) == (0 if ending == "a day" else 1)
    worker.desk.catch_up()
    worker.visit(person.openid, at=NOON - MINUTE, name="video_played")
    assert set(told(worker, lead["id"])[1]) == {"seat_viewed", "video_played"}
    assert count(world, addition_rows) == 2


def test_a_worker_that_starts_while_a_lead_is_captured_watches_it(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_in_steps(world.process(Watching.BY_OTHERS), person.body(), monkeypatch) as capture:
        capture.step()
        capture.step()
        worker = world.process()
        worker.visit(person.openid, at=NOON - HOUR, name="seat_viewed")
        capture.step()
    [lead] = worker.desk.lookup("phone", person.phone)
    assert told(worker, lead["id"]) == ([], ["seat_viewed"])
    worker.visit(person.openid, at=NOON - MINUTE, name="video_played")
    assert set(told(worker, lead["id"])[1]) == {"seat_viewed", "video_played"}


def test_additions_by_others_end_after_a_day(world: World, person: Person) -> None:
    worker = world.process()
    lead, _ = world.process(Watching.BY_OTHERS).capture(person.body())
    worker.now += DAY
    worker.visit(person.openid, at=NOON - HOUR, name="in_time")
    worker.now += 1
    worker.visit(person.openid, at=NOON - HOUR, name="too_late")
    assert told(worker, lead["id"])[1] == ["in_time"]
    late = world.process()
    late.now = NOON + DAY + 1
    late.visit(person.openid, at=NOON - HOUR, name="too_late_for_all")
    assert told(worker, lead["id"])[1] == ["in_time"]


def test_leads_whose_person_did_not_change_since_are_followed_without_reading_that_person(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leads.open_leads.PAGE", 4)
    worker, capturing = world.process(), world.process(Watching.BY_OTHERS)
    leads = [capturing.capture(person.body(external_id=f"n{number}"))[0] for number in range(9)]
    asked: list[str] = []
    whole = worker.identity.whole
    monkeypatch.setattr(worker.identity, "whole", lambda each: (asked.append(each), whole(each))[1])
    worker.visit(Person(person.number + 30_000).cookie, at=NOON - HOUR)
    assert asked == []
    monkeypatch.undo()
    worker.visit(person.openid, at=NOON - HOUR, name="seat_viewed")
    assert {tuple(told(worker, lead["id"])[1]) for lead in leads} == {("seat_viewed",)}


def test_one_process_alone_announces_nothing(world: World, person: Person) -> None:
    world.capture(person.body())
    world.capture_event(world.event(person.cookie, at=NOON, name="lead_submitted", mobile=person.phone))
    assert count(world, lead_rows) == 2
    assert count(world, open_rows) == 0


def test_a_lead_of_nobody_is_announced_to_nobody(world: World, person: Person) -> None:
    worker = world.process()
    world.process().capture_event(world.event(at=NOON, name="lead_submitted", wechat=f"wx{person.number}"))
    worker.visit(at=NOON - MINUTE, name="something_of_anybody")
    assert (count(world, open_rows), count(world, addition_rows)) == (0, 0)


def test_leads_of_older_releases_are_open_too(world: World, person: Person) -> None:
    lead, _ = world.capture(person.body())
    with writing(world.records) as connection:
        row = connection.execute(select(lead_rows.c.trail).where(lead_rows.c.id == lead["id"])).scalar_one()
        kept = store.unpacked(row, list)
        connection.execute(lead_rows.update().values(trail=store.packed(kept[:3])))
        connection.execute(insert(open_rows), {"lead": "ld_x", "subject": 0, "frozen_at": NOON})
    worker = world.process()
    worker.visit(person.openid, at=NOON - HOUR, name="seat_viewed")
    assert told(worker, lead["id"])[1] == ["seat_viewed"]
