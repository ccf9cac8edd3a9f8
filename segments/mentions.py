"""What a segment looks at, so that only what it looks at makes it be looked at again.

A segment that is named by another is evaluated within that one, so its mentions are the other's too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from graphlib import TopologicalSorter

from segments.tree import Attr, Definition, Definitions, Entity, In, Leaf, Rel, Since
from segments.walk import leaves_of, steps_of, window_of


@dataclass(frozen=True, slots=True)
class Mentions:
    """`names` are of events, `every` where any event counts; `traits` are of the person, or how the names of those
    begin that it reaches into; `held` are the segments of which it asks for how long one has been in them."""

    names: frozenset[str] = frozenset()
    every: bool = False
    traits: frozenset[str] = frozenset()
    leads: bool = False
    held: frozenset[str] = frozenset()

    def __or__(self, other: Mentions) -> Mentions:
        return Mentions(
            self.names | other.names,
            self.every or other.every,
            self.traits | other.traits,
            self.leads or other.leads,
            self.held | other.held,
        )

    def event(self, name: str) -> bool:
        return self.every or name in self.names

    def trait(self, name: str) -> bool:
        """'' stands for all traits at once."""
        return name in self.traits if name else bool(self.traits)


def mentions_of(definition: Definition, others: Definitions) -> Mentions:
    """`others` are the segments by id."""
    found = [_of_leaf(leaf, each.entity) for each in with_reached(definition, others) for _, leaf in leaves_of(each)]
    return reduce(Mentions.__or__, found, Mentions(leads=definition.entity is Entity.LEAD))


def named(definition: Definition) -> set[str]:
    """The segments that it names itself."""
    return {leaf.segment for _, leaf in leaves_of(definition) if isinstance(leaf, In)}


def reached(definition: Definition, others: Definitions) -> set[str]:
    """The segments that it names, itself or through others."""
    found: set[str] = set()
    waiting = list(named(definition))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += named(others[name]) if name in others else ()
    return found


def inlined_leaves(definition: Definition, others: Definitions) -> int:
    """How many leaves it has with those of the segments that it names, counted as often as they are named. Those do not
    name each other in a circle."""
    counted: dict[str, int] = {}

    def count(each: Definition) -> int:
        inside = (counted.get(leaf.segment, 0) if isinstance(leaf, In) else 0 for _, leaf in leaves_of(each))
        return sum(1 + leaves for leaves in inside)

    there = {name: named(others[name]) for name in reached(definition, others) if name in others}
    for name in TopologicalSorter(there).static_order():
        if name in others:
            counted[name] = count(others[name])
    return count(definition)


def with_reached(definition: Definition, others: Definitions) -> list[Definition]:
    """It and the segments that it names, itself or through others; those that are not there are passed over."""
    return [definition, *(others[name] for name in reached(definition, others) if name in others)]


def _of_leaf(leaf: Leaf, entity: Entity) -> Mentions:
    names, every = _events(leaf)
    attributes = set(_attributes(leaf))
    built_in = {each for each in attributes if each.startswith("$")}
    return Mentions(
        names=names,
        every=every or bool(built_in),
        traits=frozenset(start for each in attributes - built_in for start in _beginnings(each))
        if entity is Entity.PERSON
        else frozenset(),
        leads=isinstance(leaf, Rel) or (entity is Entity.LEAD and bool(attributes)),
        held=frozenset([leaf.segment] if isinstance(leaf, In) and leaf.held is not None else ()),
    )


def _events(leaf: Leaf) -> tuple[frozenset[str], bool]:
    steps = [step for _, step in steps_of(leaf, "")]
    names = {name for step in steps for name in (*step.names, *step.without)}
    return frozenset(names), any(not step.names for step in steps)


def _attributes(leaf: Leaf) -> Iterator[str]:
    if isinstance(leaf, Attr):
        yield leaf.name
        if leaf.test.ref:
            yield leaf.test.ref
    window = window_of(leaf)
    if isinstance(window, Since) and window.attr:
        yield window.attr


def _beginnings(name: str) -> Iterable[str]:
    """a.b.c may be that of c in the object b of a, or of b.c in a."""
    parts = name.split(".")
    return (".".join(parts[: index + 1]) for index in range(len(parts)))
