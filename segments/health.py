"""How large each segment is, how late its changes were seen, and whether it was found to be right."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Counter, Histogram
from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, bindparam, delete, func, select, update

from cdp.model import DAY_MS, Millis
from cdp.records import insert_ignoring, metadata, run_rows
from segments.stays import Change, Reason, stay_rows

KEPT = 1_000
"""Changes of a segment whose lags are remembered."""
WRITE_S = 1.0
VOLATILE_DAYS = 7
REFUSED_CHARS = 500

CHANGES = Counter("xunji_segment_changes", "Units that came into a segment or left it", ["change"])
LAG = Histogram(
    "xunji_segment_lag_seconds",
    "From the commit of an event, or the moment that a timer names, to the change of membership",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)

health_rows = Table(
    "segment_health",
    metadata,
    Column("segment", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("fresh_at", BigInteger),
    Column("lag_p50_ms", BigInteger),
    Column("lag_p95_ms", BigInteger),
    Column("reconciled_at", BigInteger),
    Column("differences", BigInteger, nullable=False),
    Column("refused", String(REFUSED_CHARS)),
)

_grow = (
    update(health_rows)
    .where(health_rows.c.segment == bindparam("its_segment"))
    .values(size=health_rows.c.size + bindparam("more"))
)
_late = (
    update(health_rows)
    .where(health_rows.c.segment == bindparam("its_segment"))
    .values(lag_p50_ms=bindparam("p50"), lag_p95_ms=bindparam("p95"))
)
_wrong = (
    update(health_rows)
    .where(health_rows.c.segment == bindparam("its_segment"))
    .values(reconciled_at=bindparam("at"), differences=bindparam("found"))
)


@dataclass(frozen=True, slots=True)
class Health:
    """`fresh_at` is up to when who is in it is known, None before it is filled. The lags are of the last thousand
    changes, None where nothing ever changed. `differences` were found, and mended, when it was last compared with a
    full evaluation. `refused` is what the engine said when it last refused it. `volatility` is how many came or left a
    day, of the last seven, as a share of who is in it, its filling aside."""

    size: int
    fresh_at: Millis | None
    lag_p50_ms: int | None
    lag_p95_ms: int | None
    reconciled_at: Millis | None
    differences: int
    refused: str | None
    volatility: float


def begin(connection: Connection, segment: int) -> None:
    row = {"segment": segment, "size": 0, "differences": 0}
    connection.execute(insert_ignoring(connection, health_rows), row)


def drop(connection: Connection, segment: int) -> None:
    connection.execute(delete(health_rows).where(health_rows.c.segment == segment))


def grow(connection: Connection, changes: Iterable[Change]) -> None:
    """Keep the sizes, in the transaction that writes the changes."""
    more: defaultdict[int, int] = defaultdict(int)
    for each in changes:
        more[each.segment] += 1 if each.entered else -1
    run_rows(connection, _grow, [{"its_segment": each, "more": by} for each, by in sorted(more.items()) if by])


def freshen(connection: Connection, segments: Sequence[int], at: Millis) -> None:
    """All that was due by then is written, if not more."""
    if segments:
        older = func.coalesce(health_rows.c.fresh_at, 0) < at
        connection.execute(update(health_rows).where(health_rows.c.segment.in_(segments), older).values(fresh_at=at))


def refuse(connection: Connection, segment: int, cause: str) -> None:
    mine = health_rows.c.segment == segment
    connection.execute(update(health_rows).where(mine).values(refused=cause[:REFUSED_CHARS]))


def note_differences(connection: Connection, found: Mapping[int, int], at: Millis) -> None:
    run_rows(connection, _wrong, [{"its_segment": each, "at": at, "found": n} for each, n in sorted(found.items())])


def health_of(connection: Connection, segment: int, *, now: Millis) -> Health | None:
    row = connection.execute(select(health_rows).where(health_rows.c.segment == segment)).one_or_none()
    return None if row is None else Health(*(*row[1:], _volatility(connection, segment, row.size, now)))


def _volatility(connection: Connection, segment: int, size: int, now: Millis) -> float:
    since = now - VOLATILE_DAYS * DAY_MS
    mine = stay_rows.c.segment == segment
    filled = (Reason.BACKFILL, Reason.DEFINITION)
    came = select(func.count()).where(mine, stay_rows.c.entered_at >= since, stay_rows.c.entered_reason.not_in(filled))
    left = select(func.count()).where(mine, stay_rows.c.left_at >= since, stay_rows.c.left_reason.not_in(filled))
    moved = connection.execute(came).scalar_one() + connection.execute(left).scalar_one()
    return moved / VOLATILE_DAYS / max(1, size)


class Lags:
    """For one thread: how late the last changes were, written once a second at most."""

    def __init__(self) -> None:
        self._lags: defaultdict[int, deque[int]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._unwritten: set[int] = set()
        self._written = 0.0

    def note(self, changes: Collection[Change], causes: Mapping[tuple[int, str], Millis], now: Millis) -> None:
        """`causes` are the moments at which it could have been known; changes that are not among them had none."""
        came = sum(each.entered for each in changes)
        CHANGES.labels("entered").inc(came)
        CHANGES.labels("exited").inc(len(changes) - came)
        for each in changes:
            since = causes.get((each.segment, each.unit))
            if since is not None:
                LAG.observe(max(0, now - since) / 1000)
                self._lags[each.segment].append(max(0, now - since))
                self._unwritten.add(each.segment)

    def due(self) -> bool:
        """Whether there is something to write, and it is time."""
        return bool(self._unwritten) and time.monotonic() - self._written >= WRITE_S

    def write(self, connection: Connection) -> None:
        self._written = time.monotonic()
        rows = []
        for segment in sorted(self._unwritten):
            lags = sorted(self._lags[segment])
            p50, p95 = (lags[int((len(lags) - 1) * share)] for share in (0.5, 0.95))
            rows.append({"its_segment": segment, "p50": p50, "p95": p95})
        self._unwritten.clear()
        run_rows(connection, _late, rows)
