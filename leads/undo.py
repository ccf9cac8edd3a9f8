"""What goes of leads when the import that brought them is undone.

A lead that nobody has touched is as if it had never been. One that somebody works on already, with an owner or a stage
beyond the first, becomes an empty shell, so that whoever counts their work finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, or_, select

from cdp.model import SetId
from cdp.records import chunks
from identity.observation import ObservationId
from identity.reviews import ReviewState, review_rows
from leads import erase, open_leads
from leads.lead import NEW, LeadId
from leads.similar_keys import key_rows, pair_rows
from leads.store import addition_rows, contact_rows, lead_rows


class Gone(NamedTuple):
    """Which leads were removed, which were left as shells, and the evidence that rests on their likeness to others; of
    whose sets they were."""

    removed: list[LeadId]
    emptied: list[LeadId]
    likeness: list[ObservationId]
    subjects: dict[LeadId, SetId]


def find(connection: Connection, leads: Sequence[LeadId]) -> Gone:
    """What removing these leads would do. Reads only; leads that are not there are passed over."""
    removed: list[LeadId] = []
    emptied: list[LeadId] = []
    likeness: list[ObservationId] = []
    subjects: dict[LeadId, SetId] = {}
    for chunk in chunks(leads):
        columns = (lead_rows.c.id, lead_rows.c.stage, lead_rows.c.owner, lead_rows.c.subject)
        for row in connection.execute(select(*columns).where(lead_rows.c.id.in_(chunk))):
            (removed if row.stage == NEW and row.owner is None else emptied).append(row.id)
            subjects[row.id] = row.subject
        alike = select(pair_rows.c.observation).where(or_(pair_rows.c.a.in_(chunk), pair_rows.c.b.in_(chunk)))
        likeness += [ObservationId(each) for each in connection.execute(alike).scalars() if each is not None]
    return Gone(removed, emptied, likeness, subjects)


def remove(connection: Connection, gone: Gone) -> None:
    """Do so, in the caller's transaction. Idempotent."""
    erase.empty(connection, gone.emptied)
    for chunk in chunks([*gone.removed, *gone.emptied]):
        theirs = or_(pair_rows.c.a.in_(chunk), pair_rows.c.b.in_(chunk))
        offered = select(pair_rows.c.review).where(theirs, pair_rows.c.review.is_not(None))
        still_open = review_rows.c.state == ReviewState.OPEN
        connection.execute(delete(review_rows).where(review_rows.c.id.in_(offered), still_open))
        connection.execute(delete(pair_rows).where(theirs))
    open_leads.close(connection, gone.removed)
    for chunk in chunks(gone.removed):
        # Without keys, a lead of the same id that is imported again is compared again.
        connection.execute(delete(key_rows).where(key_rows.c.lead.in_(chunk)))
        connection.execute(delete(contact_rows).where(contact_rows.c.lead.in_(chunk)))
        connection.execute(delete(addition_rows).where(addition_rows.c.lead.in_(chunk)))
        connection.execute(delete(lead_rows).where(lead_rows.c.id.in_(chunk)))
