"""Sequences, and absence by group, as queries of their own: they ask for the order of events within a unit.

A step's newest possible predecessor is the best one: it is the nearest, the least lies between, and, step by step, it
belongs to the latest beginning. So one row looks back once for each step, however long the history is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segments.tree import Seq, Step

FromRows = Callable[[str], str]
"""The unit and these columns of the rows of all units, as SELECT takes it, up to WHERE."""


def sequence_select(
    rows: FromRows, leaf: Seq, matches: Sequence[str], between: Sequence[str], group: str, reach: str
) -> str:
    """For each unit that came to the end of all steps: `state`, an array of (latest beginning, end) in milliseconds.

    `matches` are the conditions of the steps, `between` those of events that must not lie before them, '' for none;
    `group` is an expression for a text that is the same at all of them and not empty, or '' where rows of all kinds go
    together. No row counts that `reach` does not hold for.
    """
    forbidden = {n: each for n, each in enumerate(between) if each}
    of, grouped = ("unit, g", "g != '' AND ") if group else ("unit", "")
    columns = ["occurred_at AS t", *([f"{group} AS g"] if group else [])]
    columns += [f"{grouped}{match} AS m{n}" for n, match in enumerate(matches)]
    columns += [f"{each} AS w{n}" for n, each in forbidden.items()]
    any_of = " OR ".join([*(f"m{n}" for n in range(len(matches))), *(f"w{n}" for n in forbidden)])
    query = f"SELECT {rows(''.join(f', {each}' for each in columns))} AND {reach or '1'} AND ({any_of})"
    # A level of its own, or all that a match is told from would be sorted with the rows.
    looked = "".join(f", {_newest('t', f'w{n}', 'unit')} AS b{n}" for n in forbidden)
    query = f"SELECT *{looked}, {_newest('t', 'm0', of)} AS p1, p1 AS f1, {_reached(1, leaf.steps[1])} FROM ({query})"
    # A row looks back at what others found when they looked back, so each further step is another.
    for n, step in enumerate(leaf.steps[2:], 2):
        before = f"{_newest('t', f'd{n - 1}', of)} AS p{n}, {_newest(f'f{n - 1}', f'd{n - 1}', of)} AS f{n}"
        query = f"SELECT *, {before}, {_reached(n, step)} FROM ({query})"
    last = len(leaf.steps) - 1
    within = "" if leaf.within is None else f" AND t - f{last} <= {leaf.within}"
    pairs = f"groupUniqArray(tuple(f{last}, t))"
    return f"SELECT unit, {pairs} AS state FROM ({query}) WHERE d{last}{within} GROUP BY unit"


def _reached(n: int, step: Step) -> str:
    """Whether a row can be this step. `p` is the newest row before it that can be the step before, and `f` the latest
    beginning that leads there."""
    holds = [f"m{n}", f"p{n} > 0"]
    if step.gap is not None:
        holds.append(f"t - p{n} <= {step.gap}")
    if step.without:
        holds.append(f"b{n} <= p{n}")
    return f"({' AND '.join(holds)}) AS d{n}"


def _newest(value: str, where: str, of: str) -> str:
    """The highest value of rows strictly before this one in time, 0 where there is none."""
    frame = "RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    return f"max(if({where}, {value}, 0)) OVER (PARTITION BY {of} ORDER BY t {frame})"


def without_groups(rows: FromRows, matches: Sequence[str], group: str, span: str) -> str:
    """For each unit: `state`, an array of a span for each `group` of whose newest match nothing came after; rows for
    which that expression is empty are in none. `matches` are the conditions of what comes first and must not come."""
    after, absent = matches
    columns = f", {group} AS g, maxIf(occurred_at, {after}) AS newest, maxIf(occurred_at, {absent}) AS came"
    grouped = f"SELECT {rows(columns)} AND g != '' AND ({after} OR {absent}) GROUP BY unit, g"
    return (
        f"SELECT unit, groupArray({span}) AS state FROM ({grouped}) WHERE newest > 0 AND came <= newest GROUP BY unit"
    )
