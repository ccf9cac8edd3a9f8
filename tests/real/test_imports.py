"""An import goes on through whatever dies, with every row once, while SDKs are answered and their events go ahead."""

from __future__ import annotations

import base64
import uuid
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.collectors.sheets import as_csv
from tests.real.product import Product, until

ROWS = 3_000
KILLS = 2


@pytest.mark.timeout(300)
def test_a_killed_import_ends_with_every_row_once(tmp_path: Path) -> None:
    rows = [["客户编号", "手机", "等级"], *([f"C{n}", f"138{n:08}", "A"] for n in range(ROWS))]
    with Product(tmp_path) as product:
        key = product.create_source("site")
        product.create_source("crm", "file")
        query = {"source": "crm", "kind": "people", "filename": "crm.csv"}
        looked = product.api.post("/api/v1/imports", params=query, content=as_csv(rows)).json()
        path = f"/api/v1/imports/{looked['id']}"
        assert product.api.post(f"{path}/confirm", json={}).status_code == 202
        for kill in range(KILLS):
            until(lambda least=kill * ROWS // KILLS: looked_at(product, path) > least, 60, product.output)
            if kill == 1:
                until_seen(product, key)
                assert looked_at(product, path) < ROWS, "an SDK's event waited behind the file"
            if kill % 2:
                product.kill_tree()
                product.start()
            else:
                product.children()["app"][0].kill()
                until(product.ready, 60, product.output)
        until(lambda: product.api.get(path).json()["state"] == "done", 120, product.output)
        report = product.api.get(f"{path}/report").json()["rows"]
        assert [line["row"] for line in report] == list(range(2, ROWS + 2))
        assert Counter(line["outcome"] for line in report) == {"taken": ROWS}
        assert len({line["event"] for line in report}) == ROWS
        account = product.settled()
        assert account["balanced"]
        stored = sum(row["events"]["stored"] for row in account["rows"] if row["source"] == "crm")
        again = sum(row["events"]["duplicate"] for row in account["rows"] if row["source"] == "crm")
        assert (stored, again) == (ROWS, 0)
        assert product.stop() == 0


def looked_at(product: Product, path: str) -> int:
    try:
        found = product.api.get(path).json()
    except httpx.HTTPError:
        return 0
    return ROWS if found["state"] == "done" else int(found["looked"])


def until_seen(product: Product, key: str) -> None:
    """Send an event and wait until it is found."""
    event = {"type": "track", "event": "seat_viewed", "messageId": uuid.uuid4().hex, "anonymousId": "v1"}
    headers = {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
    answer = product.collector.post("/v1/track", json=event, headers=headers)
    assert answer.status_code == 200
    query = {"source": "site"}
    until(lambda: bool(product.api.get("/api/v1/events", params=query).json()["events"]), 60, product.output)
