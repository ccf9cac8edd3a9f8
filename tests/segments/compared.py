"""The compiled query and the slow evaluator on the same case, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from cdp.model import Millis
from segments.evaluate import Evaluator
from segments.tree import All, Definition, In, Op, Prop
from segments.walk import leaves_of
from tests.oracle import segments as oracle
from tests.oracle.history import History
from tests.segments.histories import Case

Said = tuple[bool, Millis | None]
"""Whether a unit is a member, and when that can change."""
NOBODY: Said = (False, None)
Heard = dict[tuple[int, str], Said]
"""By the place of a definition and the unit."""


def assert_agreed(
    evaluator: Evaluator, case: Case, definitions: Sequence[Definition], now: Millis, *, by_name: bool = False
) -> Heard:
    """Both say the same of every definition and every unit at a moment; and what they say. With `by_name` these units
    are asked for, not everybody."""
    histories = case.world.histories(definitions[0].entity)
    units = sorted(histories) if by_name else None
    heard = dict.fromkeys(((n, unit) for n in range(len(definitions)) for unit in histories), NOBODY)
    for unit, verdicts in evaluator.evaluate(definitions, now, units=units, others=case.segments):
        assert unit in histories
        heard |= {(each.segment, unit): (each.member, each.next) for each in verdicts}
    for (n, unit), said in heard.items():
        expected = told(case, definitions[n], histories[unit], now)
        exact = not _ages(case, definitions[n])
        assert _agrees(said, expected, exact=exact), f"{unit}: {said}, not {expected}, at {now}: {definitions[n]}"
    return heard


def told(case: Case, definition: Definition, history: History, now: Millis) -> Said:
    """By the slow evaluator."""
    if not history.exists(now):
        return NOBODY
    truth = oracle.truth(definition, history, now, case.segments, case.kept)
    return truth, oracle.next_change(definition, history, now, case.segments, case.kept)


def flips(case: Case, definition: Definition) -> bool:
    """One leaf whose matches are what they are: when it is said to change, it does."""
    leaves = [leaf for _, leaf in leaves_of(definition)]
    return len(leaves) == 1 and not isinstance(leaves[0], In) and not _ages(case, definition)


def _agrees(said: Said, expected: Said, *, exact: bool) -> bool:
    """Where the age of a value decides what counts as a match, the next look may be earlier than the change."""
    early = not exact and said[1] is not None and (expected[1] is None or said[1] <= expected[1])
    return said[0] == expected[0] and (early or said[1] == expected[1])


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
