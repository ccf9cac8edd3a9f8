"""The leader of identity is killed while hits flow: how long until its standby leads, and until evidence is kept again.

    python -m bench.real_standby [--rounds 5] [--rate 300]

After the last round traffic stops; what was answered with 200 must be accounted for, each event stored once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

from bench.journey import Steady
from bench.product import create_source
from bench.real_stack import Stack, servers, stack
from cdp.stores import open_graph
from identity.graph import Graph

REACH_S = 10.0
LONGEST_S = 60.0
WARM_S = 30.0
"""Before the first kill: a graph server that was just started takes seconds for its first transactions."""
QUIET_S = 3.0
"""Between two rounds, for everything to run as usual again."""
ROLES = (("identity", 1), ("identity", 2), ("worker", 1), ("worker", 2), ("api", 1), ("collector", 1))
LEADER = """SELECT coalesce(max(token), 0) FROM leases
 WHERE name = 'identity' AND expires_at > EXTRACT(EPOCH FROM clock_timestamp()) * 1000"""


def take_over(on: Stack, graph: Graph) -> tuple[float, float]:
    """Seconds from the kill until the standby holds the lease, and until the first batch with evidence is committed."""
    leader = on.topology.holder("identity")
    assert leader is not None, "nobody leads"
    token = on.query(LEADER)
    on.topology.kill("identity", int(leader.name.rpartition("-")[2]))
    killed = time.monotonic()
    _until(lambda: on.query(LEADER) > token)
    leads_s = time.monotonic() - killed
    commits = graph.head().seq
    _until(lambda: graph.head().seq > commits)
    processed = on.processed()
    _until(lambda: on.processed() > processed)
    return leads_s, time.monotonic() - killed


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {LONGEST_S} s")
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=300, help="hits a second, 5 %% of them with new evidence")
    asked = parser.parse_args()
    with servers() as running, stack(running) as on:
        on.topology.start("identity", 1)
        create_source(on.settings)
        for role, number in ROLES[1:]:
            on.topology.start(role, number)
        graph = open_graph(on.settings)
        steady = Steady(on.topology.collector_port, asked.rate)
        steady.start()
        time.sleep(WARM_S)
        found = []
        for number in range(asked.rounds):
            time.sleep(QUIET_S)
            _until(lambda: all(process.status("/readyz") == 200 for process in on.topology.of("identity")))
            found.append(take_over(on, graph))
            print(
                f"round {number + 1}: leads after {found[-1][0]:.2f} s, keeps evidence after {found[-1][1]:.2f} s",
                flush=True,
            )
        steady.stopping.set()
        steady.join()
        graph.close()
        account = on.topology.settled()
    events = [row["events"] for row in account["rows"]]
    stored, again = (sum(each[name] for each in events) for name in ("stored", "duplicate"))
    leads, keeps = zip(*found, strict=True)
    print(
        f"standby leads after {median(leads):.1f} s ({min(leads):.1f}-{max(leads):.1f}), the next evidence is kept "
        f"after {median(keeps):.1f} s ({min(keeps):.1f}-{max(keeps):.1f}), reach {REACH_S:.0f} s\n"
        f"{steady.sent:,} hits sent, {steady.accepted:,} answered with 200, {stored:,} events stored, "
        f"{again:,} duplicates, accounting balanced {account['balanced']}"
    )


if __name__ == "__main__":
    main()
