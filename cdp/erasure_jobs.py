"""Erasures as jobs: what was asked for, how far it is, and the receipt at its end.

A job's row is all that a restart needs. The plan in it names what must go, clear values among it, and so lies sealed
until the job is done and it is destroyed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    bindparam,
    select,
)

from cdp.audit import audit_rows, done
from cdp.hot import HotQuery, hot_reading
from cdp.model import Millis, PersonId
from cdp.moments import rfc3339
from cdp.records import metadata, reading, writing
from cdp.scrub import scrub_text
from cdp.vault import Cipher
from identity.erase import Erased
from identity.person import Person

erasure_rows = Table(
    "erasures",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("person", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", String(100), nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("state", String(10), nullable=False, index=True),
    Column("steps", Integer, nullable=False),
    Column("plan", LargeBinary),
    Column("receipt", Text),
)

_WITHIN = HotQuery(
    select(erasure_rows.c.id).where(
        erasure_rows.c.state == bindparam("state"),
        erasure_rows.c.steps.between(bindparam("first"), bindparam("last")),
    )
)


class State(StrEnum):
    """RUNNING from the moment on from which it is resumed after a crash, and nothing comes back."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class Plan(msgspec.Struct, kw_only=True):
    """What must go, and what has gone. Counts of it stand on the receipt.

    `windows` in `erased.person` limit its sets. `tokens` are those of its identifiers, `texts` those met in its events
    and leads; `clear` are values to look for in hits that cannot be translated. Hits before `ends` were processed when
    the plan was made; up to `looked` they have been looked at.
    """

    erased_at: Millis
    erased: Erased
    leads: list[str] = []
    events: int = 0
    traits: int = 0
    tokens: list[str] = []
    texts: list[str] = []
    clear: list[str] = []
    ends: dict[int, int] = {}
    looked: dict[int, int] = {}
    last_lead: str = ""
    vault: int = 0
    trails_of_others: int = 0

    @property
    def person(self) -> Person:
        return self.erased.person


class Destroyed(msgspec.Struct, frozen=True, kw_only=True):
    """A store, its kind, and whether the bytes themselves are overwritten; else the server does so in its own time."""

    store: str
    kind: str
    overwritten: bool


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was destroyed, counted. `hits_of_others` of the `hits` brought events of other people too;
    `trails_of_others` are leads of others on whose frozen trail the person had been."""

    id: str
    person: str
    reason: str
    by: str
    requested_at: str
    done_at: str
    identifiers: dict[str, int]
    observations: int
    events: int
    traits: int
    vault: int
    leads: int
    hits: int
    hits_of_others: int
    trails_of_others: int
    stores: list[Destroyed]


class Job(NamedTuple):
    """`steps` counts those that are done."""

    id: str
    person: PersonId
    reason: str
    by: str
    requested_at: Millis
    state: State
    steps: int
    receipt: Receipt | None


class ErasureBook:
    """The table of jobs. Thread-safe."""

    def __init__(self, records: Engine, secret: bytes, *, clock: Callable[[], Millis]) -> None:
        self._records = records
        self._cipher = Cipher(secret, "erasure")
        self._clock = clock

    def request(self, person: PersonId, *, reason: str, by: str) -> Job:
        """Ask for a person to be erased; the job that is under way for it, if there is one. Leaves an audit row."""
        # An officer may write a number into the reason, and the receipt is kept.
        reason = scrub_text(reason, lambda kind, value: "erased")
        at = self._clock()
        with writing(self._records) as connection:
            same = (erasure_rows.c.person == person) & (erasure_rows.c.state != State.DONE)
            row = connection.execute(select(erasure_rows).where(same)).first()
            if row is not None:
                return _job(row)
            job = Job(f"er_{secrets.token_hex(12)}", person, reason, by, at, State.WAITING, 0, None)
            connection.execute(erasure_rows.insert(), job._asdict() | {"receipt": None})
            connection.execute(audit_rows.insert(), done("erase", actor=by, subject=person, at=at))
        return job

    def find(self, job_id: str) -> Job | None:
        with reading(self._records) as connection:
            row = connection.execute(select(erasure_rows).where(erasure_rows.c.id == job_id)).one_or_none()
        return None if row is None else _job(row)

    def unfinished(self) -> list[Job]:
        """In the order in which they were asked for."""
        wanted = select(erasure_rows).where(erasure_rows.c.state != State.DONE)
        with reading(self._records) as connection:
            return [_job(row) for row in connection.execute(wanted.order_by(erasure_rows.c.requested_at))]

    def is_within(self, first: int, last: int) -> bool:
        """Whether there is a job under way of which so many steps are done."""
        with hot_reading(self._records) as reader:
            return bool(_WITHIN.rows(reader, state=State.RUNNING.value, first=first, last=last))

    def plan(self, job: Job) -> Plan | None:
        """None before it is made, and after it is destroyed."""
        with reading(self._records) as connection:
            sealed = connection.execute(select(erasure_rows.c.plan).where(erasure_rows.c.id == job.id)).scalar()
        return None if sealed is None else msgspec.msgpack.decode(self._cipher.open(sealed), type=Plan)

    def save(self, connection: Connection, job: Job, plan: Plan) -> None:
        """Note how far it is, in the caller's transaction."""
        sealed = self._cipher.seal(msgspec.msgpack.encode(plan))
        self._update(connection, job, {"state": State.RUNNING, "steps": job.steps, "plan": sealed})

    def finish(self, connection: Connection, job: Job, receipt: Receipt) -> None:
        """Destroy the plan and keep the receipt, in the caller's transaction."""
        kept = msgspec.json.encode(receipt).decode()
        self._update(connection, job, {"state": State.DONE, "plan": None, "receipt": kept})

    def receipt_of(self, job: Job, plan: Plan, hits: tuple[int, int], stores: list[Destroyed]) -> Receipt:
        kinds = [each.kind for each in plan.erased.identifiers]
        return Receipt(
            id=job.id,
            person=job.person,
            reason=job.reason,
            by=job.by,
            requested_at=rfc3339(job.requested_at),
            done_at=rfc3339(self._clock()),
            identifiers={kind: kinds.count(kind) for kind in sorted(set(kinds))},
            observations=len(plan.erased.observations),
            events=plan.events,
            traits=plan.traits,
            vault=plan.vault,
            leads=len(plan.leads),
            hits=hits[0],
            hits_of_others=hits[1],
            trails_of_others=plan.trails_of_others,
            stores=stores,
        )

    def _update(self, connection: Connection, job: Job, values: dict[str, Any]) -> None:
        connection.execute(erasure_rows.update().where(erasure_rows.c.id == job.id).values(values))


def _job(row: Row[Any]) -> Job:
    receipt = None if row.receipt is None else msgspec.json.decode(row.receipt, type=Receipt)
    person = PersonId(row.person)
    return Job(row.id, person, row.reason, row.by, row.requested_at, State(row.state), row.steps, receipt)
