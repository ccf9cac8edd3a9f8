"""A quarter of an hour of random faults, one every ten seconds, under load: `make soak`."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.real.load import under_load
from tests.real.servers import ClickHouse, Kafka, Neo4j, Postgres, Server
from tests.real.slow_proxy import SlowProxy
from tests.real.topology import Process, Topology
from tests.servers.test_faults import assert_all_is_well, slow, topology

__all__ = ["slow", "topology"]

SOAK_S = float(os.environ.get("SOAK_S", "900"))
EVERY_S = 10.0
SLEEPS_S = 9.0
"""Longer than a lease and a consumer's session."""
LONG_AWAY_S = 60.0


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + 900)
def test_nothing_is_lost_over_a_quarter_of_an_hour_of_faults(
    topology: Topology,
    slow: SlowProxy,
    kafka: Kafka,
    neo4j: Neo4j,
    postgres: Postgres,
    clickhouse: ClickHouse,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chance = random.Random(20261126)
    servers: dict[str, Server] = {"kafka": kafka, "neo4j": neo4j, "postgres": postgres, "clickhouse": clickhouse}

    def kill_a_process() -> str:
        process = chance.choice(list(topology.processes.values()))
        topology.kill(process.role, int(process.name[-1]))
        return f"kill {process.role}"

    def let_a_process_sleep() -> str:
        process: Process = chance.choice([each for each in topology.processes.values() if each.alive()])
        number = int(process.name[-1])
        topology.pause(process.role, number)
        time.sleep(SLEEPS_S)
        topology.resume(process.role, number)
        return f"sleep {process.role}"

    def kill_a_server() -> str:
        name = chance.choice(list(servers))
        servers[name].kill()
        time.sleep(chance.choice((0, 2, 5)))
        servers[name].start()
        return f"kill {name}"

    def slow_a_store() -> str:
        slow.delay_s = chance.choice((0.05, 0.3))
        time.sleep(5)
        slow.cut = chance.random() < 0.5
        time.sleep(2)
        slow.delay_s, slow.cut = 0.0, False
        return "slow event store"

    faults: list[Callable[[], str]] = [kill_a_process, kill_a_process, let_a_process_sleep, kill_a_server, slow_a_store]
    done = Counter[str]()
    began = time.monotonic()
    with under_load(topology, topology.collectors()) as load:
        for name in servers:
            # Each is away for a minute once, where there is time for it.
            if SOAK_S >= 8 * LONG_AWAY_S:
                servers[name].kill()
                time.sleep(LONG_AWAY_S)
                servers[name].start()
                done[f"{name} away for a minute"] += 1
        while time.monotonic() - began < SOAK_S:
            due = time.monotonic() + EVERY_S
            done[chance.choice(faults)()] += 1
            time.sleep(max(0.0, due - time.monotonic()))
    assert_all_is_well(topology)
    load.assert_kept(at_least=500)
    with capsys.disabled():
        told = ", ".join(f"{what} {times}" for what, times in sorted(done.items()))
        print(f"\n{len(load.answered):,} events answered, {len(load.buyer.leads):,} leads, 0 lost, 0 twice")
        print(f"faults: {told}")
