"""A small world for leads: the real identity engine, event store and records store, and a clock we set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from cdp.model import Campaign, Event, EventId, EventType, Fact, Identifier, Millis, SetId, Trust
from cdp.records import metadata, open_engine, writing
from cdp.vault import Vault
from identity import graph_sql
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph
from identity.kinds import BUILT_IN
from identity.normalise import normalise
from identity.observation import Observation, observation_id, set_id, strength_of
from identity.verbs import Identity
from leads.capture import LeadDesk
from leads.clear import ClearValues
from leads.contact import contact_of
from leads.lead import Waited
from leads.request import read_request
from leads.watching import Watching
from profiles.events_clickhouse import ClickHouseEvents
from profiles.interests import load_topics
from profiles.store import EventStore, StoredEvent

SECRET = bytes(range(32))
NOON = 1_760_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_numbers = count(1)


def identifier(kind: str, value: str) -> Identifier:
    return Identifier(kind, normalise(kind, value) or value)


@dataclass
class World:
    records: Engine
    graph: Engine
    events: EventStore
    identity: Identity
    vault: Vault
    now: Millis = NOON
    watching: Watching = Watching.ALONE
    desk: LeadDesk = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A desk that knows only what is stored."""
        topics = load_topics(None)
        stores = self.records, self.identity, self.events, self.vault
        self.desk = LeadDesk(*stores, topics, clock=lambda: self.now, watching=self.watching)

    def process(self, watching: Watching = Watching.AMONG_OTHERS) -> World:
        """Another process on the same stores."""
        return replace(self, watching=watching)

    def event(self, *identifiers: Identifier, at: Millis, name: str = "page_viewed", **properties: Any) -> Event:
        number = next(_numbers)
        return Event(
            id=EventId(f"{number:032x}"),
            client_id=f"c{number}",
            type=EventType.TRACK,
            name=name,
            original_name=name,
            occurred_at=at,
            received_at=self.now,
            source="shop",
            dialect="segment",
            hit="0-1",
            identifiers=identifiers,
            campaign=Campaign(source="douyin", medium="feed"),
            properties=msgspec.json.encode(properties),
        )

    def tokenised(self, event: Event) -> StoredEvent:
        """As the pipeline leaves it: tokens in the place of personal values, the clear ones in the vault."""
        safe = ClearValues(self.vault, region="CN")
        event.identifiers = tuple(safe.identifier(each) for each in event.identifiers)
        event.properties = msgspec.json.encode(safe.document(msgspec.json.decode(event.properties)))
        with writing(self.records) as connection:
            self.vault.remember(connection, safe.clear, at=self.now)
        return StoredEvent(event, set_id(event.identifiers) if event.identifiers else SetId(0))

    def store(self, *events: Event, fact: Fact = Fact.LOGIN) -> tuple[list[StoredEvent], frozenset[SetId]]:
        """Evidence and events of a batch, durable; what the pipeline does before it comes to leads."""
        stored = [self.tokenised(event) for event in events]
        said = [
            Observation(
                observation_id(row.event.id),
                tuple(sorted(row.event.identifiers)),
                strength_of(fact, Trust.PUBLIC),
                row.event.occurred_at,
                row.event.source,
            )
            for row in stored
            if len(row.event.identifiers) > 1
        ]
        changes = self.identity.absorb({row.set: row.event.identifiers for row in stored if row.set}, said)
        self.events.write(stored, token="-".join(event.id for event in events))
        return stored, changes.sets

    def add(self, stored: list[StoredEvent], changed: frozenset[SetId]) -> None:
        """The lead steps of a batch without new leads."""
        found = self.desk.additions_for(stored, changed, at=self.now)
        with writing(self.records) as connection:
            self.desk.write(connection, [], found)
        self.desk.written([], found)

    def visit(self, *identifiers: Identifier, at: Millis, name: str = "page_viewed", **properties: Any) -> Event:
        """One event on its whole way."""
        event = self.event(*identifiers, at=at, name=name, **properties)
        self.add(*self.store(event))
        return event

    def capture(self, body: Mapping[str, Any], *, complete: bool = True) -> tuple[dict[str, Any], bool]:
        return self.desk.capture(read_request(dict(body)), waited=Waited(complete, 12), actor="forms")

    def capture_event(self, event: Event) -> list[str]:
        """The lead steps of a batch with one capturing event; ids of the new leads."""
        contact = contact_of(msgspec.json.decode(event.properties))
        [stored], changed = self.store(event, fact=Fact.FORM)
        return self.finish(stored, contact, changed)

    def finish(self, stored: StoredEvent, contact: Mapping[str, Any], changed: frozenset[SetId]) -> list[str]:
        found = self.desk.additions_for([stored], changed, at=self.now)
        drafts = [self.desk.from_event(stored.event, contact, stored.set)] if contact else []
        leads = self.desk.freeze(drafts, at=self.now)
        with writing(self.records) as connection:
            new = self.desk.write(connection, leads, found)
        self.desk.written(leads, found)
        return list(new)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    """One store for a module: an engine in the process takes one path at a time, and opening one takes long."""
    store = ClickHouseEvents(f"chdb://{tmp_path_factory.mktemp('events')}")
    yield store
    store.close()


@pytest.fixture
def world(tmp_path: Path, events: EventStore) -> Iterator[World]:
    records, graph = (open_engine(f"sqlite:///{tmp_path}/{name}.db") for name in ("records", "graph"))
    metadata.create_all(records)
    graph_sql.metadata.create_all(graph)
    vault = Vault(records, SECRET)
    yield World(records, graph, events, IdentityEngine(SqlGraph(graph), BUILT_IN), vault)
    records.dispose()
    graph.dispose()


@dataclass(frozen=True)
class Person:
    """Identifiers that no other test uses."""

    number: int

    @property
    def phone(self) -> str:
        return f"+86138{self.number:08d}"

    @property
    def openid(self) -> Identifier:
        return identifier("wx_openid", f"wxapp/open-{self.number}x")

    @property
    def cookie(self) -> Identifier:
        return identifier("anonymous_id", f"cookie-{self.number}-abcdef")

    @property
    def member(self) -> Identifier:
        return identifier("member_id", f"member-{self.number}-abcdef")

    def body(self, **changes: Any) -> dict[str, Any]:
        """A lead as the showroom's server sends it."""
        body = {
            "source": "motor-show",
            "external_id": f"form-{self.number}",
            "contact": {"name": "李晓梅", "phone": self.phone},
            "identifiers": [{"kind": "wx_openid", "value": self.openid.value}],
            "channel": "offline",
            "campaign": {"name": "spring"},
            "interest": {"series": "L7", "note": "想看后排空间"},
            "consent": {"purposes": ["sales_call"], "text_version": "v3", "at": "2025-10-09T08:53:20Z"},
        }
        return {**body, **changes}


def fresh_person() -> Person:
    return Person(next(_numbers))


@pytest.fixture
def person() -> Person:
    return fresh_person()
