"""The port of the event store: events and trait rows by identifier set, written once, never changed.

The store knows no persons. Who a set belongs to is the identity graph's answer at the moment of reading; so a
merge or its undo moves a whole trail without touching a row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from cdp.errors import StoreUnavailable
from cdp.model import NO_WINDOWS, Event, Millis, PersonId, SetId, Window, Windows


class AskedTooMuch(StoreUnavailable):
    """The event store is there, and gives up a question that takes more memory or time than one may."""


class StoredEvent(msgspec.Struct, gc=False):
    """An event and the set it came with, as one row to write."""

    event: Event
    set: SetId


class Cursor(NamedTuple):
    """After which event a page goes on: its time on the list's own clock, and its id."""

    at: Millis
    id: str


class TraitRow(NamedTuple):
    """One stored trait change. `order` is unique within its event, so that a fold has one order for all."""

    set: SetId
    event: str
    order: int
    operation: str
    name: str
    value: str
    source: str
    occurred_at: Millis


class SetSummary(NamedTuple):
    set: SetId
    events: int
    first_seen: Millis
    last_seen: Millis


NOTHING: Mapping[str, Any] = {}
STORE = "event"
"""As errors name it."""
BEGINNING = -(2**62)
"""Before all moments."""
NOBODY = "00000000-0000-0000-0000-000000000000"
"""Who is nobody, in the tables."""


class OwnerRow(NamedTuple):
    """Whose the events of a set are; None is nobody.

    `person` has those of the newest stretch of time. Where others have had some before, `starts` says from when on
    `persons` have them, in order and from BEGINNING on; else both are empty. Of two rows of a set, that with the higher
    `version` is true. `kinds` are those of its identifiers that are of use: by them its person can be reached.
    """

    set: SetId
    version: int
    person: PersonId | None
    starts: tuple[Millis, ...] = ()
    persons: tuple[PersonId | None, ...] = ()
    kinds: tuple[str, ...] = ()

    def stretches(self) -> Iterator[tuple[Millis, Millis | None, PersonId | None]]:
        """From when to when, None for ever, they are whose."""
        starts = self.starts or (BEGINNING,)
        return zip(starts, (*starts[1:], None), self.persons or (self.person,), strict=True)

    def owner_at(self, at: Millis) -> PersonId | None:
        return self.persons[bisect_right(self.starts, at) - 1] if self.starts else self.person

    def owners(self) -> frozenset[PersonId]:
        """All persons who have any."""
        return frozenset(each for each in (self.person, *self.persons) if each is not None)


class LeadRow(NamedTuple):
    """A lead as segments ask for it; `fields` is a JSON object, by whose paths its attributes are read.

    Of two rows of a lead, that with the higher `version` is true.
    """

    id: str
    version: int
    subject: SetId
    created_at: Millis
    fields: Mapping[str, Any]


class Came(NamedTuple):
    """Events of one source that came in these hits: in each partition of the log from one offset up to another. All
    were received from `since` to `until`."""

    source: str
    since: Millis
    until: Millis
    hits: Sequence[tuple[int, int, int]]


class Mirror(Protocol):
    """Whose the events of each set are, as the graph and the sessions on shared devices have it: for questions about
    many persons at once. `profiles.owners` keeps it; whoever reads beside a write sees each set before or after it."""

    def own(self, rows: Collection[OwnerRow]) -> None:
        """Durably write what is now said of these sets; rows with a higher version stay true."""

    def owners(self, sets: Collection[SetId]) -> list[OwnerRow]:
        """What is said of these sets, in no order; sets that it does not know are left out, and nobody's."""

    def owned_sets(self, persons: Collection[PersonId]) -> set[SetId]:
        """All sets of which any of these persons have events, at whatever time."""

    def sets_ever(self, persons: Collection[PersonId]) -> set[SetId]:
        """All sets of which any of these persons were ever said to have events; found sooner than what is true now."""

    def every_set(self) -> Iterator[SetId]:
        """All sets that it knows, in order."""

    def forget_before(self, rows: Collection[OwnerRow]) -> None:
        """Erase what was said of the sets of these rows in lower versions than theirs. Durable on return."""


class MirroredLeads(Protocol):
    """The leads of the records store, for questions about many at once. `segments.lead_rows` keeps them."""

    def write(self, rows: Collection[LeadRow]) -> None:
        """Durably write what is now said of these leads; rows with a higher version stay true."""

    def versions(self, leads: Collection[str]) -> dict[str, int]:
        """Those of these leads that it knows, with the versions that are true."""

    def forget_before(self, versions: Mapping[str, int]) -> None:
        """Erase what was said of these leads in lower versions. Durable on return."""


class Erasing(Protocol):
    """What is taken away for good, and what has to be known for that: by erasures, by imports that are undone, and by
    retention. Windows are as in `EventStore`. Raises StoreUnavailable, after which the same call may be repeated."""

    def delete_sets(
        self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS, received_until: Millis | None = None
    ) -> int:
        """Erase all events and traits of these sets, received at that moment or before; returns how many events there
        were. Durable on return."""

    def that_came(self, came: Came, *, after: str = "", limit: int) -> list[dict[str, Any]]:
        """Events that came so, in the order of their ids, as `trail` gives them."""

    def other_sets(self, sets: Collection[SetId], came: Came) -> set[SetId]:
        """Those of these sets with events that did not come so."""

    def delete_that_came(self, came: Came) -> int:
        """Erase events that came so, and their traits; returns how many there were. Durable on return."""

    def markers(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> set[str]:
        """The tokens of all markers in events and traits of these sets."""

    def holding(self, tokens: Collection[str], *, received_after: Millis | None = None) -> set[str]:
        """Those of these tokens that stand anywhere in an event or trait. Reads all that was received since."""

    def purge(self) -> None:
        """Wait until nothing of what was erased is left in the store's files: a minute at most, else
        StoreUnavailable."""

    def trim(self, before: Millis) -> None:
        """Delete events and traits received before that moment."""


class EventStore(Protocol):
    """Reads may run beside writes and beside each other, from any thread. Where `windows` are given, only those events
    and traits of a set are meant that occurred in one of its windows; they may be thousands."""

    @property
    def mirror(self) -> Mirror:
        """The owners of its sets, in tables beside its own."""

    @property
    def leads(self) -> MirroredLeads:
        """The leads, in a table beside its own."""

    @property
    def erasing(self) -> Erasing:
        """How events and traits leave it."""

    def bring_up(self) -> None:
        """Add to what an older version wrote what this one needs; nobody else writes or deletes meanwhile. Raises
        StoreUnavailable, after which the same call goes on."""

    def write(self, rows: Sequence[StoredEvent], *, token: str, again: bool = False) -> None:
        """Durably add events with their traits; on return they are synced to disk and every read sees them.

        `token` names the batch: writing again with the token of an earlier write, also after a restart,
        changes nothing, so the caller must give the same rows for the same token. `again` says that there may have been
        such a write, by whomever: a power cut may take the list of tokens, and then the rows themselves are asked.
        Raises StoreUnavailable, after which the same call may be repeated.
        """

    def trail(
        self, sets: Sequence[SetId], *, limit: int, before: Cursor | None = None, windows: Windows = NO_WINDOWS
    ) -> list[dict[str, Any]]:
        """Events of these sets, newest `occurred_at` first, ties by id; dicts in the contract's Event shape
        (times as Millis, identifier values as stored) with `set` besides."""

    def recent(
        self,
        *,
        limit: int,
        before: Cursor | None = None,
        start: Millis | None = None,
        end: Millis | None = None,
        name: str | None = None,
        source: str | None = None,
    ) -> list[dict[str, Any]]:
        """Events of everybody, newest `received_at` first, ties by id, start ≤ received_at < end."""

    def event(self, event_id: str) -> dict[str, Any] | None:
        """One event by id."""

    def events_of(self, event_ids: Collection[str]) -> list[dict[str, Any]]:
        """Those of these events that are there, in no order."""

    def events_between(
        self, sets: Sequence[SetId], *, after: Millis, until: Millis, windows: Windows = NO_WINDOWS
    ) -> list[dict[str, Any]]:
        """As `trail`, all with after < occurred_at ≤ until, oldest first."""

    def moments(self, sets: Collection[SetId], within: Sequence[Window]) -> list[tuple[Millis, SetId]]:
        """When something happened under these sets in these windows, each moment of a set once, oldest first."""

    def traits(
        self, sets: Sequence[SetId], *, until: Millis | None = None, windows: Windows = NO_WINDOWS
    ) -> list[TraitRow]:
        """All trait rows of these sets with occurred_at ≤ until, in the order of (occurred_at, event, order)."""

    def summaries(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> list[SetSummary]:
        """Count, first and last `occurred_at` of each set that has events, in no order."""

    def facts(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> tuple[list[TraitRow], list[SetSummary]]:
        """What `traits` and `summaries` give, in one look and in no order."""

    def scan(self) -> Iterator[dict[str, Any]]:
        """Every stored event, in no order: for checks and moves."""

    def ask(
        self,
        text: str,
        values: Mapping[str, Any],
        *,
        tables: Mapping[str, str] = NOTHING,
        aside: bool = False,
        row: Any = list[Any],
    ) -> list[Any]:
        """The rows of a question in SQL, over the tables of `events.sql`, with its parameters; each as the type `row`.

        `tables` are made before it and gone after it, and only it sees them: by name, what follows the name in CREATE
        TEMPORARY TABLE, in this order. `aside` is for what goes on all the time, so that whoever asks does not wait for
        that. Raises StoreUnavailable, and AskedTooMuch.
        """

    def count(self) -> int:
        """How many events are stored."""

    def probe(self) -> None:
        """A write and a read through the engine. Raises StoreUnavailable."""

    def close(self) -> None:
        """May be called twice."""
