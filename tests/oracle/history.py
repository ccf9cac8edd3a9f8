"""What is known of one person or one lead, as plain as can be: the unit that `tests.oracle.segments` looks at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.oracle.values import Millis, Moment, found, is_number

Lead = Mapping[str, Any]
"""id, source, channel, stage, owner, created_at (Millis), campaign, interest, contact."""


class Happened(NamedTuple):
    """An event; `fields` are those of the event itself, by names without their `$`."""

    id: str
    name: str
    at: Millis
    properties: Mapping[str, Any] = {}
    fields: Mapping[str, str] = {}

    def get(self, name: str) -> Any:
        """'' counts as missing in a field of the event itself."""
        return self.fields.get(name[1:]) or None if name.startswith("$") else found(self.properties, name)


class Related(NamedTuple):
    """A lead of a person."""

    at: Millis
    lead: Lead

    def get(self, name: str) -> Any:
        return lead_attribute(self.lead, name)


class TraitSaid(NamedTuple):
    at: Millis
    event: str
    order: int
    operation: str
    name: str
    value: Any = None


@dataclass(frozen=True)
class History:
    """All that is known of a person; or of a lead, which is then `lead`, with the events of its person."""

    unit: str
    events: Sequence[Happened] = ()
    traits: Sequence[TraitSaid] = ()
    leads: Sequence[Lead] = ()
    lead: Lead | None = None

    def until(self, now: Millis) -> History:
        return dataclasses.replace(
            self,
            events=[each for each in self.events if each.at <= now],
            traits=[each for each in self.traits if each.at <= now],
            leads=[each for each in self.leads if each["created_at"] <= now],
        )

    def exists(self, now: Millis) -> bool:
        return self.lead is None or self.lead["created_at"] <= now

    def get(self, name: str) -> Any:
        """An attribute of the unit."""
        if self.lead is not None:
            return lead_attribute(self.lead, name)
        moments = [each.at for each in self.events]
        match name:
            case "$events":
                return len(moments)
            case "$first_seen":
                return Moment(min(moments)) if moments else None
            case "$last_seen":
                return Moment(max(moments)) if moments else None
        value = fold(self.traits).get(name)
        return None if isinstance(value, Mapping) else value


def lead_attribute(lead: Lead, name: str) -> Any:
    head, _, rest = name.partition(".")
    if name == "created_at":
        return Moment(lead["created_at"])
    if head in ("campaign", "interest", "contact"):
        return found(lead.get(head), rest)
    return lead.get("stage" if name == "status" else name)


def fold(rows: Iterable[TraitSaid]) -> dict[str, Any]:
    """Traits after these rows, one row for each (at, event, order)."""
    traits: dict[str, Any] = {}
    for row in sorted({row[:3]: row for row in rows}.values(), key=lambda row: row[:3]):
        before = traits.get(row.name)
        match row.operation:
            case "delete":
                traits = {}
            case "unset":
                traits.pop(row.name, None)
            case "set":
                traits[row.name] = row.value
            case "set_once":
                traits.setdefault(row.name, row.value)
            case "increment":
                traits[row.name] = sum(each for each in (before, row.value) if is_number(each))
            case "append":
                lists = [each if isinstance(each, list) else [each] for each in (before, row.value) if each is not None]
                traits[row.name] = [each for one in lists for each in one]
    return traits
