"""The compiled query and the slow evaluator on the same case, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from cdp.model import Millis
from segments.evaluate import Evaluator
from segments.sql_leaves import SHOWN
from segments.tree import All, Definition, In, Op, Prop
from segments.walk import leaves_of, steps_of, window_of
from tests.oracle import segments as oracle
from tests.oracle.history import History
from tests.segments.histories import Case

Said = tuple[bool, Millis | None]
"""Whether a unit is a member, and when that can change."""
NOBODY: Said = (False, None)
Heard = dict[tuple[int, str], Said]
"""By the place of a definition and the unit."""


def assert_agreed(
    evaluator: Evaluator,
    case: Case,
    definitions: Sequence[Definition],
    now: Millis,
    *,
    by_name: bool = False,
    part: tuple[str, str] | None = None,
) -> Heard:
    """Both say the same of every definition and every unit at a moment; and what they say. With `by_name` these units
    are asked for, not everybody; with `part` those in between, who must be all."""
    histories = case.world.histories(definitions[0].entity)
    units = sorted(histories) if by_name else None
    heard = dict.fromkeys(((n, unit) for n in range(len(definitions)) for unit in histories), NOBODY)
    for each in evaluator.evaluate(definitions, now, units=units, part=part, others=case.segments):
        assert each.unit in histories
        heard |= {(n, each.unit): (n in each.members, each.nexts.get(n)) for n in {*each.members, *each.nexts}}
    for (n, unit), said in heard.items():
        expected = told(case, definitions[n], histories[unit], now)
        assert agrees(case, definitions[n], said, expected), (
            f"{unit}: {said}, not {expected}, at {now}: {definitions[n]}"
        )
    return heard


def told(case: Case, definition: Definition, history: History, now: Millis) -> Said:
    """By the slow evaluator."""
    if not history.exists(now):
        return NOBODY
    truth = oracle.truth(definition, history, now, case.segments, case.kept)
    return truth, oracle.next_change(definition, history, now, case.segments, case.kept)


def agrees(case: Case, definition: Definition, said: Said, expected: Said) -> bool:
    """Where the age of a value decides what counts as a match, the next look may be earlier than the change."""
    early = said[1] is not None and (expected[1] is None or said[1] <= expected[1])
    return said[0] == expected[0] and (said[1] == expected[1] or (early and _ages(case, definition)))


def behind(case: Case, definition: Definition, leaf: Any, history: History, now: Millis) -> list[str]:
    """The ids of the newest matches of a leaf that looks at events, in its window."""
    look = oracle._Look(definition, history.until(now), now, case.segments, case.kept)
    found = [
        oracle._matches(step, look, window_of(leaf)) for path, step in steps_of(leaf, "") if path != ".window.since"
    ]
    newest = sorted({(each.at, each.id) for matches in found for each in matches}, reverse=True)
    return [id_ for _, id_ in newest[:SHOWN]]


def flips(case: Case, definition: Definition) -> bool:
    """One leaf whose matches are what they are: when it is said to change, it does."""
    leaves = [leaf for _, leaf in leaves_of(definition)]
    return len(leaves) == 1 and not isinstance(leaves[0], In) and not _ages(case, definition)


def _ages(case: Case, *definitions: Definition) -> bool:
    every: tuple[Any, ...] = (*definitions, *case.segments.values())
    return any(isinstance(node, Prop) and node.test.op in (Op.OLDER, Op.NEWER) for node in _nodes(every))


def _nodes(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        for each in node:
            yield from _nodes(each)
    elif dataclasses.is_dataclass(node):
        yield node
        for field in dataclasses.fields(node):
            yield from _nodes(getattr(node, field.name))


def alone(definition: Definition, leaf: Any) -> Definition:
    return dataclasses.replace(definition, universe=All(), where=leaf)
