"""What goes of leads when a person is erased: the person's own become empty shells, others' trails lose its events.

A shell keeps id, source, stage and time, so that whoever counts leads counts the same as before; and the same enquiry
that is sent again finds it, and is not taken anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select

from cdp.model import Identifier, Millis, SetId, Window
from cdp.records import chunks
from leads import open_leads, show
from leads.lead import LeadId
from leads.origin import with_origin
from leads.store import (
    Behaviour,
    Card,
    StoredLead,
    addition_rows,
    additions_of,
    contact_rows,
    find,
    lead_rows,
    packed,
    unpacked,
)
from profiles.interests import Topics, interests, summary

AT_ONCE = 200
"""Leads looked through in one transaction."""

SHELL = Card(
    contact={},
    doubtful=(),
    channel=None,
    campaign={},
    interest={},
    consent=None,
    interests=[],
    summary={"zh": "此人的数据已删除。", "en": "The person's data were erased."},
    why=[],
    erased=True,
)

Gone = Callable[[Mapping[str, Any]], bool]
"""Whether an event of a trail is the erased person's."""


def leads_of(
    connection: Connection, sets: Mapping[SetId, object], windows: Mapping[SetId, Sequence[Window]]
) -> list[str]:
    """The leads of whom these sets are, each in its windows."""
    found = []
    for chunk in chunks(sorted(sets)):
        columns = (lead_rows.c.id, lead_rows.c.subject, lead_rows.c.created_at)
        for row in connection.execute(select(*columns).where(lead_rows.c.subject.in_(chunk))):
            when = windows.get(row.subject)
            if when is None or any(_inside(row.created_at, window) for window in when):
                found.append(row.id)
    return sorted(found)


def _inside(at: Millis, window: Window) -> bool:
    start, end = window
    return (start is None or start <= at) and (end is None or at < end)


def tokens_of_leads(connection: Connection, leads: Collection[str]) -> set[str]:
    """All tokens in these leads: of contacts, of identifiers, and in texts."""
    tokens: set[str] = set()
    for lead in leads:
        stored = find(connection, lead)
        if stored is not None:
            tokens |= show.tokens_of(show.whole(stored, additions_of(connection, lead)))
    return tokens


def empty(connection: Connection, leads: Sequence[str]) -> None:
    """Leave nothing of these leads but their shells. Idempotent; while nobody captures."""
    values = {
        "external_id": None,
        "subject": 0,
        "person_at_capture": None,
        "owner": None,
        "graph_version": 0,
        "complete": True,
        "waited_ms": 0,
        "total": 0,
        "card": msgspec.json.encode(SHELL).decode(),
        "trail": packed(Behaviour([], ())),
    }
    for chunk in chunks(leads):
        connection.execute(lead_rows.update().where(lead_rows.c.id.in_(chunk)).values(values))
        connection.execute(contact_rows.delete().where(contact_rows.c.lead.in_(chunk)))
        connection.execute(addition_rows.delete().where(addition_rows.c.lead.in_(chunk)))
    open_leads.close(connection, leads)


def left_as_contact(connection: Connection, tokens: Collection[str]) -> set[str]:
    """Those of these tokens that somebody can be reached by on a lead that is no shell."""
    found: set[str] = set()
    for chunk in chunks(sorted(tokens)):
        found.update(connection.execute(select(contact_rows.c.token).where(contact_rows.c.token.in_(chunk))).scalars())
    return found


def spoken_of(connection: Connection, tokens: Collection[str], *, since: Millis) -> set[str]:
    """Those of these tokens that stand in a lead captured since then."""
    if not tokens:
        return set()
    recent = connection.execute(select(lead_rows.c.id).where(lead_rows.c.created_at >= since)).scalars().all()
    return tokens_of_leads(connection, recent) & set(tokens)


class Page(NamedTuple):
    """What one look through some leads gave: the last of them, how many were changed, and which tokens they hold."""

    last: str
    changed: int
    held: set[str]


def clear_trails(
    connection: Connection,
    *,
    after: str,
    gone: Gone,
    forgotten: Collection[Identifier],
    tokens: Collection[str],
    topics: Topics,
) -> Page | None:
    """Take the events for which `gone` says so out of the next trails after this lead, and what names one of the
    `forgotten` out of their reasons; None at the end.

    What they care about and the summary are told anew from the events that are left. `tokens` are looked for in all
    that stays.
    """
    query = select(lead_rows).where(lead_rows.c.id > after).order_by(lead_rows.c.id).limit(AT_ONCE)
    rows = connection.execute(query).all()
    if not rows:
        return None
    held: set[str] = set()
    changed = 0
    for row in rows:
        trail = unpacked(row.trail, Behaviour)
        stored = StoredLead(row, msgspec.json.decode(row.card, type=Card), trail)
        left = _without(stored, gone, frozenset(forgotten), topics)
        late = _clear_additions(connection, row.id, gone)
        if left is not None:
            connection.execute(lead_rows.update().where(lead_rows.c.id == row.id).values(left))
        changed += left is not None or late
        if tokens:
            card, kept = (row.card, trail) if left is None else (left["card"], unpacked(left["trail"], Behaviour))
            text = f"{card}{msgspec.json.encode(kept.events).decode()}"
            held.update(token for token in tokens if token in text)
    return Page(rows[-1].id, changed, held)


def _without(
    stored: StoredLead, gone: Gone, forgotten: Collection[Identifier], topics: Topics
) -> dict[str, Any] | None:
    """The changed columns of a lead; None where nothing of it goes."""
    row: Row[Any] = stored.row
    card, behaviour = stored.card, stored.behaviour or Behaviour([], ())
    events = behaviour.events
    left = [event for event in events if not gone(event)]
    why = [each for each in card.why if not ({_named(each["identifier"]), _named(each["with"])} & set(forgotten))]
    devices = tuple(each for each in behaviour.devices if each not in forgotten)
    if (len(left), len(why), len(devices)) == (len(events), len(card.why), len(behaviour.devices)):
        return None
    total = row.total - (len(events) - len(left))
    scores, told, segments = card.interests, card.summary, card.segments
    if len(left) < len(events):
        at = row.frozen_at
        scores = interests(left, topics, at)
        first = min((event["occurred_at"] for event in left), default=at)
        # What they were in may have been by what the erased person did.
        segments = []
        told = with_origin(summary(left, scores, topics, at, total=total), left, first_seen=first, at=at)
    changed = msgspec.structs.replace(card, why=why, interests=scores, summary=told, segments=segments)
    return {
        "total": total,
        "card": msgspec.json.encode(changed).decode(),
        "trail": packed(msgspec.structs.replace(behaviour, events=left, devices=devices)),
    }


def _named(identifier: Mapping[str, str]) -> Identifier:
    return Identifier(identifier["kind"], identifier["value"])


def _clear_additions(connection: Connection, lead: LeadId, gone: Gone) -> bool:
    mine = [each.event["id"] for each in additions_of(connection, lead) if gone(each.event)]
    for event in mine:
        same = (addition_rows.c.lead == lead) & (addition_rows.c.event_id == event)
        connection.execute(addition_rows.delete().where(same))
    return bool(mine)
