"""The step where personal values end: identifiers, traits and free text of an event become tokens.

After it an event holds no clear phone number, e-mail address, ID number, VIN or plate anywhere, whatever field it
came in; the clear values wait beside it until the vault has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from cdp.batch import NO_SET, Item
from cdp.model import (
    PERSONAL_KINDS,
    Event,
    Fact,
    Identifier,
    SetId,
    TraitChange,
)
from cdp.scrub import Tokenise, looks_personal, marker, markers_in, scrub_id, scrub_json, scrub_text
from cdp.tombstones import Tombstone, Tombstones, covered
from cdp.vault import Vault
from identity.kinds import Policy
from identity.normalise import normalise
from identity.observation import set_id, strongest
from identity.recent import Recent
from leads.contact import check_contact, contact_of, hide_words

_TEXTS = ("name", "original_name", "locale", "platform")
_PARTS = ("page", "campaign", "app", "device")
_encode = msgspec.json.Encoder().encode

REMEMBERED_SETS = 65_536
"""Identifier tuples whose tokens are kept, about 500 bytes each; most events come with a tuple that came before."""


class Prepared(NamedTuple):
    """What an event's identifiers come to. `stones` are those of persons who had any of them and were erased."""

    identifiers: tuple[Identifier, ...]
    usable: tuple[Identifier, ...]
    blocked: dict[Identifier, str]
    set: SetId
    clear: dict[str, Identifier]
    stones: tuple[Tombstone, ...] = ()


class Personal:
    """Replaces personal values by tokens. Not thread-safe: one belongs to one worker."""

    def __init__(
        self,
        vault: Vault,
        policy: Policy,
        tombstones: Tombstones,
        *,
        region: str,
        capture_events: Iterable[str],
        capture_dialects: Iterable[str] = (),
        remembered: int = REMEMBERED_SETS,
    ) -> None:
        self._vault = vault
        self._tombstones = tombstones
        self._stones_version = tombstones.version
        self._policy = policy
        self._region = region
        self._capture_events = frozenset(capture_events)
        self._capture_dialects = frozenset(capture_dialects)
        self._prepared: Recent[tuple[Identifier, ...], Prepared] = Recent(remembered)

    def stones(self, event: Event) -> tuple[Tombstone, ...]:
        """The tombstones of whom an event names, whose values are still clear."""
        given: tuple[Identifier, ...] = ()
        if self._captures(event):
            contact = contact_of(msgspec.json.decode(event.properties))
            given = check_contact(contact, region=self._region).identifiers
        return self._prepare(event.identifiers + given).stones

    def erased(self, event: Event) -> bool:
        """Whether an event, whose values are still clear, lies before the erasure of somebody it names."""
        stones = self.stones(event)
        return bool(stones) and covered(stones, occurred_at=event.occurred_at, received_at=event.received_at)

    def tokenise(self, item: Item) -> None:
        """Change the item's event in place; see the module. Doing so twice changes nothing more."""
        event = item.event
        prepared = self._prepare(event.identifiers)
        item.evidence = [(event.fact, prepared.usable)]
        if self._captures(event):
            item.contact = contact_of(msgspec.json.decode(event.properties)) or None
            given = check_contact(item.contact or {}, region=self._region).identifiers
            if given:
                # What was typed into the form is weaker evidence than what the SDK says of the session.
                prepared = self._prepare(event.identifiers + given)
                item.evidence.append((Fact.FORM, prepared.usable))
        event.identifiers, item.set, item.blocked = prepared.identifiers, prepared.set, prepared.blocked
        item.clear = dict(prepared.clear)
        if item.contact:
            event.properties = self._hide_words(event.properties, item.clear)
        if prepared.stones:
            at = event.occurred_at
            item.reborn = max((each.erased_at for each in prepared.stones if each.since <= at < each.until), default=0)
        self._scrub(event, self._collecting(item.clear))

    def _captures(self, event: Event) -> bool:
        """Whether a contact in the event's properties is an enquiry."""
        return event.name in self._capture_events or event.dialect in self._capture_dialects

    def _hide_words(self, properties: bytes, clear: dict[str, Identifier]) -> bytes:
        def hide(kind: str, value: str) -> str:
            if markers_in(value):
                return value
            token = self._vault.token(kind, value)
            clear[token] = Identifier(kind, value)
            return marker(kind, token)

        told = msgspec.json.decode(properties)
        hide_words(told, hide)
        return msgspec.json.encode(told)

    def _scrub(self, event: Event, tokenise: Tokenise) -> None:
        event.properties = scrub_json(event.properties, tokenise)
        # One look at all the rest, for nearly every event has nothing there.
        rest = (event.name, event.original_name, event.locale, event.platform, event.page, event.campaign, event.app)
        if looks_personal(_encode((*rest, event.device, event.traits))):
            self._scrub_fields(event, tokenise)
        event.client_id = scrub_id(event.client_id, tokenise)
        if event.session:
            event.session = scrub_id(event.session, tokenise)

    def _scrub_fields(self, event: Event, tokenise: Tokenise) -> None:
        for name in _TEXTS:
            setattr(event, name, scrub_text(getattr(event, name), tokenise))
        for name in _PARTS:
            part = getattr(event, name)
            text = _encode(part)
            scrubbed = scrub_json(text, tokenise)
            if scrubbed is not text:
                setattr(event, name, msgspec.json.decode(scrubbed, type=type(part)))
        event.traits = tuple(
            TraitChange(
                change.operation,
                scrub_text(change.name, tokenise),
                scrub_json(change.value.encode(), tokenise).decode(),
            )
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
        if self._stones_version != self._tombstones.version:
            # What is remembered of erased identifiers must go in any case.
            self._stones_version = self._tombstones.version
            self._prepared.clear()
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
        its_set = set_id(ordered) if ordered else NO_SET
        return Prepared(ordered, usable, blocked, its_set, clear, self._tombstones.of(ordered, its_set))

    def _safe(self, kind: str, value: str, clear: dict[str, Identifier], tokenise: Tokenise) -> Identifier:
        if kind not in PERSONAL_KINDS:
            # A login name is often somebody's phone number or e-mail address.
            return Identifier(kind, scrub_text(value, tokenise))
        token = self._vault.token(kind, value)
        clear[token] = Identifier(kind, value)
        return Identifier(kind, token)
