"""All roles on four real servers: the demo's card is the one of a single machine, and every process ends well."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from cdp.api_client import client_of
from cdp.card import lead_card
from cdp.demo import play
from tests.real.product import ADMIN_KEY, Clients, Product
from tests.real.servers import ClickHouse, Kafka, Neo4j, Postgres
from tests.real.topology import Topology
from tests.servers.conftest import empty, reachable_folder

pytestmark = pytest.mark.timeout(300)
ZONE = ZoneInfo("Asia/Shanghai")


@pytest.fixture(scope="module")
def topology(kafka: Kafka, neo4j: Neo4j, postgres: Postgres, clickhouse: ClickHouse) -> Iterator[Topology]:
    empty(neo4j)
    with reachable_folder() as folder, Topology(folder, kafka, neo4j, postgres, clickhouse) as started:
        yield started


def played(product: Clients, collector: str) -> dict[str, Any]:
    with client_of(str(product.api.base_url), ADMIN_KEY) as client:
        lead = play(client, collector, zone=ZONE)
    assert lead is not None
    return lead


def printed(lead: dict[str, Any]) -> str:
    """The card but for what differs from one run to the next: times of today, and ids."""
    screen = Console(file=io.StringIO(), width=120, record=True)
    screen.print(lead_card(lead, ZONE))
    return re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?|ld_\w+", "…", screen.export_text())


def test_the_demo_gives_the_card_of_a_single_machine(topology: Topology, tmp_path: Path) -> None:
    with Product(tmp_path) as alone:
        there = played(alone, f"http://127.0.0.1:{alone.collector_port}")
    here = played(topology, topology.collectors()[1])
    assert "李女士" in printed(here)
    assert printed(here) == printed(there)
    assert here["trail"]["complete"]
    account = topology.settled()
    assert sum(row["events"]["stored"] for row in account["rows"]) == 39
    assert account["spooled"] == 0


def test_roles_say_what_they_are_at(topology: Topology) -> None:
    said = {each.name: topology.readiness(each) for role in ("identity", "scheduler") for each in topology.of(role)}
    assert sorted(said.values()) == ["leading", "ready", "standby", "standby"]


def test_all_end_cleanly(topology: Topology) -> None:
    assert set(topology.stop_all().values()) == {0}
