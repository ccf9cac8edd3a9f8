"""The port of a store that is moved: tables of rows, each in the order of a key that no two rows share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

Key = tuple[Any, ...]
"""The values of a table's key, each a number, a text or a truth. Texts are in the order of their UTF-8 bytes."""

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode
_SUM_BITS = (1 << 64) - 1


class Digest(NamedTuple):
    """How many rows there are, and the sum of a 64-bit hash of each: in no order, and no two rows undo each other."""

    rows: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows that follow each other, in the form that contents of the same store understand."""

    count: int
    rows: T


class Contents(Protocol[T]):
    """All that a store holds. Belongs to one thread. All but `close` raise StoreUnavailable, and may be called again
    after it."""

    def tables(self) -> Mapping[str, int]:
        """Each table and how many rows it has, about, in an order in which they can be filled."""

    def last(self, table: str) -> Key | None:
        """The greatest key in it, None where it is empty or not there."""

    def pages(self, table: str, after: Key | None) -> Iterator[Page[T]]:
        """All rows with a greater key, in its order, in pages that fit into memory."""

    def add(self, table: str, page: Page[T]) -> None:
        """Write rows whose keys are greater than all that are there: whole and durable on return, or not at all.

        Raises Refused where this store cannot hold them.
        """

    def digest(self, table: str, until: Key | None = None) -> Digest:
        """Of all rows, or of those with this key or a smaller one. The same for the same rows in every adapter."""

    def close(self) -> None:
        """Let go of everything. May be called twice."""


def digest_of(rows: Iterable[Sequence[Any]]) -> Digest:
    """For adapters that have the rows here, as plain values in the order of their columns."""
    count = checksum = 0
    for row in rows:
        checksum += int.from_bytes(blake2b(_encode(row), digest_size=8).digest())
        count += 1
    return Digest(count, checksum & _SUM_BITS)
