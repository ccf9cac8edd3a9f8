"""The graph in Neo4j: its contract, the engine on it, and that it holds what the graph in SQL holds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import initialize, run_state_machine_as_test
from neo4j import GraphDatabase

from cdp.errors import ConfigurationError, GraphConflict
from cdp.records import open_engine
from identity.engine import IdentityEngine
from identity.graph import Commit, Graph
from identity.graph_neo4j import Neo4jGraph
from identity.graph_neo4j_schema import NODES, rules
from identity.graph_sql import SqlGraph, metadata
from identity.observation import Observation, pid
from identity.resolve import resolve
from tests.contracts.graph_contract import GraphContract, OpenGraph, first_commit
from tests.identity.makers import SMALL, identifier, make_observation
from tests.identity.test_engine_property import Asked, WhoIsWho, assert_equal_to_the_resolver
from tests.real.servers import Neo4j
from tests.servers.conftest import empty

VALUES = [f"{kind}:{n}" for kind in ("member", "phone", "device", "openid", "name") for n in range(10)]


class TestNeo4jGraph(GraphContract):
    @pytest.fixture
    def open_graph(self, empty_neo4j: Neo4j) -> Iterator[OpenGraph]:
        opened: list[Neo4jGraph] = []

        def open_it() -> Graph:
            opened.append(Neo4jGraph(empty_neo4j.url))
            return opened[-1]

        yield open_it
        for graph in opened:
            graph.close()


@pytest.fixture
def graph(empty_neo4j: Neo4j) -> Iterator[Neo4jGraph]:
    with closing(Neo4jGraph(empty_neo4j.url)) as graph:
        yield graph


def rows(server: Neo4j, cypher: str, **parameters: Any) -> list[list[Any]]:
    with GraphDatabase.driver(server.url) as driver, driver.session() as session:
        return session.run(cypher, parameters).values()


def a_stream(seed: int, length: int) -> list[Observation]:
    chance = random.Random(seed)
    return [
        make_observation(
            *chance.sample(VALUES, chance.choice([2, 2, 3])),
            strength=chance.choice([1, 2, 4, 5]),
            day=chance.randrange(9),
            different=chance.random() < 0.1,
        )
        for _ in range(length)
    ]


def batches(stream: Sequence[Observation], size: int = 7) -> list[Sequence[Observation]]:
    return [stream[start : start + size] for start in range(0, len(stream), size)]


# What it is


def test_a_url_with_routing_and_a_database_leads_to_the_same_graph(neo4j: Neo4j, graph: Neo4jGraph) -> None:
    graph.commit(first_commit())
    with closing(Neo4jGraph(neo4j.url.replace("bolt://", "neo4j://") + "/neo4j")) as other:
        assert other.every_value() == first_commit().born


def test_a_database_that_is_not_there_is_named(neo4j: Neo4j) -> None:
    with pytest.raises(ConfigurationError, match="database 'other', which that server does not have"):
        Neo4jGraph(f"{neo4j.url}/other")


def test_every_declared_rule_is_in_force(neo4j: Neo4j, graph: Neo4jGraph) -> None:
    found = rows(neo4j, "SHOW INDEXES YIELD name, state WHERE name STARTS WITH 'xunji' RETURN name, state")
    assert sorted(found) == sorted([name, "ONLINE"] for name, _ in rules())


def test_nodes_have_no_other_properties_than_declared(neo4j: Neo4j, graph: Neo4jGraph) -> None:
    engine = IdentityEngine(graph, SMALL, now=lambda: 0)
    for batch in batches(a_stream(seed=1, length=60)):
        engine.observe(batch)
    for kind in NODES:
        ((names,),) = rows(neo4j, f"MATCH (n:{kind.label}) UNWIND keys(n) AS key RETURN collect(DISTINCT key)")
        assert set(names) <= set(kind.properties)
    assert rows(neo4j, "MATCH (n) RETURN DISTINCT labels(n)[0] AS label ORDER BY label") == [
        [label] for label in sorted(kind.label for kind in NODES)
    ]


def test_a_commit_that_names_a_node_that_is_not_there_is_no_silent_loss(graph: Neo4jGraph) -> None:
    lost = first_commit()
    lost.born.pop()
    with pytest.raises(ValueError, match="nodes that are not there"):
        graph.commit(lost)
    assert graph.every_value() == []


# Who is who


class WhoIsWhoInNeo4j(WhoIsWho):
    server: ClassVar[Neo4j]

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.teardown()
        empty(self.server)
        graph = Neo4jGraph(self.server.url)
        self.context = closing(graph)  # type: ignore[assignment]
        self.engine = IdentityEngine(graph, SMALL, now=lambda: 0)


@pytest.mark.timeout(540)
def test_whatever_comes_and_is_taken_back_the_engine_says_what_the_resolver_says(neo4j: Neo4j) -> None:
    WhoIsWhoInNeo4j.server = neo4j
    run_state_machine_as_test(
        WhoIsWhoInNeo4j,
        settings=settings(
            deadline=None,
            max_examples=6,
            stateful_step_count=8,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_stores_hold_the_same_after_the_same_stream(graph: Neo4jGraph, seed: int) -> None:
    sql = open_engine("sqlite://")
    metadata.create_all(sql)
    engines = [IdentityEngine(each, SMALL, now=lambda: 0) for each in (graph, SqlGraph(sql))]
    stream = a_stream(seed, length=120)
    for n, batch in enumerate(batches(stream)):
        changes = [engine.observe(batch) for engine in engines]
        if n % 4 == 3:
            changes += [engine.retract({batch[0].id: "mistaken"}) for engine in engines]
        if n == 8:
            changes += [engine.block({identifier("phone:3"): "a steward said so"}) for engine in engines]
        assert changes[::2] == changes[1::2]
    ours, theirs = (held(engine) for engine in engines)
    assert ours["refusals"]
    assert ours == theirs
    sql.dispose()


def held(engine: IdentityEngine) -> dict[str, object]:
    """All that a store says, in one order."""
    graph = engine.graph
    values = graph.every_value()
    persons = {each.person for each in values if each.person is not None}
    return {
        "values": values,
        "pairs": graph.every_pair(),
        "refusals": graph.every_refusal(),
        "observations": sorted(graph.every_observation(), key=lambda each: each.id),
        "retracted": graph.notes("site"),
        "persons": [graph.members_as_of(seq) for seq in range(engine.version + 1)],
        "wholes": [graph.whole(each.pid) for each in values],
        "owners": [graph.value(each.pid) for each in values],
        "links": {person: sorted(graph.links(person)) for person in persons},
        "turns": graph.turns_since(0, 10_000),
        "histories": [graph.history([each.number]) for each in values],
        "sets": graph.holding([each.number for each in values]),
    }


# Two writers


def test_of_two_writers_one_is_refused_and_nothing_is_lost(empty_neo4j: Neo4j) -> None:
    stream = a_stream(seed=4, length=120)
    refused = []

    def write(mine: Sequence[Sequence[Observation]]) -> None:
        with closing(Neo4jGraph(empty_neo4j.url)) as graph:
            engine = IdentityEngine(graph, SMALL, now=lambda: 0)
            for batch in mine:
                while True:
                    try:
                        engine.observe(batch)
                        break
                    except GraphConflict as conflict:
                        refused.append(conflict)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, batches(stream, 4)[n::2]) for n in range(2)]:
            done.result(100)
    assert refused
    with closing(Neo4jGraph(empty_neo4j.url)) as graph:
        assert_equal_to_the_resolver(IdentityEngine(graph, SMALL, now=lambda: 0), Asked(stream))


def test_a_writer_that_comes_while_another_commits_waits_and_is_refused(neo4j: Neo4j, graph: Neo4jGraph) -> None:
    graph.commit(first_commit())
    with ThreadPoolExecutor(1) as pool, GraphDatabase.driver(neo4j.url) as driver, driver.session() as session:
        other = session.begin_transaction()
        other.run("CREATE (:Version {seq: 2, at: 0})").consume()
        late = pool.submit(graph.commit, Commit(seq=2, at=0))
        waiting = "SHOW TRANSACTIONS YIELD status WHERE status STARTS WITH 'Blocked' RETURN status"
        while not rows(neo4j, waiting):
            assert not late.done()
        other.commit()
        with pytest.raises(GraphConflict):
            late.result(30)


def test_a_person_is_found_by_any_of_its_identifiers(graph: Neo4jGraph) -> None:
    engine = IdentityEngine(graph, SMALL, now=lambda: 0)
    stream = [make_observation("member:m", "phone:p", strength=5), make_observation("phone:p", "device:d", strength=4)]
    engine.observe(stream)
    persons = {engine.current(pid(value)) for each in stream for value in each.identifiers}
    assert persons == set(engine.members_as_of(engine.version))
    assert len(resolve(stream, SMALL).persons) == len(persons) == 1
