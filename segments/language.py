"""From the JSON of a segment to its tree. All that is wrong is found at once and told place by place.

A definition is hostile input: it is measured before it is entered, and what is not understood is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from segments.aggregates import read_amount
from segments.faults import MalformedSegment, suggestion
from segments.limits import MAX_LEAVES, MAX_STEPS
from segments.names import Of
from segments.parts import (
    connective,
    event_names,
    may_enter,
    node_of,
    optional_duration,
    read_named,
    read_same,
    read_step,
    read_where,
    says_nothing,
)
from segments.reading import Place, Reading, bounded
from segments.tree import (
    Absent,
    Aggregate,
    All,
    Attr,
    Condition,
    Definition,
    Did,
    Entity,
    In,
    Op,
    Rel,
    Sample,
    Seq,
    Step,
    Test,
)
from segments.units import time_zones
from segments.windows import read_window
from segments.written import VERSION

_WAITING_ENTITIES = dict.fromkeys(("vehicle", "account"), "Segments of it wait until these objects exist.")
_WAITING_RELS = dict.fromkeys(
    ("vehicle", "owned_vehicle", "account", "dealer", "order"),
    "It waits until those objects exist; until then ask for an attribute of the person or for an event.",
)


def parse(document: Any, *, tz: str) -> Definition:
    """The segment in a JSON value; `tz` is its time zone where it names none. Raises MalformedSegment."""
    bounded(document)
    reading = Reading(ZoneInfo(tz))
    given = Place(document, "", reading).fields(
        ("v", "entity", "tz", "universe", "where"), required=("v", "entity", "where")
    )
    if "v" in given and (given["v"].value != VERSION or isinstance(given["v"].value, bool)):
        given["v"].refuse(f"the number {VERSION}", "It is the version of the language; there is one.")
    if "entity" in given:
        entity = given["entity"].choice([*Entity], what="what the segment is about", waiting=_WAITING_ENTITIES)
        reading.entity = Entity(entity or Entity.PERSON)
    if "tz" in given:
        tz = _time_zone(given["tz"]) or tz
        reading.tz = ZoneInfo(tz)
    universe = _condition(given["universe"], 1) if "universe" in given else All()
    where = _condition(given["where"], 1) if "where" in given else All()
    if reading.faults:
        raise MalformedSegment(reading.faults)
    return Definition(reading.entity, tz, where, universe)


def _time_zone(place: Place) -> str:
    name = place.value
    if isinstance(name, str) and name in time_zones():
        return name
    advice = suggestion(name, time_zones(), otherwise="See the IANA list.") if isinstance(name, str) else "Name it."
    place.refuse("a time zone such as Asia/Shanghai", advice)
    return ""


# Conditions


def _condition(place: Place, depth: int) -> Condition:
    if not may_enter(place, depth):
        return All()
    node = node_of(place, (*_LEAVES, "all", "any", "not"))
    if (node in _LEAVES or says_nothing(place, node)) and not _one_more(place):
        return All()
    if node in _LEAVES:
        return _LEAVES[node](place, depth)
    condition: Condition = connective(place, node, lambda part: _condition(part, depth + 1))
    return condition


def _one_more(place: Place) -> bool:
    """Counts a condition; false where there are too many, which is told once."""
    place.reading.leaves += 1
    if place.reading.leaves == MAX_LEAVES + 1:
        place.refuse(f"at most {MAX_LEAVES} conditions", "Make two segments of it, and name one in the other.")
    return place.reading.leaves <= MAX_LEAVES


# Leaves


def _attr(place: Place, _depth: int) -> Attr:
    return Attr(*read_named(place, "attr", Of(place.reading.entity.value)))


def _did(place: Place, depth: int) -> Did:
    given = place.fields(("did", "where", "window", "agg", "op", "value"))
    step = Step(event_names(given["did"]), read_where(given, depth, Of.EVENT))
    window = read_window(given["window"], depth) if "window" in given else None
    return Did(step, window, *read_amount(place, given, Of.EVENT))


def _seq(place: Place, depth: int) -> Seq:
    given = place.fields(("seq", "within", "same", "window"))
    places = given["seq"].items(least=2, most=MAX_STEPS)
    steps = tuple(read_step(each, depth, first=index == 0) for index, each in enumerate(places))
    window = read_window(given["window"], depth) if "window" in given else None
    return Seq(steps, optional_duration(given, "within"), read_same(given), window)


def _absent(place: Place, depth: int) -> Absent:
    given = place.fields(("absent", "after", "for", "until", "same"), required=("after", "for"))
    absent = read_step(given["absent"], depth, first=True)
    after = read_step(given["after"], depth, first=True) if "after" in given else Step(())
    wait = given["for"].duration(least=0) if "for" in given else 0
    until = optional_duration(given, "until")
    if until is not None and until <= wait:
        given["until"].refuse("longer than for", "It is the moment, counted from after, at which it ends to be true.")
    return Absent(after, absent, wait, until, read_same(given))


def _in(place: Place, _depth: int) -> In:
    given = place.fields(("in", "for", "as_of"))
    if "for" in given and "as_of" in given:
        place.refuse("either for or as_of", "Take one of them out.", got="both")
    as_of = given["as_of"].moment() if "as_of" in given else None
    return In(given["in"].text("the id of a segment"), optional_duration(given, "for"), as_of)


def _rel(place: Place, depth: int) -> Rel:
    given = place.fields(("rel", "where", "agg", "op", "value"))
    rels = ["lead"] if place.reading.entity is Entity.PERSON else []
    if not rels:
        place.refuse("no rel", "Leads have no related objects yet; ask for events of the lead's person.", got="rel")
        return Rel("lead", All(), Aggregate(), Test(Op.PRESENT))
    rel = given["rel"].choice(rels, what="related objects", waiting=_WAITING_RELS)
    where = read_where(given, depth, Of.LEAD) if rel else All()
    return Rel(rel, where, *read_amount(place, given, Of.LEAD))


def _sample(place: Place, _depth: int) -> Sample:
    inner = place.fields(("sample",))["sample"]
    given = inner.fields(("salt", "from", "to"), required=("salt", "from", "to"))
    if len(given) < 3:
        return Sample("", 0, 1)
    salt, start, end = given["salt"].text(), float(given["from"].number()), float(given["to"].number())
    if not 0 <= start < end <= 1:
        inner.refuse("0 <= from < to <= 1", "The slice from 0 to 0.1 is a tenth.", got=f"{start} and {end}")
    return Sample(salt, start, end)


_LEAVES: dict[str, Callable[[Place, int], Condition]] = {
    "absent": _absent,
    "attr": _attr,
    "did": _did,
    "seq": _seq,
    "in": _in,
    "rel": _rel,
    "sample": _sample,
}
