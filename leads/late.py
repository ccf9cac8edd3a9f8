"""What still belongs to a frozen trail although it was not known when it was frozen.

For 24 hours after a capture two things are watched: events of the person that happened before it and arrive only
now, and identifier sets that are recognised as the person's only now. Every event passes here, so the first look
is one dictionary access.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from cdp.model import Millis, PersonId, SetId
from identity.engine import IdentityEngine
from leads.lead import ADDITIONS_MS, ARRIVED_LATE, IDENTIFIED_LATER, Addition, LeadId
from leads.store import OpenLead
from profiles.store import Cursor, EventStore, StoredEvent

MAX_JOINED = 200
"""Newest events that are added at once when sets are recognised as the person's, as many as a trail has."""


@dataclass(slots=True, eq=False)
class OpenTrail:
    """A trail that may still get additions. `sets` are the person's sets whose stored events it knows."""

    lead: LeadId
    subject: SetId
    frozen_at: Millis
    sets: frozenset[SetId]
    person: PersonId | None = None


class Found:
    """What one look found; `additions` is to be written, and the rest remembered once that is durable.

    `joined` are the sets that each trail got, and how often it had been marked when it was looked at.
    """

    def __init__(self) -> None:
        self.additions: list[Addition] = []
        self.joined: dict[OpenTrail, tuple[frozenset[SetId], int]] = {}


class OpenTrails:
    """The leads of the last 24 hours, by set and by person. Thread-safe.

    A lead must be watched before its trail is read, not after: whatever is stored in between is then found by
    at least one of the two, and `show` leaves out of the additions what the trail has.
    """

    def __init__(self, identity: IdentityEngine, events: EventStore) -> None:
        self._identity = identity
        self._events = events
        self._lock = Lock()
        self._trails: dict[LeadId, OpenTrail] = {}
        self._by_set: dict[SetId, tuple[OpenTrail, ...]] = {}
        self._by_person: dict[PersonId, tuple[OpenTrail, ...]] = {}
        self._unsettled: dict[OpenTrail, int] = {}

    def watch(self, lead: OpenLead, *, settled: bool = True) -> None:
        """Begin to watch a lead, or begin again with what is newly known of it.

        `settled` is false where sets may have joined since they were read, as after a restart. A lead of nobody
        is not watched: the events that come without any identifier are not one person's.
        """
        if not lead.subject:
            return
        trail = OpenTrail(lead.id, lead.subject, lead.frozen_at, frozenset((*lead.sets, lead.subject)))
        with self._lock:
            # Asked under the lock, or a change that `find` is about to tell could be overwritten with the past.
            trail.person = self._identity.person_of_set(lead.subject)
            self._drop(lead.id)
            self._trails[lead.id] = trail
            self._enter(trail, trail.sets)
            if not settled:
                self._mark(trail)

    def know(self, lead_id: LeadId, sets: Iterable[SetId]) -> None:
        """Say that the lead's trail was read from these sets as well."""
        with self._lock:
            trail = self._trails.get(lead_id)
            if trail is not None:
                fresh = frozenset(sets) - trail.sets
                trail.sets |= fresh
                self._enter(trail, fresh)

    def find(self, stored: Sequence[StoredEvent], changed: Collection[SetId], *, at: Millis) -> Found:
        """Additions that these newly stored events, and sets that are now another person's, make to open trails.

        Finding again before `settle` gives the same, so a batch may be tried again.
        """
        self._close(at)
        found = Found()
        if not self._trails:
            return found
        fresh = {row.event.id for row in stored}
        for trail, rows in self._arrived(stored).items():
            found.additions += self._late(trail, rows, at)
        unknown = {row.set for row in stored if row.set not in self._by_set}
        self._mark_unsettled(unknown.union(changed))
        with self._lock:
            unsettled = list(self._unsettled.items())
        for trail, marks in unsettled:
            joined = self._sets_of(trail) - trail.sets
            found.joined[trail] = (joined, marks)
            found.additions += self._recognised(trail, joined, fresh, at)
        return found

    def settle(self, found: Found) -> None:
        """Remember what was found, after the additions are durable."""
        with self._lock:
            for trail, (joined, marks) in found.joined.items():
                # Marked once more means that another thread saw sets join after this look.
                if self._unsettled.get(trail) == marks:
                    del self._unsettled[trail]
                if self._trails.get(trail.lead) is trail:
                    fresh = joined - trail.sets
                    trail.sets |= fresh
                    self._enter(trail, fresh)

    def _arrived(self, stored: Sequence[StoredEvent]) -> dict[OpenTrail, list[StoredEvent]]:
        arrived: dict[OpenTrail, list[StoredEvent]] = defaultdict(list)
        for row in stored:
            for trail in self._by_set.get(row.set, ()):
                if row.event.occurred_at <= trail.frozen_at:
                    arrived[trail].append(row)
        return arrived

    def _late(self, trail: OpenTrail, rows: list[StoredEvent], at: Millis) -> list[Addition]:
        ids = {row.event.id for row in rows}
        since = min(row.event.occurred_at for row in rows) - 1
        until = max(row.event.occurred_at for row in rows)
        events = self._events.events_between(sorted({row.set for row in rows}), after=since, until=until)
        return [_addition(trail, event, ARRIVED_LATE, at) for event in events if event["id"] in ids]

    def _recognised(
        self, trail: OpenTrail, joined: Collection[SetId], fresh: Collection[str], at: Millis
    ) -> list[Addition]:
        if not joined:
            return []
        before = Cursor(trail.frozen_at + 1, "")
        return [
            _addition(trail, event, ARRIVED_LATE if event["id"] in fresh else IDENTIFIED_LATER, at)
            for event in self._events.trail(sorted(joined), limit=MAX_JOINED, before=before)
        ]

    def _mark_unsettled(self, changed: Collection[SetId]) -> None:
        persons = self._identity.persons_of_sets(changed)
        with self._lock:
            # Subjects first: which trails a set joins depends on the person that they are now.
            for set_, person in persons.items():
                for trail in self._by_set.get(set_, ()):
                    if trail.subject == set_:
                        self._move(trail, person)
                        self._mark(trail)
            for set_, person in persons.items():
                for trail in self._by_person.get(person, ()) if person else ():
                    if set_ not in trail.sets:
                        self._mark(trail)

    def _mark(self, trail: OpenTrail) -> None:
        self._unsettled[trail] = self._unsettled.get(trail, 0) + 1

    def _sets_of(self, trail: OpenTrail) -> frozenset[SetId]:
        return frozenset(self._identity.sets_of(trail.person)) if trail.person else frozenset()

    def _close(self, at: Millis) -> None:
        with self._lock:
            # In the order of their capture, so that only those that are over are looked at.
            over = [trail.lead for trail in _while_over(self._trails.values(), at)]
            for lead_id in over:
                self._drop(lead_id)

    def _enter(self, trail: OpenTrail, sets: Iterable[SetId]) -> None:
        for set_ in sets:
            self._by_set[set_] = (*self._by_set.get(set_, ()), trail)
        self._move(trail, trail.person)

    def _move(self, trail: OpenTrail, person: PersonId | None) -> None:
        _remove(self._by_person, trail.person, trail)
        trail.person = person
        if person is not None:
            self._by_person[person] = (*self._by_person.get(person, ()), trail)

    def _drop(self, lead_id: LeadId) -> None:
        trail = self._trails.pop(lead_id, None)
        if trail is not None:
            self._unsettled.pop(trail, None)
            _remove(self._by_person, trail.person, trail)
            for set_ in trail.sets:
                _remove(self._by_set, set_, trail)


def _while_over(trails: Iterable[OpenTrail], at: Millis) -> Iterable[OpenTrail]:
    for trail in trails:
        if at - trail.frozen_at <= ADDITIONS_MS:
            return
        yield trail


def _remove(index: dict[Any, tuple[OpenTrail, ...]], key: Any, trail: OpenTrail) -> None:
    rest = tuple(other for other in index.get(key, ()) if other is not trail)
    if rest:
        index[key] = rest
    else:
        index.pop(key, None)


def _addition(trail: OpenTrail, event: dict[str, Any], reason: str, at: Millis) -> Addition:
    lasting = {name: value for name, value in event.items() if name != "set"}
    return Addition(trail.lead, lasting, at, reason)
