"""Aggregates of matches that come and go: the matches are kept with their times, and what holds at any moment is worked
out from those that are in the window then. The moments at which that may change are tried in order."""

from __future__ import annotations

from dataclasses import replace

from segments.counts import BY_VALUE, COUNTED, ZERO_OF_NOTHING, truth_of_nothing
from segments.sql_rows import Answer, Asked, Rows
from segments.sql_values import NEVER, canonical, moment, moment_cell, number_cell, test, to_never
from segments.sql_windows import inside, reach_of, turns
from segments.tree import Aggregate, Did, Fn, Leaf, Op, Rolling, Since, Test, Window

HOUR_MS = 3_600_000
MANY = 500
"""Matches of one unit in a rolling window; of more, the moments at which the window loses them are told by the hour."""


def hourly_above(leaf: Leaf) -> int | None:
    """Of more matches than these it is told by the hour when a rolling window loses them; None where at once."""
    if not isinstance(leaf, Did) or not isinstance(leaf.window, Rolling):
        return None
    return None if leaf.agg.fn in COUNTED and not leaf.window.until else MANY


def tried(rows: Rows, window: Window | None, agg: Aggregate, wanted: Test, asked: Asked) -> Answer:
    over = rows.over
    value, more = _kept(rows, agg, wanted, asked)
    match = f"{rows.match}{more}{reach_of(window, asked)}"
    found = over.state("groupArray", f"tuple({rows.at}, {value})", match)
    # What is since begins elsewhere, so all of it is worked out where everything has been joined.
    share = asked.sources.share if isinstance(window, Since) else over.share
    matches = share(f"arraySort({over.tell(found) if isinstance(window, Since) else found})")
    is_inside = inside(window, asked)

    def truth_at(x: str) -> str:
        return _truth_of(f"arrayFilter(e -> {is_inside(x)}, {matches})", agg, wanted, asked, x)

    later = (
        f"arraySort(arrayDistinct(arrayFilter(x -> x > {asked.now}, {_moments(matches, window, agg, wanted, asked)})))"
    )
    moments = share(f"arrayPushFront({later}, {asked.now})")
    truths = share(f"arrayMap(x -> {truth_at('x')}, {moments})")
    now = share(f"{truths}[1]")
    other = share(f"indexOf({truths}, NOT {now})")
    flip = f"if({other} = 0, {NEVER}, {moments}[{other}])"
    if isinstance(window, Since):
        return Answer(now, to_never(flip))
    return Answer(over.truth(now, of_nothing=truth_of_nothing(agg, wanted)), over.moment(flip))


def counted(rows: Rows, agg: Aggregate, asked: Asked) -> tuple[str, str]:
    """What is counted of a match, and a condition for its being there, ' AND ' before it."""
    if agg.fn is Fn.PERIODS:
        return _period(agg.period, asked.sources.params.bind(asked.tz, "String")), ""
    if agg.fn is Fn.DISTINCT:
        value = rows.cell(agg.of)
        return canonical(value), f" AND {value.present}"
    return "0", ""


def _period(period: str, tz: str) -> str:
    """A number for the hour, day, week or month that the clock on the wall shows."""
    at = f"fromUnixTimestamp64Milli(occurred_at, {tz})"
    match period:
        case "hour":
            return f"toInt64(toDate({at})) * 24 + toHour({at})"
        case "week":
            return f"toInt64(toMonday({at}))"
        case "month":
            return f"toInt64(toStartOfMonth({at}))"
    return f"toInt64(toDate({at}))"


def _kept(rows: Rows, agg: Aggregate, wanted: Test, asked: Asked) -> tuple[str, str]:
    """What is kept of a match, and a condition for its being kept."""
    if agg.fn in COUNTED:
        return counted(rows, agg, asked)
    if agg.fn in BY_VALUE:
        number = rows.cell(agg.of).number
        return f"assumeNotNull({number})", f" AND isNotNull({number})"
    return (tested(rows, agg, wanted, asked)[0] if agg.of else rows.at), ""


def tested(rows: Rows, agg: Aggregate, wanted: Test, asked: Asked) -> tuple[str, bool]:
    """What is kept of a match whose value is tested: the outcome; or, as the second says, the moment whose age is asked
    for, and for none one that never passes."""
    value = rows.cell(agg.of)
    if wanted.op not in (Op.OLDER, Op.NEWER):
        return f"toUInt8({asked.test(value, wanted, rows.cell)})", False
    return f"ifNull({moment(value, asked.place)}, {NEVER if wanted.op is Op.OLDER else -NEVER})", True


def any_at(matches: str, place: int, wanted: Test) -> str:
    """The outcome of all that may be at this place, from the end where it is negative; of moments the one that passes
    soonest, or longest."""
    values = f"arrayMap(m -> m.2, arrayFilter(m -> m.1 = {matches}[{place}].1, {matches}))"
    match wanted.op:
        case Op.OLDER:
            return f"arrayMin({values})"
        case Op.NEWER:
            return f"arrayMax({values})"
    return f"has({values}, 1)"


def _truth_of(matches: str, agg: Aggregate, wanted: Test, asked: Asked, x: str) -> str:
    """Of the matches in the window at `x`, in their order."""
    place = replace(asked.place, now=x)
    values, some = f"arrayMap(e -> e.2, {matches})", f"notEmpty({matches})"
    match agg.fn:
        case Fn.COUNT:
            return test(number_cell(f"length({matches})"), wanted, place)
        case Fn.DISTINCT | Fn.PERIODS:
            return test(number_cell(f"length(arrayDistinct({values}))"), wanted, place)
        case Fn.SUM:
            return test(number_cell(f"arraySum({values})"), wanted, place)
        case Fn.AVG | Fn.MIN | Fn.MAX:
            found = f"array{agg.fn.value.capitalize()}({values})"
            return test(number_cell(found, some), wanted, place)
    index = {Fn.FIRST: 1, Fn.SINCE_FIRST: 1, Fn.NTH: int(agg.n)}.get(agg.fn, -1)
    there = f"(length({matches}) >= {abs(index)})"
    if not agg.of:
        return test(moment_cell(f"{matches}[{index}].1", there), wanted, place)
    chosen = any_at(matches, index, wanted)
    if wanted.op in (Op.OLDER, Op.NEWER):
        return test(moment_cell(chosen, f"({there} AND abs({chosen}) != {NEVER})"), wanted, place)
    return f"if({there}, {chosen}, {int(truth_of_nothing(agg, wanted))})"


def _moments(matches: str, window: Window | None, agg: Aggregate, wanted: Test, asked: Asked) -> str:
    """When the answer may change: the window comes to hold others, or a value comes of age."""
    found = turns(window, asked, matches)
    if wanted.op in (Op.OLDER, Op.NEWER) and agg.fn not in (*ZERO_OF_NOTHING, *BY_VALUE):
        found.append(f"arrayMap(e -> toInt64(e.2) + {int(wanted.value) + 1}, {matches})")
    moments = f"arrayConcat({', '.join(found) or 'CAST([] AS Array(Int64))'})"
    if isinstance(window, Rolling):
        hours = f"arrayMap(x -> intDiv(x + {HOUR_MS - 1}, {HOUR_MS}) * {HOUR_MS}, {moments})"
        return f"if(length({matches}) > {MANY}, {hours}, {moments})"
    return moments
