"""The worlds that segments are tried on: whose what is, and that they can be asked about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cdp.model import Event, EventId, EventType, PersonId, SetId
from profiles.store import StoredEvent
from segments.language import parse
from segments.tree import Absent, Entity, Fn, Rolling
from segments.written import as_json
from tests.segments.clocks import ZONES, jumps
from tests.segments.histories import Case, World, cases

LI, WANG = PersonId("li"), PersonId("wang")
CHANGED_HANDS, SOMEBODYS, NOBODYS = SetId(1), SetId(2), SetId(3)


def make_row(at: int, set_: SetId) -> StoredEvent:
    kind = EventType.TRACK
    event = Event(
        id=EventId(f"e{at}"),
        client_id="",
        type=kind,
        name="viewed",
        original_name="",
        occurred_at=at,
        received_at=at,
        source="site",
        dialect="",
        hit="",
    )
    return StoredEvent(event, set_)


def make_world(*rows: StoredEvent, leads: tuple[dict[str, object], ...] = ()) -> World:
    owned = {CHANGED_HANDS: [(None, LI), (10, WANG), (20, None)], SOMEBODYS: [(None, WANG)], NOBODYS: [(None, None)]}
    return World(30, rows, owned, {}, leads)


def test_an_event_is_whose_its_set_was_when_it_happened() -> None:
    rows = [make_row(at, CHANGED_HANDS) for at in (9, 10, 19, 20)] + [make_row(5, SOMEBODYS), make_row(6, NOBODYS)]
    known = make_world(*rows).histories(Entity.PERSON)
    assert {unit: [each.at for each in history.events] for unit, history in known.items()} == {
        LI: [9],
        WANG: [10, 19, 5],
    }


def test_a_lead_is_its_persons_with_all_that_the_person_did() -> None:
    leads = tuple({"id": f"at {at}", "subject": CHANGED_HANDS, "created_at": at} for at in (9, 10, 20))
    world = make_world(make_row(5, SOMEBODYS), leads=leads)
    assert {unit: len(history.leads) for unit, history in world.histories(Entity.PERSON).items()} == {LI: 1, WANG: 1}
    known = world.histories(Entity.LEAD)
    assert {unit: len(history.events) for unit, history in known.items()} == {"at 9": 0, "at 10": 1, "at 20": 0}


def test_clocks_change_twice_a_year_in_some_places() -> None:
    changes = [len(jumps(each)) for each in ZONES]
    assert changes == [0, 2, 2, 2, 2, 3], "Samoa left out a day besides"


@given(st.sampled_from([None, Fn.NTH, Absent, Rolling]).flatmap(lambda about: cases(definitions=3, about=about)))
def test_the_language_takes_every_segment_that_is_drawn(case: Case) -> None:
    for each in (*case.definitions, *case.segments.values()):
        assert parse(as_json(each), tz="Asia/Shanghai") == each
