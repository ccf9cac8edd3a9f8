"""What is asked for at the API and done elsewhere: by workers and the scheduler, of which any may die."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from cdp.api_client import Declined, client_of
from cdp.model import SourceKind
from tests.cdp.planted import HER, MEMBER, PHONE, her_events, her_lead, in_answers, others_events
from tests.collectors.sheets import as_csv
from tests.leads.test_similar import LI, LI_AGAIN, SLIPPED
from tests.leads.test_similar import PHONE as PHONE_OF_LI
from tests.real.product import ADMIN_KEY, until
from tests.real.servers import ClickHouse, Kafka, Neo4j, Postgres
from tests.real.topology import Topology
from tests.servers.conftest import empty, reachable_folder

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

HITS = 400
"""For a replay, which takes at least one batch for each partition."""
ROWS = 700


@pytest.fixture(scope="module")
def topology(kafka: Kafka, neo4j: Neo4j, postgres: Postgres, clickhouse: ClickHouse) -> Iterator[Topology]:
    empty(neo4j)
    with reachable_folder() as folder, Topology(folder, kafka, neo4j, postgres, clickhouse) as started:
        yield started


@pytest.fixture
def site(topology: Topology) -> str:
    return f"site-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def headers(topology: Topology, site: str) -> dict[str, str]:
    """Of a source that the collector knows."""
    key = topology.create_source(site)
    made = {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
    until(lambda: sent(topology, made, seat_viewed(f"first-of-{site}")).status_code == 200, 30, topology.output)
    return made


def sent(topology: Topology, headers: dict[str, str], *events: dict[str, Any]) -> httpx.Response:
    return topology.collector.post("/v1/batch", json={"batch": list(events)}, headers=headers)


def send(topology: Topology, headers: dict[str, str], *events: dict[str, Any]) -> list[str]:
    """One hit; its id, where brokers were quick enough to give it one."""
    answer = sent(topology, headers, *events)
    assert answer.status_code == 200, answer.text
    return [answer.headers[name] for name in ("X-Xunji-Hit",) if name in answer.headers]


def seat_viewed(name: str) -> dict[str, Any]:
    return {"type": "track", "event": "seat_viewed", "messageId": name, "anonymousId": f"visitor-{name}"}


def person_with(topology: Topology, kind: str, value: str) -> str | None:
    answer = topology.api.post("/api/v1/persons/lookup", json={"kind": kind, "value": value})
    return str(answer.json()["id"]) if answer.status_code == 200 else None


def kill_scheduler(topology: Topology) -> None:
    until(lambda: topology.holder("scheduler") is not None, 60, topology.output)
    holder = topology.holder("scheduler")
    assert holder is not None
    topology.kill("scheduler", int(holder.name[-1]))


def test_what_workers_do_and_who_became_whom_is_heard_live_at_the_api(
    topology: Topology, site: str, headers: dict[str, str]
) -> None:
    name, wanted, heard = uuid.uuid4().hex, {"stored", "person.merged"}, set[str]()

    def listen() -> None:
        with suppress(httpx.HTTPError), topology.api.stream("GET", "/api/v1/events/live", timeout=60) as lines:
            for line in lines.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line.removeprefix("data:"))
                    heard.add(message["outcome"] if message.get("source") == site else message.get("kind"))
                else:
                    listening.set()
                if wanted <= heard:
                    return

    listening = threading.Event()
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert listening.wait(30)
    send(topology, headers, seat_viewed(name))
    # A login joins two who were known apart.
    login = {"type": "identify", "anonymousId": f"visitor-{name}", "userId": f"member-{name}", "traits": {}}
    send(topology, headers, {"type": "track", "event": "paid", "userId": f"member-{name}", "messageId": f"{name}-2"})
    until(lambda: person_with(topology, "member_id", f"member-{name}") is not None, 60, topology.output)
    until(lambda: person_with(topology, "anonymous_id", f"visitor-{name}") is not None, 60, topology.output)
    send(topology, headers, login)
    until(lambda: wanted <= heard, 60, lambda: f"{heard} {topology.output()}")


def test_a_replay_goes_on_with_the_standby_when_the_scheduler_is_killed(
    topology: Topology, site: str, headers: dict[str, str]
) -> None:
    for n in range(HITS):
        browser = {"User-Agent": f"browser/{n}"}
        send(topology, headers | browser, *(seat_viewed(f"{site}-{n}-{k}") for k in range(10)))
    before = topology.settled()
    asked = topology.api.post("/api/v1/log/replays", json={"source": site})
    assert asked.status_code == 202
    path = f"/api/v1/log/replays/{asked.json()['id']}"
    kill_scheduler(topology)
    until(lambda: topology.api.get(path).json()["done"], 120, topology.output)
    shown = topology.api.get(path).json()
    assert (shown["hits"], shown["changed"]) == (shown["total"], 0)
    assert shown["total"] >= HITS
    assert topology.settled()["rows"] == before["rows"]


def test_a_person_erased_by_the_scheduler_comes_back_through_no_worker(
    topology: Topology, headers: dict[str, str]
) -> None:
    hers = her_events()
    hits = send(topology, headers, *hers[:3]) + send(topology, headers, *hers[3:])
    hits += send(topology, headers, *others_events())
    topology.settled()
    assert topology.api.post("/api/v1/leads", json=her_lead(), headers={"Idempotency-Key": "hers"}).status_code == 201
    person = person_with(topology, "phone", PHONE)
    asked = topology.api.post(f"/api/v1/persons/{person}/erase", json={"reason": "asked for"})
    path = f"/api/v1/persons/erasures/{asked.json()['id']}"
    for _ in range(2):
        kill_scheduler(topology)
    until(lambda: topology.api.get(path).json()["receipt"] is not None, 120, topology.output)
    receipt = topology.api.get(path).json()["receipt"]
    assert [receipt[name] for name in ("events", "leads", "hits", "hits_of_others")] == [6, 2, 2, 0]

    # From each of many browsers, so that every worker meets her.
    for n in range(20):
        hits += send(topology, headers | {"User-Agent": f"browser/{n}"}, *her_events(name=f"late-{n}"))
    account = topology.settled()
    assert sum(row["events"]["dropped"].get("ERASED", 0) for row in account["rows"]) == 20 * len(hers)
    with client_of(topology.process("api").url, ADMIN_KEY) as client:
        assert in_answers(client, hits, [value for name, value in HER.items() if name != "VIN"]) == []
        with pytest.raises(Declined):
            client.post("/persons/lookup", {"kind": "member_id", "value": MEMBER})
    # Sent again, it is no answer from before the erasure.
    again = topology.api.post("/api/v1/leads", json=her_lead(), headers={"Idempotency-Key": "hers"})
    assert "idempotency-replayed" not in again.headers


def test_a_file_that_the_api_takes_is_imported_by_the_scheduler_although_it_is_killed(topology: Topology) -> None:
    topology.create_source("crm", SourceKind.FILE)
    rows = [["客户编号", "手机", "等级"], *([f"C{n}", f"138{n:08}", "A"] for n in range(ROWS))]
    query = {"source": "crm", "kind": "people", "filename": "crm.csv"}
    looked = topology.api.post("/api/v1/imports", params=query, content=as_csv(rows)).json()
    path = f"/api/v1/imports/{looked['id']}"
    assert topology.api.post(f"{path}/confirm", json={}).status_code == 202
    kill_scheduler(topology)
    until(lambda: topology.api.get(path).json()["state"] == "done", 120, topology.output)
    assert topology.api.get(path).json()["counts"]["taken"] == ROWS
    assert len(topology.api.get(f"{path}/report").json()["rows"]) == ROWS


def test_leads_captured_at_the_api_are_compared_by_the_scheduler(topology: Topology) -> None:
    for each in (LI, LI_AGAIN):
        assert topology.api.post("/api/v1/leads", json=each).status_code == 201

    def joined() -> bool:
        persons = {person_with(topology, "phone", each) for each in (PHONE_OF_LI, SLIPPED)}
        return len(persons) == 1 and None not in persons

    until(joined, 90, topology.output)


def test_a_key_that_is_revoked_at_one_process_is_refused_by_all(topology: Topology) -> None:
    made = topology.api.post("/api/v1/keys", json={"name": "short-lived", "role": "sales"}).json()
    asking = {"Authorization": f"Bearer {made['key']}"}
    with httpx.Client(base_url=topology.process("api").url, headers=asking, trust_env=False) as client:
        assert client.get("/api/v1/leads").status_code == 200
        topology.api.delete("/api/v1/keys/short-lived")
        until(lambda: client.get("/api/v1/leads").status_code == 401, 30)
