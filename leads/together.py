"""Read the trails of a batch's leads with two questions to the event store, instead of two for each lead.

The leads of a file, or of an evening's campaign, are mostly people with a handful of events. Those trails are read at
once and told apart by their sets; whoever has more, or only stretches of a set's time, is asked for alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate, takewhile
from typing import Any, Protocol

from cdp.model import NO_WINDOWS, SetId, Windows
from profiles.store import EventStore, SetSummary

TOGETHER_EVENTS = 2_000
"""In one answer; some 700 bytes each."""


class Trails(Protocol):
    """What freezing a trail asks of the event store, see `EventStore`."""

    def trail(self, sets: Sequence[SetId], *, limit: int, windows: Windows = NO_WINDOWS) -> list[dict[str, Any]]: ...

    def summaries(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> list[SetSummary]: ...


class ReadTogether:
    """Answers for these sets from one look at their events, for others from the store. Of one moment: whoever watches
    for late events begins before it is made."""

    def __init__(self, events: EventStore, sets: Collection[SetId]) -> None:
        self._events = events
        self._read: dict[SetId, list[dict[str, Any]]] = {}
        few = _with_few_events(sets, events.summaries(sorted(sets))) if sets else []
        found = events.trail(few, limit=2 * TOGETHER_EVENTS) if few else []
        # Where so many came meanwhile that they may be cut off, each lead is asked for alone.
        if len(found) < 2 * TOGETHER_EVENTS:
            self._read = {each: [] for each in few}
            for event in found:
                self._read[SetId(event["set"])].append(event)

    def trail(self, sets: Sequence[SetId], *, limit: int, windows: Windows = NO_WINDOWS) -> list[dict[str, Any]]:
        if not self._knows(sets, windows):
            return self._events.trail(sets, limit=limit, windows=windows)
        found = [event for each in sets for event in self._read[each]]
        return sorted(found, key=lambda event: (event["occurred_at"], event["id"]), reverse=True)[:limit]

    def summaries(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> list[SetSummary]:
        if not self._knows(sets, windows):
            return self._events.summaries(sets, windows=windows)
        # Counted in what was read, so that a count is never less than its events.
        return [
            SetSummary(each, len(found), found[-1]["occurred_at"], found[0]["occurred_at"])
            for each in sets
            if (found := self._read[each])
        ]

    def _knows(self, sets: Sequence[SetId], windows: Windows) -> bool:
        return all(each in self._read and each not in windows for each in sets)


def _with_few_events(sets: Collection[SetId], counted: Sequence[SetSummary]) -> list[SetId]:
    """As many of these sets, those with the fewest events first, as may be read at once."""
    events = {each.set: each.events for each in counted}
    fewest = sorted(sets, key=lambda each: (events.get(each, 0), each))
    sums = accumulate(events.get(each, 0) for each in fewest)
    return [each for each, _ in takewhile(lambda pair: pair[1] <= TOGETHER_EVENTS, zip(fewest, sums, strict=True))]
