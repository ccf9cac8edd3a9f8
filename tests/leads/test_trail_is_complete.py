"""Whatever happens around a capture, each event of the person before it is in the trail or added, exactly once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.model import Identifier
from leads.watching import Watching
from profiles.store import EventStore
from tests.leads.conftest import DAY, MINUTE, NOON, Person, World, fresh_person


@dataclass(frozen=True)
class Visit:
    """An event with one or two of the three identifiers, so many minutes before noon, at one of two workers; perhaps
    its batch crashes before the lead steps and is done again, in a new process."""

    who: tuple[int, ...]
    ago: int
    crashes: bool
    worker: int


VISITS = st.builds(
    Visit,
    who=st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True).map(tuple),
    ago=st.integers(-5, 5),
    crashes=st.booleans(),
    worker=st.integers(0, 1),
)
BEFORE, AFTER = st.lists(VISITS, max_size=4), st.lists(VISITS, max_size=5)


def identifiers_of(person: Person) -> list[Identifier]:
    return [person.openid, person.cookie, person.member]


def happens(world: World, person: Person, visit: Visit) -> None:
    known = identifiers_of(person)
    event = world.event(*(known[number] for number in visit.who), at=NOON - visit.ago * MINUTE)
    batch = world.store(event)
    if visit.crashes:
        world.restart()
        # Evidence that was taken in before changes nothing the second time.
        batch = (batch[0], frozenset())
    world.add(*batch)


@given(before=BEFORE, after=AFTER)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_trail_and_additions_are_all_that_the_person_did_before(
    world: World, before: list[Visit], after: list[Visit]
) -> None:
    world.now = NOON
    person = fresh_person()
    for visit in before:
        happens(world, person, visit)
    lead, _ = world.capture(person.body())
    world.now += MINUTE
    for visit in after:
        happens(world, person, visit)

    holds_all_once(world, person, lead["id"])


@given(before=BEFORE, between=BEFORE, after=AFTER)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_so_with_several_processes_and_a_capture_that_takes_its_time(
    world: World, before: list[Visit], between: list[Visit], after: list[Visit]
) -> None:
    world.now = NOON
    person = fresh_person()
    workers = [world.process(), world.process()]
    for visit in before:
        happens(workers[visit.worker], person, visit)

    def happens_in_between() -> None:
        for visit in between:
            happens(workers[visit.worker], person, visit)

    slow = replace(world, events=AfterReading(world.events, happens_in_between), watching=Watching.BY_OTHERS)
    lead, _ = slow.capture(person.body())
    for each in workers:
        each.now += MINUTE
    for visit in after:
        happens(workers[visit.worker], person, visit)
    for each in workers:
        each.desk.catch_up()
    holds_all_once(world, person, lead["id"])


class AfterReading:
    """An event store where something happens after a trail was read, and before its lead is written."""

    def __init__(self, events: EventStore, then: Callable[[], None]) -> None:
        self._events, self._then = events, then

    def trail(self, *args: Any, **options: Any) -> list[dict[str, Any]]:
        events = self._events.trail(*args, **options)
        self._then()
        return events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)


def holds_all_once(world: World, person: Person, lead: str) -> None:
    trail = world.desk.lead(lead)["trail"]
    told = [event["id"] for event in trail["events"]] + [each["event"]["id"] for each in trail["additions"]]
    assert len(told) == len(set(told))
    sets = world.identity.sets_of(world.identity.person_of(person.openid) or "")
    did = world.events.events_between(sets, after=NOON - DAY, until=NOON)
    # The person of the trail may have done something after noon before the lead was captured: that is frozen too.
    assert {event["id"] for event in did} == set(told) - {
        event["id"] for event in trail["events"] if event["occurred_at"] > "2025-10-09T08:53:20.000Z"
    }
