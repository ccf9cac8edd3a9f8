"""A backup of three stores of one moment, under a log that went on: what came since is processed again, once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.real.product import Product, until
from tests.real.test_kill import stored_client_ids

VISITORS = 20
STORES = ("records.db", "graph.db", "events")


def visit(product: Product, key: str, wave: str) -> set[str]:
    """Everybody looks at a seat in a new browser, logs in, and leaves a phone; the SDK's ids of their events."""
    batch: list[dict[str, Any]] = []
    for visitor in range(VISITORS):
        who = {"anonymousId": f"{wave}-browser-{visitor}"}
        lead = {"phone": f"1380013{visitor:04}"}
        batch += [
            {"type": "track", "event": "seat_viewed", "messageId": f"{wave}-seat-{visitor}", **who},
            {"type": "identify", "userId": f"member-{visitor}", "messageId": f"{wave}-login-{visitor}", **who},
            {
                **who,
                "type": "track",
                "event": "lead_submitted",
                "userId": f"member-{visitor}",
                "messageId": f"{wave}-lead-{visitor}",
                "properties": lead,
            },
        ]
    answer = product.collector.post("/v1/batch", json={"batch": batch}, auth=(key, ""))
    assert answer.status_code == 200, answer.text
    return {str(event["messageId"]) for event in batch}


def knows_all(product: Product, sent: set[str], *, waves: int) -> None:
    """Each event is stored once, the books balance, and everybody is one person over all visits."""
    account = product.settled()
    assert account["balanced"]
    assert stored_client_ids(product) == dict.fromkeys(sent, 1)
    assert len(product.api.get("/api/v1/leads?limit=1000").json()["leads"]) == waves * VISITORS
    for visitor in range(VISITORS):
        person = look_up(product, visitor)
        kinds = [each["kind"] for each in person["identifiers"]]
        assert (kinds.count("anonymous_id"), kinds.count("phone"), person["events"]) == (waves, 1, waves * 3)
    command = [sys.executable, "-m", "cdp", "identity", "rebuild", "--check"]
    checked = subprocess.run(command, env=product.env, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr


def look_up(product: Product, visitor: int) -> Mapping[str, Any]:
    answer = product.api.post("/api/v1/persons/lookup", json={"kind": "member_id", "value": f"member-{visitor}"})
    assert answer.status_code == 200, answer.text
    found: Mapping[str, Any] = answer.json()
    return found


@pytest.mark.timeout(300)
def test_embedded_stores_of_one_moment_under_a_newer_log_lose_nothing_and_store_nothing_twice(tmp_path: Path) -> None:
    kept = tmp_path / "backup"
    kept.mkdir()
    with Product(tmp_path) as product:
        key = product.create_source("site")
        sent = visit(product, key, "first")
        gone = customer(product, key)
        assert product.stop() == 0
        # A clean end leaves whole files; links of the event store lead from one of its folders to another.
        for name in STORES:
            copy(tmp_path / "data" / name, kept / name)
        product.start()
        erase(product, gone)
        sent |= visit(product, key, "second")
        knows_all(product, sent, waves=2)
        sent |= visit(product, key, "third")
        product.kill_tree()
        for name in STORES:
            for left in (tmp_path / "data").glob(f"{name}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            copy(kept / name, tmp_path / "data" / name)
        product.start()
        # Whom the backup brings back must be erased again.
        erase(product, gone)
        knows_all(product, sent, waves=3)


def customer(product: Product, key: str) -> str:
    """Somebody who will be erased; the person's id."""
    event = {"userId": "gone", "anonymousId": "gone-browser", "messageId": "gone-1"}
    assert product.collector.post("/v1/identify", json=event, auth=(key, "")).status_code == 200
    product.settled()
    return str(product.api.post("/api/v1/persons/lookup", json={"kind": "member_id", "value": "gone"}).json()["id"])


def erase(product: Product, person: str) -> None:
    asked = product.api.post(f"/api/v1/persons/{person}/erase", json={"reason": "asked for by mail"})
    assert asked.status_code == 202, asked.text
    job = f"/api/v1/persons/erasures/{asked.json()['id']}"
    until(lambda: product.api.get(job).json()["state"] == "done", 30, product.output)
    assert product.api.get(job).json()["receipt"]["events"] == 1


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)
