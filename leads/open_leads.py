"""Leads that may still get additions, told to all processes that may find some.

    who captures:   announce it here  ▸ read its trail      ▸ write the lead
    all others:     store events      ▸ look here for leads ▸ find additions

So nothing is missed, in whatever order these six steps are done. A look that sees a lead finds for it what was stored
before; a look that came too early for a lead came before its trail was read, and what was stored before the look is in
that trail. The same holds for changes of who is who, with the graph in the place of the events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, Select, String, Table, delete, func, select

from cdp.model import Millis, SetId
from cdp.records import chunks, metadata, writing
from leads.lead import LeadId
from leads.store import OpenLead, addition_rows, lead_rows

PAGE = 500
"""Leads read at once, each with its compressed trail."""

open_rows = Table(
    "open_leads",
    metadata,
    Column("n", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("lead", String(40), nullable=False),
    Column("subject", BigInteger, nullable=False),
    Column("frozen_at", BigInteger, nullable=False, index=True),
)


class Announced(NamedTuple):
    """A capture that began. `lead` is what is stored, by this capture or by another of the same lead, and `version` the
    graph's that it is as new as; before that it has no sets and `version` is None."""

    n: int
    lead: OpenLead
    version: int | None


def announce(records: Engine, leads: Iterable[OpenLead]) -> None:
    """Say that the trails of these leads are about to be read; durable on return. Again for each attempt.

    Writers take turns, so announcements become visible in the order of their numbers.
    """
    rows = [{"lead": lead.id, "subject": lead.subject, "frozen_at": lead.frozen_at} for lead in leads if lead.subject]
    if rows:
        with writing(records) as connection:
            connection.execute(open_rows.insert(), rows)


def announced(connection: Connection, *, after: int, since: Millis) -> Iterator[Announced]:
    """What was announced after number `after` of captures since that moment, in order."""
    while True:
        query = _announced.where(open_rows.c.n > after, open_rows.c.frozen_at >= since).order_by(open_rows.c.n)
        page = connection.execute(query.limit(PAGE)).all()
        yield from map(_told, page)
        if len(page) < PAGE:
            return
        after = page[-1].n


def again(connection: Connection, numbers: Collection[int], *, since: Millis) -> Iterator[Announced]:
    """These announcements as they are now, in order; left out are those taken back and those before that moment."""
    for chunk in chunks(sorted(numbers), PAGE):
        query = _announced.where(open_rows.c.n.in_(chunk), open_rows.c.frozen_at >= since).order_by(open_rows.c.n)
        yield from map(_told, connection.execute(query))


def standing(connection: Connection, *, since: Millis) -> tuple[int, set[int]]:
    """The last number, and those of captures since then whose lead is not written."""
    last = connection.execute(select(func.max(open_rows.c.n))).scalar() or 0
    unwritten = _announced.where(lead_rows.c.id.is_(None), open_rows.c.frozen_at >= since)
    return last, {row.n for row in connection.execute(unwritten)}


def still_open(connection: Connection, leads: Collection[LeadId]) -> set[LeadId]:
    """Those of these leads that may get additions: that are there and no shells, or are about to be written."""
    found: set[LeadId] = set()
    for chunk in chunks(sorted(leads)):
        rows = connection.execute(select(lead_rows.c.id, lead_rows.c.subject).where(lead_rows.c.id.in_(chunk)))
        there = {row.id: row.subject for row in rows}
        found |= {lead for lead, subject in there.items() if subject}
        if coming := [lead for lead in chunk if lead not in there]:
            found.update(connection.execute(select(open_rows.c.lead).where(open_rows.c.lead.in_(coming))).scalars())
    return found


def close(connection: Connection, leads: Collection[str]) -> None:
    """These leads get no additions any more. Where nobody captures meanwhile, what was never written is forgotten too:
    its additions are on no lead, where nobody would look for them."""
    for chunk in chunks(sorted(leads)):
        connection.execute(delete(open_rows).where(open_rows.c.lead.in_(chunk)))
    _forget_unwritten(connection)
    connection.execute(delete(open_rows).where(open_rows.c.lead.not_in(select(lead_rows.c.id))))


def trim(connection: Connection, before: Millis) -> None:
    """Forget captures before that moment, and the additions of those that never became a lead."""
    _forget_unwritten(connection, open_rows.c.frozen_at < before)
    connection.execute(delete(open_rows).where(open_rows.c.frozen_at < before))


def _forget_unwritten(connection: Connection, *which: Any) -> None:
    unwritten = select(open_rows.c.lead).where(open_rows.c.lead.not_in(select(lead_rows.c.id)), *which)
    connection.execute(delete(addition_rows).where(addition_rows.c.lead.in_(unwritten)))


_announced: Select[Any] = select(
    open_rows,
    lead_rows.c.graph_version,
    lead_rows.c.subject.label("subject_now"),
    lead_rows.c.frozen_at.label("frozen_in_fact"),
    lead_rows.c.trail,
).outerjoin(lead_rows, lead_rows.c.id == open_rows.c.lead)


def _told(row: Any) -> Announced:
    if row.trail is None:
        return Announced(row.n, OpenLead(LeadId(row.lead), SetId(row.subject), row.frozen_at, ()), None)
    stored = OpenLead.stored(row.lead, row.subject_now, row.frozen_in_fact, row.trail)
    return Announced(row.n, stored, row.graph_version)
