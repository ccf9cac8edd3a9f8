"""All that is known of one person, as whoever asks for their data may have it."""

from __future__ import annotations

import msgspec

from api import shapes
from api.keys import ApiKey
from api.permissions import Permission
from api.persons import history_of
from api.services import Services
from api.showing import identifier_shown, tokens_of
from cdp.moments import rfc3339
from cdp.records import reading
from identity.erase import erasure_of
from leads.erase import leads_of

LAST_MOMENT = 2**62


def everything_of(use: Services, caller: ApiKey, person: str) -> shapes.Export:
    """Raises NotFound. As much of personal values as the caller may see; each clear one leaves an audit row."""
    system = use.system
    who = use.people.who(person)
    events = system.events.events_between(list(who.sets), after=-LAST_MOMENT, until=LAST_MOMENT, windows=who.windows)
    with reading(system.records) as connection:
        leads = leads_of(connection, who.sets, who.windows)
    reveal = caller.may(Permission.SEE_CLEAR)
    return shapes.Export(
        person=msgspec.Raw(use.people.read(caller, who.id)),
        events=use.showing.events(caller, events, subject=who.id),
        leads=[system.leads.lead(each, reveal=reveal, actor=caller.name) for each in leads],
        history=history_of(use, caller, who.id)[::-1],
        observations=_observations(use, caller, person),
    )


def _observations(use: Services, caller: ApiKey, person: str) -> list[shapes.Said]:
    who = use.people.who(person)
    graph = use.system.identity.graph
    found = [each for each, gone in graph.observations(erasure_of(graph, who).observations) if not gone]
    met = {identifier for each in found for identifier in each.identifiers}
    shown = use.showing.values(caller, tokens_of(met), subject=who.id)
    reveal = caller.may(Permission.SEE_CLEAR)
    return [
        shapes.Said(
            id=str(each.id),
            source=each.source,
            strength=each.strength,
            at=rfc3339(each.occurred_at),
            different=each.different,
            identifiers=[
                shapes.Identifier(kind=one.kind, value=identifier_shown(one, shown, reveal=reveal))
                for one in each.identifiers
            ],
        )
        for each in sorted(found, key=lambda each: (each.occurred_at, each.id))
    ]
