"""Batches that were begun: noted before anything of them is stored, forgotten by their commit.

Whoever takes a partition over does what was begun of it first, with the very same bounds, so that the stores recognise
what they have already. A note belongs to one worker at a time; one that was slow, or stood still while another took its
partition, finds its note gone and the position moved, and commits nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, Engine, Integer, String, Table, Text, select, update

from cdp.accounting import position_rows
from cdp.errors import Overtaken
from cdp.records import insert_ignoring, metadata, reading, writing

Range = tuple[int, int, int]
"""Partition, first offset, and the offset after the last."""

begun_rows = Table(
    "batch_begun",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("replay", Boolean, primary_key=True, autoincrement=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("owner", String(40), nullable=False),
    Column("graph_version", BigInteger, nullable=False),
    Column("claimed", Text, nullable=False),
)


class Begun(NamedTuple):
    """`graph_version` is that before the batch, or earlier."""

    range: Range
    graph_version: int


class Notes:
    """The notes of one worker. A partition has one of live hits and one of a replay at most."""

    def __init__(self) -> None:
        self.owner = secrets.token_hex(8)

    def begin(
        self,
        connection: Connection,
        ranges: Sequence[Range],
        *,
        replay: bool,
        graph_version: int,
        claimed: Collection[int] = (),
    ) -> set[int]:
        """Note a batch in the caller's transaction, or find it noted; the keys that all attempts at it claimed.

        Only a replay need list what it claims: the places of events that have their outcome look the same. Raises
        Overtaken where the partition is not, or no longer, where the batch begins, or another worker has begun there.
        """
        known: set[int] = set()
        for partition, start, end in sorted(ranges):
            row = {"partition": partition, "replay": replay, "start": start, "end": end, "owner": self.owner}
            row |= {"graph_version": graph_version, "claimed": _text(claimed)}
            if not connection.execute(insert_ignoring(connection, begun_rows), row).rowcount:
                known |= self._found(connection, row, claimed)
        # After the notes, which whoever commits these partitions must meet.
        if not replay:
            done = positions(connection)
            for partition, start, _ in ranges:
                if done.get(partition, 0) != start:
                    raise Overtaken(partition)
        return known | set(claimed)

    def _found(self, connection: Connection, row: Mapping[str, Any], claimed: Collection[int]) -> set[int]:
        """What the note of an earlier attempt lists, to which is added what this one claimed."""
        same = _of(row["partition"], row["replay"])
        there = connection.execute(select(begun_rows).where(*same)).one_or_none()
        if there is None or (there.owner, there.start, there.end) != (self.owner, row["start"], row["end"]):
            raise Overtaken(row["partition"])
        known = set(msgspec.json.decode(there.claimed, type=list[int]))
        if not known.issuperset(claimed):
            connection.execute(update(begun_rows).where(*same).values(claimed=_text(known.union(claimed))))
        return known

    def finish(self, connection: Connection, ranges: Iterable[Range], *, replay: bool) -> None:
        """In the transaction that commits a batch: forget its notes and move the positions. Raises Overtaken."""
        for partition, start, end in sorted(ranges):
            mine = begun_rows.delete().where(*_of(partition, replay), begun_rows.c.owner == self.owner)
            if not connection.execute(mine).rowcount or not (replay or _move(connection, partition, start, end)):
                raise Overtaken(partition)

    def take_over(self, engine: Engine, partition: int, *, replay: bool = False) -> Begun | None:
        """What was begun of a partition, by whomever, and is this worker's now."""
        with writing(engine) as connection:
            row = connection.execute(select(begun_rows).where(*_of(partition, replay))).one_or_none()
            if row is None:
                return None
            connection.execute(update(begun_rows).where(*_of(partition, replay)).values(owner=self.owner))
        return Begun((partition, row.start, row.end), row.graph_version)


def unfinished_replays(engine: Engine) -> Sequence[int]:
    """The partitions with a batch of a replay that was begun."""
    with reading(engine) as connection:
        wanted = select(begun_rows.c.partition).where(begun_rows.c.replay)
        return connection.execute(wanted.order_by(begun_rows.c.partition)).scalars().all()


def positions(connection: Connection, partition: int | None = None) -> Mapping[int, int]:
    """How far each partition is processed, of all or of one; those of which nothing is are left out."""
    wanted = select(position_rows)
    if partition is not None:
        wanted = wanted.where(position_rows.c.partition == partition)
    return {row.partition: row.next for row in connection.execute(wanted)}


def _text(keys: Iterable[int]) -> str:
    return msgspec.json.encode(sorted(keys)).decode()


def _move(connection: Connection, partition: int, start: int, end: int) -> bool:
    there = (position_rows.c.partition == partition) & (position_rows.c.next == start)
    if connection.execute(update(position_rows).where(there).values(next=end)).rowcount:
        return True
    first = insert_ignoring(connection, position_rows)
    return not start and bool(connection.execute(first, {"partition": partition, "next": end}).rowcount)


def _of(partition: int, replay: bool) -> tuple[Any, Any]:
    return begun_rows.c.partition == partition, begun_rows.c.replay == replay
