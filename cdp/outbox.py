"""What became of persons, for whoever follows: each merge, split and move as a numbered row, and live.

The graph keeps a sequenced feed of its own. Here it is copied into the records store, together with the place up to
which it was read, in one transaction: after any crash reading begins again at that place, and a change that is there
already keeps its row, because its id names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Lock

import msgspec
import structlog
from sqlalchemy import Engine

from cdp.errors import Retryable
from cdp.feeds import note_place, place_of
from cdp.live import LiveFeed
from cdp.model import PersonId
from cdp.moments import rfc3339
from cdp.outgoing import Outgoing, put_out
from cdp.records import writing
from identity.changes import Change, ChangeKind
from identity.verbs import Identity

log = structlog.get_logger()

AT_ONCE = 1_000
"""Changes copied in one transaction."""
LOOK_S = 0.2
"""Between two looks at a graph that other processes move."""
FEED = "graph"


class PersonChanged(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a person, as it goes out. `others` became this one (person.merged), came out of it
    (person.split), or took identifiers from it (person.moved); `causes` are observations."""

    id: str
    kind: str
    at: str
    person: PersonId
    others: tuple[PersonId, ...]
    causes: tuple[str, ...]
    graph_version: int


class Outbox:
    """Thread-safe. Rows come in the order of the graph's versions, each at least once to whoever reads by `n`.

    One process fills it: with `shared` the one that has `run` under way, and `tell` leaves it to that.
    """

    def __init__(self, records: Engine, identity: Identity, live: LiveFeed, *, shared: bool = False) -> None:
        self._records, self._identity, self._live = records, identity, live
        self._shared = shared
        self._lock = Lock()
        self._told: int | None = None
        self._stopping = Event()

    def tell(self) -> None:
        """Copy what the graph has new and tell the listeners. Where the graph did not move it is one comparison;
        where a store is away, the next call does it."""
        if self._shared or self._told == self._identity.version:
            return
        try:
            self.fill()
        except Retryable as error:
            log.warning("outbox_waits", reason=str(error))

    def run(self) -> None:
        """Where it is shared, follow the graph until `stop`; a store that is away is waited for."""
        while self._shared and not self._stopping.wait(LOOK_S):
            try:
                self.fill()
            except Retryable as error:
                log.warning("outbox_waits", reason=str(error))
                self._stopping.wait(error.retry_after_s)

    def stop(self) -> None:
        """From any thread."""
        self._stopping.set()

    def fill(self) -> int:
        """As `tell`, but raises StoreUnavailable; how many rows were new."""
        count = 0
        with self._lock:
            if self._told is None:
                self._told = place_of(self._records, FEED) or 0
            version = self._identity.graph.head().seq
            while self._told < version and (changes := self._identity.changes_since(self._told, AT_ONCE)):
                fresh = self._copy(changes)
                self._told = changes[-1].seq
                self._live.tell("person", fresh)
                count += len(fresh)
            # No row where nothing happened to persons: most batches only add to what is known of them.
            self._told = max(self._told, version)
        return count

    def _copy(self, changes: Sequence[Change]) -> list[PersonChanged]:
        with writing(self._records) as connection:
            told = [(each, change.at) for change in changes if (each := _told(change))]
            fresh = [each for each, at in told if put_out(connection, [Outgoing(each.id, at, each.kind, each)])]
            note_place(connection, FEED, changes[-1].seq)
        return fresh


def _told(change: Change) -> PersonChanged | None:
    if change.kind is ChangeKind.CREATED:
        return None
    return PersonChanged(
        # A person is merged, split and robbed at most once each in one version.
        id=f"{change.seq}-{change.kind.value}-{change.person}",
        kind=f"person.{change.kind.value}",
        at=rfc3339(change.at),
        person=change.person,
        others=change.others,
        causes=() if change.cause is None else (str(change.cause),),
        graph_version=change.seq,
    )
