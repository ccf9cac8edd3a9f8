"""Sequences, and absence by group, as queries of their own: they ask for the order of events within a unit.

A step's newest possible predecessor is the best one: it is the nearest, the least lies between, and, step by step, it
belongs to the latest beginning. So, in the order of time, each row needs to know of one row before it for each step.
"""

from __future__ import annotations

from collections.abc import Sequence

from segments.limits import MAX_STEPS
from segments.sql_pass import FromRows
from segments.tree import Seq, Step

RANKS = 2 * MAX_STEPS
"""In one millisecond: a step has two."""


def sequence_select(
    rows: FromRows, leaf: Seq, matches: Sequence[str], between: Sequence[str], group: str, reach: str
) -> str:
    """For each unit that came to the end of all steps: `state`, an array of (latest beginning, end) in milliseconds.

    `matches` are the conditions of the steps, `between` those of events that must not lie before them, '' for none;
    `group` is an expression for a text that is the same at all of them and not empty, or '' where rows of all kinds go
    together. No row counts that `reach` does not hold for.

    The rows of a unit, or of its group, are one array of numbers, times and what happened then, in order. Along it each
    step is told from the one before: where it is reached, by (latest beginning, time), (0, 0) elsewhere.
    """
    last = len(leaf.steps) - 1
    forbidden = {n: each for n, each in enumerate(between) if each}
    columns = ["occurred_at AS t", *([f"{group} AS g"] if group else [])]
    columns += [f"{match} AS m{n}" for n, match in enumerate(matches)]
    columns += [f"{each} AS w{n}" for n, each in forbidden.items()]
    any_of = " OR ".join([*(f"m{n}" for n in range(last + 1)), *(f"w{n}" for n in forbidden)])
    query = f"SELECT {rows(''.join(f', {each}' for each in columns))} AND {reach or '1'} AND ({any_of})"
    # At one time nothing comes after another: what must not be seen from a row stands behind it.
    rank = {n: 2 * (last - n) for n in range(last + 1)}
    happened = [f"{_numbers('t', rank[n], f'm{n}')} AS e{n}" for n in rank]
    if forbidden and group:
        # What must not lie between is of any group: each step has the newest of these before it in its own.
        looked = "".join(f", {_newest(f'w{n}')} AS b{n}" for n in forbidden)
        query = f"SELECT *{looked} FROM ({query})"
        happened += [_numbers(f"b{n}", _between(rank[n]), f"m{n} AND b{n} > 0") for n in forbidden]
    else:
        happened += [_numbers("t", _between(rank[n]), f"w{n}") for n in forbidden]
    of, grouped = ("unit, g", "g != '' AND ") if group else ("unit", "")
    every = grouped + " AND ".join(f"notEmpty(e{n})" for n in rank)
    # Where all of a day happened at one moment, as in a file that has dates alone, one of each kind tells as much.
    events = f"arrayCompact(arraySort(arrayConcat({', '.join(happened)})))"
    query = f"SELECT unit, {events} AS e FROM ({query}) GROUP BY {of} HAVING {every}"
    reached = f"arrayMap(x -> if({_is(rank[0])}, ({_AT}, {_AT}), (0, 0)), e)"
    for n, step in enumerate(leaf.steps[1:], 1):
        reached = _reached(reached, step, rank[n])
    within = "" if leaf.within is None else f" AND s.2 - s.1 <= {leaf.within}"
    ended = f"arrayFilter(s -> s.1 > 0{within}, {reached})"
    query = f"SELECT unit, {f'groupArrayArray({ended})' if group else ended} AS state FROM ({query})"
    return f"SELECT unit, state FROM ({query}{' GROUP BY unit' if group else ''}) WHERE notEmpty(state)"


_AT = f"intDiv(x, {RANKS})"


def _is(rank: int) -> str:
    return f"x % {RANKS} = {rank}"


def _between(rank: int) -> int:
    """The rank of what must not lie before a step of this rank. What happens at the time of the step, or of the one
    before it, does not lie between them."""
    return rank + 1


def _numbers(at: str, rank: int, where: str) -> str:
    return f"groupArrayIf({at} * {RANKS} + {rank}, {where})"


def _reached(before: str, step: Step, rank: int) -> str:
    """Where this step is reached, given where the one before is."""
    holds = [_is(rank), "s.1 > 0", *([f"{_AT} - s.2 <= {step.gap}"] if step.gap is not None else [])]
    until = f"arrayFill((s, x) -> s.1 > 0 OR {_is(_between(rank))}, {before}, e)"
    newest = until if step.without else f"arrayFill(s -> s.1 > 0, {before})"
    return f"arrayMap((x, s) -> if({' AND '.join(holds)}, (s.1, {_AT}), (0, 0)), e, {newest})"


def _newest(where: str) -> str:
    """The time of the newest such row of the unit strictly before this one, 0 where there is none."""
    frame = "RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    return f"max(if({where}, t, 0)) OVER (PARTITION BY unit ORDER BY t {frame})"


def without_groups(rows: FromRows, matches: Sequence[str], group: str, span: str) -> str:
    """For each unit: `state`, an array of a span for each `group` of whose newest match nothing came after; rows for
    which that expression is empty are in none. `matches` are the conditions of what comes first and must not come."""
    after, absent = matches
    columns = f", {group} AS g, maxIf(occurred_at, {after}) AS newest, maxIf(occurred_at, {absent}) AS came"
    grouped = f"SELECT {rows(columns)} AND g != '' AND ({after} OR {absent}) GROUP BY unit, g"
    return (
        f"SELECT unit, groupArray({span}) AS state FROM ({grouped}) WHERE newest > 0 AND came <= newest GROUP BY unit"
    )
