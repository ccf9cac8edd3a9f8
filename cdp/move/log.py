"""What the log's contents have in common, wherever it lies: a table is a partition, its key the offset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cdp.errors import Refused
from cdp.model import Millis
from cdp.move.contents import Digest, Key, Page, digest_of

PAGE_RECORDS, PAGE_BYTES = 1_000, 4 * 1024 * 1024


class KeptHit(NamedTuple):
    offset: int
    received_at: Millis
    payload: bytes


class Stretch(NamedTuple):
    """Hits that follow each other, the first at `first`; of the partition none before `start` is kept.

    The last stretch of a partition has no hits and says where it ends, which its hits alone do not where the newest
    are trimmed away.
    """

    start: int
    first: int
    hits: Sequence[KeptHit] = ()


def table_of(partition: int) -> str:
    return f"partition {partition}"


def partition_of(table: str) -> int:
    name, _, number = table.partition(" ")
    if name != "partition" or not number.isdecimal():
        raise Refused(f"There is no table {table!r} of hits.")
    return int(number)


def pages_of(hits: Iterable[KeptHit], *, start: int, end: int) -> Iterator[Page[Stretch]]:
    """The pages of hits that come in order, and the last one."""
    some: list[KeptHit] = []
    size = 0
    for hit in hits:
        gap = some and hit.offset != some[-1].offset + 1
        if gap or len(some) == PAGE_RECORDS or (some and size + len(hit.payload) > PAGE_BYTES):
            yield Page(len(some), Stretch(start, some[0].offset, some))
            some, size = [], 0
        some.append(hit)
        size += len(hit.payload)
    if some:
        yield Page(len(some), Stretch(start, some[0].offset, some))
    yield Page(0, Stretch(start, end))


def digest_of_log(pages: Iterable[Page[Stretch]], until: Key | None) -> Digest:
    """Of a whole partition its bounds count too: from them the accounting tells how many hits it was given. One that
    was never given any is as none."""
    start = end = 0

    def hits() -> Iterator[KeptHit]:
        nonlocal start, end
        for page in pages:
            start, end = page.rows.start, page.rows.first
            yield from (hit for hit in page.rows.hits if until is None or hit.offset <= until[0])

    found = digest_of(hits())
    if until is None and end:
        found = found._replace(checksum=found.checksum ^ digest_of([(start, end)]).checksum)
    return found
