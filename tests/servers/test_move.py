"""A pilot on one machine becomes a deployment on servers, goes on there, and comes back: what was known stays known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.real.product import Product, until
from tests.real.servers import ClickHouse, Kafka, Neo4j
from tests.servers.databases import Databases

PAGE = (Path(__file__).parents[2] / "docs" / "move.md").read_text(encoding="utf-8")
STORES = ("log", "graph", "events", "records")
DEMO = {"kind": "phone", "value": "+8613812345678"}


def known(product: Product) -> dict[str, Any]:
    """All that the API says of persons, leads, events and hits."""

    def get(path: str, **query: Any) -> Any:
        answer = product.api.get(f"/api/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    found = product.api.post("/api/v1/persons/lookup", json=DEMO)
    assert found.status_code == 200, found.text
    person = found.json()["id"]
    whole = get(f"/persons/{person}")
    ends = [{"kind": each["kind"], "value": each["value"]} for each in whole["identifiers"]]
    events = get("/events", limit=1_000)["events"]
    leads = get("/leads", limit=1_000)["leads"]
    why = [product.api.post("/api/v1/identity/explain", json={"a": DEMO, "b": end}).json() for end in ends]
    account = get("/accounting")
    return {
        "person": whole,
        "trail": get(f"/persons/{person}/trail", limit=1_000),
        "history": get(f"/persons/{person}/history"),
        "why": why,
        "leads": [get(f"/leads/{each['id']}") for each in leads],
        "events": [get(f"/events/{each['id']}") for each in events],
        "hits": [get(f"/hits/{each}") for each in sorted({event["hit"] for event in events})],
        "sources": get("/sources"),
        # A topic has more partitions than this log ever had.
        "partitions": [part for part in account["partitions"] if part["accepted"]],
        "rows": account["rows"],
        "balanced": account["balanced"],
    }


def move(product: Product, source: str, target: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "cdp", "move", "--from", source, "--to", target, "--json"]
    done = subprocess.run(words, env=product.env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["equal"]
    return found


def visit(product: Product, key: str, name: str) -> None:
    """One more event of hers."""
    event = {"type": "track", "event": name, "messageId": name, "userId": "YQ20418837"}
    answer = product.collector.post("/v1/batch", json={"batch": [event]}, auth=(key, ""))
    assert answer.status_code == 200, answer.text
    until(lambda: name in [each["name"] for each in known(product)["trail"]["events"]], 60, product.output)


@pytest.mark.timeout(540)
def test_a_pilot_moves_to_servers_and_back_without_losing_a_day(
    tmp_path: Path, databases: Databases, empty_neo4j: Neo4j, clickhouse: ClickHouse, kafka: Kafka
) -> None:
    database = databases.empty()
    servers = {
        "log": f"kafka://{kafka.address}/pilot",
        "graph": empty_neo4j.url,
        "events": clickhouse.url_of("pilot"),
        "records": database,
    }
    commands = re.findall(r"^cdp move --from (\S+) --to (\w+)\S+$", PAGE, re.MULTILINE)
    assert [kind for _, kind in commands] == ["kafka", "neo4j", "clickhouse", "postgresql"]
    embedded = dict(zip(STORES, [source for source, _ in commands], strict=True))
    back = {name: url.replace("{data}/", "{data}/back/") for name, url in embedded.items()}
    with Product(tmp_path, demo=True) as pilot:
        until(lambda: "cdp lead show" in pilot.output(), 60, pilot.output)
        pilot.settled()
        before = known(pilot)
        assert (len(before["events"]), len(before["leads"]), before["balanced"]) == (39, 1, True)
        refused = subprocess.run(
            [sys.executable, "-m", "cdp", "move", "--from", embedded["graph"], "--to", servers["graph"]],
            env=pilot.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (refused.returncode, "is at work" in refused.stderr) == (2, True)
        pilot.stop()
        for store in STORES:
            assert move(pilot, embedded[store], servers[store])["store"] == store
    settings = {f"XUNJI_{name.upper()}_URL": url for name, url in servers.items()}
    with Product(tmp_path, **settings) as deployment:
        assert known(deployment) == before
        visit(deployment, deployment.create_source("new-site"), "came_on_servers")
        later = known(deployment)
        assert len(later["events"]) == 40
        deployment.stop()
        for store in STORES:
            move(deployment, servers[store], back[store])
    settings = {f"XUNJI_{name.upper()}_URL": url for name, url in back.items()}
    with Product(tmp_path, **settings) as again:
        assert known(again) == later
        assert again.settled()["balanced"]
        assert again.stop() == 0
