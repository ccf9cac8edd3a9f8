"""The log of hits: accepted requests, in order, durable, kept for days and replayable.

A log has partitions, numbered from 0; each is a sequence of opaque records with dense offsets from 0. One process
appends to a partition, one worker reads all of them by position. Adapters: `log_sqlite` (a file per collector
process) and, where one machine is outgrown, Kafka.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, Protocol

from cdp.model import Millis, Position


class Record(NamedTuple):
    offset: int
    payload: bytes


class LogWriter(Protocol):
    """The appending end of one partition, held by one collector process."""

    partition: int

    def append(self, payload: bytes, received_at: Millis) -> Awaitable[Position]:
        """Durably add one record; awaiting it gives where it lies. Called in the event loop; never blocks.

        It is done only after the record is synced to disk; all appends that wait at the same time share one sync.
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

    async def close(self) -> None:
        """Finish what was appended, then let go of the partition. May be called twice."""


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

    def wait(self, timeout_s: float) -> None:
        """Return soon after anything was appended since the last call, or after the timeout."""

    def wake(self) -> None:
        """Make `wait` return at once, from any thread."""

    def close(self) -> None:
        """Let go of everything. May be called twice."""
