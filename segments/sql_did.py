"""Aggregates in SQL, of events and of leads.

Of a threshold on a count only the newest few matches matter: `count >= 3 in 7 days` holds until the third newest is
seven days old. Where no match ever leaves, one aggregate tells all; the rest is `segments.sql_tried`.
"""

from __future__ import annotations

from collections.abc import Sequence

from segments.counts import BY_VALUE, CHOSEN, COUNTED, breaks_of, meets, truth_of_nothing
from segments.sql_rows import Answer, Asked, Rows, earliest
from segments.sql_tried import any_at, counted, tested, tried
from segments.sql_values import NEVER, Cell, flips_by_age, moment_cell, number_cell, test
from segments.sql_windows import aged_window, bound_of
from segments.tree import Aggregate, Did, Duration, Fixed, Fn, Op, Rel, Rolling, Test, Window


def did(leaf: Did, asked: Asked) -> Answer:
    rows = asked.events(leaf.step)
    answer = _aggregated(rows, leaf.window, leaf.agg, leaf.test, asked)
    return answer._replace(next=earliest(answer.next, rows.aged(), aged_window(leaf.window, asked)))


def related(leaf: Rel, asked: Asked) -> Answer:
    rows = asked.leads(leaf.where)
    answer = _aggregated(rows, None, leaf.agg, leaf.test, asked)
    return answer._replace(next=earliest(answer.next, rows.aged()))


def _aggregated(rows: Rows, window: Window | None, agg: Aggregate, wanted: Test, asked: Asked) -> Answer:
    match window:
        case Rolling(last, 0) if agg.fn in COUNTED:
            return _newest(rows, last, agg, wanted, asked)
        case None:
            return _whole(rows, agg, wanted, asked)
        case Fixed():
            return _whole(rows.within(bound_of(window, rows.at)), agg, wanted, asked)
    return tried(rows, window, agg, wanted, asked)


def _newest(rows: Rows, last: Duration, agg: Aggregate, wanted: Test, asked: Asked) -> Answer:
    """Of a count in a rolling window, by as many of the newest as the test looks at."""
    over, breaks = rows.over, breaks_of(wanted)
    truths = [meets(wanted, each) for each in (0, *breaks)]
    if not breaks:
        return Answer(str(int(truths[0])))
    match = f"{rows.match} AND {rows.at} > {asked.now - last}"
    if agg.fn is Fn.COUNT and breaks == [1]:
        newest = over.state("max", rows.at, match)
        true, flip = f"({newest} > 0) = {int(truths[1])}", f"if({newest} > 0, {newest} + {last}, {NEVER})"
    elif agg.fn is Fn.COUNT and len(breaks) == 1:
        found = over.state("groupArraySorted", f"-{rows.at}", match, f"({breaks[0]})")
        enough = f"length({found}) = {breaks[0]}"
        true, flip = f"({enough}) = {int(truths[1])}", f"if({enough}, {last} - {found}[{breaks[0]}], {NEVER})"
    else:
        true, flip = _by_steps(_times(rows, match, breaks[-1], agg, asked), breaks, truths, last)
    return Answer(over.truth(true, of_nothing=truths[0]), over.moment(flip))


def _times(rows: Rows, match: str, most: int, agg: Aggregate, asked: Asked) -> str:
    """When what is counted was last there, the newest first."""
    if agg.fn is Fn.COUNT:
        found = rows.over.state("groupArraySorted", f"-{rows.at}", match, f"({most})")
        return rows.over.share(f"arrayMap(t -> -t, {found})")
    value, more = counted(rows, agg, asked)
    found = rows.over.state("maxMap", f"map({value}, {rows.at})", f"{match}{more}")
    return rows.over.share(f"arrayReverseSort(mapValues({found}))")


def _by_steps(moments: str, breaks: Sequence[int], truths: Sequence[bool], last: Duration) -> tuple[str, str]:
    """The truth of a count, given its outcome before the first break and from each on; and when it changes, as the
    counted, newest first, grow older than `last`. Several may do so at once, and then the count passes steps by."""
    if len(breaks) == 1:
        enough = f"length({moments}) >= {breaks[0]}"
        return f"({enough}) = {int(truths[1])}", f"if({enough}, {moments}[{breaks[0]}] + {last}, {NEVER})"

    def outcome(count: str) -> str:
        return f"{[int(each) for each in truths]}[arrayCount(b -> b <= {count}, {list(breaks)}) + 1]"

    now = outcome(f"length({moments})")
    reached = f"arrayFilter(b -> b <= length({moments}), {list(reversed(breaks))})"
    left = f"arrayCount(t -> t > {moments}[step], {moments})"
    step = f"arrayFirst(step -> {outcome(left)} != {now}, {reached})"
    return f"{now} = 1", f"if({step} = 0, {NEVER}, {moments}[{step}] + {last})"


def _whole(rows: Rows, agg: Aggregate, wanted: Test, asked: Asked) -> Answer:
    """Where no match ever leaves."""
    if agg.fn in CHOSEN and agg.of:
        return _chosen(rows, agg, wanted, asked)
    over, nothing = rows.over, truth_of_nothing(agg, wanted)
    value = _figure(rows, agg, asked)
    truth = over.truth(test(value, wanted, asked.place), of_nothing=nothing)
    if wanted.op not in (Op.OLDER, Op.NEWER):
        return Answer(truth)
    return Answer(truth, over.moment(flips_by_age(value, wanted, asked.place)))


def _figure(rows: Rows, agg: Aggregate, asked: Asked) -> Cell:
    over, match, fn = rows.over, rows.match, agg.fn
    if fn is Fn.COUNT:
        return number_cell(over.state("count", "", match))
    if fn in COUNTED:
        value, more = counted(rows, agg, asked)
        return number_cell(over.state("uniqExact", value, f"{match}{more}"))
    if fn in BY_VALUE:
        number = rows.cell(agg.of).number
        there = f"{match} AND isNotNull({number})"
        count = over.state("count", "", there)
        found = over.state(str(fn.value), f"assumeNotNull({number})", there)
        return number_cell(found, "1" if fn is Fn.SUM else f"({count} > 0)")
    if fn is Fn.NTH:
        found = over.state("groupArraySorted", rows.at, match, f"({int(agg.n)})")
        return moment_cell(f"{found}[{int(agg.n)}]", f"(length({found}) >= {int(agg.n)})")
    found = over.state("min" if fn in (Fn.FIRST, Fn.SINCE_FIRST) else "max", rows.at, match)
    return moment_cell(found, f"({found} != 0)")


def _chosen(rows: Rows, agg: Aggregate, wanted: Test, asked: Asked) -> Answer:
    """The value of the first, last or n-th match: it is tested where it stands, and the test's outcome chosen.

    Matches of one millisecond have no order: the test holds if it holds of any that may be the one. So times and
    outcomes are compared as one number.
    """
    over, nothing = rows.over, truth_of_nothing(agg, wanted)
    value, ages = tested(rows, agg, wanted, asked)
    if agg.fn is Fn.NTH:
        found = over.share(f"arraySort({over.state('groupArray', f'tuple({rows.at}, {value})', rows.match)})")
        there, chosen = f"length({found}) >= {int(agg.n)}", any_at(found, int(agg.n), wanted)
    elif ages:
        function, sign = ("argMin", 1) if agg.fn is Fn.FIRST else ("argMax", -1)
        best = f"{value} * {sign if wanted.op is Op.OLDER else -sign}"
        chosen = over.state(function, f"{value}, tuple({rows.at}, {best})", rows.match)
        there = f"{over.state('count', '', rows.match)} > 0"
    else:
        first = agg.fn is Fn.FIRST
        outcome = f"1 - {value}" if first else value
        found = over.state("min" if first else "max", f"{rows.at} * 2 + {outcome}", rows.match)
        there, chosen = f"{found} > 0", f"bitAnd({found}, 1) = {int(not first)}"
    if not ages:
        return Answer(over.truth(f"if({there}, {chosen}, {int(nothing)})", of_nothing=nothing))
    moment = moment_cell(chosen, f"({there} AND abs({chosen}) != {NEVER})")
    truth = over.truth(test(moment, wanted, asked.place), of_nothing=nothing)
    return Answer(truth, over.moment(flips_by_age(moment, wanted, asked.place)))
