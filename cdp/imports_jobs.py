"""Imports as jobs: which file, what its columns mean, how far it is, and what came of it.

A job's row is all that a restart needs. It holds no value of the file but masked samples; the file lies sealed beside
it until its rows are in the log.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, String, Table, Text, select

from cdp.audit import audit_rows, done
from cdp.errors import Conflict, NotFound
from cdp.model import Millis
from cdp.records import metadata, reading, writing
from collectors.columns import Column as FileColumn
from collectors.columns import ImportMap, Question, RowKind
from profiles.store import Came, Cursor

import_rows = Table(
    "imports",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("state", String(10), nullable=False, index=True),
    Column("job", Text, nullable=False),
)


class State(StrEnum):
    """PREVIEW until somebody confirms; FAILED is a fault of ours, told in `problem`."""

    PREVIEW = "preview"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"


AT_WORK = (State.UNDOING, State.RUNNING, State.WAITING)
UNDOABLE = frozenset({State.DONE, State.CANCELLED, State.FAILED})

OUTCOMES = ("taken", "joined", "repeated", "refused")


class Counts(msgspec.Struct):
    """Rows by outcome."""

    taken: int = 0
    joined: int = 0
    repeated: int = 0
    refused: int = 0


class Removed(msgspec.Struct):
    """What an undo took away; `leads_kept` are shells of leads that somebody had worked on. What went just
    before a crash is not counted."""

    events: int = 0
    leads: int = 0
    leads_kept: int = 0
    observations: int = 0
    identifiers: int = 0
    hits: int = 0


class Job(msgspec.Struct, kw_only=True):
    """One import.

    `names` and `header` say where its columns are, `total` how many rows are below. `told` is the map once it is
    confirmed; `births` the graph's last birth before its first row, by which what was there before is told. `looked`
    rows have an outcome, and their lines are the first `report_bytes` of the report. `came` are the hits it wrote, in
    each partition from one offset to another; `writing` the offset of each partition, or of one, from which on the next
    may lie, where that is not known yet. `digest` is of the file's bytes with the source, kind and sheet that were
    asked for.
    """

    id: str
    source: str
    file: str
    kind: RowKind
    by: str
    state: State
    requested_at: Millis
    format: str = ""
    size: int = 0
    digest: str = ""
    header: int = 0
    names: tuple[str, ...] = ()
    total: int = 0
    columns: list[FileColumn] = []
    questions: list[Question] = []
    told: ImportMap | None = None
    began_at: Millis = 0
    done_at: Millis = 0
    births: int = 0
    looked: int = 0
    chunk: int = 0
    report_bytes: int = 0
    writing: dict[int, int] | tuple[int, int] | None = None
    came: list[tuple[int, int, int]] = []
    counts: Counts = msgspec.field(default_factory=Counts)
    problem: str = ""
    cancelled_by: str = ""
    undone_by: str = ""
    removed: Removed = msgspec.field(default_factory=Removed)

    @property
    def events(self) -> Came:
        """Its events in the store."""
        return Came(self.source, self.began_at, self.done_at or 2**62, self.came)

    def note_came(self, partition: int, offset: int) -> None:
        """Add a hit, in order."""
        if self.came and self.came[-1][0] == partition and self.came[-1][2] == offset:
            self.came[-1] = (partition, self.came[-1][1], offset + 1)
        else:
            self.came.append((partition, offset, offset + 1))


class ImportBook:
    """The table of imports. Thread-safe."""

    def __init__(self, records: Engine, *, clock: Callable[[], Millis]) -> None:
        self._records = records
        self._clock = clock

    def new_id(self) -> str:
        return f"im_{secrets.token_hex(12)}"

    def add(self, job: Job) -> None:
        row = {"id": job.id, "at": job.requested_at, "state": job.state, "job": _text(job)}
        with writing(self._records) as connection:
            connection.execute(import_rows.insert(), row)

    def find(self, import_id: str) -> Job:
        """Raises NotFound."""
        with reading(self._records) as connection:
            return self._found(connection, import_id)

    def preview_of(self, digest: str) -> Job | None:
        """The import that shows this very file, for the same source and kind, and waits to be confirmed."""
        return next((job for job in self.in_state(State.PREVIEW) if job.digest == digest), None)

    def in_state(self, *states: State) -> list[Job]:
        """Oldest first."""
        wanted = select(import_rows.c.job).where(import_rows.c.state.in_(states))
        with reading(self._records) as connection:
            found = connection.execute(wanted.order_by(import_rows.c.at, import_rows.c.id)).scalars()
            return [_job(text) for text in found]

    def page(self, limit: int, before: Cursor | None) -> Sequence[Job]:
        """Newest first, ties by id."""
        query = select(import_rows.c.job).order_by(import_rows.c.at.desc(), import_rows.c.id).limit(limit)
        if before is not None:
            same = (import_rows.c.at == before.at) & (import_rows.c.id > before.id)
            query = query.where((import_rows.c.at < before.at) | same)
        with reading(self._records) as connection:
            return [_job(text) for text in connection.execute(query).scalars()]

    def begin(self, import_id: str, *, births: int) -> Job:
        """Say that the rows of a confirmed import are taken now. Raises Conflict where it was cancelled meanwhile."""
        with writing(self._records) as connection:
            job = self._found(connection, import_id)
            if job.state is not State.WAITING:
                raise Conflict(f"This import is {job.state} and does not wait to begin.")
            job.state, job.began_at, job.births = State.RUNNING, self._clock(), births
            self._store(connection, job)
        return job

    def save(self, job: Job) -> None:
        """Note how far a job is; only whoever works on it does. A wish to cancel that came meanwhile stays."""
        with writing(self._records) as connection:
            job.cancelled_by = self._found(connection, job.id).cancelled_by
            self._store(connection, job)

    def change(self, import_id: str, action: str, change: Callable[[Job], None], *, by: str) -> Job:
        """Change a job that nobody works on, or wish for it, with an audit row. Raises NotFound and what `change`
        does."""
        with writing(self._records) as connection:
            job = self._found(connection, import_id)
            change(job)
            self._store(connection, job)
            connection.execute(audit_rows.insert(), done(action, actor=by, subject=job.id, at=self._clock()))
        return job

    def remove(self, import_id: str) -> None:
        with writing(self._records) as connection:
            connection.execute(import_rows.delete().where(import_rows.c.id == import_id))

    def _found(self, connection: Connection, import_id: str) -> Job:
        text = connection.execute(select(import_rows.c.job).where(import_rows.c.id == import_id)).scalar()
        if text is None:
            raise NotFound("import", import_id)
        return _job(text)

    def _store(self, connection: Connection, job: Job) -> None:
        same = import_rows.c.id == job.id
        connection.execute(import_rows.update().where(same).values(state=job.state, job=_text(job)))


def confirmed(told: ImportMap) -> Callable[[Job], None]:
    """The change that confirms an import. Raises Conflict where that is too late."""

    def change(job: Job) -> None:
        if job.state is not State.PREVIEW:
            raise Conflict(f"This import is {job.state} already. Upload the file again to import it again.")
        job.told, job.kind, job.state = told, told.kind, State.WAITING

    return change


def cancelled(by: str) -> Callable[[Job], None]:
    """What has been taken stays until it is undone."""

    def change(job: Job) -> None:
        if job.state not in (State.PREVIEW, State.WAITING, State.RUNNING):
            advice = " It can be undone." if job.state in UNDOABLE else ""
            raise Conflict(f"This import is {job.state}; there is nothing to cancel.{advice}")
        if job.state is not State.RUNNING:
            job.state = State.CANCELLED
        job.cancelled_by = by

    return change


def undone(by: str) -> Callable[[Job], None]:
    def change(job: Job) -> None:
        if job.state not in UNDOABLE and job.state not in (State.UNDOING, State.UNDONE):
            raise Conflict(f"This import is {job.state}. Cancel it first, then undo what it has taken.")
        if job.state in UNDOABLE:
            job.state, job.undone_by = State.UNDOING, by

    return change


def _text(job: Job) -> str:
    return msgspec.json.encode(job).decode()


def _job(text: str) -> Job:
    return msgspec.json.decode(text, type=Job)
