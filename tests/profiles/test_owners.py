"""The mirror of owners, on real stores: after whatever happened it says of every event what graph and sessions say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from cdp.errors import StoreUnavailable
from cdp.feeds import note_place, place_of
from cdp.model import EventId, Millis, PersonId, SetId
from cdp.records import metadata as records_metadata
from cdp.records import open_engine, writing
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph
from identity.graph_sql import metadata as graph_metadata
from identity.kinds import Policy
from identity.observation import STEWARD, STEWARDS, Observation, observation_id, pid, set_id
from profiles import owners
from profiles.events_clickhouse import ClickHouseEvents
from profiles.owners import Followed, Owners
from profiles.store import OwnerRow, StoredEvent
from profiles.whose import Whose
from tests.contracts.events_contract import emptied, make_stored
from tests.identity.makers import OTHER, SMALL, identifier, identifiers
from tests.profiles.test_whose import TABLET, Came, came, events, streams

NOBODY: OwnerRow = OwnerRow(SetId(0), 0, None)


@dataclass
class World:
    """Three stores of their own, or again after a restart: all but what `shared` gives is made anew."""

    graph: SqlGraph
    events: ClickHouseEvents
    records: Engine
    policy: Policy = SMALL
    stored: list[Came] = field(default_factory=list)
    touched: set[SetId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.identity = IdentityEngine(self.graph, self.policy, now=lambda: 0)
        self.whose = Whose(self.identity, self.events)
        self.owners = Owners(self.identity, self.events, self.whose, self.records)

    def restart(self, policy: Policy | None = None) -> None:
        self.policy = policy or self.policy
        self.__post_init__()
        self.identity.rebuild()

    # What may happen

    def take(self, *those: Came) -> None:
        said = [each.said for each in those]
        self.identity.absorb({e.set: e.identifiers for e in those}, [each for each in said if each is not None])
        first = len(self.stored)
        rows = [stored(first + n, each) for n, each in enumerate(those)]
        self.events.write(rows, token=f"{id(self)}-{first}")
        self.stored += those
        self.touched |= {each.set for each in those}

    def take_back(self, text: str) -> None:
        """All evidence that speaks of this identifier."""
        values = self.graph.values([pid(identifier(text))])
        found = self.graph.mentioning([each.number for each in values])
        self.identity.retract({each.id: "wrong" for each in found})
        met = [pid(value) for each in found for value in each.identifiers]
        self.touched |= self.graph.holding([each.number for each in self.graph.values(met)])

    def part(self, one: str, other: str) -> None:
        both = identifiers(one, other)
        said = Observation(observation_id(f"{one} {other}"), both, STEWARD, 0, STEWARDS, different=True)
        self.identity.observe([said])
        self.touched.add(set_id(both))

    def erase(self, text: str) -> None:
        person = self.identity.person_of(identifier(text))
        whole = self.whose.person(person) if person else None
        if whole is None:
            return
        self.identity.erase(whole.id, "asked for")
        self.events.erasing.delete_sets(list(whole.sets), windows=whole.windows)
        self.owners.follow(whole.sets, gone=whole.sets)

    # What is asked

    def follow(self) -> Followed:
        touched, self.touched = self.touched, set()
        return self.owners.follow(touched)

    def noted(self) -> int | None:
        """How far the mirror is, as whoever starts again finds it."""
        return place_of(self.records, f"{owners.FEED} {self.policy.name[:12]}")

    def said(self) -> dict[SetId, OwnerRow]:
        return {row.set: row for row in self.events.mirror.owners(list(self.graph.every_set()))}

    def person(self, text: str) -> PersonId | None:
        return self.identity.person_of(identifier(text))

    def sets(self, text: str) -> set[SetId]:
        """The sets that the mirror has of whoever owns this."""
        person = self.person(text)
        return self.events.mirror.owned_sets([person] if person else [])


def stored(number: int, each: Came) -> StoredEvent:
    return make_stored(
        number, set_=each.set, id=EventId(f"{number:032x}"), occurred_at=each.at, identifiers=each.identifiers
    )


def at_the_time(row: OwnerRow, at: Millis) -> PersonId | None:
    before = [person for start, person in zip(row.starts, row.persons, strict=True) if start <= at]
    return before[-1] if before else row.person


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseEvents]:
    store = ClickHouseEvents(f"chdb://{tmp_path_factory.mktemp('events')}")
    yield store
    store.close()


@contextmanager
def a_world(engine: ClickHouseEvents) -> Iterator[World]:
    databases = [open_engine("sqlite://"), open_engine("sqlite://")]
    graph_metadata.create_all(databases[0])
    records_metadata.create_all(databases[1])
    try:
        yield World(SqlGraph(databases[0]), emptied(engine), databases[1])
    finally:
        for each in databases:
            each.dispose()


@pytest.fixture
def world(engine: ClickHouseEvents) -> Iterator[World]:
    with a_world(engine) as opened:
        yield opened


ANYBODY = ["member:m0", "member:m1", "member:m2", "phone:p0", "phone:p1", "device:d0", "device:d1"]
anybody = st.sampled_from(ANYBODY)
Happened = Callable[[World], None]
happenings = st.one_of(
    st.lists(events, min_size=1, max_size=6).map(lambda those: lambda world: world.take(*those)),
    anybody.map(lambda text: lambda world: world.take_back(text)),
    st.tuples(anybody, anybody).filter(lambda both: both[0] != both[1]).map(lambda both: lambda w: w.part(*both)),
    anybody.map(lambda text: lambda world: world.erase(text)),
    st.sampled_from([SMALL, OTHER, SMALL]).map(lambda policy: lambda world: world.restart(policy)),
)
histories = st.lists(st.tuples(happenings, st.booleans()), max_size=6)
"""What happens, and whether the mirror follows before."""


@settings(deadline=None, max_examples=30, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(streams, histories)
def test_after_whatever_happened_the_mirror_says_of_every_event_what_the_graph_and_its_sessions_say(
    engine: ClickHouseEvents, stream: list[Came], history: list[tuple[Happened, bool]]
) -> None:
    with a_world(engine) as world:
        world.take(*stream)
        for happens, followed in history:
            if followed:
                world.follow()
            happens(world)
        mirrors_the_graph(world)


def mirrors_the_graph(world: World) -> None:
    before, followed, after = world.said(), world.follow(), world.said()
    moments = {(event["set"], event["occurred_at"]) for event in world.events.scan()}
    said = {moment: at_the_time(after.get(moment[0], NOBODY), moment[1]) for moment in moments}
    assert said == world.whose.persons_at(moments)
    assert world.owners.check() == []
    assert_told(followed, before, after)
    everybody = {person for row in after.values() for person in row.owners()}
    assert everybody <= set(world.identity.members_as_of(world.identity.version))
    for person in everybody:
        assert world.events.mirror.owned_sets([person]) == {e for e, row in after.items() if person in row.owners()}


def assert_told(followed: Followed, before: dict[SetId, OwnerRow], after: dict[SetId, OwnerRow]) -> None:
    if followed.filled:
        return
    moved = {each for each, row in after.items() if row[2:5] != before.get(each, NOBODY)[2:5]}
    assert followed.sets == moved
    turned = [(before.get(each, NOBODY), after[each]) for each in moved]
    assert followed.persons == {
        person
        for was, now in turned
        for person in was.owners() | now.owners()
        if share(was, person) != share(now, person)
    }


def share(row: OwnerRow, person: PersonId) -> set[tuple[Millis, Millis | None]]:
    """From when to when they are this person's: who keeps all of a set that somebody else loses need not be told."""
    return {(start, end) for start, end, whose in row.stretches() if whose == person}


def test_a_merge_moves_the_sets_of_both_and_names_whom_they_belonged_to(world: World) -> None:
    world.take(came("member:li", minute=0), came("phone:p", minute=1), came("member:wang", minute=2))
    world.follow()
    li, phone = world.person("member:li"), world.person("phone:p")
    world.take(came("member:li", "phone:p", minute=3, strength=4))
    followed = world.follow()
    assert followed.persons == {li, phone}
    assert len(world.sets("member:li")) == 3
    assert world.follow() == Followed.nothing()


def test_a_login_on_a_showrooms_tablet_moves_the_events_around_it(world: World) -> None:
    showroom(world)
    seen = came(TABLET, minute=5)
    world.take(seen, came(TABLET, minute=200))
    world.follow()
    assert world.sets(TABLET) == {seen.set}
    login = came("member:li", TABLET, minute=0, strength=4)
    world.take(login)
    followed = world.follow()
    assert followed.sets == {login.set, seen.set}
    assert world.sets("member:li") == {login.set, seen.set}
    row = world.said()[seen.set]
    assert [at_the_time(row, at.at) for at in world.stored[-3:-1]] == [world.person("member:li"), world.person(TABLET)]
    assert login.said is not None
    world.identity.retract({login.said.id: "it was somebody else"})
    assert world.owners.follow([login.set]).sets == {seen.set}
    assert world.sets("member:li") == {login.set}


def showroom(world: World) -> None:
    for n in range(5):
        world.take(came(f"member:guest{n}", TABLET, minute=n * 90, day=-9, strength=4))


def test_of_an_erased_person_the_mirror_holds_nothing_not_even_the_past(world: World) -> None:
    world.take(came("member:li", minute=0), came("phone:p", minute=1))
    world.follow()
    gone = {world.person("member:li"), world.person("phone:p")}
    world.take(came("member:li", "phone:p", minute=3, strength=4), came("member:wang", minute=0))
    world.follow()
    world.erase("phone:p")
    left = {row.person for row in world.said().values()}
    assert left == {None, world.person("member:wang")}
    listed = ", ".join(f"'{each}'" for each in gone)
    for table in ("owners", "owned"):
        assert world.events._query(f"SELECT count() FROM {table} WHERE person IN ({listed})") == [[0]]


def test_of_each_set_the_kinds_are_told_by_which_its_person_can_be_reached(world: World) -> None:
    world.take(came("member:null", "phone:p", "name:li", minute=0), came("member:null", minute=1))
    world.follow()
    both, blocked = (world.said()[each.set] for each in world.stored)
    assert both.kinds == ("name", "phone")
    assert (blocked.person, blocked.kinds) == (None, ())


def test_another_policy_derives_everything_anew_and_so_does_the_old_one_again(world: World) -> None:
    world.take(*(came(f"member:m{n}", "device:d", minute=n, strength=4) for n in range(4)), came("device:d", minute=2))
    assert world.follow().filled
    before = world.said()
    for policy in (OTHER, SMALL):
        world.restart(policy)
        assert world.follow().filled
        assert world.owners.check() == []
    assert {each: row[2:] for each, row in world.said().items()} == {each: row[2:] for each, row in before.items()}
    world.restart(SMALL)
    assert not world.follow().filled


def test_what_moved_while_nobody_followed_is_found_by_the_next_process(world: World) -> None:
    world.take(came("member:li", minute=0), came("phone:p", minute=1))
    world.follow()
    world.take(came("member:li", "phone:p", minute=3, strength=4))
    world.restart()
    followed = world.owners.follow([world.stored[-1].set])
    assert followed.sets >= {world.stored[1].set}
    assert world.owners.check() == []


def test_an_event_store_without_its_mirror_gets_it_again(world: World) -> None:
    world.take(came("member:li", minute=0), came("phone:p", minute=1))
    world.follow()
    emptied(world.events)
    world.restart()
    assert world.follow().filled
    assert len(world.said()) == 2


def test_a_fill_that_was_cut_off_begins_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "AT_ONCE", 10)
    world.take(*(came(f"member:m{n}", minute=n) for n in range(50)))
    cut_off_after(world, monkeypatch, writes=2)
    with pytest.raises(StoreUnavailable):
        world.follow()
    assert 0 < len(world.said()) < 50
    monkeypatch.undo()
    world.restart()
    assert world.follow().filled
    assert world.owners.check() == []


def test_a_follower_that_was_cut_off_goes_on_from_its_last_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.follow()
    world.take(*(came(f"member:m{n}", minute=n) for n in range(50)))
    monkeypatch.setattr(owners, "AT_ONCE", 10)
    cut_off_after(world, monkeypatch, writes=2)
    touched = set(world.touched)
    with pytest.raises(StoreUnavailable):
        world.follow()
    monkeypatch.undo()
    assert len(world.owners.follow(touched).sets) == 30
    assert world.owners.check() == []


def test_who_starts_again_before_the_next_announcement_derives_the_last_look_once_more(world: World) -> None:
    told: list[Followed] = []

    def follow(*sets: SetId) -> Followed:
        return world.owners.follow(sets, lambda _, news: told.append(news))

    world.take(came("member:li", minute=0), came("phone:p", minute=1))
    follow()
    noted = world.noted()
    world.take(came("member:li", "phone:p", minute=3, strength=4))
    moved = follow(world.stored[-1].set)
    assert [each.persons for each in told[1:]] == [moved.persons]
    assert world.noted() == noted
    world.restart()
    again = follow()
    assert again.rows.keys() >= moved.sets - {world.stored[-1].set}
    assert not again.persons
    assert world.noted() == world.graph.head().seq


def test_how_far_a_look_came_goes_with_the_next_announcement(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.follow()
    world.take(came("member:li", minute=0), came("phone:p", minute=1))
    world.owners.follow(set(world.touched), lambda *_: None)
    reached = world.graph.head().seq
    world.take(came("member:li", "phone:p", minute=3, strength=4))
    cut_off_after(world, monkeypatch, writes=0)
    with pytest.raises(StoreUnavailable):
        world.owners.follow(set(world.touched), lambda *_: None)
    assert world.noted() == reached


def cut_off_after(world: World, monkeypatch: pytest.MonkeyPatch, *, writes: int) -> None:
    own, left = world.events.mirror.own, iter(range(writes))

    def fails(rows: Collection[OwnerRow]) -> None:
        if next(left, None) is None:
            raise StoreUnavailable("event", "the power is gone")
        own(rows)

    monkeypatch.setattr(world.events.mirror, "own", fails)


def test_a_graph_that_begins_anew_is_followed_from_its_beginning(world: World) -> None:
    for n in range(5):
        world.take(came("member:li", minute=n), came(f"phone:p{n}", minute=n))
    world.follow()
    database = open_engine("sqlite://")
    graph_metadata.create_all(database)
    fresh = IdentityEngine(SqlGraph(database), SMALL, now=lambda: 0)
    fresh.register_sets({world.stored[0].set: world.stored[0].identifiers})
    again = Owners(fresh, world.events, Whose(fresh, world.events), world.records)
    assert again.follow().filled
    assert again.check() == []
    database.dispose()
    assert world.events.mirror.owned_sets([pid(identifier("phone:p0"))]) == set()


def test_a_slower_process_with_an_older_answer_loses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.take(came("member:li", minute=0), came("phone:p", minute=1))
    world.follow()
    slow = Owners(world.identity, world.events, world.whose, world.records)
    world.take(came("member:li", "phone:p", minute=3, strength=4))
    own = world.events.mirror.own

    def meanwhile(rows: Sequence[OwnerRow]) -> None:
        monkeypatch.undo()
        world.part("member:li", "phone:p")
        world.follow()
        own(rows)

    monkeypatch.setattr(world.events.mirror, "own", meanwhile)
    slow.follow(world.touched)
    assert world.person("member:li") != world.person("phone:p")
    assert world.owners.check() == []


def test_a_check_names_the_sets_of_which_the_mirror_is_wrong_and_a_rebuild_heals_them(world: World) -> None:
    world.take(came("member:li", minute=0), came("phone:p", minute=1))
    world.follow()
    wrong, right = (each.set for each in world.stored)
    row = world.said()[wrong]
    world.events.mirror.own([row._replace(version=row.version + 1, person=None)])
    world.events.mirror.own([OwnerRow(SetId(12), 1, row.person)])
    assert world.owners.check() == sorted([wrong, SetId(12)])
    world.owners.rebuild()
    assert world.owners.check() == []
    assert world.said()[right].person == world.person("phone:p")


def test_a_place_never_goes_back(world: World) -> None:
    with writing(world.records) as db:
        for seq in (7, 9, 8):
            note_place(db, "x", seq)
    assert place_of(world.records, "x") == 9
    assert place_of(world.records, "y") is None


def test_what_moves_is_announced_before_it_is_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.follow()
    world.take(came("member:li", minute=0), came("phone:p", minute=1))
    world.follow()
    both = {world.person("member:li"), world.person("phone:p")}
    world.take(came("member:li", "phone:p", minute=3, strength=4))
    announced: list[Followed] = []
    cut_off_after(world, monkeypatch, writes=0)
    with pytest.raises(StoreUnavailable):
        world.owners.follow(set(world.touched), lambda _, news: announced.append(news))
    assert [each.persons for each in announced] == [both]
