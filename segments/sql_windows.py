"""Windows in SQL: which matches are in one at a moment, and when it comes to hold others."""

from __future__ import annotations

from collections.abc import Callable

from segments.calendar import start_of
from segments.sql_rows import Asked
from segments.sql_values import NEVER, STAYS, moment
from segments.tree import Calendar, Entity, Fixed, Rolling, Since, Window


def reach_of(window: Window | None, asked: Asked) -> str:
    """A condition after ' AND ': rows before it are in the window neither now nor later."""
    match window:
        case Rolling(last, _):
            return f" AND occurred_at > {asked.now - last}"
        case Calendar(unit, back, _):
            return f" AND occurred_at >= {start_of(unit, asked.now, asked.tz, -back)}"
    return ""


def bound_of(window: Fixed, at: str) -> str:
    """A condition after ' AND '."""
    return f" AND {at} >= {int(window.start)}" + (f" AND {at} < {int(window.end)}" if window.end is not None else "")


def inside(window: Window | None, asked: Asked) -> Callable[[str], str]:
    """Whether a match `e` is in the window at a moment."""
    match window:
        case Rolling(last, until):
            return lambda x: f"e.1 > {x} - {last} AND e.1 <= {x} - {until}"
        case Calendar():
            begins, first, end = shifts(window, asked)
            place = f"arrayLastIndex(b -> b <= {{x}}, {begins})"
            return lambda x: f"e.1 >= {first}[{place.format(x=x)}] AND e.1 < {end}[{place.format(x=x)}]"
        case Since():
            since = beginning(window, asked)
            return lambda x: f"ifNull(e.1 >= {since} AND e.1 < {since} + {window.length}, 0)"
    return lambda x: "1"


def shifts(window: Calendar, asked: Asked) -> tuple[str, str, str]:
    """When the window begins to be another, from now until nothing of today is in it; its bounds then."""
    later = range(window.back + 2)
    starts = [
        start_of(window.unit, asked.now, asked.tz, each - window.back) for each in range(window.back + 2 + window.count)
    ]
    begins = [start_of(window.unit, asked.now, asked.tz, each) for each in later]
    return str(begins), str([starts[each] for each in later]), str([starts[each + window.count] for each in later])


def turns(window: Window | None, asked: Asked, matches: str) -> list[str]:
    """Arrays of the moments at which a match enters or leaves, or the calendar turns."""
    match window:
        case Rolling(last, until):
            entered = [f"arrayMap(e -> e.1 + {until}, {matches})"] if until else []
            return [f"arrayMap(e -> e.1 + {last}, {matches})", *entered]
        case Calendar():
            return [f"CAST({shifts(window, asked)[0]} AS Array(Int64))"]
    return []


def beginning(window: Since, asked: Asked) -> str:
    """The moment that the window begins with, NULL where there is none."""
    if window.step is None:
        if asked.sources.entity is Entity.PERSON:
            return asked.trait_moment(window.attr).moment
        over = asked.sources.of_leads()
        said = f"ifNull({moment(asked.of_lead(window.attr), asked.place)}, {-NEVER})"
        return f"nullIf({over.tell(over.state('max', said, '1'))}, {-NEVER})"
    rows = asked.events(window.step)
    found = rows.over.state("min" if window.which == "first" else "max", rows.at, rows.match)
    return f"nullIf({rows.over.tell(found)}, 0)"


def aged_window(window: Window | None, asked: Asked) -> str:
    """When the age of a value changes what a window begins with."""
    if isinstance(window, Since) and window.step is not None:
        return asked.events(window.step).aged()
    return STAYS
