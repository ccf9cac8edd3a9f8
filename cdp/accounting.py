"""What became of every hit and every event, so that anybody can check that nothing was lost.

Per partition: accepted = processed + pending. Per source and hour of receipt: found = stored + duplicate +
quarantined + dropped. Over all sources: processed = translated + unreadable hits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, String, Table, Text, select

from cdp.model import DropReason, Millis
from cdp.moments import rfc3339
from cdp.records import add_to_counters, metadata, reading
from cdp.seen import Place

HOUR_MS = 3_600_000

TRANSLATED, UNREADABLE = "hits:translated", "hits:unreadable"
FOUND, STORED, DUPLICATE, QUARANTINED = "found", "stored", "duplicate", "quarantined"

WHOLE_HIT = -1
"""Stands for the item where a hit as a whole could not be read."""

counter_rows = Table(
    "accounting",
    metadata,
    Column("hour", BigInteger, primary_key=True),
    Column("source", String(200), primary_key=True),
    Column("what", String(60), primary_key=True),
    Column("n", BigInteger, nullable=False),
)
refusal_rows = Table(
    "refusals",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("item", Integer, primary_key=True, autoincrement=False),
    Column("event", String(32), index=True),
    Column("source", String(200), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("detail", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)
position_rows = Table(
    "positions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next", BigInteger, nullable=False),
)


class Refusal(NamedTuple):
    """A record that was not kept, or a hit that could not be read (`place.item` is WHOLE_HIT)."""

    place: Place
    source: str
    reason: str
    detail: str
    received_at: Millis
    event: str | None = None


class Tally:
    """Counts of one batch, added to the stored ones in the batch's transaction."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, str, str]] = Counter()

    def count(self, what: str, *, source: str, received_at: Millis, n: int = 1) -> None:
        """`n` may be negative, where a replay gives a record another outcome."""
        self._counts[received_at - received_at % HOUR_MS, source, what] += n

    def write(self, connection: Connection) -> None:
        rows = [
            {"hour": hour, "source": source, "what": what, "n": n}
            for (hour, source, what), n in sorted(self._counts.items())
            if n
        ]
        if rows:
            add_to_counters(connection, counter_rows, rows)


def note_refusals(connection: Connection, refusals: Sequence[Refusal]) -> None:
    rows = [refusal.place._asdict() | refusal._asdict() for refusal in refusals]
    for row in rows:
        del row["place"]
    if rows:
        connection.execute(refusal_rows.insert(), rows)


def forget_refusals(connection: Connection, places: Sequence[Place]) -> None:
    """Take back refusals that a replay overruled."""
    for place in places:
        same = (refusal_rows.c[name] == value for name, value in place._asdict().items())
        connection.execute(refusal_rows.delete().where(*same))


def refusals_of(connection: Connection, partition: int, start: int, end: int) -> dict[Place, Refusal]:
    """What was refused of the hits from `start` up to `end`."""
    inside = refusal_rows.c.offset.between(start, end - 1)
    rows = connection.execute(select(refusal_rows).where(refusal_rows.c.partition == partition, inside))
    refusals = (
        Refusal(
            Place(row.partition, row.offset, row.item), row.source, row.reason, row.detail, row.received_at, row.event
        )
        for row in rows
    )
    return {refusal.place: refusal for refusal in refusals}


def dropped(reason: DropReason) -> str:
    return f"dropped:{reason.value}"


def statement(
    engine: Engine,
    ends: Mapping[int, int],
    *,
    start: Millis | None = None,
    end: Millis | None = None,
    source: str | None = None,
) -> dict[str, Any]:
    """The account as the contract shows it; `ends` is what the log was given, read before this is called.

    `balanced` says whether all the equations above hold, over everything where no range or source is asked for.
    """
    with reading(engine) as connection:
        done = {row.partition: row.next for row in connection.execute(select(position_rows))}
        rows = connection.execute(select(counter_rows).order_by(counter_rows.c.hour.desc(), counter_rows.c.source))
        counted = [row for row in rows if row.n]
    partitions = []
    for partition in sorted({*ends, *done}):
        processed = done.get(partition, 0)
        # The worker may have gone on after `ends` was read: what it processed had been accepted.
        accepted = max(ends.get(partition, 0), processed)
        partitions.append(
            {"partition": partition, "accepted": accepted, "processed": processed, "pending": accepted - processed}
        )
    hours: dict[tuple[int, str], dict[str, Any]] = {}
    for row in counted:
        _add(hours.setdefault((row.hour, row.source), _empty(row.source, row.hour)), row.what, row.n)
    hits = sum(row["hits"]["translated"] + row["hits"]["unreadable"] for row in hours.values())
    balanced = hits == sum(part["processed"] for part in partitions) and all(map(_adds_up, hours.values()))
    asked = [
        row
        for (hour, of), row in hours.items()
        if (start is None or hour >= start - start % HOUR_MS)
        and (end is None or hour < end)
        and (source is None or of == source)
    ]
    return {"partitions": partitions, "rows": asked, "balanced": balanced}


def _empty(source: str, hour: int) -> dict[str, Any]:
    return {
        "source": source,
        "hour": rfc3339(hour),
        "hits": {"translated": 0, "unreadable": 0},
        "events": {"found": 0, "stored": 0, "duplicate": 0, "quarantined": 0, "dropped": {}},
    }


def _add(row: dict[str, Any], what: str, n: int) -> None:
    group, _, rest = what.partition(":")
    if group == "hits":
        row["hits"][rest] += n
    elif group == "dropped":
        row["events"]["dropped"][rest] = n
    else:
        row["events"][what] += n


def _adds_up(row: dict[str, Any]) -> bool:
    events = row["events"]
    outcomes = events["stored"] + events["duplicate"] + events["quarantined"] + sum(events["dropped"].values())
    return bool(events["found"] == outcomes)
