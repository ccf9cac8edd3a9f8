"""What a condition is made of, each part with its path in the JSON of the definition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from segments.tree import (
    Absent,
    All,
    Any_,
    Condition,
    Definition,
    Did,
    Filter,
    Leaf,
    Not,
    Prop,
    Rel,
    Seq,
    Since,
    Step,
    Window,
)


def leaves_of(definition: Definition) -> Iterator[tuple[str, Leaf]]:
    """All leaves, those of the universe first, in the order of the definition."""
    yield from _in(definition.universe, "universe")
    yield from _in(definition.where, "where")


def props_in(where: Filter, path: str) -> Iterator[tuple[str, Prop]]:
    """All comparisons of a filter."""
    yield from _in(where, path)


def _in(tree: Condition | Filter, path: str) -> Iterator[tuple[str, Any]]:
    """What its connectives are about."""
    match tree:
        case All(parts) | Any_(parts):
            word = "all" if isinstance(tree, All) else "any"
            for index, part in enumerate(parts):
                yield from _in(part, f"{path}.{word}[{index}]")
        case Not(part):
            yield from _in(part, f"{path}.not")
        case _:
            yield path, tree


def steps_of(leaf: Leaf, path: str) -> Iterator[tuple[str, Step]]:
    """The kinds of events that a leaf looks for, those that its window begins with too."""
    match leaf:
        case Did(step):
            yield path, step
        case Seq(steps):
            yield from ((f"{path}.seq[{index}]", step) for index, step in enumerate(steps))
        case Absent(after, absent):
            yield f"{path}.after", after
            yield f"{path}.absent", absent
    since = window_of(leaf)
    if isinstance(since, Since) and since.step is not None:
        yield f"{path}.window.since", since.step


def window_of(leaf: Leaf) -> Window | None:
    return leaf.window if isinstance(leaf, Did | Seq) else None


def filters_of(leaf: Leaf, path: str) -> Iterator[tuple[str, Prop]]:
    """The comparisons in all filters of a leaf."""
    for at, step in steps_of(leaf, path):
        yield from props_in(step.where, f"{at}.where")
    if isinstance(leaf, Rel):
        yield from props_in(leaf.where, f"{path}.where")
