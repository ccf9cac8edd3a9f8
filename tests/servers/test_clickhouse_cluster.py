"""The event store on tables that are spread over a cluster, as `deploy/clickhouse/cluster.sql` makes them.

The engine at hand knows shards and no replicas. So the template is run with plain tables in the place of replicated
ones, on a cluster whose servers are all the same one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from cdp.model import SetId
from profiles.events_clickhouse import ClickHouseEvents
from profiles.events_clickhouse_tables import DERIVED, DURABLE
from tests.contracts.events_contract import EventStoreContract, emptied, ids, make_stored
from tests.real.servers import ClickHouse
from tests.servers.conftest import reachable_folder

TEMPLATE = Path(__file__).parents[2] / "deploy/clickhouse/cluster.sql"
SHARD = "<shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>"
CONFIG = f"""<tcp_port>9000</tcp_port><macros><cluster>one</cluster></macros>
<remote_servers><one>{SHARD}</one><two>{SHARD}{SHARD}</two></remote_servers>"""
REPLICATED = re.compile(r"Replicated(\w*MergeTree)\([^)]*\)")


def statements() -> list[str]:
    """Those of the template, without its comments."""
    text = "\n".join(line for line in TEMPLATE.read_text().splitlines() if not line.startswith("--"))
    return [each.strip() for each in text.split(";\n") if each.strip()]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClickHouse]:
    with reachable_folder() as folder:
        server = ClickHouse(folder)
        server.config = CONFIG
        with server:
            yield server


@pytest.fixture(scope="module")
def admin(cluster: ClickHouse) -> Iterator[Client]:
    """With the tables of the template."""
    client = clickhouse_connect.get_client(dsn=cluster.url, autogenerate_session_id=False)
    for statement in statements():
        if statement.startswith(("CREATE DATABASE", "CREATE TABLE")):
            plain = REPLICATED.sub(r"\1", statement).replace(
                "replicated_deduplication_window =", "non_replicated_deduplication_window ="
            )
            client.command(plain)
    yield client
    client.close()


class TestSpread(EventStoreContract):
    @pytest.fixture(scope="class")
    @classmethod
    def opened(cls, cluster: ClickHouse, admin: Client) -> Iterator[ClickHouseEvents]:
        opened = ClickHouseEvents(cluster.url_of("xunji"))
        yield opened
        opened.close()

    @pytest.fixture
    def store(self, opened: ClickHouseEvents) -> ClickHouseEvents:
        return emptied(opened)

    def test_what_is_erased_is_told_to_all_servers(self, store: ClickHouseEvents) -> None:
        assert store._places["events"].altered == "`xunji`.`events_local` ON CLUSTER '{cluster}'"


@pytest.mark.parametrize("statement", statements(), ids=lambda each: " ".join(each.split()[:6]))
def test_the_engine_understands_each_statement_of_the_template(admin: Client, statement: str) -> None:
    assert admin.raw_query(f"EXPLAIN AST {statement}", fmt="TSV")


@pytest.mark.parametrize("name", ["events", "traits", *DERIVED, "probes"])
def test_the_template_makes_the_tables_of_a_single_engine(cluster: ClickHouse, admin: Client, name: str) -> None:
    ClickHouseEvents(cluster.url_of("single")).close()
    listed = "SELECT groupArray((name, type, compression_codec)) FROM system.columns WHERE table = {table:String}"
    made = "SELECT partition_key, sorting_key, primary_key FROM system.tables WHERE name = {table:String}"
    for asked in (listed, made):
        asked += " AND database = {database:String}"
        single = admin.query(asked, {"database": "single", "table": name}).result_rows
        assert single == admin.query(asked, {"database": "xunji", "table": f"{name}_local"}).result_rows != []


@pytest.mark.parametrize("name", ["events_local", "traits_local", *(f"{name}_local" for name in DERIVED)])
def test_the_template_is_as_durable_as_a_single_engine(admin: Client, name: str) -> None:
    asked = "SELECT engine_full FROM system.tables WHERE database = 'xunji' AND name = {table:String}"
    [(engine,)] = admin.query(asked, {"table": name}).result_rows
    assert {f"{setting} = {value}" for setting, value in DURABLE.items() if "window" not in setting} <= set(
        engine.partition(" SETTINGS ")[2].split(", ")
    )


def test_reads_by_set_ask_the_shards_of_these_sets_alone(cluster: ClickHouse, admin: Client) -> None:
    single = ClickHouseEvents(cluster.url_of("shards"))
    single.write([make_stored(n, set_=n % 4) for n in range(8)], token="shards")
    single.close()
    # Both shards are this one server, so that whatever asks both gets every row twice.
    for table in ("events", "traits"):
        admin.command(f"RENAME TABLE shards.{table} TO shards.{table}_local")
        spread = f"Distributed('two', 'shards', '{table}_local', set)"
        admin.command(f"CREATE TABLE shards.{table} AS shards.{table}_local ENGINE = {spread}")
    store = ClickHouseEvents(cluster.url_of("shards"))
    one_shard = [SetId(1), SetId(3)]
    assert ids(store.trail(one_shard, limit=99)) == [7, 5, 3, 1]
    assert ids(store.trail(one_shard, limit=99, windows={SetId(1): [(None, 0)]})) == [7, 3]
    assert sorted(each.events for each in store.facts(one_shard)[1]) == [2, 2]
    assert store.moments(one_shard, [(None, None)])[0][1] == 1
    assert len(store.trail([SetId(1), SetId(2)], limit=99)) == 4, "each shard is asked for its own set"
    assert len(store.recent(limit=99)) == 16, "all shards are asked"
    store.close()
