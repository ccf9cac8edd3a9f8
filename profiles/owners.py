"""Keep the mirror in the event store: whose the events of each identifier set are, for questions about many persons.

A trail asks the graph (`profiles.whose`); a segment asks of a million persons in one query of the event store, and so
finds the answer there. The mirror is never a source: every row is derived again from what the graph and the stored
events say now, so that doing it twice, or after a crash, gives the same.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from threading import Lock
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, Engine

from cdp.feeds import drop_places, note_place, place_of
from cdp.model import Millis, PersonId, SetId
from cdp.records import writing
from identity.graph import SetMember
from identity.resolve import State
from identity.verbs import Identity
from profiles.store import BEGINNING, EventStore, OwnerRow
from profiles.whose import Sets, Turn, Whose

log = structlog.get_logger()

FEED = "owners"
AT_ONCE = 2_000
"""Sets in one look."""
VERSIONS = 16
"""Bits of a row's version below the graph's own: so often a set may be told anew while the graph stands still."""
LOG_EVERY_S = 10.0


class Followed(NamedTuple):
    """Sets whose owners are others than the mirror said before, and all persons who have another share of their events.
    `rows` are what is said now of the sets that were looked at.

    With `filled` everything was derived anew, and the others are empty: any set and person may be meant.
    """

    sets: set[SetId]
    persons: set[PersonId]
    rows: dict[SetId, OwnerRow]
    filled: bool = False

    @classmethod
    def nothing(cls, *, filled: bool = False) -> Followed:
        return cls(set(), set(), {}, filled)

    def add(self, more: Followed) -> None:
        self.sets.update(more.sets)
        self.persons.update(more.persons)
        self.rows.update(more.rows)


Announce = Callable[[Connection, Followed], None]
"""Writes down, in this transaction of the records, what is about to move: who dies after it has nobody else to tell."""


class Owners:
    """Thread-safe; any process may do it. Raises StoreUnavailable, after which the same call may be made again."""

    def __init__(self, identity: Identity, events: EventStore, whose: Whose, records: Engine) -> None:
        self._identity, self._whose, self._records = identity, whose, records
        self._events, self._mirror = events, events.mirror
        # Under another policy the events of a set may be another's though nothing in the graph moved.
        self._feed = f"{FEED} {identity.policy.name[:12]}"
        self._place: int | None = None
        self._noted: int | None = None
        self._lock = Lock()

    def follow(
        self, sets: Collection[SetId] = (), announce: Announce | None = None, *, gone: Collection[SetId] = ()
    ) -> Followed:
        """Bring the mirror up to where the graph stands now; what moves is announced before it is written.

        `sets` are those that the graph cannot name by itself: new ones (of events, and of observations), those with
        events that came or went, and those that hold identifiers of evidence that came or was taken back. The first
        call over stores that were filled without a mirror, or under another policy, derives everything. `gone` are
        among them those of which nothing may be left that was said before, as after an erasure.
        """
        with self._lock:
            followed = self._follow(sets, announce)
            if gone:
                self._mirror.forget_before(self._mirror.owners(gone))
            return followed

    def _follow(self, sets: Collection[SetId], announce: Announce | None) -> Followed:
        self._identity.follow()
        # Before anything is asked, so that no row claims to be younger than what it was derived from.
        seq = self._identity.graph.head().seq
        place = self._known_place()
        if place is None or place > seq:
            return self._fill(seq, announce)
        moved = self._identity.sets_moved_since(place) if place < seq else set()
        touched = moved.union(sets)
        followed = Followed.nothing()
        for some in _chunks(sorted(touched)):
            members = self._identity.members_of_sets(some)
            # Of their shared devices alone, whose sessions may be others now. The mirror is asked: the graph would have
            # to look through all sets in which such a device ever came, of thousands of people.
            beside = self._mirror.owned_sets(self._whose.devices_of(members)) - touched - followed.rows.keys()
            members |= self._identity.members_of_sets(beside)
            followed.add(self._derive([*some, *sorted(beside)], members, seq, always=moved, announce=announce))
        self._place = seq
        if announce is None or not followed.persons:
            self._note()
        return followed

    def rebuild(self) -> None:
        """Derive everything again."""
        with self._lock:
            self._identity.follow()
            self._fill(self._identity.graph.head().seq, None)

    def check(self) -> list[SetId]:
        """The sets of which the mirror says other than graph and events do, in order. Reads everything.

        What came since the last `follow` is among them; a set that it was not told of and that has no event is not.
        """
        wrong: list[SetId] = []
        for some in _chunks(self._every_set()):
            said = {row.set: _Columns(*row[2:]) for row in self._mirror.owners(some)}
            unsaid = [each for each in some if each not in said]
            said |= {each.set: _NOBODYS for each in self._events.summaries(unsaid)}
            now = self._columns(said, self._identity.members_of_sets(said))
            wrong += [each for each in said if said[each] != now[each]]
        return sorted(wrong)

    def _known_place(self) -> int | None:
        if self._place is None:
            place = place_of(self._records, self._feed)
            # Another event store than the one that was followed into, such as after a move.
            if place is not None and next(self._mirror.every_set(), None) is not None:
                self._place = self._noted = place
        return self._place

    def _fill(self, seq: int, announce: Announce | None) -> Followed:
        everything = Followed.nothing(filled=True)
        self._place = self._noted = None
        with writing(self._records) as db:
            if announce is not None:
                announce(db, everything)
            drop_places(db, FEED)
        began = said = time.monotonic()
        done = 0
        for some in _chunks(self._every_set()):
            members = self._identity.members_of_sets(some)
            self._derive(some, members, seq, always=set(some), announce=None)
            done += len(some)
            if time.monotonic() - said > LOG_EVERY_S:
                said = time.monotonic()
                log.info("owners_are_derived", sets=done)
        self._place = seq
        self._note()
        log.info("owners_derived", sets=done, seconds=round(time.monotonic() - began, 1))
        return everything

    def _every_set(self) -> Iterator[SetId]:
        """Those of the graph, and those that the mirror alone knows yet."""
        last = None
        for each in heapq.merge(self._identity.graph.every_set(), self._mirror.every_set()):
            if each != last:
                yield each
            last = each

    def _derive(
        self, sets: Collection[SetId], members: Sets, seq: int, *, always: Collection[SetId], announce: Announce | None
    ) -> Followed:
        """Write what holds for these sets, whose members were read just now. `always` are written also where nothing is
        new, so that a slower process with an older answer loses."""
        before = {row.set: row for row in self._mirror.owners(sets)}
        rows, told = [], Followed.nothing()
        for each, columns in self._columns(sets, members).items():
            old = before.get(each, OwnerRow(each, 0, None))
            told.rows[each] = row = OwnerRow(each, max(seq << VERSIONS, old.version + 1), *columns)
            if row[2:] != old[2:] or each in always:
                rows.append(row)
            # Of a device with thousands of owners only those whose share is another.
            turned = set(old.stretches()) ^ set(row.stretches())
            if turned:
                told.sets.add(each)
                told.persons.update(person for _, _, person in turned if person)
        if told.persons and announce is not None:
            self._note(lambda db: announce(db, told))
        self._mirror.own(rows)
        return told

    def _columns(self, sets: Collection[SetId], members: Sets) -> dict[SetId, _Columns]:
        over = self._whose.over_time_of(sets, members)
        return {each: _derived(turns, members.get(each, ())) for each, turns in over.items()}

    def _note(self, beside: Callable[[Connection], None] | None = None) -> None:
        """How far the last look came. A transaction of its own waits for its turn to write, in each round of segments;
        so where something is announced it goes with the next announcement, and who starts again before that derives
        the last look once more."""
        if beside is None and self._place == self._noted:
            return
        with writing(self._records) as db:
            if beside is not None:
                beside(db)
            if self._place is not None:
                note_place(db, self._feed, self._place)
        self._noted = self._place


class _Columns(NamedTuple):
    """Of an `OwnerRow`, what it says of its set."""

    person: PersonId | None
    starts: tuple[Millis, ...] = ()
    persons: tuple[PersonId | None, ...] = ()
    kinds: tuple[str, ...] = ()


_NOBODYS = _Columns(None)


def _derived(turns: Sequence[Turn], members: Iterable[SetMember]) -> _Columns:
    newest = turns[-1].person
    kinds = tuple(sorted({each.identifier.kind for each in members if each.state is not State.BLOCKED}))
    if len(turns) == 1:
        return _Columns(newest, kinds=kinds)
    starts = (BEGINNING if start is None else start for (start, _), _ in turns)
    return _Columns(newest, tuple(starts), tuple(turn.person for turn in turns), kinds)


def _chunks(sets: Iterable[SetId]) -> Iterator[list[SetId]]:
    rest = iter(sets)
    while some := list(islice(rest, AT_ONCE)):
        yield some
