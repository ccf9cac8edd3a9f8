"""PostgreSQL is killed while it is written to: nothing that was answered is lost, and work goes on by itself."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from sqlalchemy import Engine, select

from cdp.accounting import counter_rows
from cdp.errors import StoreUnavailable
from cdp.hot import HotQuery, hot_reading
from cdp.records import add_to_counters, open_engine, reading, writing
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph
from identity.observation import Observation, pid
from identity.resolve import resolve
from tests.identity.makers import SMALL, make_observation
from tests.real.servers import Postgres, Server
from tests.servers.databases import Databases

KILLS = 5
LONGEST_LIFE_S = 0.5
BATCH = 10
VALUES = [f"{kind}:{kind}-{n}" for kind in ("member", "phone", "device") for n in range(40)]
ROW = {"hour": 0, "source": "shop", "what": "found", "n": 1}
COUNTED = HotQuery(select(counter_rows.c.n))


@pytest.fixture
def graph(databases: Databases) -> Iterator[SqlGraph]:
    opened = SqlGraph(open_engine(databases.new("graph")))
    yield opened
    opened.close()


@pytest.fixture
def records(databases: Databases) -> Iterator[Engine]:
    opened = open_engine(databases.new("records"))
    yield opened
    opened.dispose()


def batches(seed: int) -> Iterator[list[Observation]]:
    """Without end; few values, so that persons meet and part."""
    chance = random.Random(seed)
    for day in count():
        yield [
            make_observation(*chance.sample(VALUES, 2), strength=chance.randint(1, 3), day=day) for _ in range(BATCH)
        ]


class Absorber(threading.Thread):
    """Takes batches in, each as often as it takes until the graph has answered for it."""

    def __init__(self, engine: IdentityEngine) -> None:
        super().__init__(daemon=True)
        self._engine = engine
        self.ended = threading.Event()
        self.answered: list[Observation] = []
        self.refused = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for batch in batches(seed=1):
                if self.ended.is_set():
                    return
                self._absorb(batch)
        except BaseException as failure:
            self.failure = failure

    def _absorb(self, batch: list[Observation]) -> None:
        while True:
            try:
                self._engine.observe(batch)
            except StoreUnavailable:
                self.refused += 1
                time.sleep(0.02)
            else:
                self.answered += batch
                return


def kill_again_and_again(server: Server, absorber: Absorber, *, kills: int, lives_s: tuple[float, float]) -> None:
    """Kill a server in mid-stream, and start it again once the engine has met it dead and then has gone on."""
    for kill in range(1, kills + 1):
        time.sleep(random.uniform(*lives_s))
        server.kill()
        while absorber.refused < kill and absorber.is_alive():
            time.sleep(0.01)
        server.start()
        answered = len(absorber.answered)
        while len(absorber.answered) == answered and absorber.is_alive():
            time.sleep(0.01)
    absorber.ended.set()
    absorber.join(60)


def persons(engine: IdentityEngine) -> set[frozenset[object]]:
    return {frozenset(members) for members in engine.members_as_of(engine.version).values()}


def test_the_graph_equals_the_resolver_after_the_server_was_killed_again_and_again(
    postgres: Postgres, graph: SqlGraph
) -> None:
    random.seed(20261122)
    engine = IdentityEngine(graph, SMALL, now=lambda: 0)
    absorber = Absorber(engine)
    absorber.start()
    kill_again_and_again(postgres, absorber, kills=KILLS, lives_s=(0.05, LONGEST_LIFE_S))
    assert absorber.failure is None
    expected = resolve(absorber.answered, SMALL).persons
    assert len(expected) > 1
    assert persons(engine) == expected
    assert persons(IdentityEngine(graph, SMALL, now=lambda: 0)) == expected, "and so does the next process"


def test_a_batch_that_met_a_dead_server_counts_once_when_it_comes_again(postgres: Postgres, graph: SqlGraph) -> None:
    engine = IdentityEngine(graph, SMALL, now=lambda: 0)
    met, later = make_observation("member:m", "phone:p"), make_observation("phone:p", "device:d")
    engine.observe([met])
    postgres.kill()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            engine.observe([later])
    with pytest.raises(StoreUnavailable):
        engine.whole(pid(met.identifiers[0]))
    postgres.start()
    engine.observe([later])
    assert engine.observe([later]).changes == ()
    assert persons(engine) == resolve([met, later], SMALL).persons
    assert len(persons(engine)) == 1


def test_a_restart_that_fell_between_two_looks_is_not_noticed(postgres: Postgres, records: Engine) -> None:
    with writing(records) as connection, hot_reading(records):
        add_to_counters(connection, counter_rows, [ROW])
    postgres.stop()
    postgres.start()
    with hot_reading(records) as hot, reading(records) as connection:
        assert COUNTED.rows(hot) == connection.execute(select(counter_rows.c.n)).all() == [(1,)]


def test_a_process_that_falls_asleep_while_it_writes_keeps_nobody_waiting_for_long(
    records: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdp.records.ASLEEP_MS", 300)
    asleep, awake = threading.Event(), threading.Event()

    def write() -> None:
        with writing(records) as connection:
            add_to_counters(connection, counter_rows, [ROW])
            asleep.set()
            awake.wait(60)
            add_to_counters(connection, counter_rows, [ROW])

    with ThreadPoolExecutor(1) as pool:
        sleeper = pool.submit(write)
        assert asleep.wait(60)
        with writing(records) as connection:
            add_to_counters(connection, counter_rows, [ROW | {"n": 7}])
        awake.set()
        with pytest.raises(StoreUnavailable, match="records store"):
            sleeper.result(60)
    with hot_reading(records) as hot:
        assert COUNTED.rows(hot) == [(7,)]


def test_a_look_that_the_server_dies_in_is_retryable(postgres: Postgres, records: Engine) -> None:
    def look() -> None:
        with hot_reading(records) as hot:
            postgres.kill()
            COUNTED.rows(hot)

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="records store"):
            look()
    postgres.start()
    with hot_reading(records) as hot:
        assert COUNTED.rows(hot) == []


def test_a_transaction_that_the_server_dies_in_is_retryable_and_leaves_nothing(
    postgres: Postgres, records: Engine
) -> None:
    def write() -> None:
        with writing(records) as connection:
            add_to_counters(connection, counter_rows, [ROW])
            postgres.kill()

    with pytest.raises(StoreUnavailable, match="records store"):
        write()
    with pytest.raises(StoreUnavailable), reading(records):
        pytest.fail("there is no server")
    postgres.start()
    with reading(records) as connection:
        assert connection.execute(select(counter_rows)).all() == []
