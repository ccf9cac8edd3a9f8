"""A process that writes the graph in Neo4j until it is killed: `python -m tests.servers.neo4j_writer URL BATCHES`.

It takes in the same stream each time, from the beginning, and says after each batch how many it was answered for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice

from identity.engine import IdentityEngine
from identity.graph_neo4j import Neo4jGraph
from identity.observation import Observation
from tests.identity.makers import SMALL
from tests.servers.test_postgres_crash import batches

SEED = 2


def stream(length: int) -> Iterator[list[Observation]]:
    return islice(batches(SEED), length)


def main() -> None:
    url, length = sys.argv[1], int(sys.argv[2])
    engine = IdentityEngine(Neo4jGraph(url), SMALL, now=lambda: 0)
    for n, batch in enumerate(stream(length), start=1):
        engine.observe(batch)
        print(n, flush=True)


if __name__ == "__main__":
    main()
