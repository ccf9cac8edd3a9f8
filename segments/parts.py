"""Read what leaves are made of: which events or objects are meant, by name and by their properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from segments.comparison import COMPARED, Kind, kind_of_name, read_name, read_test
from segments.faults import shown, suggestion
from segments.limits import MAX_COMPARISONS, MAX_DEPTH, MAX_SAME
from segments.names import Of
from segments.reading import Place
from segments.tree import All, Any_, Duration, Filter, Not, Prop, Step, Test

_NOT_IN_FILTERS = "Put it beside the event condition: {all: [{attr: …}, {did: …}]}."


def event_names(place: Place) -> tuple[str, ...]:
    """Names of events; none for any event."""
    if place.value in ("*", ["*"]):
        return ()
    names = place.each(event_name) if isinstance(place.value, list) else (event_name(place),)
    return names or ("",)


def event_name(place: Place) -> str:
    if place.value == "*":
        place.refuse("the name of an event", "* stands alone, for any event.")
    return place.text("the name of an event")


def read_where(given: Mapping[str, Place], depth: int, of: Of) -> Filter:
    return read_filter(given["where"], depth + 1, of) if "where" in given else All()


def read_step(place: Place, depth: int, *, first: bool) -> Step:
    fields = ("did", "where") if first else ("did", "where", "gap", "without")
    if first and isinstance(place.value, dict):
        for name in ("gap", "without"):
            if name in place.value:
                place.refuse("neither gap nor without", "They are about the step before; here there is none.", got=name)
                fields = (*fields, name)
    given = place.fields(fields, required=("did",))
    if "did" not in given:
        return Step(())
    where = read_where(given, depth, Of.EVENT)
    without = given["without"].each(event_name) if "without" in given else ()
    return Step(event_names(given["did"]), where, optional_duration(given, "gap"), without)


def read_same(given: Mapping[str, Place]) -> tuple[str, ...]:
    if "same" not in given:
        return ()
    return given["same"].each(lambda each: read_name(each, Of.EVENT), least=0, most=MAX_SAME)


def optional_duration(given: Mapping[str, Place], name: str) -> Duration | None:
    return given[name].duration() if name in given else None


def read_filter(place: Place, depth: int, of: Of) -> Filter:
    if not may_enter(place, depth):
        return All()
    if isinstance(place.value, dict) and "attr" in place.value and "prop" not in place.value:
        place.refuse("a property: {prop: …, op: …}", _NOT_IN_FILTERS, got="the attribute of a unit")
        return All()
    node = node_of(place, ("prop", "all", "any", "not"))
    if (node == "prop" or says_nothing(place, node)) and not _one_more(place):
        return All()
    if node == "prop":
        return Prop(*read_named(place, "prop", of))
    inner: Filter = connective(place, node, lambda part: read_filter(part, depth + 1, of))
    return inner


def _one_more(place: Place) -> bool:
    place.reading.comparisons += 1
    if place.reading.comparisons == MAX_COMPARISONS + 1:
        place.refuse(f"at most {MAX_COMPARISONS} comparisons in filters", "List values with the op in.")
    return place.reading.comparisons <= MAX_COMPARISONS


def read_named(place: Place, field: str, of: Of) -> tuple[str, Test]:
    given = place.fields((field, *COMPARED), required=(field, "op"))
    name = read_name(given[field], of)
    test = read_test(given, kind_of_name(of, name), of)
    if test.ref and kind_of_name(of, test.ref) is Kind.PERSONAL:
        given["ref"].refuse("another attribute", "Of contacts a segment may only ask whether they are there.")
    return name, test


def may_enter(place: Place, depth: int) -> bool:
    if depth > MAX_DEPTH:
        place.refuse(f"at most {MAX_DEPTH} conditions inside one another", "Nest less.", got="one more")
    return depth <= MAX_DEPTH and not place.reading.full


def says_nothing(place: Place, node: str) -> bool:
    """A connective without parts: it counts as a condition, or there could be any number of them."""
    return node in ("all", "any") and place.value[node] == []


def node_of(place: Place, nodes: tuple[str, ...]) -> str:
    """Which of `nodes` the object is; '' where none or several."""
    fields = list(place.value) if isinstance(place.value, dict) else []
    found = [node for node in nodes if node in fields]
    if len(found) == 1:
        return found[0]
    expected = f"one of {', '.join(nodes)}"
    if not isinstance(place.value, dict):
        place.refuse(f"an object with {expected}", "A condition looks like {attr: city, op: =, value: 北京}.")
    elif found:
        place.refuse(expected, "Put each into an object of its own, inside all or any.", got=" and ".join(found))
    else:
        advice = suggestion(fields[0], nodes, otherwise="Name what the condition is about.") if fields else "Add one."
        place.refuse(expected, advice, got=f"the field {shown(fields[0])}" if fields else "an empty object")
    return ""


def connective(place: Place, node: str, read: Callable[[Place], Any]) -> Any:
    if node == "":
        return All()
    inner = place.fields((node,))[node]
    if node == "not":
        return Not(read(inner))
    return All(inner.each(read, least=0)) if node == "all" else Any_(inner.each(read))
