"""Segments that name segments: each must exist, be about the same entity, and never lead back to where it began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from segments.faults import Fault, suggestion
from segments.known import KnownSegment
from segments.limits import MAX_INLINED_LEAVES
from segments.mentions import inlined_leaves, named
from segments.tree import Definition, In
from segments.walk import leaves_of

Segments = Mapping[str, KnownSegment]
"""By id."""


def faults_of_references(definition: Definition, known: Segments, *, segment: str) -> Iterator[Fault]:
    """What is wrong with the segments named; `segment` is the id of the one that names them, or ''."""
    for path, leaf in leaves_of(definition):
        if not isinstance(leaf, In):
            continue
        other = known.get(leaf.segment)
        ring = _way(leaf.segment, segment, known)
        if ring:
            said = " → ".join([segment, *ring])
            advice = "Take it out of one of them: none could be worked out before the others."
            yield Fault(f"{path}.in", "a segment that does not depend on this one", said, advice)
        elif other is None:
            advice = suggestion(leaf.segment, known, otherwise=_by_name(leaf.segment, known))
            yield Fault(f"{path}.in", "the id of a segment", leaf.segment, advice)
        elif other.definition.entity is not definition.entity:
            about = other.definition.entity.value
            advice = f"It is about a {about}; name a segment about a {definition.entity.value}."
            yield Fault(f"{path}.in", "a segment of the same entity", f"{leaf.segment} ({other.name})", advice)
    if inlined_leaves(definition, {each: one.definition for each, one in known.items()}) > MAX_INLINED_LEAVES:
        expected = f"at most {MAX_INLINED_LEAVES} conditions, with those of the segments it names"
        yield Fault("where", expected, "more", "Name fewer segments, or simpler ones.")


def _by_name(given: str, known: Segments) -> str:
    found = [each for each, segment in known.items() if segment.name == given]
    return f"Segments go by their id: {found[0]}." if found else "Create that segment first."


def _way(start: str, goal: str, known: Segments) -> list[str]:
    """The ids from `start` to `goal` as segments name one another; [] where no way leads there."""
    came: dict[str, str] = {start: ""}
    waiting = [start]
    while waiting:
        at = waiting.pop()
        if at == goal:
            return _back(at, came)
        inside = known.get(at)
        for each in sorted(named(inside.definition)) if inside else ():
            if each not in came:
                came[each] = at
                waiting.append(each)
    return []


def _back(at: str, came: dict[str, str]) -> list[str]:
    way = [at]
    while came[at]:
        at = came[at]
        way.append(at)
    return way[::-1]
