"""Sequences, and absence by group, as queries of their own: they ask for the order of events within a unit.

A step's newest possible predecessor is the best one: it is the nearest, the least lies between, and, step by step, it
belongs to the latest beginning. So one row looks back once for each step, however long the history is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segments.sql_values import Cell, canonical
from segments.tree import Seq, Step

FromRows = Callable[[str], str]
"""The unit and these columns of the rows of all units, as SELECT takes it, up to WHERE."""


def sequence_select(
    rows: FromRows, leaf: Seq, matches: Sequence[str], between: Sequence[str], same: Sequence[Cell], reach: str
) -> str:
    """For each unit that came to the end of all steps: `state`, an array of (latest beginning, end) in milliseconds.

    `matches` are the conditions of the steps, `between` those of events that must not lie before them, '' for none;
    `same` are values that are present and equal at all of them. No row counts that `reach` does not hold for.
    """
    present = " AND ".join(["1", *(each.present for each in same)])
    forbidden = {n: each for n, each in enumerate(between) if each}
    group = f"toString(tuple({', '.join(canonical(each) for each in same)}))"
    columns = [", occurred_at AS t", *([f", if({present}, {group}, '') AS g"] if same else [])]
    columns += [f", ({present} AND {match}) AS m{n}" for n, match in enumerate(matches)]
    columns += [f", {each} AS w{n}" for n, each in forbidden.items()]
    any_of = [*(f"m{n}" for n in range(len(matches))), *(f"w{n}" for n in forbidden)]
    selected = f"SELECT * FROM (SELECT {rows(''.join(columns))} AND {reach or '1'}) WHERE {' OR '.join(any_of)}"
    looked = [f"{_newest('t', f'w{n}', 'unit')} AS b{n}" for n in forbidden]
    query = f"SELECT *{''.join(f', {each}' for each in looked)}, m0 AS d0, t AS f0 FROM ({selected})"
    for n, step in enumerate(leaf.steps[1:], 1):
        query = _with_step(query, n, step, "unit, g" if same else "unit")
    last = len(leaf.steps) - 1
    within = "" if leaf.within is None else f" AND t - f{last} <= {leaf.within}"
    pairs = f"groupUniqArray(tuple(f{last}, t))"
    return f"SELECT unit, {pairs} AS state FROM ({query}) WHERE d{last}{within} GROUP BY unit"


def _with_step(query: str, n: int, step: Step, of: str) -> str:
    """With `d`, whether a row can be this step, and `f`, the latest beginning that leads to it, among rows `of` one
    unit and group."""
    before = f"{_newest('t', f'd{n - 1}', of)} AS p{n}, {_newest(f'f{n - 1}', f'd{n - 1}', of)} AS f{n}"
    holds = [f"m{n}", f"p{n} > 0"]
    if step.gap is not None:
        holds.append(f"t - p{n} <= {step.gap}")
    if step.without:
        holds.append(f"b{n} <= p{n}")
    return f"SELECT *, ({' AND '.join(holds)}) AS d{n} FROM (SELECT *, {before} FROM ({query}))"


def _newest(value: str, where: str, of: str) -> str:
    """The highest value of rows strictly before this one in time, 0 where there is none."""
    frame = "RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    return f"max(if({where}, {value}, 0)) OVER (PARTITION BY {of} ORDER BY t {frame})"


def without_groups(rows: FromRows, matches: Sequence[str], same: Sequence[Cell], span: str) -> str:
    """For each unit: `state`, an array of a span for each group of equal values of whose newest match nothing came
    after. `matches` are the conditions of what comes first and of what must not come."""
    after, absent = matches
    present = " AND ".join(each.present for each in same)
    groups = "".join(f", {canonical(each)} AS g{n}" for n, each in enumerate(same))
    columns = f"{groups}, maxIf(occurred_at, {after}) AS newest, maxIf(occurred_at, {absent}) AS came"
    keys = ", ".join(f"g{n}" for n in range(len(same)))
    grouped = f"SELECT {rows(columns)} AND {present} AND ({after} OR {absent}) GROUP BY unit, {keys}"
    return (
        f"SELECT unit, groupArray({span}) AS state FROM ({grouped}) WHERE newest > 0 AND came <= newest GROUP BY unit"
    )
