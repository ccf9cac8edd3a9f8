"""Whatever happens around a capture, each event of the person before it is in the trail or added, exactly once."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.model import Identifier
from tests.leads.conftest import DAY, MINUTE, NOON, Person, World, fresh_person


@dataclass(frozen=True)
class Visit:
    """An event with one or two of the three identifiers, so many minutes before noon; perhaps its batch crashes
    before the lead steps and is done again, in a new process."""

    who: tuple[int, ...]
    ago: int
    crashes: bool


VISITS = st.builds(
    Visit,
    who=st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True).map(tuple),
    ago=st.integers(-5, 5),
    crashes=st.booleans(),
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

    trail = world.desk.lead(lead["id"])["trail"]
    told = [event["id"] for event in trail["events"]] + [each["event"]["id"] for each in trail["additions"]]
    assert len(told) == len(set(told))
    sets = world.identity.sets_of(world.identity.person_of(person.openid) or "")
    did = world.events.events_between(sets, after=NOON - DAY, until=NOON)
    # The person of the trail may have done something after noon before the lead was captured: that is frozen too.
    assert {event["id"] for event in did} == set(told) - {
        event["id"] for event in trail["events"] if event["occurred_at"] > "2025-10-09T08:53:20.000Z"
    }
