"""Traffic for tests that break things meanwhile, which remembers what it was promised, and whether that was kept."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from tests.real.product import ADMIN_KEY, Clients

PEOPLE = 200
DEVICES = 40
"""Of each person: a login on one that was not seen before is new evidence."""
LOGINS = 0.15
BROWSERS = 100
AGAIN_S = 0.05
PATIENCE_S = 100.0


class Sender(threading.Thread):
    """Sends small batches to any of the collectors and remembers the ids of what was answered 200; sends again what was
    not answered. `logins` are those that were answered: which member was on which device."""

    def __init__(
        self, urls: Sequence[str], key: str, stop: threading.Event, *, name: str, pause_s: float = 0.0
    ) -> None:
        super().__init__(daemon=True)
        self._urls, self._named, self._pause_s = urls, name, pause_s
        self._ended = stop
        self._headers = {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
        self.answered: set[str] = set()
        self.sent: set[str] = set()
        self.logins: dict[str, set[str]] = defaultdict(set)

    def run(self) -> None:
        with httpx.Client(headers=self._headers, timeout=10, trust_env=False) as client:
            while not self._ended.is_set():
                self.send(client, [self._event() for _ in range(random.randint(1, 5))])
                time.sleep(self._pause_s)

    def send(self, client: httpx.Client, batch: Sequence[dict[str, Any]]) -> bool:
        """Until it is answered, or the end comes; whether it was."""
        ids = {str(event["messageId"]) for event in batch}
        self.sent |= ids
        while not self._ended.is_set():
            try:
                # Another browser each time, for whose hits lie in other partitions.
                browser = {"User-Agent": f"tests/{random.randrange(BROWSERS)}"}
                url = f"{random.choice(self._urls)}/v1/batch"
                answer = client.post(url, json={"batch": batch}, headers=browser)
            except httpx.HTTPError:
                # Not answered: it may or may not have been kept, so the very same is sent again.
                time.sleep(AGAIN_S)
                continue
            if answer.status_code == 200:
                self.answered |= ids
                for event in batch:
                    if "userId" in event:
                        self.logins[event["userId"]].add(event["anonymousId"])
                return True
            time.sleep(AGAIN_S)
        return False

    def _event(self) -> dict[str, Any]:
        person = random.randrange(PEOPLE)
        event = an_event(f"{self._named}-visitor-{person}-{random.randrange(DEVICES)}")
        if random.random() < LOGINS:
            event |= {"type": "identify", "userId": f"{self._named}-member-{person}", "traits": {"visits": 1}}
        return event


class Buyer(Sender):
    """Looks at a few things and leaves a number at once, again and again; each lead must come to have it all."""

    def __init__(
        self, urls: Sequence[str], api: str, key: str, stop: threading.Event, *, name: str, pause_s: float = 0.3
    ) -> None:
        super().__init__(urls, key, stop, name=name, pause_s=pause_s)
        self._api = api
        self.leads: dict[str, set[str]] = {}
        """By lead, what was answered of its buyer before."""

    def run(self) -> None:
        api = httpx.Client(
            base_url=self._api, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=20, trust_env=False
        )
        with httpx.Client(headers=self._headers, timeout=10, trust_env=False) as client, api:
            while not self._ended.is_set():
                visitor = f"{self._named}-buyer-{uuid.uuid4().hex}"
                seen = [an_event(visitor) for _ in range(random.randint(1, 4))]
                if all(self.send(client, [event]) for event in seen):
                    self._leave_number(api, visitor, {event["messageId"] for event in seen})
                time.sleep(self._pause_s)

    def _leave_number(self, api: httpx.Client, visitor: str, seen: set[str]) -> None:
        body = {
            "source": self._named,
            "external_id": visitor,
            "contact": {"name": "王先生", "phone": f"139{random.randrange(10**8):08d}"},
            "identifiers": [{"kind": "anonymous_id", "value": visitor}],
            "consent": {"purposes": ["contact"], "text_version": "1", "at": "2026-11-22T00:00:00.000Z"},
        }
        # Also when the end has come: somebody waits for an answer.
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                answer = api.post("/api/v1/leads", json=body)
            except httpx.HTTPError:
                time.sleep(AGAIN_S)
                continue
            if answer.status_code in (200, 201):
                self.leads[answer.json()["id"]] = seen
                return
            assert answer.status_code == 503, answer.text
            time.sleep(AGAIN_S)


def an_event(visitor: str) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "seat_viewed",
        "messageId": str(uuid.uuid4()),
        "anonymousId": visitor,
        "properties": {"series": "X9"},
    }


class Load:
    """Senders and a buyer on one source of their own. `stop` before the rest is asked for."""

    def __init__(self, product: Clients, urls: Sequence[str], *, senders: int = 3, pause_s: float = 0.03) -> None:
        self._product = product
        self.source = f"load-{uuid.uuid4().hex[:8]}"
        key = product.create_source(self.source)
        self._stop = threading.Event()
        each = {"stop": self._stop, "name": self.source}
        self.buyer = Buyer(urls, str(product.api.base_url), key, **each)  # type: ignore[arg-type]
        self._senders = [Sender(urls, key, pause_s=pause_s, **each) for _ in range(senders)]  # type: ignore[arg-type]
        self._senders.append(self.buyer)

    def start(self) -> None:
        for sender in self._senders:
            sender.start()

    def stop(self) -> None:
        self._stop.set()
        for sender in self._senders:
            sender.join(PATIENCE_S + 20)
            assert not sender.is_alive()

    @property
    def answered(self) -> set[str]:
        return set().union(*(sender.answered for sender in self._senders))

    @property
    def sent(self) -> set[str]:
        return set().union(*(sender.sent for sender in self._senders))

    def assert_kept(self, *, at_least: int = 100) -> None:
        """Once nothing is pending: what was answered is stored, once, and counted so; each lead has what its buyer did,
        and who was who is known."""
        answered, stored = self.answered, stored_client_ids(self._product, self.source)
        assert len(answered) >= at_least, f"{len(answered)} events are too small a load to prove anything"
        assert not [each for each, times in stored.items() if times > 1], "stored twice"
        assert not answered - set(stored), f"{len(answered - set(stored))} of {len(answered)} lost"
        assert set(stored) <= self.sent
        rows = [row for row in self._product.accounting()["rows"] if row["source"] == self.source]
        assert sum(row["events"]["stored"] for row in rows) == len(stored)
        assert self.buyer.leads, "no lead was captured"
        for lead, seen in self.buyer.leads.items():
            assert not seen - trail_of(self._product, lead), f"lead {lead} lacks what its buyer did"
        self._assert_known()

    def _assert_known(self) -> None:
        logins: dict[str, set[str]] = defaultdict(set)
        for sender in self._senders:
            for member, devices in sender.logins.items():
                logins[member] |= devices
        for member in random.sample(sorted(logins), min(20, len(logins))):
            person = self._product.api.post(
                "/api/v1/persons/lookup", json={"kind": "member_id", "value": member}
            ).json()
            found = {(each["kind"], each["value"]) for each in person["identifiers"]}
            assert {value for kind, value in found if kind == "member_id"} == {member}
            assert logins[member] <= {value for kind, value in found if kind == "anonymous_id"}


@contextmanager
def under_load(product: Clients, urls: Sequence[str], **options: Any) -> Iterator[Load]:
    """Traffic for as long as the block lasts, and a second before and after."""
    load = Load(product, urls, **options)
    load.start()
    try:
        time.sleep(1)
        yield load
        time.sleep(1)
    finally:
        load.stop()


def trail_of(product: Clients, lead: str) -> set[str]:
    """The ids that senders gave the events of a lead's trail, those added later among them."""
    trail = product.api.get(f"/api/v1/leads/{lead}").json()["trail"]
    return {event["client_id"] for event in [*trail["events"], *(each["event"] for each in trail["additions"])]}


def stored_client_ids(product: Clients, source: str | None = None) -> Counter[str]:
    """Every stored event, page by page, as the API lists them."""
    found: Counter[str] = Counter()
    cursor: str | None = None
    while True:
        query = {"limit": "1000"} | ({"cursor": cursor} if cursor else {}) | ({"source": source} if source else {})
        answer = product.api.get("/api/v1/events", params=query)
        assert answer.status_code == 200, answer.text
        page = json.loads(answer.content)
        found.update(event["client_id"] for event in page["events"])
        cursor = page["next"]
        if cursor is None:
            return found
