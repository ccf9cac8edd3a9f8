"""Conditions for events and traits, as ClickHouse's SQL: of these sets, in these windows, come in these hits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cdp.model import ALWAYS, SetId, Window, Windows
from profiles.store import BEGINNING, Came

FEW_WINDOWS = 8
"""So many are compared one by one. The engine's time for that grows with their square: 1,000 took 0.9 s, and 17 ms
where each moment is looked up in the sorted list of them."""
END = 2**62
"""After all moments."""
_AT_ALL_TIMES = (ALWAYS,)


def of_sets(sets: Sequence[SetId], windows: Windows) -> str:
    """Those of these sets, each in its windows."""
    if windows.keys().isdisjoint(sets):
        return in_sets(sets)
    # Sets that have the very same list, as those of one device do, are asked for together.
    together: dict[int, tuple[Sequence[Window], list[SetId]]] = {}
    for each in sets:
        when = windows.get(each, _AT_ALL_TIMES)
        together.setdefault(id(when), (when, []))[1].append(each)
    parts = [
        in_sets(some) if when is _AT_ALL_TIMES else f"({in_sets(some)} AND {in_windows(when)})"
        for when, some in together.values()
    ]
    return f"({' OR '.join(parts)})"


def in_sets(sets: Iterable[SetId]) -> str:
    """Sets are our own integers; `int` makes sure that nothing else enters the text."""
    return f"set IN ({','.join(str(int(s)) for s in sets)})"


def in_windows(windows: Sequence[Window]) -> str:
    bounds = [(BEGINNING if start is None else int(start), END if end is None else int(end)) for start, end in windows]
    if len(bounds) <= FEW_WINDOWS:
        return f"({' OR '.join(_between(*each) for each in bounds) or '0'})"
    # The largest bound that is not after the moment is the start of a window, or the moment is in none.
    starts = ",".join(str(start) for start, _ in bounds)
    all_bounds = ",".join(map(str, sorted({bound for each in bounds for bound in each})))
    inside = f"roundDown(occurred_at, [{all_bounds}]) IN ({starts})"
    return f"({_between(bounds[0][0], bounds[-1][1])} AND {inside})"


def _between(start: int, end: int) -> str:
    return f"(occurred_at >= {start} AND occurred_at < {end})"


def came_in(came: Came) -> tuple[str, dict[str, Any]]:
    """The condition for events that came in these hits, and its values."""
    hit = "splitByChar('-', JSONExtractString(envelope, 'hit'))"
    offset = f"toInt64OrZero({hit}[2])"
    ranges = [
        f"({hit}[1] = '{int(partition)}' AND {offset} >= {int(start)} AND {offset} < {int(end)})"
        for partition, start, end in came.hits
    ]
    received = f"received_at BETWEEN {int(came.since)} AND {int(came.until)}"
    return f"source = {{source:String}} AND {received} AND ({' OR '.join(ranges) or '0'})", {"source": came.source}
