"""Open trails where several processes capture leads and store events.

Every process that stores events watches the leads of all, see `open_leads` for why it misses none; a process that only
captures tells the others, and leaves additions to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import Enum, auto
from threading import Lock

from sqlalchemy import Connection, Engine

from cdp.model import Millis, SetId
from cdp.records import reading
from identity.verbs import Identity
from leads import open_leads
from leads.late import Found, OpenTrails
from leads.lead import ADDITIONS_MS, Addition
from leads.store import OpenLead
from profiles.store import EventStore, StoredEvent
from profiles.whose import Whose


class Watching(Enum):
    """Who looks for additions to leads: this process, which is the only one; every process that stores events, with
    this among them; or only others."""

    ALONE = auto()
    AMONG_OTHERS = auto()
    BY_OTHERS = auto()


def open_trails(
    watching: Watching, records: Engine, identity: Identity, events: EventStore, whose: Whose
) -> OpenTrails:
    if watching is Watching.ALONE:
        return OpenTrails(identity, events, whose)
    kind = FollowedTrails if watching is Watching.AMONG_OTHERS else ToldTrails
    return kind(records, identity, events, whose)


class ToldTrails(OpenTrails):
    """Tells others of leads and watches none, so it never finds anything."""

    def __init__(self, records: Engine, identity: Identity, events: EventStore, whose: Whose) -> None:
        super().__init__(identity, events, whose)
        self._records = records

    def begin(self, connection: Connection, since: Millis) -> None:
        """Nothing is to be known."""

    def announce(self, leads: Collection[OpenLead]) -> None:
        open_leads.announce(self._records, leads)

    def watch(self, *leads: OpenLead, settled: bool = True) -> None:
        """Others do."""


class FollowedTrails(OpenTrails):
    """Watches also the leads that other processes capture, and looks at what they changed of persons."""

    def __init__(self, records: Engine, identity: Identity, events: EventStore, whose: Whose) -> None:
        super().__init__(identity, events, whose)
        self._records = records
        self._following = Lock()
        self._last = 0
        self._unwritten: set[int] = set()
        self._moves = identity.version

    def begin(self, connection: Connection, since: Millis) -> None:
        super().begin(connection, since)
        self._last, self._unwritten = open_leads.standing(connection, since=since)

    def announce(self, leads: Collection[OpenLead]) -> None:
        open_leads.announce(self._records, leads)

    def find(self, stored: Sequence[StoredEvent], changed: Collection[SetId], *, at: Millis) -> Found:
        """What others changed of persons is looked at by every process: which trails an event belongs to, each must
        know by itself."""
        self._identity.follow()
        head = self._identity.version
        if self._trails:
            self._mark_moved(since=self._moves, head=head)
        with self._following:
            self._follow(since=at - ADDITIONS_MS, head=head)
        found = super().find(stored, changed, at=at)
        found.moves = head
        return found

    def settle(self, found: Found) -> None:
        super().settle(found)
        self._moves = max(self._moves, found.moves)

    def allowed(self, connection: Connection, additions: Sequence[Addition]) -> Sequence[Addition]:
        """Without those of leads that are erased or undone, which another process may have done since they were
        found."""
        open_ = open_leads.still_open(connection, {each.lead for each in additions})
        return [each for each in additions if each.lead in open_]

    def _follow(self, *, since: Millis, head: int) -> None:
        with reading(self._records) as connection:
            fresh = list(open_leads.announced(connection, after=self._last, since=since))
            again = list(open_leads.again(connection, self._unwritten, since=since))
        # This process's own are watched already, and better known than from what is stored.
        news = [*again, *(each for each in fresh if not self._watches(each.lead))]
        self.watch(*(each.lead for each in news if each.version is not None))
        # What joined after a trail was read may have been looked at already, when this lead was not known.
        known = min((each.version for each in news if each.version is not None), default=head)
        self._mark_moved(since=known, head=head)
        self._watch_unwritten(each.lead for each in news if each.version is None)
        self._unwritten = {each.n for each in news if each.version is None}
        self._last = fresh[-1].n if fresh else self._last

    def _watch_unwritten(self, leads: Iterable[OpenLead]) -> None:
        """Until it is known what their trails were read from, what is the person's now stands for it: what is added of
        it although the trail has it is not shown."""
        new = [lead for lead in leads if not self._watches(lead)]
        self.watch(*new)
        for lead in new:
            trail = self._trails.get(lead.id)
            if trail and trail.person:
                self.know(lead.id, self._whose.person(trail.person))

    def _watches(self, lead: OpenLead) -> bool:
        trail = self._trails.get(lead.id)
        return trail is not None and trail.frozen_at == lead.frozen_at

    def _mark_moved(self, *, since: int, head: int) -> None:
        if since < head:
            self._mark_unsettled((), self._identity.sets_moved_since(since))
