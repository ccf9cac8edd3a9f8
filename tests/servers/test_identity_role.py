"""Two processes with the role identity on real servers: one leads; when it is gone, or only asleep, the other does."""

from __future__ import annotations

import base64
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from cdp.errors import LeaseLost, Retryable
from cdp.lease import LOST, Lease
from cdp.records import open_engine
from identity.calls import key_of
from identity.graph import Graph
from identity.graph_neo4j import Neo4jGraph
from identity.graph_sql import SqlGraph
from identity.leader import Leader
from identity.policy_file import dump_policy
from identity.remote import RemoteIdentity
from tests.contracts.graph_contract import at_the_end_of, first_commit, merging_commit
from tests.identity.makers import SMALL
from tests.identity.test_engine_property import Asked, assert_equal_to_the_resolver
from tests.real.product import free_port, until
from tests.servers.databases import Databases
from tests.servers.test_postgres_crash import Absorber

SECRET = bytes(range(32))
WAIT_S = 120.0
KILLS = 3
HOUR_S = 3_600
LOOKS, LOOK_S = 30, 0.3
"""Of a time in which a lease would have run out."""

OpenGraph = Callable[[], Graph]


class Process:
    def __init__(self, folder: Path, records: str, graph: str, *, off_s: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "policy.toml").write_text(dump_policy(SMALL))
        self.folder, self.port, self.off_s = folder, free_port(), off_s
        self.env = os.environ | {
            "XUNJI_DATA_DIR": str(folder),
            "XUNJI_RECORDS_URL": records,
            "XUNJI_GRAPH_URL": graph,
            "XUNJI_HEALTH_PORT": str(self.port),
            "XUNJI_POLICY": str(folder / "policy.toml"),
            "XUNJI_SECRET": base64.b64encode(SECRET).decode(),
        }
        self.start()

    def start(self) -> None:
        with (self.folder / "output.log").open("ab") as output:
            command = [sys.executable, "-m", "tests.servers.identity_process", str(self.off_s)]
            self.process = subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def status(self) -> str:
        """What it says of itself; '' where it says nothing or is not ready."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2, trust_env=False)
        except httpx.HTTPError:
            return ""
        return str(answer.json()["status"]) if answer.status_code == 200 else ""

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def output(self) -> str:
        return (self.folder / "output.log").read_text(errors="replace")[-4_000:]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(WAIT_S)


class Cluster:
    """Processes with one graph, and what else works with them."""

    def __init__(self, folder: Path, records: str, graph: str, open_graph: OpenGraph) -> None:
        self._folder, self._records, self._graph, self._open_graph = folder, records, graph, open_graph
        self.processes: list[Process] = []
        self.stack = ExitStack()

    def join(self, *, off_s: int = 0) -> Process:
        folder = self._folder / str(len(self.processes))
        process = Process(folder, self._records, self._graph, off_s=off_s)
        self.stack.callback(process.end)
        self.processes.append(process)
        return process

    def client(self) -> RemoteIdentity:
        records = open_engine(self._records)
        self.stack.callback(records.dispose)
        leader = Leader(Lease(records, "identity").address, key_of(SECRET))
        self.stack.callback(leader.close)
        return RemoteIdentity(self.stack.enter_context(closing(self._open_graph())), SMALL, leader)

    def leader(self) -> Process:
        """The one that leads, as soon as one does."""
        until(lambda: bool(self._leading()), WAIT_S, self.output)
        return self._leading()[0]

    def _leading(self) -> list[Process]:
        return [each for each in self.processes if each.status() == "leading"]

    def other(self, process: Process) -> Process:
        return next(each for each in self.processes if each is not process)

    def output(self) -> str:
        return "\n\n".join(each.output() for each in self.processes)


@pytest.fixture(params=["postgres", "neo4j"])
def stores(request: pytest.FixtureRequest, databases: Databases) -> tuple[str, OpenGraph]:
    """The graph's URL, and how to open it."""
    if request.param == "neo4j":
        url = request.getfixturevalue("empty_neo4j").url
        return url, lambda: Neo4jGraph(url)
    url = databases.new("graph")
    return url, lambda: SqlGraph(open_engine(url))


@pytest.fixture
def cluster(tmp_path: Path, databases: Databases, stores: tuple[str, OpenGraph]) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, databases.new("records"), *stores)
    with cluster.stack:
        yield cluster


@pytest.fixture
def pair(cluster: Cluster) -> Cluster:
    """One that leads, one that stands by."""
    cluster.join()
    cluster.join()
    stands_by(cluster.other(cluster.leader()), cluster)
    return cluster


@pytest.fixture
def absorber(pair: Cluster) -> Iterator[Absorber]:
    """Takes evidence in meanwhile."""
    absorber = Absorber(pair.client())
    absorber.start()
    yield absorber
    absorber.ended.set()
    absorber.join(WAIT_S)


def stands_by(process: Process, cluster: Cluster) -> None:
    until(lambda: process.status() == "standby", WAIT_S, cluster.output)


def goes_on(absorber: Absorber, cluster: Cluster) -> None:
    answered = len(absorber.answered)
    until(lambda: len(absorber.answered) > answered or not absorber.is_alive(), WAIT_S, cluster.output)
    assert absorber.failure is None


def assert_whole(absorber: Absorber, cluster: Cluster) -> None:
    """What was answered is in the graph, with the conclusions that a batch would draw, and no others."""
    absorber.ended.set()
    absorber.join(WAIT_S)
    assert absorber.failure is None
    client = cluster.client()
    assert {each.id for each in client.graph.every_observation()} == {each.id for each in absorber.answered}
    assert_equal_to_the_resolver(client, Asked(absorber.answered))
    assert not client.rebuild(check=True)


@pytest.mark.timeout(300)
def test_whenever_the_leader_is_killed_the_other_goes_on_and_nothing_is_lost(pair: Cluster, absorber: Absorber) -> None:
    random.seed(20261126)
    for _ in range(KILLS):
        leader = pair.leader()
        stands_by(pair.other(leader), pair)
        goes_on(absorber, pair)
        time.sleep(random.uniform(0.0, 0.5))
        leader.signal(signal.SIGKILL)
        leader.process.wait(WAIT_S)
        killed = time.monotonic()
        until(lambda leader=leader: pair.other(leader).status() == "leading", WAIT_S, pair.output)
        goes_on(absorber, pair)
        print(f"another leads and has answered {time.monotonic() - killed:.1f} s after a kill")
        leader.start()
    assert_whole(absorber, pair)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_leader_that_wakes_up_after_another_took_over_writes_nothing_and_ends(
    pair: Cluster, absorber: Absorber
) -> None:
    for _ in range(2):
        goes_on(absorber, pair)
        leader = pair.leader()
        leader.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        until(lambda leader=leader: pair.other(leader).status() == "leading", WAIT_S, pair.output)
        goes_on(absorber, pair)
        print(f"another leads and has answered {time.monotonic() - stopped:.1f} s after a stop")
        leader.signal(signal.SIGCONT)
        assert leader.process.wait(WAIT_S) == LOST
        leader.start()
        stands_by(leader, pair)
    assert_whole(absorber, pair)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_leader_that_is_told_to_end_hands_over(pair: Cluster, absorber: Absorber) -> None:
    goes_on(absorber, pair)
    leader = pair.leader()
    leader.signal(signal.SIGTERM)
    ended = time.monotonic()
    assert leader.process.wait(WAIT_S) == 0
    until(lambda: pair.other(leader).status() == "leading", WAIT_S, pair.output)
    print(f"another leads {time.monotonic() - ended:.1f} s after SIGTERM")
    goes_on(absorber, pair)
    assert_whole(absorber, pair)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_clocks_that_are_an_hour_off_let_nobody_lead_too_early_or_too_late(cluster: Cluster) -> None:
    cluster.join(off_s=-HOUR_S)
    slow = cluster.leader()
    fast = cluster.join(off_s=HOUR_S)
    stands_by(fast, cluster)
    absorber = Absorber(cluster.client())
    absorber.start()
    for _ in range(LOOKS):
        assert (slow.status(), fast.status()) == ("leading", "standby")
        time.sleep(LOOK_S)
    slow.signal(signal.SIGKILL)
    slow.process.wait(WAIT_S)
    slow.start()
    until(lambda: fast.status() == "leading" or slow.status() == "leading", WAIT_S, cluster.output)
    goes_on(absorber, cluster)
    assert_whole(absorber, cluster)


def test_what_a_stopped_writer_has_begun_is_cut_off(
    stores: tuple[str, OpenGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, open_graph = stores
    asleep, awake = threading.Event(), threading.Event()
    with closing(open_graph()) as old, closing(open_graph()) as new, ThreadPoolExecutor(1) as pool:
        old.commit(first_commit())
        old.fence(1)
        fall_asleep_before_committing(old, asleep, awake, monkeypatch)
        begun = at_the_end_of(old, merging_commit())
        late = pool.submit(old.commit, begun)
        assert asleep.wait(WAIT_S)
        new.fence(2)
        new.commit(at_the_end_of(new, merging_commit()))
        awake.set()
        with pytest.raises(Retryable):
            late.result(WAIT_S)
        with pytest.raises(LeaseLost):
            old.commit(at_the_end_of(old, begun))
        assert len(new.turns_since(0, 10)) == 1


def fall_asleep_before_committing(
    graph: Graph, asleep: threading.Event, awake: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: with everything written, in an open transaction."""
    module = "identity.graph_neo4j" if isinstance(graph, Neo4jGraph) else "identity.graph_sql"
    write = sys.modules[module].write  # type: ignore[attr-defined]

    def slowly(*arguments: object) -> None:
        write(*arguments)
        if not asleep.is_set():
            asleep.set()
            awake.wait(WAIT_S)

    monkeypatch.setattr(f"{module}.write", slowly)
