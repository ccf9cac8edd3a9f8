"""Check a segment against what is known, before it is saved: what can only be a slip is an error.

What never came may still come, since tracking may follow the segment: it is a warning, and the properties of such an
event are not checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from segments.counts import CHOSEN
from segments.faults import CLOSE, Fault, is_slip, suggestion
from segments.known import ANYTHING, Known, Seen, lookup, whole_of
from segments.names import PERSON_BUILTINS, Of, is_moment
from segments.references import faults_of_references
from segments.tree import (
    Absent,
    Aggregate,
    Attr,
    Definition,
    Did,
    Entity,
    Fn,
    Leaf,
    Op,
    Rel,
    Seq,
    Since,
    Step,
    Test,
)
from segments.truths import constant_parts
from segments.walk import leaves_of, props_in, steps_of, window_of

FEW = 50
"""Texts at most of a closed list, such as the cities one sells in; another one that resembles one of them is then taken
for a slip."""
MANY = 100
"""What came less often may well come with another type or value."""

_TEXT, _NUMBER = frozenset({"string"}), frozenset({"number"})
_DATED = frozenset({"string", "number"})
_FIELD = Seen(_TEXT, count=MANY)
_BUILTIN = Seen(_NUMBER, count=MANY)
_MOMENT = ANYTHING


@dataclass(frozen=True, slots=True)
class Checked:
    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


def check(definition: Definition, known: Known, *, segment: str = "") -> Checked:
    """All that is wrong or doubtful; `segment` is the id under which the definition is, or will be, kept."""
    found = _Check(definition.entity, known)
    for path, leaf in leaves_of(definition):
        found.leaf(path, leaf)
    errors = (*found.errors, *faults_of_references(definition, known.segments, segment=segment))
    return Checked(_once(errors), _once((*found.warnings, *constant_parts(definition))))


def _once(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(dict.fromkeys(faults))


@dataclass(slots=True)
class _Check:
    entity: Entity
    known: Known
    errors: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)

    def leaf(self, path: str, leaf: Leaf) -> None:
        for at, step in steps_of(leaf, path):
            self._names(f"{at}.did", step.names)
            self._names(f"{at}.without", step.without)
            self._filter(f"{at}.where", step)
        window = window_of(leaf)
        if isinstance(window, Since) and window.step is None:
            self._attribute(f"{path}.window.since.attr", window.attr)
        match leaf:
            case Attr(name, test):
                self._compare(path, self._attribute(f"{path}.attr", name), test)
                if test.ref:
                    self._attribute(f"{path}.ref", test.ref)
            case Did(step, _, agg, test):
                self._aggregate(path, step, agg, test)
            case Seq(steps, same=same):
                self._same(path, same, steps)
            case Absent(after, absent, same=same):
                self._same(path, same, (after, absent))
            case Rel():
                self._related(path, leaf)

    # Names

    def _names(self, path: str, names: tuple[str, ...]) -> None:
        for index, name in enumerate(names):
            if name not in self.known.events:
                at = f"{path}[{index}]" if len(names) > 1 else path
                advice = suggestion(name, self.known.events, otherwise="See that it is tracked, or correct the name.")
                self.warnings.append(Fault(at, "an event that has come before", name, advice))

    def _attribute(self, path: str, name: str) -> Seen:
        """What is known of an attribute of the unit; notes it where there is none."""
        if self.entity is Entity.LEAD:
            return _lead_attribute(name, self.known)
        if is_moment(Of.PERSON, name):
            return _MOMENT
        if name in PERSON_BUILTINS:
            return _BUILTIN
        seen = self.known.attributes.get(name)
        if seen is not None:
            return seen
        expected = "an attribute that some person has"
        if whole := whole_of(name, self.known.attributes):
            advice = f"An attribute is a whole trait, here {whole}: have this part of it sent as a trait of its own."
            self.errors.append(Fault(path, expected, name, advice))
        else:
            self._unseen(path, expected, name, (*self.known.attributes, *PERSON_BUILTINS), _OR_EVENT)
        return ANYTHING

    def _property(self, path: str, name: str, step: Step) -> Seen:
        """What is known of a property of the events of a step; notes it where they have none of the name."""
        if name.startswith("$"):
            return _FIELD
        events = self.known.events
        if not all(event in events for event in step.names) or not events:
            return ANYTHING
        meant = step.names or tuple(events)
        found = [seen for event in meant if (seen := lookup(name, events[event])) is not None]
        if not found:
            own = {each for event in meant for each in events[event]}
            elsewhere = [event for event in events if lookup(name, events[event]) is not None][:3]
            otherwise = "Look at one of these events for the names it has."
            if elsewhere:
                otherwise = f"The property belongs to {', '.join(elsewhere)}."
            self._unseen(path, f"a property of {' or '.join(step.names) or 'some event'}", name, own, otherwise)
        return _together(found)

    def _unseen(self, path: str, expected: str, name: str, among: Collection[str], otherwise: str) -> None:
        found = self.errors if is_slip(name, among) else self.warnings
        found.append(Fault(path, expected, name, suggestion(name, among, otherwise=otherwise)))

    # Parts of leaves

    def _filter(self, path: str, step: Step) -> None:
        for at, prop in props_in(step.where, path):
            self._compare(at, self._property(f"{at}.prop", prop.name, step), prop.test)
            if prop.test.ref:
                self._property(f"{at}.ref", prop.test.ref, step)

    def _same(self, path: str, same: tuple[str, ...], steps: Iterable[Step]) -> None:
        for index, name in enumerate(same):
            for step in steps:
                self._property(f"{path}.same[{index}]", name, step)

    def _aggregate(self, path: str, step: Step, agg: Aggregate, test: Test) -> None:
        if not agg.of:
            return
        seen = self._property(f"{path}.agg.of", agg.of, step)
        if agg.fn in CHOSEN:
            self._compare(path, seen, test)
        elif agg.fn is not Fn.DISTINCT:
            self._types(f"{path}.agg.of", seen, _NUMBER, f"Only numbers have a {agg.fn.value}.")

    def _related(self, path: str, leaf: Rel) -> None:
        for at, prop in props_in(leaf.where, f"{path}.where"):
            self._compare(at, _lead_attribute(prop.name, self.known), prop.test)

    # Comparisons

    def _compare(self, path: str, seen: Seen, test: Test) -> None:
        if test.ref or test.op in (Op.MISSING, Op.PRESENT):
            return
        values = test.value if isinstance(test.value, tuple) else (test.value,)
        for index, value in enumerate(values):
            at = f"{path}.value[{index}]" if isinstance(test.value, tuple) else f"{path}.value"
            if not self._types(at, seen, _types_for(test.op, value), _advice(value, seen)):
                continue
            if test.op in (Op.EQ, Op.NE, Op.IN, Op.NOT_IN) and isinstance(value, str):
                self._value(at, seen, value)

    def _types(self, path: str, seen: Seen, fitting: frozenset[str], advice: str) -> bool:
        if not seen.types or seen.types & fitting:
            return True
        only = ", ".join(sorted(seen.types))
        found = self.errors if seen.count >= MANY else self.warnings
        found.append(Fault(path, f"what fits a {only}", f"a comparison with a {_or(fitting)}", advice))
        return False

    def _value(self, path: str, seen: Seen, value: str) -> None:
        if seen.complete and len(seen.values) <= FEW and value not in seen.values:
            listed = ", ".join(sorted(seen.values)[:10])
            advice = suggestion(value, sorted(seen.values), otherwise=f"So far there are: {listed}.")
            # What resembles nothing may well come yet, such as the first visitor from another city.
            slip = seen.count >= MANY and is_slip(value, seen.values, least=CLOSE)
            found = self.errors if slip else self.warnings
            found.append(Fault(path, "a value that was seen before", value, advice))


_OR_EVENT = "Traits of persons are attributes; what happened is asked for with did."


def _lead_attribute(name: str, known: Known) -> Seen:
    name = "stage" if name == "status" else name
    return ANYTHING if is_moment(Of.LEAD, name) else known.of_leads.get(name, ANYTHING)


def _together(found: list[Seen]) -> Seen:
    """One of several events' properties of a name; if of one nothing is known, of all."""
    if not found or any(not seen.types for seen in found):
        return ANYTHING
    types = frozenset[str]().union(*(seen.types for seen in found))
    values = frozenset[str]().union(*(seen.values for seen in found))
    return Seen(types, values, all(seen.complete for seen in found), sum(seen.count for seen in found))


def _types_for(op: Op, value: Any) -> frozenset[str]:
    match op:
        case Op.OLDER | Op.NEWER:
            return _DATED
        case Op.STARTS | Op.MATCHES:
            return _TEXT
        case Op.CONTAINS:
            return frozenset({"string", "list"}) if isinstance(value, str) else frozenset({"list"})
        case _:
            return frozenset({_type(value)})


def _type(value: Any) -> str:
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def _advice(value: Any, seen: Seen) -> str:
    if seen.types == _TEXT and not isinstance(value, str):
        return "It has only ever been text: write the value in quotes, or have it sent as a number."
    if seen.types == _NUMBER and isinstance(value, str):
        return "It has only ever been a number: write the value without quotes."
    return "Compare it with a value of its own type."


def _or(types: frozenset[str]) -> str:
    return " or ".join(sorted(types))
