"""Why somebody came into a segment or left it, and when exactly."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence

from cdp.model import Millis
from cdp.segment_work import Happened
from segments.book import State
from segments.live_looks import Eye, Flip
from segments.live_touched import Index, Touched
from segments.stays import Change, Reason

LOOKS_BACK = 3
"""Moments that are looked at once more in one round, to find when exactly something became true."""

FILLING = {
    State.BACKFILL: Reason.BACKFILL,
    State.DEFINITION: Reason.DEFINITION,
    State.REFUSED: Reason.BACKFILL,
}


def explained(flips: Iterable[Flip], touched: Touched, index: Index, eye: Eye, now: Millis) -> list[Change]:
    """The changes that a round found, each with its reason and its moment: that of the timer where time alone brought
    it about, else `now`."""
    found, by_time = [], []
    for flip in flips:
        reason = FILLING.get(flip.segment.state) or _reason(flip, touched)
        if reason is None and flip.timer is not None:
            by_time.append(flip)
        elif reason is not None:
            found.append(change(flip, reason, None, now))
        else:
            found.append(_by_event(flip, touched, index, now))
    moments = _moments(by_time, touched, eye, now)
    for flip in by_time:
        at = moments.get((flip.segment.n, flip.unit))
        timed = at is not None or flip.unit not in touched.happened
        found.append(
            change(flip, Reason.TIMER, None, now if at is None else at)
            if timed
            else _by_event(flip, touched, index, now)
        )
    return found


def unexplained(flips: Iterable[Flip], touched: Touched, index: Index) -> tuple[list[Flip], set[str]]:
    """The flips that can be written, and the units of the others: of these something moved, and of what is not known.

    The graph is written before the row of a batch, so that who comes between the two sees that somebody has other
    events and not which; they are looked at again when the row is there.
    """
    told, late = [], set()
    for flip in flips:
        unit = flip.unit
        moved = unit in touched.moved and unit not in touched.settled and _reason(flip, touched) is None
        if moved and flip.timer is None and not _seen(flip, touched, index):
            late.add(unit)
        else:
            told.append(flip)
    return told, late


def _seen(flip: Flip, touched: Touched, index: Index) -> list[Happened]:
    """What came of the unit that this segment looks at."""
    return [each for each in touched.happened.get(flip.unit, ()) if flip.segment.n in index.event(each)]


def change(flip: Flip, reason: Reason, cause: str | None, at: Millis) -> Change:
    return Change(flip.segment.n, flip.unit, flip.entered, at, reason, cause, flip.segment.version, flip.since)


def _reason(flip: Flip, touched: Touched) -> Reason | None:
    """What became of the unit itself. One that was erased may be in a segment again, by what came since."""
    gone = flip.unit in touched.erased or flip.unit in touched.emptied
    reason = Reason.ERASURE if gone else touched.moved.get(flip.unit)
    return None if flip.entered and reason is Reason.ERASURE else reason


def _by_event(flip: Flip, touched: Touched, index: Index, now: Millis) -> Change:
    newest: Happened | None = max(_seen(flip, touched, index), key=lambda each: (each.at, each.id), default=None)
    said = newest is not None and not index.mentions[flip.segment.n].event(newest.name)
    return change(flip, Reason.ATTRIBUTE if said else Reason.EVENT, newest.id if newest else None, now)


def _moments(flips: Sequence[Flip], touched: Touched, eye: Eye, now: Millis) -> dict[tuple[int, str], Millis | None]:
    """When time alone changed these, None where it did not.

    A timer that is exact says so itself, unless something came as well. Where one is too early the moment after it is
    tried, and the next that is told then; each moment is one look at all that it may have changed.
    """
    found: dict[tuple[int, str], Millis | None] = {}
    waiting: defaultdict[Millis, list[Flip]] = defaultdict(list)
    for flip in flips:
        timer = flip.timer
        if timer is None:
            continue
        if timer.exact and flip.unit not in touched.happened:
            found[flip.segment.n, flip.unit] = timer.at
        else:
            waiting[timer.at].append(flip)
    moments = sorted(waiting)
    looked = 0
    while moments:
        at = heapq.heappop(moments)
        those = waiting.pop(at)
        if looked == LOOKS_BACK:
            found |= {(flip.segment.n, flip.unit): at for flip in those}
            continue
        looked += 1
        for flip, then in _looked_back(those, eye, at):
            if then is None or then > now:
                found[flip.segment.n, flip.unit] = None
            elif then == at:
                found[flip.segment.n, flip.unit] = at
            else:
                if then not in waiting:
                    heapq.heappush(moments, then)
                waiting[then].append(flip)
    return found


def _looked_back(flips: Sequence[Flip], eye: Eye, at: Millis) -> list[tuple[Flip, Millis | None]]:
    """Each with `at` where it was so then, else with when it may have become so next."""
    found: list[tuple[Flip, Millis | None]] = []
    by_entity = defaultdict(list)
    for flip in flips:
        by_entity[flip.segment.definition.entity].append(flip)
    for those in by_entity.values():
        segments = list({flip.segment.n: flip.segment for flip in those}.values())
        members: set[tuple[int, str]] = set()
        nexts: dict[tuple[int, str], Millis] = {}
        for look in eye.units(segments, {flip.unit for flip in those}, at):
            for unit, said in look.verdicts.items():
                members.update((look.segments[place].n, unit) for place in said.members)
                nexts |= {(look.segments[place].n, unit): moment for place, moment in said.nexts.items()}
        for flip in those:
            key = flip.segment.n, flip.unit
            found.append((flip, at if (key in members) is flip.entered else nexts.get(key)))
    return found
