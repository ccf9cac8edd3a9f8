"""Sequences and absence in SQL: each match of the whole pattern makes its leaf true over one stretch of time."""

from __future__ import annotations

from collections.abc import Sequence

from segments.sql_rows import Answer, Asked, earliest
from segments.sql_sequence import sequence_select, without_groups
from segments.sql_values import NEVER, canonical, to_never
from segments.sql_windows import aged_window, beginning, reach_of, shifts
from segments.tree import Absent, Calendar, Fixed, Rolling, Seq, Since, Step, Window


def sequence(leaf: Seq, asked: Asked) -> Answer:
    steps = [asked.alone(step) for step in leaf.steps]
    names, rows = _names_of(leaf.steps), asked.sources.event_rows
    reach = reach_of(leaf.window, asked)
    select = sequence_select(
        lambda columns: rows(names, columns),
        leaf,
        [match for match, _ in steps],
        [asked.named(step.without) if step.without else "" for step in leaf.steps],
        _group_of(leaf.same, asked),
        reach.removeprefix(" AND "),
    )
    truth, flip = _of_pairs(asked.sources.alone(select), leaf.window, asked)
    return Answer(truth, earliest(flip, *(ages for _, ages in steps), aged_window(leaf.window, asked)))


def absence(leaf: Absent, asked: Asked) -> Answer:
    steps = (leaf.after, leaf.absent)
    truth, flip = _of_spans(_absent_by_group(leaf, asked), asked) if leaf.same else _absent_at_all(leaf, asked)
    return Answer(truth, earliest(flip, *(asked.alone(step)[1] for step in steps)))


def _absent_at_all(leaf: Absent, asked: Asked) -> Answer:
    matches = [asked.events(step).within(_not_over(leaf, asked)) for step in (leaf.after, leaf.absent)]
    newest, came = (each.over.tell(each.over.state("max", each.at, each.match)) for each in matches)
    # By `_not_over` the end is always to come.
    waits, begins = f"({newest} > 0 AND {came} <= {newest})", f"{newest} + {leaf.wait}"
    ends = str(NEVER) if leaf.until is None else f"{newest} + {leaf.until}"
    flip = f"multiIf(NOT {waits}, {NEVER}, {begins} > {asked.now}, {begins}, {ends})"
    return Answer(f"({waits} AND {begins} <= {asked.now})", to_never(flip))


def _absent_by_group(leaf: Absent, asked: Asked) -> str:
    steps = (leaf.after, leaf.absent)
    matches = [f"({asked.alone(step)[0]}{_not_over(leaf, asked)})" for step in steps]
    names, end = _names_of(steps), str(NEVER) if leaf.until is None else f"newest + {leaf.until}"
    select = without_groups(
        lambda columns: asked.sources.event_rows(names, columns),
        matches,
        _group_of(leaf.same, asked),
        f"tuple(newest + {leaf.wait}, toInt64({end}))",
    )
    return asked.sources.alone(select)


def _not_over(leaf: Absent, asked: Asked) -> str:
    """A condition after ' AND ': of what came before, the time in which the leaf can be true is over."""
    return "" if leaf.until is None else f" AND occurred_at > {asked.now - leaf.until}"


def _group_of(same: Sequence[str], asked: Asked) -> str:
    """An expression for a text that is the same for rows in which these properties have equal values, and empty where
    one is missing; '' where no properties are named."""
    cells = [asked.property(name) for name in same]
    if not cells:
        return ""
    present, values = " AND ".join(each.present for each in cells), ", ".join(canonical(each) for each in cells)
    return f"if({present}, {f'toString(tuple({values}))' if cells[1:] else values}, '')"


def _names_of(steps: Sequence[Step]) -> tuple[str, ...]:
    """What the events are called that have to be looked at, none for any."""
    if not all(step.names for step in steps):
        return ()
    return tuple(sorted({name for step in steps for name in (*step.names, *step.without)}))


def _of_pairs(pairs: str, window: Window | None, asked: Asked) -> Answer:
    """Of sequences that begin with `.1` and end with `.2`."""
    match window:
        case None:
            return Answer(f"notEmpty({pairs})")
        case Fixed(start, before):
            bound = NEVER if before is None else int(before)
            return Answer(f"arrayExists(p -> p.1 >= {int(start)} AND p.2 < {bound}, {pairs})")
        case Since():
            since = beginning(window, asked)
            return Answer(f"arrayExists(p -> ifNull(p.1 >= {since} AND p.2 < {since} + {window.length}, 0), {pairs})")
        case Rolling(last, until):
            return _of_spans(f"arrayMap(p -> tuple(p.2 + {until}, p.1 + {last}), {pairs})", asked)
        case Calendar():
            begins, first, end = shifts(window, asked)
            ends = f"arrayPushBack(arrayPopFront({begins}), {NEVER})"
            inside = f"arrayFilter(w -> p.1 >= w.3 AND p.2 < w.4, arrayZip({begins}, {ends}, {first}, {end}))"
            spans = f"arrayMap(p -> arrayMap(w -> tuple(toInt64(w.1), toInt64(w.2)), {inside}), {pairs})"
            return _of_spans(f"arrayFlatten({spans})", asked)
    raise NotImplementedError(window)


def _of_spans(spans: str, asked: Asked) -> Answer:
    """True within any of these stretches of time; else until the next begins."""
    now, share = asked.now, asked.sources.share
    spans = share(spans)
    truth = share(f"arrayExists(s -> s.1 <= {now} AND s.2 > {now}, {spans})")
    joined = f"arrayFold((end, s) -> if(s.1 <= end AND s.2 > end, s.2, end), arraySort({spans}), toInt64({now}))"
    later = share(f"arrayMap(s -> s.1, arrayFilter(s -> s.1 > {now} AND s.2 > s.1, {spans}))")
    # Where stretches overlap, it ends with the last of them.
    return Answer(truth, to_never(f"multiIf({truth}, {joined}, notEmpty({later}), arrayMin({later}), {NEVER})"))
