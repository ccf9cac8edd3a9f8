"""From Kafka to the trail on real servers: events a second, and what each process and server spends on an event.

    python -m bench.real_trail [--events 100000] [--runs 3] [--workers 1 2] [--profile]

Each run fills the topic while no worker runs, with one hit of each of 50,000 people and then the events of the
measurement, of which 5 % bring new evidence. The first ones warm the processes up and are not counted: a worker that
was just started looks up each visitor once. With `--profile` one more run says where the worker's time goes.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import httpx
import psutil
from neo4j import GraphDatabase

from bench.events import PEOPLE
from bench.journey import Steady
from bench.product import NEW_EVIDENCE, create_source, fill_log
from bench.real_stack import Stack, disk_bytes, servers, stack
from cdp.stores import open_events

REACH_PER_S = 4_000
LONGEST_S = 600.0
STEADY_PER_S, STEADY_S = (200, 2_000), 20.0
POLL_S = 0.1
EVENT_BYTES = """SELECT sum(rows), sum(bytes_on_disk) / sum(rows) FROM system.parts
 WHERE active AND table = 'events' AND database = currentDatabase()"""
COUNTED = {
    "commits of PostgreSQL": "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
    "WAL of PostgreSQL, bytes": "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')",
    "records in PostgreSQL, bytes": "SELECT pg_database_size(current_database())",
    "seen ids of them, bytes": "SELECT pg_total_relation_size('seen_even') + pg_total_relation_size('seen_odd')",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """How far the workers are, and what everything has used until then."""

    at: float
    events: int
    cpu_s: Mapping[str, float]
    counted: Mapping[str, float]
    disk: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Drained:
    """What lies between two moments."""

    began: Moment
    ended: Moment
    hit_bytes: float
    """Of a hit in the log on disk."""

    @property
    def events(self) -> int:
        return self.ended.events - self.began.events

    @property
    def per_s(self) -> float:
        return self.events / (self.ended.at - self.began.at)

    def cpu_us(self, name: str) -> float:
        """Of all processes whose names begin so, an event."""
        spent = sum(cpu - self.began.cpu_s.get(each, 0) for each, cpu in self.ended.cpu_s.items() if _is(each, name))
        return spent / self.events * 1e6

    def counted(self, name: str) -> float:
        return (self.ended.counted[name] - self.began.counted[name]) / self.events

    def disk(self, name: str) -> float:
        return (self.ended.disk[name] - self.began.disk[name]) / self.events


def _is(process: str, name: str) -> bool:
    return process == name or process.rpartition("-")[0] == name


def drain(on: Stack, people: int, events: int, workers: int) -> Drained:
    """Fill the topic, start the workers, and wait until all is processed; the workers are stopped again."""
    end = on.processed() + people + events
    empty = on.disk_bytes()["kafka"]
    fill_log(on.settings, range(people), evidence=0)
    fill_log(on.settings, random.choices(range(people), k=events))
    hit_bytes = (on.disk_bytes()["kafka"] - empty) / (people + events)
    for number in range(1, workers + 1):
        on.topology.start("worker", number)
    began = _await(on, end - events)
    ended = _await(on, end)
    for number in range(1, workers + 1):
        on.topology.stop("worker", number)
    return Drained(began, ended, hit_bytes)


def _await(on: Stack, position: int) -> Moment:
    deadline = time.monotonic() + LONGEST_S
    while on.processed() < position:
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"{position - on.processed():,} hits are left after {LONGEST_S} s: {on.topology.output()}"
            )
        time.sleep(POLL_S)
    return _moment(on)


def _moment(on: Stack) -> Moment:
    return Moment(time.perf_counter(), on.processed(), on.cpu_s(), _counted(on), on.disk_bytes())


def _counted(on: Stack) -> dict[str, float]:
    counted: dict[str, float] = {name: on.query(sql) for name, sql in COUNTED.items()}
    counted["loopback, bytes"] = psutil.net_io_counters(pernic=True)["lo"].bytes_sent
    counted["outcomes"] = _metric(on, "worker", "xunji_events_total")
    counted["batches"] = _metric(on, "worker", "xunji_batch_seconds_count")
    counted["seconds in batches"] = _metric(on, "worker", "xunji_batch_seconds_sum")
    counted["calls of identity"] = _metric(on, "identity", "xunji_identity_calls_total")
    counted["seconds in identity"] = _metric(on, "identity", "xunji_identity_seconds_sum")
    return counted


def _metric(on: Stack, role: str, name: str) -> float:
    found = 0.0
    for process in on.topology.of(role):
        if process.alive():
            text = httpx.get(f"{process.url}/metrics", trust_env=False).text
            found += sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)))
    return found


def report(runs: Sequence[Drained], workers: int) -> None:
    rates = [run.per_s for run in runs]
    print(
        f"\n{workers} worker(s): {median(rates):,.0f} events/s ({min(rates):,.0f}-{max(rates):,.0f}), "
        f"reach {REACH_PER_S:,}; {runs[0].events:,} events a run, {NEW_EVIDENCE:.0%} of them new evidence"
    )
    ended = runs[0].ended
    for what, names, read in (
        ("CPU, us", ("worker", "identity", *(name for name in ended.cpu_s if "-" not in name)), Drained.cpu_us),
        ("counted", tuple(ended.counted), Drained.counted),
        ("on disk, bytes", tuple(name for name in ended.disk if name != "kafka"), Drained.disk),
    ):
        print(
            f"  an event, {what}: "
            + ", ".join(f"{name} {median(read(run, name) for run in runs):.4g}" for name in names)
        )
    print(f"  a hit in the log: {median(run.hit_bytes for run in runs):.0f} bytes", flush=True)


def check(on: Stack) -> None:
    """Every hit has its outcome, and each event was stored once; what it takes on disk once servers have tidied up."""
    on.topology.start("api")
    on.topology.start("worker")
    account = on.topology.settled()
    stored = sum(row["events"]["stored"] for row in account["rows"])
    on.topology.stop("worker")
    on.topology.stop("api")
    print(f"\naccounting: balanced {account['balanced']}, {on.processed():,} hits processed, {stored:,} events stored")
    neo4j = on.servers["neo4j"]
    with GraphDatabase.driver(neo4j.url) as driver:
        kept = driver.execute_query("MATCH (n) RETURN labels(n)[0] AS kind, count(*) AS n ORDER BY n DESC").records
    # At a clean end it writes all that memory and its log of transactions have into its files.
    neo4j.stop()
    graph = disk_bytes(neo4j.folder / "data" / "databases") / 2**20
    neo4j.start()
    print(f"the graph: {graph:,.0f} MiB on disk; nodes: " + ", ".join(f"{kind} {n:,}" for kind, n in kept))
    events = open_events(on.settings)
    print("the events: {1:.0f} bytes on disk each, of {0:,}".format(*events._query(EVENT_BYTES)[0]), flush=True)
    events.close()


def profile(on: Stack, what: str, load: Callable[[], Moment]) -> None:
    """Where the wall time of one worker goes under a load that starts and stops it, for each batch step by step."""
    worker = on.topology.process("worker")
    out = on.topology.folder / "profile.json"
    usual = worker.command
    worker.command = [sys.executable, "-m", "bench.real_profile", str(out), *usual[usual.index("serve") :]]
    counted = load().counted
    worker.command = usual
    batches = counted["batches"]
    print(f"\none worker, {what}: {counted['outcomes'] / batches:,.0f} events a batch; wall time by step, ms a batch:")
    for step, told in json.loads(out.read_text()).items():
        places = ", ".join(f"{place} {share:.1%}" for place, share in told["places"].items())
        print(f"  {step:<16} {told['seconds'] / batches * 1e3:7.1f}  {places}")


def steady(on: Stack, rate: int) -> Moment:
    """So many hits a second for a while, through a collector."""
    on.topology.start("collector")
    on.topology.start("worker")
    sender = Steady(on.topology.collector_port, rate)
    sender.start()
    time.sleep(STEADY_S)
    ended = _moment(on)
    sender.stopping.set()
    sender.join()
    on.topology.stop("worker")
    on.topology.stop("collector")
    return ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    with servers() as running, stack(running) as on:
        on.topology.start("identity")
        create_source(on.settings)
        for workers in asked.workers:
            report([drain(on, asked.people, asked.events, workers) for _ in range(asked.runs)], workers)
        if asked.profile:
            profile(on, "a backlog", lambda: drain(on, asked.people, asked.events, 1).ended)
            for rate in STEADY_PER_S:
                profile(on, f"{rate:,} hits a second", lambda rate=rate: steady(on, rate))  # type: ignore[misc]
        check(on)


if __name__ == "__main__":
    main()
