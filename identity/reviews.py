"""Likely matches that wait for a person to decide: a queue in the records store.

Whoever finds two identifiers alike and is not sure offers the pair here; what a steward says of it is evidence in the
graph, and the row notes which decision that was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, Engine, Float, Row, String, Table, Text, and_, or_, select, update

from cdp.errors import NotFound
from cdp.model import Identifier, Millis
from cdp.moments import now_ms
from cdp.records import insert_ignoring, metadata, reading, writing
from identity.observation import ObservationId

review_rows = Table(
    "identity_review",
    metadata,
    Column("id", String(27), primary_key=True),
    Column("a_kind", String(64), nullable=False),
    Column("a_value", String(256), nullable=False),
    Column("b_kind", String(64), nullable=False),
    Column("b_value", String(256), nullable=False),
    Column("score", Float, nullable=False),
    Column("band", String(10), nullable=False),
    Column("reasons", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("decision", BigInteger, index=True),
    Column("at", BigInteger, nullable=False, index=True),
)


class Band(StrEnum):
    """How sure the model is. STRICT: at least .99, and nothing speaks against it. LOOSE: .8 to .99."""

    STRICT = "strict"
    LOOSE = "loose"


class ReviewState(StrEnum):
    OPEN = "open"
    SAME = "same"
    DIFFERENT = "different"


class Reason(msgspec.Struct, frozen=True):
    """One thing that makes two look alike, or not; personal values in it must be markers."""

    zh: str
    en: str


class Candidate(NamedTuple):
    """Two identifiers, as the graph has them, whose persons may be one. `score` is a probability, 0 to 1."""

    a: Identifier
    b: Identifier
    score: float
    band: Band
    reasons: tuple[Reason, ...] = ()


class Review(NamedTuple):
    """A candidate in the queue; `a` is the smaller of the two, `decision` the steward's word on it, if any."""

    id: str
    a: Identifier
    b: Identifier
    score: float
    band: Band
    reasons: tuple[Reason, ...]
    state: ReviewState
    decision: ObservationId | None
    at: Millis


class Reviews:
    """The queue. Thread-safe; every method blocks on the store and raises StoreUnavailable where it is away."""

    def __init__(self, records: Engine, *, clock: Callable[[], Millis] = now_ms) -> None:
        self._records, self._clock = records, clock

    def offer(self, candidates: Iterable[Candidate]) -> int:
        """Put candidates into the queue; how many pairs were new. Idempotent by pair, whichever way round: one that
        was offered before stays as it is, decided or not."""
        at = self._clock()
        rows = {row["id"]: row for row in (_row(each, at) for each in candidates if each.a != each.b)}
        if not rows:
            return 0
        with writing(self._records) as connection:
            return sum(
                connection.execute(insert_ignoring(connection, review_rows), row).rowcount for row in rows.values()
            )

    def page(
        self, *, limit: int, state: ReviewState | None = None, before: tuple[Millis, str] | None = None
    ) -> list[Review]:
        """Newest first, ties by id, after the place `before`."""
        wanted = select(review_rows).order_by(review_rows.c.at.desc(), review_rows.c.id).limit(limit)
        if state is not None:
            wanted = wanted.where(review_rows.c.state == state.value)
        if before is not None:
            at, last = before
            later = and_(review_rows.c.at == at, review_rows.c.id > last)
            wanted = wanted.where(or_(review_rows.c.at < at, later))
        with reading(self._records) as connection:
            return [_review(row) for row in connection.execute(wanted)]

    def one(self, review: str) -> Review:
        """Raises NotFound."""
        with reading(self._records) as connection:
            row = connection.execute(select(review_rows).where(review_rows.c.id == review)).one_or_none()
        if row is None:
            raise NotFound("review", review)
        return _review(row)

    def decided(self, review: str, state: ReviewState, decision: ObservationId) -> None:
        """Note which decision answers it."""
        self._set(review_rows.c.id == review, state=state.value, decision=decision)

    def reopen(self, decision: ObservationId) -> None:
        """The decision was taken back: whatever it answered waits again."""
        self._set(review_rows.c.decision == decision, state=ReviewState.OPEN.value, decision=None)

    def _set(self, where: Any, **values: Any) -> None:
        with writing(self._records) as connection:
            connection.execute(update(review_rows).where(where).values(**values))


def review_id(a: Identifier, b: Identifier) -> str:
    """The same for the same pair, whichever way round."""
    text = "\0".join(part for each in sorted((a, b)) for part in (each.kind, each.value))
    return f"rv_{blake2b(text.encode(errors='surrogatepass'), digest_size=12).hexdigest()}"


def _row(candidate: Candidate, at: Millis) -> dict[str, Any]:
    a, b = sorted((candidate.a, candidate.b))
    return {
        "id": review_id(a, b),
        "a_kind": a.kind,
        "a_value": a.value,
        "b_kind": b.kind,
        "b_value": b.value,
        "score": candidate.score,
        "band": candidate.band.value,
        "reasons": msgspec.json.encode(candidate.reasons).decode(),
        "state": ReviewState.OPEN.value,
        "at": at,
    }


def _review(row: Row[Any]) -> Review:
    return Review(
        row.id,
        Identifier(row.a_kind, row.a_value),
        Identifier(row.b_kind, row.b_value),
        row.score,
        Band(row.band),
        msgspec.json.decode(row.reasons, type=tuple[Reason, ...]),
        ReviewState(row.state),
        None if row.decision is None else ObservationId(row.decision),
        row.at,
    )
