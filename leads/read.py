"""Reading leads: by id, as pages, by person, by a contact value; masked unless the reader may see more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Engine

from cdp.audit import note_shown
from cdp.errors import NotFound
from cdp.model import Identifier, Millis, PersonId
from cdp.records import reading
from cdp.vault import Vault
from identity.normalise import normalise
from identity.verbs import Identity
from leads import show, store
from leads.clear import ClearValues
from leads.lead import CONTACT_FIELDS, lead_id_of
from profiles.store import Cursor
from profiles.whose import Moment, Whose

Page = tuple[list[dict[str, Any]], Cursor | None]
"""Leads, and where the next page begins."""


class LeadReader:
    """Leads in the contract's shape. With `reveal`, each clear value shown to `actor` leaves an audit row first."""

    def __init__(
        self,
        records: Engine,
        identity: Identity,
        vault: Vault,
        whose: Whose,
        *,
        region: str,
        clock: Callable[[], Millis],
    ) -> None:
        self._records = records
        self._identity = identity
        self._vault = vault
        self._whose = whose
        self._region = region
        self._clock = clock

    def existing(self, source: str, external_id: str | None) -> dict[str, Any] | None:
        """The lead that a sender already sent under this id, masked; for an answer without waiting."""
        if not external_id:
            return None
        safe = ClearValues(self._vault, region=self._region)
        with reading(self._records) as connection:
            same = safe.text(source), safe.text(external_id)
            # A shell has no external id any more, but the id that was made of it.
            shells = store.present(connection, [lead_id_of(*same)])
            lead_id = store.id_of(connection, *same) or next(iter(shells), None)
        return None if lead_id is None else self.lead(lead_id)

    def lead(self, lead_id: str, *, reveal: bool = False, actor: str = "") -> dict[str, Any]:
        """One lead in the contract's shape; each clear value in it leaves an audit row. Raises NotFound."""
        with reading(self._records) as connection:
            found = store.find(connection, lead_id)
            additions = store.additions_of(connection, lead_id) if found else []
        if found is None:
            raise NotFound("lead", lead_id)
        return self._shown([(found, show.whole(found, additions))], reveal=reveal, actor=actor)[0]

    def leads(
        self,
        *,
        stage: str | None = None,
        owner: str | None = None,
        limit: int = 100,
        cursor: Cursor | None = None,
        reveal: bool = False,
        actor: str = "",
    ) -> Page:
        """A page of leads without the events of their trails, newest first, and where the next page begins."""
        with reading(self._records) as connection:
            found = store.page(connection, limit=limit + 1, before=cursor, stage=stage, owner=owner)
        shown = self._cards(found[:limit], reveal=reveal, actor=actor)
        return shown, _cursor_after(found, limit)

    def leads_of(
        self,
        person: PersonId,
        *,
        limit: int = 100,
        cursor: Cursor | None = None,
        reveal: bool = False,
        actor: str = "",
    ) -> Page:
        """A page of the leads that are this person's now, as `leads`."""
        found = self._captured_of(person, limit=limit + 1, before=cursor)
        return self._cards(found[:limit], reveal=reveal, actor=actor), _cursor_after(found, limit)

    def lookup(self, kind: str, value: str, *, reveal: bool = False, actor: str = "") -> list[dict[str, Any]]:
        """The leads that left this contact value, and those of the person who has this identifier, newest first."""
        value = value.strip()
        safe = ClearValues(self._vault, region=self._region)
        same = normalise(kind, value, region=self._region) if kind not in ("name", "wechat") else value
        person = self._identity.person_of(safe.identifier(Identifier(kind, same))) if same else None
        found = self._captured_of(person, limit=store.MAX_PAGE) if person else []
        with reading(self._records) as connection:
            if kind in CONTACT_FIELDS:
                found += store.with_contact(
                    connection, [self._vault.token(kind, each) for each in {value, same} if each]
                )
        by_id = {lead.row.id: lead for lead in found}
        newest = sorted(by_id.values(), key=lambda lead: (-lead.row.created_at, lead.row.id))
        return self._cards(newest, reveal=reveal, actor=actor)

    def _captured_of(self, person: PersonId, *, limit: int, before: Cursor | None = None) -> list[store.StoredLead]:
        who = self._whose.person(person)
        if who is None:
            return []
        with reading(self._records) as connection:
            return store.page(connection, limit=limit, before=before, subjects=who.sets, windows=who.windows)

    def _cards(self, found: Iterable[store.StoredLead], *, reveal: bool, actor: str) -> list[dict[str, Any]]:
        return self._shown([(lead, show.card(lead)) for lead in found], reveal=reveal, actor=actor)

    def _shown(
        self, found: Sequence[tuple[store.StoredLead, dict[str, Any]]], *, reveal: bool, actor: str
    ) -> list[dict[str, Any]]:
        persons = self._whose.persons_at({_moment(lead) for lead, _ in found})
        bodies = [body | {"person": persons[_moment(lead)] or self._named(lead)} for lead, body in found]
        tokens = {body["id"]: show.tokens_of(body) for body in bodies}
        values = show.Shown(self._vault, set().union(*tokens.values()), reveal=reveal)
        if reveal:
            for lead_id, of_lead in tokens.items():
                seen = sorted(of_lead & values.known)
                note_shown(self._records, seen, actor=actor, subject=lead_id, at=self._clock())
        return [show.show(body, values) for body in bodies]

    def _named(self, lead: store.StoredLead) -> PersonId | None:
        at_capture = lead.row.person_at_capture
        return self._identity.current(at_capture) if at_capture else None


def _moment(lead: store.StoredLead) -> Moment:
    return lead.row.subject, lead.row.frozen_at


def _cursor_after(found: Sequence[store.StoredLead], limit: int) -> Cursor | None:
    if len(found) <= limit:
        return None
    last = found[limit - 1].row
    return Cursor(last.created_at, last.id)
