"""The log of hits: accepted requests, in order, durable, kept for days and replayable.

A log has partitions, numbered from 0; each is a sequence of opaque records with dense offsets from 0. Collectors
append through a writer; workers share the partitions among themselves and take each from where it is processed;
whoever wants a certain record reads it by position. Adapters: `log_sqlite` (a file per collector process) and, where
one machine is outgrown, `log_kafka`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import NamedTuple, Protocol

from cdp.model import Millis, Position


class Record(NamedTuple):
    offset: int
    payload: bytes


class Spooled(NamedTuple):
    hits: int
    size: int
    """Bytes of them."""


NOTHING_SPOOLED = Spooled(0, 0)


class LogWriter(Protocol):
    """The appending end, held by one collector process.

    `name` tells the writers of one machine apart; it stays the same for the next process in its place.
    """

    name: str

    def append(self, payload: bytes, received_at: Millis, *, key: bytes = b"") -> Awaitable[Position | None]:
        """Durably add one record; awaiting it gives where it lies, None where it lies safe but has no place yet.
        Called in the event loop; never blocks.

        Records of one writer with the same key keep their order. It is done only after the record is synced to disk,
        or held by all in-sync replicas; all appends that wait at the same time share one sync.
        A future is best: a collector hangs its answer on it, where a coroutine costs a task for each hit.
        Raises LogFull when the disk takes no more; nothing of the record is kept then, and a later call may
        succeed. A cancelled append may or may not be kept.
        """

    def healthy(self) -> bool:
        """Whether the last attempt to write succeeded."""

    def try_again(self) -> None:
        """Where the last attempt failed, make a small one of its own; else do nothing. Called in the event loop.

        Without it a log whose disk has room again would stay unhealthy for as long as nobody sends to it.
        """

    def spooled(self) -> Spooled:
        """What lies safe on this machine, and has no place yet."""

    async def close(self) -> None:
        """Finish what was appended, then let go of everything. May be called twice."""


class LogConsumer(Protocol):
    """The worker's end: hands out the records of those partitions that are this worker's, in order.

    Of the workers that share a log each partition is one's at a time; it may become another's, but only while its
    worker is inside `poll`. A worker that is silent for too long loses its partitions without being asked; what it
    commits afterwards must be refused by others. All calls but `wake` from one thread. Raises StoreUnavailable.
    """

    def partitions(self) -> frozenset[int]:
        """Those that are this worker's since the last `poll`; none before the first."""

    def waiting(self) -> frozenset[int]:
        """Those of them that became this worker's, or became it again, since they were last begun."""

    def begin(self, partition: int, offset: int) -> None:
        """From now on hand out this partition, from that offset on; one that waits hands out nothing before. May be
        called again, to go back. For a partition that is not this worker's it does nothing."""

    def poll(self, *, records: int, size: int, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        """The next records of begun partitions, those with none left out: about `records` of them and `size` bytes in
        all, shared among partitions so that none starves; at least one where there is any. Returns soon after
        something was appended, or partitions came or went, or `wake` was called; else after the timeout, with nothing.
        """

    def wake(self) -> None:
        """Make `poll` return at once, from any thread."""

    def close(self) -> None:
        """Leave the others one's partitions at once. May be called twice."""


class LogReader(Protocol):
    """The reading end of all partitions. Safe to use from several threads."""

    def ends(self) -> dict[int, int]:
        """The next offset of each partition: how many records it was ever given. Never falls."""

    def starts(self) -> dict[int, int]:
        """The oldest offset that each partition still keeps."""

    def read(self, partition: int, start: int, limit: int) -> Sequence[Record]:
        """At most `limit` records from `start` on, in order, [] at the end. Records trimmed away are skipped."""

    def seek(self, partition: int, at: Millis) -> int:
        """The offset of the first kept record received at `at` or later; the end where there is none."""

    def trim(self, before: Millis) -> int:
        """Delete records received before that moment, and say how many. Offsets stay as they are.

        A record that was appended together with a later one may stay until that one goes.
        """

    def rewrite(self, position: Position, payload: bytes) -> None:
        """Put another payload in the place of a kept record (redaction at erasure). Durable on return."""

    def purge(self) -> None:
        """Leave nothing of what rewritten records held before in the store's files.

        May take a second and hold appends up for milliseconds. Raises StoreUnavailable where somebody reads on and
        on; then call it again.
        """

    def close(self) -> None:
        """Let go of everything. May be called twice."""


def within(size: int, records: Sequence[Record]) -> Sequence[Record]:
    """The first records whose payloads stay within `size` bytes, at least one."""
    total = 0
    for index, record in enumerate(records):
        total += len(record.payload)
        if total > size and index:
            return records[:index]
    return records
