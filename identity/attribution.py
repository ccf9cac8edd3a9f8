"""Whose an event is: a function of its own, of the identifiers that came with it and of its time.

It is its strongest identifier's that may link, in the epoch of its time. Where there is none, but a shared device, it
is the session's: whoever proved the device last within half an hour before; else who proved it next within half an
hour after; else nobody's but the device's, which has a profile of its own.

The answer is kept per identifier set, as stretches of time; so an event that came late, or a merge, rewrites nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cdp.model import Identifier, Millis
from cdp.model import Window as Window
from identity.graph import SetMember
from identity.kinds import Policy
from identity.observation import Node, strongest
from identity.resolve import State

SESSION_MS = 30 * 60_000
"""How long a proof of ownership speaks for a shared device, as web analytics ends a session."""


class Stretch(NamedTuple):
    """When the events of a set are this node's."""

    window: Window
    node: Node


class Sighting(NamedTuple):
    """A proof of who has a device: when, and the anchor that proved it."""

    at: Millis
    anchor: Identifier


def speaker(members: Iterable[SetMember], policy: Policy) -> SetMember | None:
    """The member whose a set's events are: the strongest that links, else the strongest that is shared or a hub."""
    by_state: dict[bool, dict[Identifier, SetMember]] = {True: {}, False: {}}
    for member in members:
        if member.state in (State.LINK, State.SHARED, State.HUB):
            by_state[member.state is State.LINK][member.identifier] = member
    eligible = by_state[True] or by_state[False]
    return eligible[strongest(eligible, policy)[0]] if eligible else None


def goes_round(member: SetMember, policy: Policy) -> bool:
    """Whether sessions say who has this: it changes hands, and so that nobody owns it for long."""
    return member.state in (State.SHARED, State.HUB) and policy.kind(member.identifier.kind).changes_hands


def stretches(members: Iterable[SetMember], policy: Policy) -> list[Stretch]:
    """Whose a set's events are, oldest stretch first; [] for nobody's."""
    found = speaker(members, policy)
    if found is None:
        return []
    starts = [None, *(each.start for each in found.epochs)]
    nodes = [Node(found.identifier), *(Node(found.identifier, each.owner) for each in found.epochs)]
    return [Stretch(*each) for each in zip(zip(starts, [*starts[1:], None], strict=True), nodes, strict=True)]


def sessions(sightings: Iterable[Sighting]) -> list[tuple[Window, Identifier]]:
    """Who has a shared device when, in order and without overlap; what lies outside is the device's own.

    From a proof on, its anchor has it for SESSION_MS or until the next proof by another; before the first proof of a
    session, its anchor has what came up to SESSION_MS earlier and was nobody's.
    """
    ordered = sorted(set(sightings))
    found: list[tuple[Window, Identifier]] = []
    free_from: Millis | None = None
    for n, (at, anchor) in enumerate(ordered):
        start = at - SESSION_MS if free_from is None else max(at - SESSION_MS, min(free_from, at))
        later = ordered[n + 1].at if n + 1 < len(ordered) else at + SESSION_MS + 1
        free_from = min(later, at + SESSION_MS + 1)
        if found and found[-1][1] == anchor and found[-1][0][1] == start:
            start = found.pop()[0][0]  # type: ignore[assignment]
        if start < free_from:
            found.append(((start, free_from), anchor))
    return found


def who_had_it(found: Sequence[tuple[Window, Identifier]], at: Millis) -> Identifier | None:
    """The anchor whose session `at` falls into, of what `sessions` gave."""
    place = bisect_right(found, at, key=lambda each: each[0][0] or 0) - 1
    if place >= 0:
        (_, end), anchor = found[place]
        if end is None or at < end:
            return anchor
    return None
