"""Whatever dies, stands still or is slow, under load on real servers: nothing is lost and nothing twice, the account
balances, leads have what their buyers did, and who is who is what the evidence alone says."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from cdp.kafka_url import parse_kafka_url
from cdp.log_kafka import KafkaLogReader
from cdp.records import open_engine
from tests.real.load import under_load
from tests.real.product import until
from tests.real.servers import ClickHouse, Kafka, Neo4j, Postgres
from tests.real.slow_proxy import SlowProxy, slow_proxy
from tests.real.topology import Topology
from tests.servers.conftest import empty, reachable_folder

pytestmark = pytest.mark.timeout(300)
WRONG_CLOCK = Path(__file__).parents[1] / "real" / "wrong_clock"
LEASE_GONE_S = 9.0
"""Longer than a lease and than the session of a consumer last."""


@pytest.fixture(scope="module")
def slow(clickhouse: ClickHouse) -> Iterator[SlowProxy]:
    with slow_proxy(clickhouse.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def topology(
    kafka: Kafka, neo4j: Neo4j, postgres: Postgres, clickhouse: ClickHouse, slow: SlowProxy
) -> Iterator[Topology]:
    empty(neo4j)
    with reachable_folder() as folder:
        name = f"xunji_{folder.name[-8:].lower()}"
        events = f"clickhouse://127.0.0.1:{slow.port}/{name}"
        with Topology(folder, kafka, neo4j, postgres, clickhouse, name=name, XUNJI_EVENTS_URL=events) as started:
            yield started


def assert_all_is_well(topology: Topology) -> None:
    """The account balances with nothing pending, and deriving everything anew from the evidence changes nothing."""
    until(topology.ready, 90, topology.output)
    assert topology.settled(120)["balanced"]
    command = [sys.executable, "-m", "cdp", "identity", "rebuild", "--check"]
    checked = subprocess.run(command, env=topology.command_env, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


SOAK = pytest.mark.soak


@pytest.mark.parametrize(
    "role", ["worker", "identity", *(pytest.param(role, marks=SOAK) for role in ("collector", "api", "scheduler"))]
)
def test_a_role_may_be_killed(topology: Topology, role: str) -> None:
    with under_load(topology, topology.collectors()) as load:
        for _ in range(2):
            holder = topology.holder(role) if role in ("identity", "scheduler") else None
            topology.kill(role, int(holder.name[-1]) if holder else 1)
            time.sleep(4)
    assert_all_is_well(topology)
    load.assert_kept()


@pytest.mark.parametrize("role", ["worker", *(pytest.param(role, marks=SOAK) for role in ("identity", "scheduler"))])
def test_a_role_that_stood_still_does_no_harm_when_it_goes_on(topology: Topology, role: str) -> None:
    with under_load(topology, topology.collectors()) as load:
        holder = topology.holder(role) or topology.process(role)
        number = int(holder.name[-1])
        topology.pause(role, number)
        time.sleep(LEASE_GONE_S)
        topology.resume(role, number)
        time.sleep(2)
    assert_all_is_well(topology)
    load.assert_kept()


@SOAK
def test_workers_may_come_and_go_while_batches_run(topology: Topology) -> None:
    with under_load(topology, topology.collectors(), pause_s=0.0) as load:
        for number in (2, 1, 2):
            assert topology.stop("worker", number) == 0
            time.sleep(1)
            topology.start("worker", number)
    assert_all_is_well(topology)
    load.assert_kept(at_least=500)


def test_the_brokers_may_die(topology: Topology, kafka: Kafka) -> None:
    with under_load(topology, topology.collectors()) as load:
        kafka.kill()
        time.sleep(5)
        kafka.start()
        time.sleep(2)
    assert_all_is_well(topology)
    load.assert_kept()


@SOAK
def test_neo4j_may_die(topology: Topology, neo4j: Neo4j) -> None:
    with under_load(topology, topology.collectors()) as load:
        neo4j.kill()
        neo4j.start()
    assert_all_is_well(topology)
    load.assert_kept()


def test_postgresql_may_die(topology: Topology, postgres: Postgres) -> None:
    with under_load(topology, topology.collectors()) as load:
        for _ in range(2):
            postgres.kill()
            time.sleep(2)
            postgres.start()
            time.sleep(3)
    assert_all_is_well(topology)
    load.assert_kept()


@SOAK
def test_the_event_store_may_die(topology: Topology, clickhouse: ClickHouse) -> None:
    with under_load(topology, topology.collectors()) as load:
        for _ in range(2):
            clickhouse.kill()
            time.sleep(2)
            clickhouse.start()
            time.sleep(2)
    assert_all_is_well(topology)
    load.assert_kept()


def test_a_store_may_be_slow_and_then_cut_off(topology: Topology, slow: SlowProxy) -> None:
    with under_load(topology, topology.collectors()) as load:
        slow.delay_s = 0.3
        time.sleep(5)
        slow.cut = True
        time.sleep(3)
        slow.delay_s, slow.cut = 0.0, False
    assert_all_is_well(topology)
    load.assert_kept()


def test_a_hit_that_the_log_brings_twice_counts_once(topology: Topology) -> None:
    with under_load(topology, topology.collectors()) as load:
        pass
    topology.settled(120)
    copies = copy_hits(topology)
    account = topology.settled(120)
    assert_all_is_well(topology)
    load.assert_kept(at_least=20)
    events = [row["events"] for row in account["rows"] if row["source"] == load.source]
    assert copies
    assert sum(row["duplicate"] for row in events) >= copies


def copy_hits(topology: Topology) -> int:
    """Append the newest hits of each partition once more, to the next one; how many there were."""
    url = parse_kafka_url(topology.env["XUNJI_LOG_URL"])
    engine = open_engine(topology.env["XUNJI_RECORDS_URL"])
    reader = KafkaLogReader(topology.env["XUNJI_LOG_URL"], engine)
    producer = Producer({"bootstrap.servers": url.brokers, "acks": "all"})
    ends = reader.ends()
    copied = 0
    for partition, end in ends.items():
        for record in reader.read(partition, max(reader.starts()[partition], end - 10), 10):
            producer.produce(url.topic("hits"), record.payload, partition=(partition + 1) % len(ends))
            copied += 1
    assert producer.flush(30) == 0
    reader.close()
    engine.dispose()
    return copied


@SOAK
def test_the_clock_of_a_machine_may_be_an_hour_off(topology: Topology) -> None:
    machines = {("worker", 1): 3_600, ("identity", 1): 3_600, ("scheduler", 1): -3_600, ("collector", 2): -3_600}
    for (role, number), seconds in machines.items():
        topology.process(role, number).env |= {"PYTHONPATH": str(WRONG_CLOCK), "WRONG_CLOCK_S": str(seconds)}
        topology.restart(role, number)
    with under_load(topology, topology.collectors()) as load:
        # Whoever leads, the one with the wrong clock must get and give up the lease as any other.
        for role in ("identity", "scheduler"):
            holder = topology.holder(role)
            assert holder is not None
            topology.kill(role, int(holder.name[-1]))
        time.sleep(LEASE_GONE_S)
    assert_all_is_well(topology)
    load.assert_kept()
    for role, number in machines:
        process = topology.process(role, number)
        process.env = {name: value for name, value in process.env.items() if name != "PYTHONPATH"}
        topology.restart(role, number)
