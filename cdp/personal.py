"""The step where personal values end: identifiers, traits and free text of an event become tokens.

After it an event holds no clear phone number, e-mail address, ID number, VIN or plate anywhere, whatever field it
came in; the clear values wait beside it until the vault has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from cdp.batch import NO_SET, Item
from cdp.model import NO_PAGE, PERSONAL_KINDS, Event, Fact, Identifier, Page, SetId, TraitChange
from cdp.scrub import Tokenise, looks_personal, scrub_json, scrub_text
from cdp.vault import Vault
from identity.kinds import Policy
from identity.normalise import normalise
from identity.observation import set_id, strongest
from identity.recent import Recent
from leads.contact import check_contact, contact_of

REMEMBERED_SETS = 65_536
"""Identifier tuples whose tokens are kept, about 500 bytes each; most events come with a tuple that came before."""


class Prepared(NamedTuple):
    """What an event's identifiers come to."""

    identifiers: tuple[Identifier, ...]
    usable: tuple[Identifier, ...]
    blocked: dict[Identifier, str]
    set: SetId
    clear: dict[str, Identifier]


class Personal:
    """Replaces personal values by tokens. Not thread-safe: one belongs to one worker."""

    def __init__(self, vault: Vault, policy: Policy, *, region: str, capture_events: Iterable[str]) -> None:
        self._vault = vault
        self._policy = policy
        self._region = region
        self._capture_events = frozenset(capture_events)
        self._prepared: Recent[tuple[Identifier, ...], Prepared] = Recent(REMEMBERED_SETS)

    def tokenise(self, item: Item) -> None:
        """Change the item's event in place; see the module. Doing so twice changes nothing more."""
        event = item.event
        prepared = self._prepare(event.identifiers)
        item.evidence = [(event.fact, prepared.usable)]
        if event.name in self._capture_events:
            item.contact = contact_of(msgspec.json.decode(event.properties)) or None
            given = check_contact(item.contact or {}, region=self._region).identifiers
            if given:
                # What was typed into the form is weaker evidence than what the SDK says of the session.
                prepared = self._prepare(event.identifiers + given)
                item.evidence.append((Fact.FORM, prepared.usable))
        event.identifiers, item.set, item.blocked = prepared.identifiers, prepared.set, prepared.blocked
        item.clear = dict(prepared.clear)
        self._scrub(event, self._collecting(item.clear))

    def _scrub(self, event: Event, tokenise: Tokenise) -> None:
        event.properties = scrub_json(event.properties, tokenise)
        page = event.page
        if page is not NO_PAGE and looks_personal(f"{page.url}\n{page.path}\n{page.title}\n{page.referrer}".encode()):
            event.page = Page(
                url=scrub_text(page.url, tokenise),
                path=scrub_text(page.path, tokenise),
                title=scrub_text(page.title, tokenise),
                referrer=scrub_text(page.referrer, tokenise),
            )
        if event.traits:
            event.traits = tuple(
                TraitChange(change.operation, change.name, scrub_json(change.value.encode(), tokenise).decode())
                for change in event.traits
            )

    def _collecting(self, clear: dict[str, Identifier]) -> Tokenise:
        """A tokeniser that notes the clear value of each token it makes."""

        def tokenise(kind: str, value: str) -> str | None:
            normal = normalise(kind, value, region=self._region)
            if normal is None:
                return None
            token = self._vault.token(kind, normal)
            clear[token] = Identifier(kind, normal)
            return token

        return tokenise

    def _prepare(self, identifiers: tuple[Identifier, ...]) -> Prepared:
        prepared = self._prepared.get(identifiers)
        if prepared is None:
            prepared = self._prepare_anew(identifiers)
            self._prepared.put(identifiers, prepared)
        return prepared

    def _prepare_anew(self, identifiers: tuple[Identifier, ...]) -> Prepared:
        clear: dict[str, Identifier] = {}
        tokenise = self._collecting(clear)
        kept: dict[Identifier, str | None] = {}
        for identifier in identifiers:
            value = normalise(identifier.kind, identifier.value, region=self._region)
            if value is None:
                continue
            safe = self._safe(identifier.kind, value, clear, tokenise)
            kept[safe] = self._policy.blocked(identifier.kind, value)
        ordered = tuple(strongest(kept, self._policy))
        usable = tuple(each for each in ordered if kept[each] is None)
        blocked = {each: reason for each, reason in kept.items() if reason is not None}
        return Prepared(ordered, usable, blocked, set_id(ordered) if ordered else NO_SET, clear)

    def _safe(self, kind: str, value: str, clear: dict[str, Identifier], tokenise: Tokenise) -> Identifier:
        if kind not in PERSONAL_KINDS:
            # A login name is often somebody's phone number or e-mail address.
            return Identifier(kind, scrub_text(value, tokenise))
        token = self._vault.token(kind, value)
        clear[token] = Identifier(kind, value)
        return Identifier(kind, token)
