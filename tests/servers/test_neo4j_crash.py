"""Neo4j and its writer are killed in mid-stream: what was answered stays, and work goes on as if nothing had been."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from cdp.errors import StoreUnavailable
from identity.engine import IdentityEngine
from identity.graph_neo4j import Neo4jGraph
from identity.observation import pid
from tests.identity.makers import SMALL, make_observation
from tests.identity.test_engine_property import Asked, assert_equal_to_the_resolver
from tests.real.servers import Neo4j
from tests.servers.neo4j_writer import stream
from tests.servers.test_postgres_crash import Absorber, kill_again_and_again

SERVER_KILLS, LONGEST_LIFE_S = 3, 1.5
WRITER_KILLS, BATCHES, LONGEST_WRITE_S = 6, 150, 0.6


@pytest.fixture
def graph(empty_neo4j: Neo4j) -> Iterator[Neo4jGraph]:
    with closing(Neo4jGraph(empty_neo4j.url)) as graph:
        yield graph


@pytest.mark.timeout(540)
def test_the_graph_equals_the_resolver_after_neo4j_was_killed_again_and_again(neo4j: Neo4j, graph: Neo4jGraph) -> None:
    random.seed(20261122)
    engine = IdentityEngine(graph, SMALL, now=lambda: 0)
    absorber = Absorber(engine)
    absorber.start()
    kill_again_and_again(neo4j, absorber, kills=SERVER_KILLS, lives_s=(0.2, LONGEST_LIFE_S))
    assert absorber.failure is None
    assert_equal_to_the_resolver(engine, Asked(absorber.answered))
    assert_equal_to_the_resolver(IdentityEngine(graph, SMALL, now=lambda: 0), Asked(absorber.answered))


@pytest.mark.timeout(300)
def test_a_batch_that_met_a_dead_server_counts_once_when_it_comes_again(neo4j: Neo4j, graph: Neo4jGraph) -> None:
    engine = IdentityEngine(graph, SMALL, now=lambda: 0)
    met, later = make_observation("member:m", "phone:p"), make_observation("phone:p", "device:d")
    engine.observe([met])
    neo4j.kill()
    with pytest.raises(StoreUnavailable):
        engine.observe([later])
    with pytest.raises(StoreUnavailable):
        engine.whole(pid(met.identifiers[0]))
    neo4j.start()
    engine.observe([later])
    assert engine.observe([later]).changes == ()
    assert_equal_to_the_resolver(engine, Asked([met, later]))


@pytest.mark.timeout(300)
def test_a_restart_that_fell_between_two_looks_and_two_writes_is_not_noticed(neo4j: Neo4j, graph: Neo4jGraph) -> None:
    engine = IdentityEngine(graph, SMALL, now=lambda: 0)
    met = make_observation("member:m", "phone:p")
    engine.observe([met])
    neo4j.kill()
    neo4j.start()
    assert engine.whole(pid(met.identifiers[0])) is not None
    neo4j.kill()
    neo4j.start()
    engine.observe([make_observation("phone:p", "device:d")])
    assert engine.version == 2


@pytest.mark.timeout(540)
def test_a_writer_that_is_killed_between_any_two_writes_leaves_whole_batches(empty_neo4j: Neo4j) -> None:
    random.seed(20261122)
    left = 0
    for _ in range(WRITER_KILLS):
        answered = write_and_kill(empty_neo4j, after_s=random.uniform(0.0, LONGEST_WRITE_S))
        left = assert_a_prefix(empty_neo4j)
        assert left >= answered
    assert 0 < left < BATCHES
    write_and_kill(empty_neo4j, after_s=None)
    assert assert_a_prefix(empty_neo4j) == BATCHES


def write_and_kill(server: Neo4j, *, after_s: float | None) -> int:
    """Let a process write until so long after its first new batch, or to the end; how many it was answered for."""
    command = [sys.executable, "-m", "tests.servers.neo4j_writer", server.url, str(BATCHES)]
    already = assert_a_prefix(server)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        if after_s is None:
            assert writer.wait(200) == 0
        else:
            while int(writer.stdout.readline()) <= already:
                pass
            time.sleep(after_s)
            writer.send_signal(signal.SIGKILL)
        told = writer.stdout.read().split()
    return int(told[-1]) if told else already + 1


def assert_a_prefix(server: Neo4j) -> int:
    """How many batches the graph holds, each whole and none without those before it; what follows is from these."""
    with closing(Neo4jGraph(server.url)) as graph:
        stored = {each.id for each in graph.every_observation()}
        held = []
        for n, batch in enumerate(stream(BATCHES)):
            ids = {each.id for each in batch}
            if not ids <= stored:
                assert stored <= {each.id for each in held}, f"batch {n} is stored in part"
                break
            held += batch
        assert stored == {each.id for each in held}
        assert_equal_to_the_resolver(IdentityEngine(graph, SMALL, now=lambda: 0), Asked(held))
        return len(held) // len(next(stream(1)))
