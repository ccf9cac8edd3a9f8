"""The worker's end of the embedded log: all partitions are the one worker's, and a doorbell tells of new records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cdp.doorbell import Doorbell
from cdp.log import LogReader, Record, within


class SqliteLogConsumer:
    """Of a folder there is one at a time; it reads through `reader`, which stays open."""

    def __init__(self, folder: Path, reader: LogReader) -> None:
        self._reader = reader
        self._bell = Doorbell(folder)
        self._partitions: frozenset[int] = frozenset()
        self._next: dict[int, int] = {}

    def partitions(self) -> frozenset[int]:
        return self._partitions

    def waiting(self) -> frozenset[int]:
        return self._partitions - self._next.keys()

    def begin(self, partition: int, offset: int) -> None:
        if partition in self._partitions:
            self._next[partition] = offset

    def poll(self, *, records: int, size: int, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        known = self._partitions
        found = self._read(records, size)
        if found or known != self._partitions:
            return found
        self._bell.wait(timeout_s)
        return self._read(records, size)

    def wake(self) -> None:
        self._bell.ring()

    def close(self) -> None:
        self._bell.close()

    def _read(self, records: int, size: int) -> dict[int, Sequence[Record]]:
        ends = self._reader.ends()
        self._partitions = frozenset(ends)
        pending = [each for each, start in sorted(self._next.items()) if ends[each] > start]
        found: dict[int, Sequence[Record]] = {}
        for partition in pending:
            some = self._reader.read(partition, self._next[partition], max(1, records // len(pending)))
            if some := within(size // len(pending), some):
                found[partition] = some
                self._next[partition] = some[-1].offset + 1
        return found
