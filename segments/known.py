"""What is known of the data that segments speak of: names, types and values seen so far, and the other segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from segments.tree import Definition


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one property or attribute: its types (string, number, boolean, list, object), and texts that it held.

    `complete` says that these are all texts that it ever held; `count` is how often it may have come, at most.
    """

    types: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()
    complete: bool = False
    count: int = 0


ANYTHING = Seen()
"""Of what nothing is known but that it may exist."""


@dataclass(frozen=True, slots=True)
class KnownSegment:
    name: str
    definition: Definition


@dataclass(frozen=True, slots=True)
class Known:
    """`attributes` are those of persons, `of_leads` those of leads; `events` has the properties of each, by its name.
    Segments go by id."""

    attributes: Mapping[str, Seen] = field(default_factory=dict)
    of_leads: Mapping[str, Seen] = field(default_factory=dict)
    events: Mapping[str, Mapping[str, Seen]] = field(default_factory=dict)
    segments: Mapping[str, KnownSegment] = field(default_factory=dict)


def lookup(name: str, among: Mapping[str, Seen]) -> Seen | None:
    """What was seen of `name`; a part of an object that was seen as a whole may hold anything."""
    if name in among:
        return among[name]
    return ANYTHING if whole_of(name, among) else None


def whole_of(name: str, among: Mapping[str, Seen]) -> str:
    """The object that `name` reaches into; '' where none was seen."""
    wholes = (name[:at] for at, sign in enumerate(name) if sign == ".")
    return next((whole for whole in wholes if whole in among and "object" in among[whole].types), "")
