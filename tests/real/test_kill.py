"""Nothing that was answered 200 is lost or counted twice, whatever dies at whatever moment."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.real.product import Product, until

KILLS = 51
"""17 of each kind: the app with its worker, a collector, the whole tree."""
SENDERS = 4
LONGEST_LIFE_S = 1.2


class Sender(threading.Thread):
    """Sends small batches and remembers the ids of what was answered 200; sends again what was not answered."""

    def __init__(self, url: str, key: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._ended = stop
        self._headers = {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
        self.answered: set[str] = set()
        self.sent: set[str] = set()

    def run(self) -> None:
        batch: list[dict[str, object]] = []
        client = httpx.Client(headers=self._headers, timeout=5, trust_env=False)
        while not self._ended.is_set():
            batch = batch or [self._event() for _ in range(random.randint(1, 5))]
            ids = {str(event["messageId"]) for event in batch}
            self.sent |= ids
            try:
                answer = client.post(self._url, json={"batch": batch})
            except httpx.HTTPError:
                # Not answered: it may or may not have been kept, so the very same is sent again.
                time.sleep(0.05)
                continue
            if answer.status_code == 200:
                self.answered |= ids
                batch = []
        client.close()

    def _event(self) -> dict[str, object]:
        person = random.randrange(200)
        event: dict[str, object] = {
            "type": "track",
            "event": "seat_viewed",
            "messageId": str(uuid.uuid4()),
            "anonymousId": f"visitor-{person}",
            "properties": {"series": "X9"},
        }
        if random.random() < 0.2:
            event |= {"type": "identify", "userId": f"member-{person}", "traits": {"visits": 1}}
        return event


@pytest.mark.timeout(540)
def test_every_event_answered_200_is_stored_exactly_once_over_51_kills(tmp_path: Path) -> None:
    random.seed(20261122)
    with Product(tmp_path, collectors=2) as product:
        key = product.create_source("site")
        stop = threading.Event()
        url = f"http://127.0.0.1:{product.collector_port}/v1/batch"
        senders = [Sender(url, key, stop) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        kills = Counter[str]()
        while kills.total() < KILLS:
            time.sleep(random.uniform(0.05, LONGEST_LIFE_S))
            kills[kill_one(product, ("app", "collector", "tree")[kills.total() % 3])] += 1
        stop.set()
        for sender in senders:
            sender.join(30)
        until(product.ready, 60, product.output)
        account = product.settled()
        assert kills == {"app": 17, "collector": 17, "tree": 17}
        answered = set().union(*(sender.answered for sender in senders))
        sent = set().union(*(sender.sent for sender in senders))
        stored = stored_client_ids(product)
        assert len(answered) > 1_000, "the load was too small to prove anything"
        assert not [each for each, times in stored.items() if times > 1]
        assert answered <= set(stored) <= sent
        assert account["balanced"]
        assert sum(row["events"]["stored"] for row in account["rows"]) == len(stored)
        assert product.stop() == 0


def kill_one(product: Product, kind: str) -> str:
    """Kill one process, or all at once, and see to it that the product is there again."""
    if kind == "tree":
        product.kill_tree()
        product.start()
        return kind
    until(lambda: bool(product.children()[kind]), 30, product.output)
    random.choice(product.children()[kind]).kill()
    return kind


def stored_client_ids(product: Product) -> Counter[str]:
    """Every stored event, page by page, as the API lists them."""
    found: Counter[str] = Counter()
    cursor: str | None = None
    while True:
        query = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
        answer = product.api.get("/api/v1/events", params=query)
        assert answer.status_code == 200, answer.text
        page = json.loads(answer.content)
        found.update(event["client_id"] for event in page["events"])
        cursor = page["next"]
        if cursor is None:
            return found
