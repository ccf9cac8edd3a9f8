"""Whose events are, over random streams on shared devices: everything is somebody's once, and all questions agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.model import DAY_MS, NO_WINDOWS, Identifier, Millis, PersonId, SetId, Window, Windows
from cdp.records import open_engine
from identity.attribution import SESSION_MS, goes_round, speaker
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph, metadata
from identity.observation import Observation, assertion, set_id, strongest
from identity.ownership import anchor_of
from identity.resolve import State, contradiction, usable_of
from profiles.store import EventStore
from profiles.whose import Turn, Whose
from tests.identity.makers import SMALL, identifiers

MINUTE = 60_000
DAYS = 20_000
"""The first day of these tests, counted from 1970."""


def at(minute: int, day: int = 0) -> Millis:
    return (DAYS + day) * DAY_MS + 600 * MINUTE + minute * MINUTE


class Came(NamedTuple):
    """An event: who came with it, when, and how strongly that proves something."""

    identifiers: tuple[Identifier, ...]
    at: Millis
    strength: int

    @property
    def set(self) -> SetId:
        return set_id(self.identifiers)

    @property
    def said(self) -> Observation | None:
        return assertion(SMALL, "site", self.identifiers, self.strength, self.at // DAY_MS)


def came(*texts: str, minute: int, day: int = 0, strength: int = 1) -> Came:
    return Came(tuple(strongest(identifiers(*texts), SMALL)), at(minute, day), strength)


@dataclass
class Shelf:
    """An event store of nothing but moments; `read` counts the rows that it gave."""

    events: list[Came] = field(default_factory=list)
    read: int = 0
    asked: int = 0

    def moments(self, sets: Collection[SetId], within: Sequence[Window]) -> list[tuple[Millis, SetId]]:
        found = sorted({(each.at, each.set) for each in self.events if each.set in sets and inside(within, each.at)})
        self.read += len(found)
        self.asked += 1
        return found

    def trail(self, sets: Collection[SetId], windows: Windows = NO_WINDOWS) -> list[Came]:
        return [e for e in self.events if e.set in sets and (e.set not in windows or inside(windows[e.set], e.at))]


def inside(windows: Sequence[Window], at: Millis) -> bool:
    return any((start is None or start <= at) and (end is None or at < end) for start, end in windows)


@dataclass
class World:
    identity: IdentityEngine
    shelf: Shelf
    whose: Whose

    def take(self, *events: Came) -> None:
        said = [each.said for each in events]
        self.identity.absorb({e.set: e.identifiers for e in events}, [each for each in said if each is not None])
        self.shelf.events += events

    def trail(self, person: PersonId | None) -> list[Came]:
        who = self.whose.person(person) if person else None
        return self.shelf.trail(who.sets, who.windows) if who else []

    def person(self, text: str) -> PersonId | None:
        return self.identity.person_of(identifiers(text)[0])

    def persons(self) -> list[PersonId]:
        return list(self.identity.members_as_of(self.identity.version))


@contextmanager
def a_world() -> Iterator[World]:
    engine = open_engine("sqlite://")
    metadata.create_all(engine)
    graph = SqlGraph(engine)
    shelf = Shelf()
    identity = IdentityEngine(graph, SMALL, now=lambda: 0)
    try:
        yield World(identity, shelf, Whose(identity, cast(EventStore, shelf)))
    finally:
        graph.close()


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as opened:
        yield opened


def brute_force(world: World, event: Came) -> PersonId | None:
    """Whose it is, by looking at everything that ever happened."""
    members = world.identity.members_of_sets([event.set])[event.set]
    found = speaker(members, SMALL)
    if found is None or not goes_round(found, SMALL):
        return world.identity.person_of_set(event.set, event.at)
    proofs = [(each.at, anchor) for each in world.shelf.events if (anchor := proof(world, each, found.identifier))]
    before = [each for each in proofs if 0 <= event.at - each[0] <= SESSION_MS]
    after = [each for each in proofs if 0 < each[0] - event.at <= SESSION_MS]
    anchor = max(before)[1] if before else min(after)[1] if after else None
    return world.identity.person_of(anchor) if anchor else found.person


def proof(world: World, event: Came, device: Identifier) -> Identifier | None:
    """Whose proof of this device an event is."""
    members = world.identity.members_of_sets([event.set])[event.set]
    found = speaker(members, SMALL)
    if found is None or found.state is not State.LINK or not SMALL.anchors(found.identifier.kind):
        return None
    blocked = {each.identifier for each in members if each.state is State.BLOCKED}
    wanted = {each for each in event.identifiers if SMALL.anchors(each.kind)} - blocked
    for other in world.shelf.events:
        said = other.said
        if said is None or said.strength < SMALL.owner_strength or said.occurred_at // DAY_MS != event.at // DAY_MS:
            continue
        met = usable_of(said, blocked, SMALL)
        about = device in met and set(met) <= set(event.identifiers) and wanted <= set(met)
        if about and contradiction(said, met, SMALL) is None:
            return anchor_of(met, SMALL)
    return None


VALUES = [
    *(f"member:m{n}" for n in range(5)),
    *(f"phone:p{n}" for n in range(3)),
    *(f"device:d{n}" for n in range(2)),
    "name:n",
]
events = st.builds(
    lambda texts, minute, day, strength, beside: came(*texts, minute=minute, day=day, strength=strength)._replace(
        at=at(minute, day) + beside
    ),
    st.one_of(
        st.sampled_from([("device:d0",), ("device:d1",), ("device:d0", "name:n"), ("device:d0", "device:d1")]),
        st.tuples(st.sampled_from(VALUES[:5]), st.sampled_from(["device:d0", "device:d1"])),
        st.sets(st.sampled_from(VALUES), min_size=1, max_size=4).map(tuple),
    ),
    st.integers(0, 12).map(lambda n: n * 15),
    st.integers(0, 2),
    st.sampled_from([1, 4, 4, 5]),
    st.sampled_from([-1, 0, 0, 1]),
)
streams = st.lists(events, min_size=8, max_size=40)
some = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@some
@given(streams)
def test_every_event_is_in_one_trail_and_that_is_whose_it_is_by_brute_force(stream: list[Came]) -> None:
    with a_world() as world:
        world.take(*stream)
        trails = {person: world.trail(person) for person in world.persons()}
        owners = [(each, person) for person, trail in trails.items() for each in trail]
        expected = [(each, person) for each in stream if (person := brute_force(world, each))]
        assert Counter(owners) == Counter(expected)
        moments = {(each.set, each.at): brute_force(world, each) for each in stream}
        assert world.whose.persons_at(list(moments)) == moments
        over = world.whose.over_time({each.set for each in stream})
        assert {moment: at_the_time(over[moment[0]], moment[1]) for moment in moments} == moments
        assert all(one[0][1] == other[0][0] for turns in over.values() for one, other in pairwise(turns)), "no gaps"
        assert all(one[1] != other[1] for turns in over.values() for one, other in pairwise(turns))


def at_the_time(turns: Sequence[Turn], at: Millis) -> PersonId | None:
    [person] = [turn.person for turn in turns if inside([turn.window], at)]
    return person


@some
@given(streams, events)
def test_a_late_event_moves_only_what_lies_within_half_an_hour_of_it_on_its_devices(
    stream: list[Came], late: Came
) -> None:
    with a_world() as world:
        # Everything is known of who is who; only when it happened comes late.
        world.take(*stream, late)
        del world.shelf.events[-1]
        before = {each: world.whose.person_at(each.set, each.at) for each in stream}
        world.take(late)
        for each in stream:
            if world.whose.person_at(each.set, each.at) != before[each]:
                assert abs(each.at - late.at) <= SESSION_MS
                assert set(each.identifiers) & set(late.identifiers)


TABLET = "device:tablet"


def a_showroom(world: World) -> None:
    """A tablet that more people have used than one device can have."""
    for n in range(5):
        world.take(came(f"member:guest{n}", TABLET, minute=n * 90, day=-9, strength=4))
    found = world.identity.standing_of(identifiers(TABLET)[0])
    assert found is not None
    assert found.state is State.HUB


def test_what_happens_on_a_showrooms_tablet_is_whoevers_signed_in_last(world: World) -> None:
    a_showroom(world)
    li = came("member:li", TABLET, minute=0, strength=4)
    wang = came("member:wang", TABLET, minute=20, strength=4)
    early, hers, his, late = (came(TABLET, minute=n) for n in (-10, 10, 30, 110))
    world.take(early, li, hers, wang, his, late)
    assert world.trail(world.person("member:li")) == [early, li, hers]
    assert world.trail(world.person("member:wang")) == [wang, his]
    assert world.trail(world.person(TABLET)) == [late], "an hour later it is the tablet's own"


def test_what_came_before_a_login_is_still_of_whoever_had_the_tablet_then(world: World) -> None:
    a_showroom(world)
    wang, li = (came(f"member:{name}", TABLET, minute=n, strength=4) for name, n in (("wang", -50), ("li", 0)))
    his, hers = came(TABLET, minute=-25), came(TABLET, minute=-15)
    world.take(wang, his, hers, li)
    assert world.trail(world.person("member:wang")) == [wang, his]
    assert world.trail(world.person("member:li")) == [hers, li]


def test_a_login_that_comes_late_moves_the_events_of_its_half_hours_and_no_others(world: World) -> None:
    a_showroom(world)
    alone = [came(TABLET, minute=n) for n in (-31, -30, -1, 0, 29, 30, 31)]
    world.take(*alone)
    assert world.trail(world.person(TABLET)) == alone
    login = came("member:li", TABLET, minute=0, strength=4)
    world.take(login)
    assert world.trail(world.person("member:li")) == [*alone[1:-1], login]
    assert world.trail(world.person(TABLET)) == [alone[0], alone[-1]]


def test_taking_a_login_back_gives_its_session_back_to_the_tablet(world: World) -> None:
    a_showroom(world)
    login, seen = came("member:li", TABLET, minute=0, strength=4), came(TABLET, minute=5)
    world.take(login, seen)
    assert world.whose.person_at(seen.set, seen.at) == world.person("member:li")
    assert login.said is not None
    world.identity.retract({login.said.id: "somebody else typed her number"})
    assert world.whose.person_at(seen.set, seen.at) == world.person(TABLET)


def test_being_seen_with_a_tablet_is_no_proof(world: World) -> None:
    a_showroom(world)
    seen = came(TABLET, minute=5)
    world.take(came("member:li", TABLET, minute=0, strength=2), seen)
    assert world.trail(world.person(TABLET)) == [seen]


def test_a_login_of_another_day_proves_nothing_today(world: World) -> None:
    a_showroom(world)
    seen = came(TABLET, minute=5)
    world.take(
        came("member:li", TABLET, minute=0, day=-1, strength=4), came("member:li", TABLET, minute=0, strength=1), seen
    )
    assert world.trail(world.person(TABLET)) == [seen]


def test_a_merge_brings_the_sessions_of_both(world: World) -> None:
    a_showroom(world)
    seen = [came(TABLET, minute=n) for n in (5, 65)]
    world.take(
        came("member:li", TABLET, minute=0, strength=4),
        came("member:wang", TABLET, minute=60, strength=4),
        *seen,
        came("member:li", "phone:p", minute=200, strength=4),
    )
    assert seen[0] in world.trail(world.person("phone:p"))
    assert seen[1] in world.trail(world.person("member:wang"))


def counting(world: World, ask: Callable[[], object]) -> tuple[int, int]:
    world.shelf.asked = world.shelf.read = 0
    ask()
    return world.shelf.asked, world.shelf.read


def test_a_person_without_shared_devices_costs_the_event_store_no_question(world: World) -> None:
    world.take(came("member:li", "phone:p", minute=0, strength=4), came("phone:p", minute=5))
    person = world.person("member:li")
    assert person is not None
    assert counting(world, lambda: world.whose.person(person)) == (0, 0)
    assert counting(world, lambda: world.whose.person_at(set_id(identifiers("phone:p")), at(5))) == (0, 0)
    a_showroom(world)
    world.take(came("member:li", TABLET, minute=0, day=1), came("phone:p", TABLET, minute=0, day=1))
    assert counting(world, lambda: world.whose.person_at(set_id(identifiers("phone:p")), at(5))) == (0, 0)


def test_of_a_busy_tablet_no_more_is_read_than_what_lies_around_ones_own_proofs(world: World) -> None:
    for n in range(300):
        world.take(
            came(f"member:guest{n}", TABLET, minute=n % 60 * 20, day=n // 60, strength=4),
            came(TABLET, minute=n % 60 * 20 + 5, day=n // 60),
        )
    person = world.person("member:guest77")
    assert person is not None
    asked, read = counting(world, lambda: world.whose.person(person))
    assert (asked, read < 15) == (2, True)
    assert len(world.trail(person)) == 2
    asked, read = counting(world, lambda: world.whose.person_at(set_id(identifiers(TABLET)), at(5)))
    assert (asked, read < 10) == (1, True)


def test_of_sets_without_shared_devices_the_graph_alone_is_asked_over_time(world: World) -> None:
    world.take(came("member:li", "phone:p", minute=0, strength=4), came("phone:p", minute=5))
    both = [set_id(identifiers("phone:p")), set_id(identifiers("phone:p", "member:li"))]
    assert counting(world, lambda: world.whose.over_time(both)) == (0, 0)
    assert world.whose.devices_of(world.identity.members_of_sets(both)) == set()
    unknown = SetId(7)
    assert world.whose.over_time([unknown]) == {unknown: [Turn((None, None), None)]}


def test_a_login_on_a_showrooms_tablet_is_about_the_tablet_too(world: World) -> None:
    a_showroom(world)
    login, other = came("member:li", TABLET, minute=0, strength=4), came("member:li", "device:hers", minute=5)
    world.take(login, other)
    assert world.whose.devices_of(world.identity.members_of_sets([login.set, other.set])) == {world.person(TABLET)}
