"""A person is erased from the running product: collectors take hits all the while, and the app is killed in it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from cdp.api_client import Declined, client_of
from tests.cdp.planted import HER, MEMBER, PHONE, her_events, her_lead, in_answers, in_files, others_events
from tests.real.product import ADMIN_KEY, Product, until

KILLS = 3


class Sender(threading.Thread):
    """Sends what others do, one hit after the other, and remembers what was answered 200."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(daemon=True)
        self._url, self._headers = url, headers(key)
        self.ended = threading.Event()
        self.answered: set[str] = set()

    def run(self) -> None:
        with httpx.Client(headers=self._headers, timeout=10, trust_env=False) as client:
            n = 0
            while not self.ended.is_set():
                n += 1
                name = uuid.uuid4().hex
                event = {"type": "track", "event": "seat_viewed", "messageId": name, "anonymousId": f"crowd-{n % 50}"}
                if client.post(self._url, json={"batch": [event]}).status_code == 200:
                    self.answered.add(name)


def headers(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def send(product: Product, key: str, *events: dict[str, Any]) -> str:
    """One hit; its id."""
    answer = product.collector.post("/v1/batch", json={"batch": list(events)}, headers=headers(key))
    assert answer.status_code == 200
    return answer.headers["X-Xunji-Hit"]


def command(product: Product, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "cdp", *words, "--json"], env=product.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(300)
def test_a_person_is_erased_while_hits_come_in_and_the_app_is_killed(tmp_path: Path) -> None:
    with Product(tmp_path, collectors=2) as product:
        key = product.create_source("site")
        sender = Sender(f"http://127.0.0.1:{product.collector_port}/v1/batch", key)
        sender.start()
        hers, others = her_events(), others_events()
        # One hit is hers alone, one is shared with others, and one is a copy.
        hits = [
            send(product, key, *hers[:3]),
            send(product, key, *hers[3:], *others[:4]),
            send(product, key, *others[4:]),
        ]
        hits.append(send(product, key, *hers))
        until(lambda: bool(found(product)), 60, product.output)
        assert product.api.post("/api/v1/leads", json=her_lead()).status_code == 201
        person = found(product)
        job = product.api.post(f"/api/v1/persons/{person}/erase", json={"reason": "asked for"}).json()["id"]
        for _ in range(KILLS):
            time.sleep(0.4)
            kill_app(product)
        until(lambda: receipt_of(product, job) is not None, 120, product.output)
        receipt = receipt_of(product, job)
        assert receipt is not None
        counted = ("events", "traits", "leads", "hits", "hits_of_others")
        assert [receipt[name] for name in counted] == [6, 4, 2, 3, 1]

        hits.append(send(product, key, *her_events(name="late")))
        assert command(product, "log", "replay")["changed"] == 0
        sender.ended.set()
        sender.join(30)
        account = product.settled()
        assert account["balanced"]
        assert sum(row["events"]["dropped"].get("ERASED", 0) for row in account["rows"]) == 6
        until(lambda: states(product, hits) == ["redacted"] * 2 + ["translated"] + ["redacted"] * 2, 30, product.output)
        with client_of(f"http://127.0.0.1:{product.port}", ADMIN_KEY) as client:
            hers_alone = [value for name, value in HER.items() if name != "VIN"]
            assert in_answers(client, hits, hers_alone) == []
            with pytest.raises(Declined):
                client.post("/persons/lookup", {"kind": "member_id", "value": MEMBER})
            stored = {event["client_id"] for event in client.all("/events", "events")}
        assert len(sender.answered) > 100
        assert sender.answered <= stored
        assert {event["messageId"] for event in others} <= stored
        assert product.stop() == 0
        assert in_files(tmp_path / "data", HER.values()) == []
        # The shared hit went with her already.
        again = command(product, "person", "erase", "member_id:other-member-1", "--reason", "no server runs")
        assert (again["identifiers"]["member_id"], again["leads"], again["hits"]) == (1, 1, 1)


def found(product: Product) -> str | None:
    answer = product.api.post("/api/v1/persons/lookup", json={"kind": "phone", "value": PHONE})
    return str(answer.json()["id"]) if answer.status_code == 200 else None


def kill_app(product: Product) -> None:
    until(lambda: bool(product.children()["app"]), 30, product.output)
    product.children()["app"][0].kill()
    until(product.ready, 60, product.output)


def receipt_of(product: Product, job: str) -> dict[str, Any] | None:
    try:
        receipt: dict[str, Any] | None = product.api.get(f"/api/v1/persons/erasures/{job}").json()["receipt"]
    except httpx.HTTPError:
        return None
    return receipt


def states(product: Product, hits: list[str]) -> list[str]:
    return [product.api.get(f"/api/v1/hits/{hit}").json()["state"] for hit in hits]
