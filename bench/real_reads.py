"""Person and trail over the API, embedded and on servers: the same data, the same requests, in turn.

    python -m bench.real_reads [--stored 1000000] [--people 2000]

Three products hold the same events and the same sets of identifiers: one with embedded stores, one with PostgreSQL,
ClickHouse and Neo4j, one with PostgreSQL also as the graph. Each is asked for a person by identifier and then for the
newest 50 events of the trail, once for each of the people, and then all of it once more.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.events import PEOPLE
from bench.journey import percentiles
from bench.product import ADMIN_KEY, Product, create_source, fresh_folder, settings_of, stock_events
from bench.real_stack import Stack, servers, stack
from cdp.settings import Settings
from tests.real.product import ADMIN_KEY as TOPOLOGY_KEY

REACH = 2.0
IN_TURN = 50
"""People that one product is asked for before the next."""
SEED = 7
WARM = 100
"""People whose answers are not counted: servers plan each statement when they first meet it."""
Spent = dict[str, list[float]]


class Asker:
    """One connection to one API, kept alive; `spent` has milliseconds by what was asked."""

    def __init__(self, port: int, admin_key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._key = admin_key
        # A key that sees masked values, as a marketing system's would: clear ones are audited, with a sync to disk.
        self._key = str(self._ask("POST", "/api/v1/keys", {"name": "bench", "role": "marketer"})["key"])
        self.spent: Spent = {}

    def ask_for(self, value: str, turn: str) -> None:
        found = self._timed(f"person, {turn}", "POST", "/api/v1/persons/lookup", {"kind": "wx_openid", "value": value})
        self._timed(f"trail, {turn}", "GET", f"/api/v1/persons/{found['id']}/trail?limit=50")

    def _timed(self, what: str, method: str, path: str, body: object = None) -> Mapping[str, object]:
        began = time.perf_counter()
        answer = self._ask(method, path, body)
        self.spent.setdefault(what, []).append((time.perf_counter() - began) * 1000)
        return answer

    def _ask(self, method: str, path: str, body: object = None) -> Mapping[str, object]:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        self._connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = self._connection.getresponse()
        told = answer.read()
        assert answer.status in (200, 201), told
        found: Mapping[str, object] = json.loads(told)
        return found


def stock(settings: Settings, stored: int) -> None:
    random.seed(SEED)
    began = time.perf_counter()
    create_source(settings)
    stock_events(settings, stored)
    print(f"{stored:,} events stocked in {time.perf_counter() - began:.0f} s", flush=True)


def ask_in_turn(askers: Mapping[str, Asker], people: Sequence[int]) -> None:
    for turn in ("first", "again"):
        for start in range(0, len(people), IN_TURN):
            for asker in askers.values():
                for person in people[start : start + IN_TURN]:
                    asker.ask_for(f"wxa1b2/o{person:020d}", turn)


def report(askers: Mapping[str, Asker]) -> None:
    embedded = next(iter(askers.values())).spent
    for what, usual in embedded.items():
        for name, asker in askers.items():
            ratio = _p99(asker.spent[what]) / _p99(usual)
            print(f"{what:<14} {name:<32} {percentiles(asker.spent[what])}, p99 {ratio:.2f} x (reach {REACH} x)")


def _p99(spent: Sequence[float]) -> float:
    return sorted(spent)[int(len(spent) * 0.99)]


def _started(on: Stack) -> int:
    on.topology.start("api")
    return on.topology.port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=2_000)
    asked = parser.parse_args()
    with ExitStack() as running:
        data: Path = running.enter_context(fresh_folder("reads"))
        stock(settings_of(data), asked.stored)
        on = running.enter_context(servers())
        neo4j = running.enter_context(stack(on, "bench_neo4j"))
        graph_url = on["postgres"].url_of("bench_sql")  # type: ignore[attr-defined]
        sql = running.enter_context(stack(on, "bench_sql", XUNJI_GRAPH_URL=graph_url))
        ports = {each: _started(each) for each in (neo4j, sql)}
        for each in ports:
            stock(each.settings, asked.stored)
        product = running.enter_context(Product(data))
        product.wait_ready()
        askers = {
            "embedded": Asker(product.port, ADMIN_KEY),
            "PostgreSQL, ClickHouse, Neo4j": Asker(ports[neo4j], TOPOLOGY_KEY),
            "PostgreSQL, ClickHouse": Asker(ports[sql], TOPOLOGY_KEY),
        }
        people = random.sample(range(PEOPLE), WARM + asked.people)
        ask_in_turn(askers, people[:WARM])
        for asker in askers.values():
            asker.spent.clear()
        ask_in_turn(askers, people[WARM:])
        report(askers)


if __name__ == "__main__":
    main()
