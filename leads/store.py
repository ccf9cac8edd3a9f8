"""The tables of leads and the questions asked of them. Nothing here is clear: contact and text hold tokens.

A lead row is written once; what sales do with it later changes its stage and owner only. Additions are rows
beside it, so that the frozen trail stays as it was.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    Row,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    or_,
    select,
)

from cdp.model import NO_WINDOWS, Identifier, Millis, SetId, Window, Windows
from cdp.records import chunks, insert_ignoring, metadata
from leads.lead import NEW, Addition, Lead, LeadId
from profiles.store import Cursor

COMPRESSION = 1
"""Of zlib: 200 events shrink to a tenth in 2 ms; the best level gains a fifth more and takes four times that."""

MAX_PAGE = 1_000

lead_rows = Table(
    "leads",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("source", String(1_000), nullable=False),
    Column("external_id", String(1_000)),
    Column("subject", BigInteger, nullable=False, index=True),
    Column("person_at_capture", String(64)),
    Column("stage", String(40), nullable=False),
    Column("owner", String(100)),
    Column("created_at", BigInteger, nullable=False),
    Column("frozen_at", BigInteger, nullable=False, index=True),
    Column("graph_version", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("waited_ms", Integer, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("card", Text, nullable=False),
    Column("trail", LargeBinary, nullable=False),
    UniqueConstraint("source", "external_id"),
)
Index("leads_newest", lead_rows.c.created_at.desc(), lead_rows.c.id)
Index("leads_of_stage", lead_rows.c.stage, lead_rows.c.created_at.desc(), lead_rows.c.id)
Index("leads_of_owner", lead_rows.c.owner, lead_rows.c.created_at.desc(), lead_rows.c.id)
contact_rows = Table(
    "lead_contacts",
    metadata,
    Column("token", String(20), primary_key=True),
    Column("lead", String(40), primary_key=True),
    Column("kind", String(20), nullable=False),
)
addition_rows = Table(
    "lead_additions",
    metadata,
    Column("lead", String(40), primary_key=True),
    Column("event_id", String(64), primary_key=True),
    Column("added_at", BigInteger, nullable=False),
    Column("reason", String(40), nullable=False),
    Column("event", LargeBinary, nullable=False),
)


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What of a lead is shown on every list, in one column: nobody asks for leads by a part of it."""

    contact: dict[str, str]
    doubtful: tuple[str, ...]
    channel: str | None
    campaign: dict[str, Any]
    interest: dict[str, Any]
    consent: dict[str, Any] | None
    interests: list[dict[str, Any]]
    summary: dict[str, str]
    why: list[dict[str, Any]]
    erased: bool = False
    segments: list[dict[str, str]] = []


class Behaviour(msgspec.Struct, frozen=True, array_like=True):
    """The large part of a lead, compressed, read only when the lead itself is opened."""

    events: list[dict[str, Any]]
    sets: tuple[int, ...]
    windows: Windows = {}
    devices: tuple[Identifier, ...] = ()


class ReadFrom(msgspec.Struct, frozen=True, array_like=True):
    """A `Behaviour` without its events, which take ten times as long to read as all else."""

    events: msgspec.Raw
    sets: tuple[int, ...]
    windows: Windows = {}
    devices: tuple[Identifier, ...] = ()


class StoredLead(NamedTuple):
    """A lead as read; `behaviour` is None on lists."""

    row: Row[Any]
    card: Card
    behaviour: Behaviour | None


class OpenLead(NamedTuple):
    """What is needed to add late events to a trail: what it was read from. `devices` are shared ones."""

    id: LeadId
    subject: SetId
    frozen_at: Millis
    sets: tuple[SetId, ...]
    windows: Windows = NO_WINDOWS
    devices: frozenset[Identifier] = frozenset()

    @classmethod
    def stored(cls, lead_id: str, subject: int, frozen_at: Millis, trail: bytes) -> OpenLead:
        """From the columns of a lead."""
        read = unpacked(trail, ReadFrom)
        sets = tuple(map(SetId, read.sets))
        return cls(LeadId(lead_id), SetId(subject), frozen_at, sets, read.windows, frozenset(read.devices))


_what_is_open = select(lead_rows.c.id, lead_rows.c.subject, lead_rows.c.frozen_at, lead_rows.c.trail)
_light = tuple(column for column in lead_rows.c if column is not lead_rows.c.trail)


def insert(connection: Connection, lead: Lead) -> bool:
    """Write a lead in the caller's transaction; False, and nothing is written, where it is there already."""
    if not connection.execute(insert_ignoring(connection, lead_rows), _row_of(lead)).rowcount:
        return False
    draft = lead.draft
    contacts = [{"token": token, "lead": draft.id, "kind": kind} for kind, token in draft.contact.items()]
    if contacts:
        connection.execute(insert_ignoring(connection, contact_rows), contacts)
    return True


def _row_of(lead: Lead) -> dict[str, Any]:
    draft, trail = lead
    return {
        "id": draft.id,
        "source": draft.source,
        "external_id": draft.external_id,
        "subject": draft.subject,
        "person_at_capture": trail.person,
        "stage": NEW,
        "owner": None,
        "created_at": trail.frozen_at,
        "frozen_at": trail.frozen_at,
        "graph_version": trail.graph_version,
        "complete": trail.waited.complete,
        "waited_ms": trail.waited.waited_ms,
        "total": trail.total,
        "card": msgspec.json.encode(_card_of(lead)).decode(),
        "trail": packed(Behaviour(trail.events, trail.sets, trail.windows, tuple(sorted(trail.devices)))),
    }


def _card_of(lead: Lead) -> Card:
    draft, trail = lead
    return Card(
        contact=dict(draft.contact),
        doubtful=draft.doubtful,
        channel=draft.channel,
        campaign=dict(draft.campaign),
        interest=dict(draft.interest),
        consent=dict(draft.consent) if draft.consent else None,
        interests=trail.interests,
        summary=trail.summary,
        why=trail.why,
        segments=trail.segments,
    )


def find(connection: Connection, lead_id: str) -> StoredLead | None:
    """One lead with its trail."""
    row = connection.execute(select(lead_rows).where(lead_rows.c.id == lead_id)).one_or_none()
    return None if row is None else StoredLead(row, _card(row), unpacked(row.trail, Behaviour))


def id_of(connection: Connection, source: str, external_id: str) -> LeadId | None:
    same = (lead_rows.c.source == source) & (lead_rows.c.external_id == external_id)
    return connection.execute(select(lead_rows.c.id).where(same)).scalar()


def present(connection: Connection, lead_ids: Sequence[LeadId]) -> set[LeadId]:
    """Those of these leads that are there."""
    found: set[LeadId] = set()
    for chunk in chunks(lead_ids):
        found.update(connection.execute(select(lead_rows.c.id).where(lead_rows.c.id.in_(chunk))).scalars())
    return found


def contacts(connection: Connection, lead_ids: Sequence[LeadId]) -> dict[LeadId, dict[str, str]]:
    """How those of these leads that are there can be reached, in tokens."""
    found: dict[LeadId, dict[str, str]] = {}
    for chunk in chunks(lead_ids):
        asked: Select[Any] = select(lead_rows.c.id, lead_rows.c.card).where(lead_rows.c.id.in_(chunk))
        found |= {row.id: _card(row).contact for row in connection.execute(asked)}
    return found


def page(
    connection: Connection,
    *,
    limit: int,
    before: Cursor | None = None,
    stage: str | None = None,
    owner: str | None = None,
    subjects: Collection[SetId] | None = None,
    windows: Windows = NO_WINDOWS,
) -> list[StoredLead]:
    """Leads without their trails, newest first, ties by id. `subjects` keeps those of these identifier sets, and of
    those that have `windows` the ones that were captured in them."""
    query = _newest(limit, before)
    if stage is not None:
        query = query.where(lead_rows.c.stage == stage)
    if owner is not None:
        query = query.where(lead_rows.c.owner == owner)
    if subjects is None:
        return _cards(connection.execute(query))
    found: list[StoredLead] = []
    always = [each for each in subjects if each not in windows]
    for chunk in chunks(sorted(always)):
        found += _cards(connection.execute(query.where(lead_rows.c.subject.in_(chunk))))
    for each in windows.keys() & set(subjects):
        of_all = connection.execute(query.where(lead_rows.c.subject == each).limit(None))
        found += [lead for lead in _cards(of_all) if _within(windows[each], lead.row.frozen_at)]
    return sorted(found, key=lambda lead: (-lead.row.created_at, lead.row.id))[:limit]


def _within(windows: Iterable[Window], at: Millis) -> bool:
    return any((start is None or start <= at) and (end is None or at < end) for start, end in windows)


def with_contact(connection: Connection, tokens: Sequence[str], *, limit: int = MAX_PAGE) -> list[StoredLead]:
    """Leads that left one of these contact values, newest first, without their trails."""
    of_tokens = select(contact_rows.c.lead).where(contact_rows.c.token.in_(tokens))
    return _cards(connection.execute(_newest(limit, None).where(lead_rows.c.id.in_(of_tokens))))


def _newest(limit: int, before: Cursor | None) -> Select[Any]:
    query = select(*_light).order_by(lead_rows.c.created_at.desc(), lead_rows.c.id).limit(limit)
    return query if before is None else query.where(_after(before))


def _after(last: Cursor) -> ColumnElement[bool]:
    same_time = and_(lead_rows.c.created_at == last.at, lead_rows.c.id > last.id)
    return or_(lead_rows.c.created_at < last.at, same_time)


def _cards(rows: Iterable[Row[Any]]) -> list[StoredLead]:
    return [StoredLead(row, _card(row), None) for row in rows]


def _card(row: Row[Any]) -> Card:
    return msgspec.json.decode(row.card, type=Card)


def frozen_since(connection: Connection, at: Millis) -> list[OpenLead]:
    """Leads frozen at that moment or later, oldest first, with what their trails were read from."""
    query = _what_is_open.where(lead_rows.c.frozen_at >= at).order_by(lead_rows.c.frozen_at, lead_rows.c.id)
    return [OpenLead.stored(*row) for row in connection.execute(query)]


def open_lead(connection: Connection, lead_id: LeadId) -> OpenLead | None:
    """One lead with what its trail was read from."""
    row = connection.execute(_what_is_open.where(lead_rows.c.id == lead_id)).one_or_none()
    return None if row is None else OpenLead.stored(*row)


def add(connection: Connection, additions: Iterable[Addition]) -> None:
    """Append events to trails in the caller's transaction, in the order of keys; one that was added before stays as it
    was."""
    rows = [
        {
            "lead": addition.lead,
            "event_id": addition.event["id"],
            "added_at": addition.added_at,
            "reason": addition.reason,
            "event": packed(addition.event),
        }
        for addition in sorted(additions, key=lambda addition: (addition.lead, addition.event["id"]))
    ]
    if rows:
        connection.execute(insert_ignoring(connection, addition_rows), rows)


def additions_of(connection: Connection, lead_id: str) -> list[Addition]:
    """What was added to one lead's trail, newest occurred first, ties by id."""
    rows = connection.execute(select(addition_rows).where(addition_rows.c.lead == lead_id))
    additions = [Addition(row.lead, unpacked(row.event, dict), row.added_at, row.reason) for row in rows]
    return sorted(additions, key=lambda addition: (-addition.event["occurred_at"], addition.event["id"]))


def packed(value: Any) -> bytes:
    """As large columns hold it."""
    return zlib.compress(msgspec.json.encode(value), COMPRESSION)


def unpacked(column: bytes, type_: Any) -> Any:
    return msgspec.json.decode(zlib.decompress(column), type=type_)
