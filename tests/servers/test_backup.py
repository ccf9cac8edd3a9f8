"""Backups of real servers, with the programs that operators have: taken at rest, restored under a log that went on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.real.product import Product, until
from tests.real.servers import ClickHouse, Neo4j, jars_of, java, postgres_programs
from tests.real.test_backup import knows_all, visit
from tests.servers.conftest import reachable_folder
from tests.servers.databases import Databases

ALLOWED = "<backups><allowed_path>{}</allowed_path></backups>"


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as folder:
        (folder / "backup").mkdir()
        yield folder


@pytest.mark.soak
@pytest.mark.timeout(540)
def test_servers_of_one_moment_under_a_newer_log_lose_nothing_and_store_nothing_twice(
    folder: Path, tmp_path: Path, databases: Databases
) -> None:
    graph, events, kept = Neo4j(folder / "graph"), ClickHouse(folder / "events"), folder / "backup"
    events.config = ALLOWED.format(kept)
    product = Product(tmp_path)
    with ExitStack() as stack, events:
        # It is stopped in the end, and started below.
        stack.push(product)
        with graph:
            place(product, databases.empty(), graph, events)
            product.start()
            key = product.create_source("site")
            sent = visit(product, key, "first")
            product.settled()
            assert product.stop() == 0
            pg_dump(product.env["XUNJI_RECORDS_URL"], kept / "records.dump")
            ask(events, f"BACKUP DATABASE xunji TO File('{kept}/events')")
        admin(graph, "dump", "neo4j", f"--to-path={kept}")
        sent |= collected_meanwhile(product, key)

        records = databases.empty()
        pg_restore(kept / "records.dump", records)
        ask(events, "DROP DATABASE xunji SYNC")
        ask(events, f"RESTORE DATABASE xunji FROM File('{kept}/events')")
        shutil.rmtree(graph.folder / "data")
        admin(graph, "load", "neo4j", f"--from-path={kept}", "--overwrite-destination=true")
        with graph:
            place(product, records, graph, events)
            product.start()
            sent |= visit(product, key, "third")
            knows_all(product, sent, waves=3)
            assert product.stop() == 0


def place(product: Product, records: str, graph: Neo4j, events: ClickHouse) -> None:
    product.env |= {
        "XUNJI_RECORDS_URL": records,
        "XUNJI_GRAPH_URL": f"neo4j://127.0.0.1:{graph.port}/neo4j",
        "XUNJI_EVENTS_URL": events.url_of("xunji"),
    }


def collected_meanwhile(product: Product, key: str) -> set[str]:
    """What comes while nothing but a collector runs."""
    with (product.folder / "output.log").open("ab") as output:
        command = [sys.executable, "-m", "cdp", "serve", "--role", "collector"]
        collector = subprocess.Popen(command, env=product.env, stdout=output, stderr=output)
    try:
        until(lambda: answers(product), 30, product.output)
        sent = visit(product, key, "second")
        collector.terminate()
        assert collector.wait(30) == 0
    finally:
        collector.kill()
        collector.wait()
    return sent


def answers(product: Product) -> bool:
    try:
        return product.collector.get("/healthz").is_success
    except httpx.TransportError:
        return False


def pg_dump(url: str, file: Path) -> None:
    run([str(postgres_programs() / "pg_dump"), "--format=custom", f"--file={file}", libpq(url)])


def pg_restore(file: Path, url: str) -> None:
    run([str(postgres_programs() / "pg_restore"), "--exit-on-error", f"--dbname={libpq(url)}", str(file)])


def libpq(url: str) -> str:
    """The address as PostgreSQL's own programs read it."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def admin(server: Neo4j, verb: str, *arguments: str) -> None:
    """`neo4j-admin database …`, which is a program of the server's jars."""
    home = {"NEO4J_HOME": str(server.folder), "NEO4J_CONF": f"{server.folder}/conf"}
    program = [java(), "-XX:+UseSerialGC", "-cp", f"{jars_of('neo4j')}/*", "org.neo4j.cli.AdminTool"]
    run([*program, "database", verb, *arguments], home)


def ask(server: ClickHouse, query: str) -> None:
    answer = httpx.post(f"http://127.0.0.1:{server.port}/", content=query, timeout=60, trust_env=False)
    assert answer.is_success, answer.text


def run(command: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env=os.environ | (env or {}), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2_000:]
