"""Who is who, measured: evidence taken in and kept, one piece alone, an undo, a hub, and a rebuild of everything.

    python -m bench.identity [--stores sqlite neo4j] [--people 5000] [--big 1000000] [--runs 3]

The floor of each rate is the least that any durable store of evidence does: one row per observation with its
identifiers, one commit a batch, through the driver alone, in the same run. Neo4j is a real server, started here.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cdp.migrations import migrate
from cdp.model import Identifier
from cdp.records import open_engine
from identity.engine import IdentityEngine
from identity.graph import Graph
from identity.graph_sql import SqlGraph
from identity.kinds import BUILT_IN
from identity.observation import Observation, observation_id
from identity.steward import Note, Steward, Verdict
from tests.streams import car_buyers

BATCHES = (500, 1_000, 2_000)
ALONE = 520
DECISIONS = 120
WARM = 20
"""Not counted of either: a server plans each statement when it first meets it."""
HUB = 100_000
NOTE = Note("measured", "bench", 0)

OpenGraph = Callable[[], Graph]


@contextmanager
def sqlite_graphs() -> Iterator[OpenGraph]:
    """Opens an empty graph at each call."""
    with tempfile.TemporaryDirectory() as folder:
        made: list[Graph] = []

        def opened() -> Graph:
            engine = open_engine(f"sqlite:///{folder}/graph{len(made)}.db")
            migrate(engine, "graph")
            made.append(SqlGraph(engine))
            return made[-1]

        yield opened
        for graph in made:
            graph.close()


@contextmanager
def neo4j_graphs() -> Iterator[OpenGraph]:
    from neo4j import GraphDatabase

    from identity.graph_neo4j import Neo4jGraph
    from identity.graph_neo4j_address import address_of
    from tests.real.servers import Neo4j

    with tempfile.TemporaryDirectory() as folder, Neo4j(Path(folder)) as server:
        made: list[Neo4jGraph] = []

        def opened() -> Graph:
            address = address_of(server.url)
            with GraphDatabase.driver(address.uri, auth=address.auth) as driver, driver.session() as session:
                session.run("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS").consume()
            made.append(Neo4jGraph(server.url))
            return made[-1]

        yield opened
        for graph in made:
            graph.close()


STORES = {"sqlite": sqlite_graphs, "neo4j": neo4j_graphs}


def batches(stream: Sequence[Observation], size: int) -> Iterator[Sequence[Observation]]:
    for start in range(0, len(stream), size):
        yield stream[start : start + size]


def floor(stream: Sequence[Observation], size: int) -> float:
    """Observations a second, written as rows and synced, and nothing concluded."""
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(f"{folder}/floor.db")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE observation (id INTEGER PRIMARY KEY, told TEXT)")
        began = time.perf_counter()
        for batch in batches(stream, size):
            db.executemany("INSERT INTO observation VALUES (?, ?)", [(each.id, _told(each)) for each in batch])
            db.commit()
        spent = time.perf_counter() - began
        db.close()
    return len(stream) / spent


def _told(each: Observation) -> str:
    return msgspec.json.encode(each).decode()


def taking_in(opened: OpenGraph, stream: Sequence[Observation], size: int) -> tuple[IdentityEngine, float, float]:
    """An engine that has the stream; its rate for new observations and, the second time, for known ones."""
    engine = IdentityEngine(opened(), BUILT_IN)
    rates = []
    for _ in range(2):
        began = time.perf_counter()
        for batch in batches(stream, size):
            engine.observe(batch)
        rates.append(len(stream) / (time.perf_counter() - began))
    return engine, rates[0], rates[1]


def alone(engine: IdentityEngine, stream: Sequence[Observation]) -> list[float]:
    return [_timed(lambda each=each: engine.observe([each])) for each in stream][WARM:]  # type: ignore[misc]


def undoing(engine: IdentityEngine, stream: Sequence[Observation]) -> list[float]:
    """Seconds for taking back a decision that split a person."""
    steward, spent = Steward(engine), []
    for each in [each for each in stream if each.strength >= 4 and len(each.identifiers) > 1][:DECISIONS]:
        decision, _ = steward.decide(Verdict.DIFFERENT, *each.identifiers[:2], NOTE)
        spent.append(_timed(lambda made=decision: steward.undo(made.id, NOTE)))  # type: ignore[misc]
    return spent[WARM:]


def hub(opened: OpenGraph) -> tuple[list[float], bool]:
    """Seconds for each batch of 1,000 while a tablet's 100,000 observations come, and whether all ends as it must."""
    engine = IdentityEngine(opened(), BUILT_IN)
    tablet = Identifier("device_id", "tablet")
    visits = [
        Observation(observation_id(f"hub {n}"), (tablet, Identifier("anonymous_id", f"c{n}")), 1, n) for n in range(HUB)
    ]
    spent = [_timed(lambda batch=batch: engine.observe(batch)) for batch in batches(visits, 1_000)]  # type: ignore[misc]
    return spent, not engine.rebuild(check=True)


def rebuilding(opened: OpenGraph, observations: int) -> str:
    """A graph of so many observations, all of its conclusions derived again and compared."""
    stream = car_buyers(round(observations / 12), seed=9).observations
    engine, rate, _ = taking_in(opened, stream, 5_000)
    began = time.perf_counter()
    differences = engine.rebuild(check=True)
    spent = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return (
        f"{len(stream):,} observations: taken in at {rate:,.0f}/s, rebuilt and compared in {spent:.0f} s,"
        f" peak memory {peak:.1f} GiB, differences: {'some' if differences else 'none'}"
    )


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _quantiles(spent: Sequence[float]) -> str:
    ordered = sorted(spent)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def measure(store: str, people: int, big: int, runs: int) -> None:
    stream = car_buyers(people, seed=1).observations
    head, tail = stream[:-ALONE], stream[-ALONE:]
    with STORES[store]() as opened:
        print(f"\n{store}: {len(stream):,} observations, median of {runs} runs (least, most)", flush=True)
        for size in BATCHES:
            least, new, known = [], [], []
            for _ in range(runs):
                least.append(floor(head, size))
                engine, fresh, again = taking_in(opened, head, size)
                new.append(fresh)
                known.append(again)
            ratio = statistics.median(one / other for one, other in zip(new, least, strict=True))
            print(
                f"  batches of {size:>5}: new {statistics.median(new):>7,.0f}/s ({min(new):,.0f}, {max(new):,.0f}),"
                f" {ratio:.3f} of the floor's {statistics.median(least):,.0f}/s;"
                f" known {statistics.median(known):,.0f}/s",
                flush=True,
            )
        print(f"  one alone: {_quantiles(alone(engine, tail))}")
        print(f"  undo of a decision: {_quantiles(undoing(engine, head))}")
        print(f"  rebuild finds differences: {'yes' if engine.rebuild(check=True) else 'no'}", flush=True)
        spent, equal = hub(opened)
        print(
            f"  a hub of {HUB:,}: batches of 1,000 {_quantiles(spent)}, slowest {max(spent) * 1e3:.0f} ms;"
            f" equal to the batch result: {'yes' if equal else 'no'}",
            flush=True,
        )
        if big:
            print(f"  {rebuilding(opened, big)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the identity engine on its stores.")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    parser.add_argument("--people", type=int, default=5_000)
    parser.add_argument("--big", type=int, default=1_000_000, help="observations of the rebuild, on SQLite; 0 for none")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for store in options.stores:
        measure(store, options.people, options.big if store == "sqlite" else 0, options.runs)


if __name__ == "__main__":
    main()
