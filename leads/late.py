"""What still belongs to a frozen trail although it was not known when it was frozen.

For 24 hours after a capture two things are watched: events of the person that happened before it and arrive only
now, and identifier sets, or stretches of their time, that are recognised as the person's only now. Every event passes
here, so the first look is one dictionary access.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock
from typing import Any

from sqlalchemy import Connection

from cdp.model import ALWAYS, Identifier, Millis, PersonId, SetId, Window, Windows
from identity.attribution import SESSION_MS
from identity.person import Person
from identity.verbs import Identity
from leads.lead import ADDITIONS_MS, ARRIVED_LATE, IDENTIFIED_LATER, Addition, LeadId
from leads.store import OpenLead, frozen_since
from profiles.store import Cursor, EventStore, StoredEvent
from profiles.whose import Whose, beyond

LEFT_AT_ONCE = 20
"""Trails that a restart left open, looked at with each batch: up to 10 ms each."""
MAX_JOINED = 200
"""Newest events that are added at once when sets are recognised as the person's, as many as a trail has."""


@dataclass(slots=True, eq=False)
class OpenTrail:
    """A trail that may still get additions. `sets` are the person's sets whose stored events it knows, in `windows`;
    `devices` are shared ones that the person had."""

    lead: LeadId
    subject: SetId
    frozen_at: Millis
    sets: frozenset[SetId]
    windows: Windows = field(default_factory=dict)
    devices: frozenset[Identifier] = frozenset()
    person: PersonId | None = None


class Found:
    """What one look found; `additions` is to be written, and the rest remembered once that is durable.

    `joined` tells for each trail what is its person's now, and how often it had been marked when it was looked at;
    `moves` is the graph's version up to which changes of persons were looked at, where that is known.
    """

    def __init__(self) -> None:
        self.additions: list[Addition] = []
        self.joined: dict[OpenTrail, tuple[Person | None, int]] = {}
        self.moves = 0


class OpenTrails:
    """The leads of the last 24 hours, by set and by person. Thread-safe.

    A lead must be watched before its trail is read, not after: whatever is stored in between is then found by
    at least one of the two, and `show` leaves out of the additions what the trail has.
    """

    def __init__(self, identity: Identity, events: EventStore, whose: Whose) -> None:
        self._identity = identity
        self._events = events
        self._whose = whose
        self._lock = Lock()
        self._trails: dict[LeadId, OpenTrail] = {}
        self._by_set: dict[SetId, tuple[OpenTrail, ...]] = {}
        self._by_person: dict[PersonId, tuple[OpenTrail, ...]] = {}
        self._by_device: dict[Identifier, tuple[OpenTrail, ...]] = {}
        self._unsettled: dict[OpenTrail, int] = {}
        self._newest: Millis = 0

    def begin(self, connection: Connection, since: Millis) -> None:
        """Watch the leads that were frozen since then."""
        self.watch(*frozen_since(connection, since), settled=False)

    def announce(self, leads: Collection[OpenLead]) -> None:
        """Tell others of leads that are watched and read next."""

    def watch(self, *leads: OpenLead, settled: bool = True) -> None:
        """Begin to watch leads, or begin again with what is newly known of them.

        `settled` is false where sets may have joined since they were read, as after a restart. A lead of nobody
        is not watched: the events that come without any identifier are not one person's.
        """
        somebodys = [lead for lead in leads if lead.subject]
        with self._lock:
            # Asked under the lock, or a change that `find` is about to tell could be overwritten with the past.
            moments = {(lead.subject, lead.frozen_at) for lead in somebodys}
            persons = self._whose.persons_at(moments) if moments else {}
            for lead in somebodys:
                trail = self._begun(lead)
                self._move(trail, persons[lead.subject, lead.frozen_at])
                if not settled:
                    # Marked by nothing yet: looked at when there is time.
                    self._unsettled.setdefault(trail, 0)

    def know(self, lead_id: LeadId, who: Person | None) -> None:
        """Say that the lead's trail was read from what is this person's."""
        with self._lock:
            trail = self._trails.get(lead_id)
            if trail is not None and who is not None:
                self._learn(trail, who)

    def forget(self, leads: Iterable[str]) -> None:
        """Watch these leads no longer."""
        with self._lock:
            for lead in leads:
                self._drop(LeadId(lead))

    def find(self, stored: Sequence[StoredEvent], changed: Collection[SetId], *, at: Millis) -> Found:
        """Additions that these newly stored events, and sets that are now another person's, make to open trails.

        Finding again before `settle` gives the same, so a batch may be tried again.
        """
        self._close(at)
        found = Found()
        if not self._trails:
            return found
        fresh = {row.event.id for row in stored}
        # Leads of one phone, of which a file may have hundreds, are all told of the same events.
        asked: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for trail, rows in self._arrived(stored).items():
            found.additions += self._late(trail, rows, asked, at)
        self._mark_unsettled(stored, changed)
        self._mark_proved(stored)
        with self._lock:
            unsettled = self._due()
        for trail, marks in unsettled:
            who = self._whose.person(trail.person) if trail.person else None
            found.joined[trail] = (who, marks)
            found.additions += self._recognised(trail, who, fresh, at) if who else []
        return found

    def allowed(self, connection: Connection, additions: Sequence[Addition]) -> Sequence[Addition]:
        """Those of these additions that may be written now, in the caller's transaction."""
        return additions

    def settle(self, found: Found) -> None:
        """Remember what was found, after the additions are durable."""
        with self._lock:
            for trail, (who, marks) in found.joined.items():
                # Marked once more means that another thread saw sets join after this look.
                if self._unsettled.get(trail) == marks:
                    del self._unsettled[trail]
                if self._trails.get(trail.lead) is trail and who is not None:
                    self._learn(trail, who)

    def _arrived(self, stored: Sequence[StoredEvent]) -> dict[OpenTrail, list[StoredEvent]]:
        arrived: dict[OpenTrail, list[StoredEvent]] = defaultdict(list)
        for row in stored:
            for trail in self._watching(row):
                if row.event.occurred_at <= trail.frozen_at:
                    arrived[trail].append(row)
        # A set may be another's at that time. Whose the trail is is asked for together, or it could be an older answer.
        moments = {(trail.subject, trail.frozen_at) for trail in arrived}
        moments |= {(row.set, row.event.occurred_at) for rows in arrived.values() for row in rows}
        persons = self._whose.persons_at(moments) if moments else {}
        for trail, rows in arrived.items():
            person = persons[trail.subject, trail.frozen_at]
            rows[:] = [
                row
                for row in rows
                if persons[row.set, row.event.occurred_at] == person and (person or row.set == trail.subject)
            ]
        return {trail: rows for trail, rows in arrived.items() if rows}

    def _watching(self, row: StoredEvent) -> Iterable[OpenTrail]:
        watching = self._by_set.get(row.set, ())
        if not self._by_device:
            return watching
        of_devices = (trail for each in row.event.identifiers for trail in self._by_device.get(each, ()))
        return dict.fromkeys([*watching, *of_devices])

    def _late(
        self,
        trail: OpenTrail,
        rows: list[StoredEvent],
        asked: dict[tuple[Any, ...], list[dict[str, Any]]],
        at: Millis,
    ) -> list[Addition]:
        ids = {row.event.id for row in rows}
        since = min(row.event.occurred_at for row in rows) - 1
        until = max(row.event.occurred_at for row in rows)
        sets = tuple(sorted({row.set for row in rows}))
        if (sets, since, until) not in asked:
            asked[sets, since, until] = self._events.events_between(sets, after=since, until=until)
        events = asked[sets, since, until]
        return [_addition(trail, event, ARRIVED_LATE, at) for event in events if event["id"] in ids]

    def _recognised(self, trail: OpenTrail, who: Person, fresh: Collection[str], at: Millis) -> list[Addition]:
        joined = _joined(trail, who)
        if not joined:
            return []
        before = Cursor(trail.frozen_at + 1, "")
        return [
            _addition(trail, event, ARRIVED_LATE if event["id"] in fresh else IDENTIFIED_LATER, at)
            for event in self._events.trail(sorted(joined), limit=MAX_JOINED, before=before, windows=joined)
        ]

    def _mark_unsettled(self, stored: Sequence[StoredEvent], changed: Collection[SetId]) -> None:
        """Mark trails that sets may have joined, by being new, or another person's than they were."""
        unknown = {row.set: row.event.occurred_at <= self._newest for row in stored if row.set not in self._by_set}
        persons: dict[SetId, set[PersonId | None]] = {
            each: {person} for each, person in self._identity.persons_of_sets(unknown).items()
        }
        # What came late, and what changed, may be somebody's who had a phone before its present owner.
        over = self._identity.persons_over_time({*changed, *(each for each, late in unknown.items() if late)})
        persons |= {each: {person for _, person in parts} for each, parts in over.items()}
        subjects = [trail for each in changed for trail in self._by_set.get(each, ()) if trail.subject == each]
        owners = self._whose.persons_at({(trail.subject, trail.frozen_at) for trail in subjects}) if subjects else {}
        with self._lock:
            # Subjects first: which trails a set joins depends on the person that they are now.
            for trail in subjects:
                if self._trails.get(trail.lead) is trail:
                    self._move(trail, owners[trail.subject, trail.frozen_at])
                    self._mark(trail)
            for set_, those in persons.items():
                for trail in (trail for person in those if person for trail in self._by_person.get(person, ())):
                    if set_ not in trail.sets:
                        self._mark(trail)

    def _mark_proved(self, stored: Sequence[StoredEvent]) -> None:
        """Mark trails whose person may have proved a shared device: what happened on it just before is theirs too."""
        if not self._by_device:
            return
        with self._lock:
            for row in stored:
                for trail in self._by_set.get(row.set, ()):
                    near = row.event.occurred_at <= trail.frozen_at + SESSION_MS
                    if near and not trail.devices.isdisjoint(row.event.identifiers):
                        self._mark(trail)

    def _mark(self, trail: OpenTrail) -> None:
        self._unsettled[trail] = self._unsettled.get(trail, 0) + 1

    def _due(self) -> list[tuple[OpenTrail, int]]:
        """Those that something marked, and some of those that a restart left open: the first batch after it would wait
        for minutes where thousands of leads are a day old."""
        marked = [each for each in self._unsettled.items() if each[1]]
        left = (each for each in self._unsettled.items() if not each[1])
        return marked + list(islice(left, LEFT_AT_ONCE))

    def _close(self, at: Millis) -> None:
        with self._lock:
            # In the order of their capture, so that only those that are over are looked at.
            over = [trail.lead for trail in _while_over(self._trails.values(), at)]
            for lead_id in over:
                self._drop(lead_id)

    def _learn(self, trail: OpenTrail, who: Person) -> None:
        """What is this person's is known to the trail from now on."""
        fresh, devices = frozenset(who.sets) - trail.sets, self._whose.devices(who) - trail.devices
        # What it knew as a whole it keeps knowing so, and what is somebody else's now as it was.
        known = {each: when for each, when in trail.windows.items() if each not in who.sets}
        new = {each: when for each, when in who.windows.items() if each in fresh or each in trail.windows}
        trail.windows = known | new
        trail.sets |= fresh
        trail.devices |= devices
        _enter(self._by_set, fresh, trail)
        _enter(self._by_device, devices, trail)

    def _begun(self, lead: OpenLead) -> OpenTrail:
        self._drop(lead.id)
        sets = frozenset((*lead.sets, lead.subject))
        windows = lead.windows if lead.subject in lead.sets else {**lead.windows, lead.subject: ()}
        trail = OpenTrail(lead.id, lead.subject, lead.frozen_at, sets, windows, lead.devices)
        self._trails[lead.id] = trail
        self._newest = max(self._newest, lead.frozen_at)
        _enter(self._by_set, trail.sets, trail)
        _enter(self._by_device, trail.devices, trail)
        return trail

    def _move(self, trail: OpenTrail, person: PersonId | None) -> None:
        _remove(self._by_person, trail.person, trail)
        trail.person = person
        if person is not None:
            _enter(self._by_person, [person], trail)

    def _drop(self, lead_id: LeadId) -> None:
        trail = self._trails.pop(lead_id, None)
        if trail is not None:
            self._unsettled.pop(trail, None)
            _remove(self._by_person, trail.person, trail)
            for set_ in trail.sets:
                _remove(self._by_set, set_, trail)
            for device in trail.devices:
                _remove(self._by_device, device, trail)


def _joined(trail: OpenTrail, who: Person) -> dict[SetId, Sequence[Window]]:
    """What is the person's that the trail does not know: sets, each in the windows that are new."""
    found: dict[SetId, Sequence[Window]] = {}
    for each in who.sets:
        when = who.windows.get(each, (ALWAYS,))
        new = beyond(when, trail.windows.get(each, (ALWAYS,))) if each in trail.sets else when
        if new:
            found[each] = new
    return found


def _while_over(trails: Iterable[OpenTrail], at: Millis) -> Iterable[OpenTrail]:
    for trail in trails:
        if at - trail.frozen_at <= ADDITIONS_MS:
            return
        yield trail


def _enter(index: dict[Any, tuple[OpenTrail, ...]], keys: Iterable[Any], trail: OpenTrail) -> None:
    for key in keys:
        index[key] = (*index.get(key, ()), trail)


def _remove(index: dict[Any, tuple[OpenTrail, ...]], key: Any, trail: OpenTrail) -> None:
    rest = tuple(other for other in index.get(key, ()) if other is not trail)
    if rest:
        index[key] = rest
    else:
        index.pop(key, None)


def _addition(trail: OpenTrail, event: dict[str, Any], reason: str, at: Millis) -> Addition:
    lasting = {name: value for name, value in event.items() if name != "set"}
    return Addition(trail.lead, lasting, at, reason)
