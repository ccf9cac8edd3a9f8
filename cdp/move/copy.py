"""Copy all that one store holds to another, as often as it takes, and say whether both hold the same then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from cdp.errors import Refused
from cdp.move.contents import Contents, Digest, Key

T = TypeVar("T")

Tell = Callable[[str, int, int], None]
"""Told the table, how many of its rows were copied so far, and how many there are."""


class Compared(NamedTuple):
    """One table on both sides."""

    table: str
    source: Digest
    target: Digest

    @property
    def equal(self) -> bool:
        return self.source == self.target


class Moved(NamedTuple):
    """`copied` rows, now; none where the target held all of them before."""

    copied: int
    tables: Sequence[Compared]

    @property
    def equal(self) -> bool:
        return all(each.equal for each in self.tables)


def copy(source: Contents[T], target: Contents[T], tell: Tell) -> Moved:
    """Copy what the target lacks, table by table, and compare.

    The target may hold the beginning of each table, as a move that was cut off leaves it. Raises Refused, before
    anything is written, where it holds anything else; StoreUnavailable where one of them goes away: call it again.
    """
    sizes = source.tables()
    names = [*sizes, *(name for name in target.tables() if name not in sizes)]
    known = {name: target.last(name) for name in names}
    held = {name: _held(name, source, target, last) for name, last in known.items()}
    copied = 0
    for name, size in sizes.items():
        done = held[name]
        for page in source.pages(name, known[name]):
            target.add(name, page)
            done += page.count
            tell(name, done, max(done, size))
        copied += done - held[name]
    return Moved(copied, [Compared(name, source.digest(name), target.digest(name)) for name in names])


def _held(name: str, source: Contents[T], target: Contents[T], last: Key | None) -> int:
    """How many rows the target holds, all of which are the source's."""
    if last is None:
        return 0
    held = target.digest(name, last)
    if held != source.digest(name, last):
        raise Refused(
            f"The target holds rows of its own in {name}. Name an empty one, or one to which this store was being "
            "moved and nothing else was written."
        )
    return held.rows
