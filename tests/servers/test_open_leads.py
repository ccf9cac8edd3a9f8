"""Leads captured and added to by several processes at once, on PostgreSQL: each with its own connections, one engine of
identity for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import select

from cdp.records import open_engine, reading
from cdp.vault import Vault
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph
from identity.kinds import BUILT_IN
from identity.remote import RemoteIdentity
from leads.open_leads import open_rows
from leads.watching import Watching
from profiles.events_clickhouse import ClickHouseEvents
from profiles.store import EventStore
from tests.identity.test_remote import Wire
from tests.leads.conftest import DAY, HOUR, MINUTE, NOON, SECRET, Person, World, fresh_person
from tests.leads.test_open_leads import ORDERS, Batch, capture_in_steps, late_visit, told
from tests.servers.databases import Databases

PERSONS = 25
VISITS = ("seat_viewed", "video_played", "price_viewed")

Join = Callable[[Watching], World]


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    with closing(ClickHouseEvents(f"chdb://{tmp_path_factory.mktemp('events')}")) as store:
        yield store


@pytest.fixture
def join(databases: Databases, events: EventStore) -> Iterator[Join]:
    """Another process that joins."""
    records_url, graph_url = databases.new("records"), databases.new("graph")
    leader = SqlGraph(open_engine(graph_url))
    wire = Wire(IdentityEngine(leader, BUILT_IN))
    joined: list[World] = []

    def start(watching: Watching) -> World:
        records, graph = open_engine(records_url), open_engine(graph_url)
        identity = RemoteIdentity(SqlGraph(graph), BUILT_IN, wire)
        joined.append(World(records, graph, events, identity, Vault(records, SECRET), watching=watching))
        return joined[-1]

    yield start
    leader.close()
    for each in joined:
        each.records.dispose()
        each.graph.dispose()


@pytest.mark.parametrize("of_capture", ORDERS)
def test_a_late_event_is_on_the_trail_or_added_whatever_is_done_first(
    join: Join, monkeypatch: pytest.MonkeyPatch, of_capture: tuple[int, ...]
) -> None:
    capturing, worker, person = join(Watching.BY_OTHERS), join(Watching.AMONG_OTHERS), fresh_person()
    batch = Batch(worker, late_visit(person))
    with capture_in_steps(capturing, person.body(), monkeypatch) as capture:
        for number in range(6):
            capture.step() if number in of_capture else next(batch.steps)()
    [lead] = worker.desk.lookup("phone", person.phone)
    trail, added = told(worker, lead["id"])
    assert [*trail, *added] == ["seat_viewed"]


def test_nothing_is_missed_or_told_twice_while_all_work_at_once(join: Join) -> None:
    persons = [fresh_person() for _ in range(PERSONS)]
    first = join(Watching.AMONG_OTHERS)
    for person in persons:
        first.visit(person.cookie, at=NOON - DAY, name="site_visited")
    workers = [first, join(Watching.AMONG_OTHERS)]
    capturing = [join(Watching.BY_OTHERS), join(Watching.BY_OTHERS)]

    def visits(world: World, name: str) -> None:
        for person in persons:
            world.visit(person.openid, at=NOON - HOUR, name=name)

    def logins(world: World) -> None:
        for person in persons:
            world.visit(person.openid, person.cookie, at=NOON + MINUTE, name="logged_in")

    def works(world: World, mine: tuple[str, ...]) -> None:
        visits(world, mine[0])
        logins(world)
        for name in mine[1:]:
            visits(world, name)

    def captures(world: World) -> list[tuple[str, bool]]:
        return [(lead["id"], created) for lead, created in (world.capture(person.body()) for person in persons)]

    with ThreadPoolExecutor() as pool:
        both = [pool.submit(works, workers[0], VISITS[:2]), pool.submit(works, workers[1], VISITS[2:])]
        captured = [pool.submit(captures, each) for each in capturing]
        for done in both:
            done.result()
        leads = [each.result() for each in captured]
    for each in workers:
        each.desk.catch_up()

    assert [lead for lead, _ in leads[0]] == [lead for lead, _ in leads[1]]
    assert [one + other for (_, one), (_, other) in zip(*leads, strict=True)] == [True] * PERSONS
    for lead, _ in leads[0]:
        trail, added = told(first, lead)
        known = [each for each in (*trail, *added) if each != "logged_in"]
        assert sorted(known) == sorted((*VISITS, "site_visited"))


def test_announcements_become_visible_in_the_order_of_their_numbers(join: Join) -> None:
    announcing, looking = [join(Watching.BY_OTHERS) for _ in range(4)], join(Watching.AMONG_OTHERS)
    people = [[fresh_person() for _ in range(10)] for _ in announcing]
    seen: list[int] = []
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(captures_all, each, mine) for each, mine in zip(announcing, people, strict=True)]
        while not all(each.done() for each in running):
            with reading(looking.records) as connection:
                fresh = connection.execute(select(open_rows.c.n).where(open_rows.c.n > max(seen, default=0)))
                seen += sorted(fresh.scalars())
        for each in running:
            each.result()
    with reading(looking.records) as connection:
        every = connection.execute(select(open_rows.c.n).order_by(open_rows.c.n)).scalars().all()
    assert seen == list(every)[: len(seen)]
    assert len(every) == 40


def captures_all(world: World, persons: list[Person]) -> None:
    for person in persons:
        world.capture(person.body())
