"""By what people are known: of many at once, for previews and files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import chain

from api.services import Services
from api.showing import identifier_shown, tokens_of
from cdp.model import Identifier, PersonId
from cdp.records import reading
from cdp.wiring import System
from identity.observation import strongest
from leads import store as leads_store
from leads.lead import LeadId
from leads.show import Shown
from segments.tree import Entity

Known = Mapping[str, list[Identifier]]
"""By the id of a person or a lead."""


def known_by(use: Services, entity: Entity, units: Collection[str], *, reveal: bool = False) -> tuple[Known, Shown]:
    """Identifiers of persons, contacts of leads, masked unless `reveal`. Whoever reveals writes an audit row for each
    token that is `known`."""
    if entity is Entity.PERSON:
        return _of_persons(use, units, reveal=reveal)
    with reading(use.system.records) as connection:
        contacts = leads_store.contacts(connection, [LeadId(each) for each in units])
    shown = Shown(use.system.vault, chain(*(each.values() for each in contacts.values())), reveal=reveal)
    return {
        str(lead): [Identifier(kind, shown.value(kind, token)) for kind, token in contact.items()]
        for lead, contact in contacts.items()
    }, shown


def _of_persons(use: Services, persons: Collection[str], *, reveal: bool) -> tuple[Known, Shown]:
    found = _identifiers(use.system, {PersonId(each) for each in persons})
    shown = Shown(use.system.vault, tokens_of(chain(*found.values())), reveal=reveal)
    return {
        str(person): [Identifier(each.kind, identifier_shown(each, shown, reveal=reveal)) for each in identifiers]
        for person, identifiers in found.items()
    }, shown


def _identifiers(system: System, persons: set[PersonId]) -> dict[PersonId, list[Identifier]]:
    """Their identifiers now, strongest first, with a few looks into the stores however many persons they are."""
    sets = system.identity.members_of_sets(system.events.mirror.owned_sets(persons))
    found: defaultdict[PersonId, set[Identifier]] = defaultdict(set)
    for member in chain(*sets.values()):
        # What has changed hands is its newest owner's.
        owner = system.identity.person_of(member.identifier) if member.epochs else member.person
        if owner in persons:
            found[owner].add(member.identifier)
    return {person: strongest(identifiers, system.identity.policy) for person, identifiers in found.items()}
