"""The graph in SQL: SQLite or PostgreSQL, through SQLAlchemy Core. Its tables are in `graph_tables`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Row,
    Select,
    func,
    insert,
    or_,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError

from cdp.errors import GraphConflict, LeaseLost
from cdp.hot import HotQuery, hot_reading
from cdp.model import Identifier, Millis, PersonId, SetId
from cdp.records import chunks, reading, writing
from identity import graph_read_sql as read
from identity.graph import (
    LEASE,
    Commit,
    Head,
    Neighbourhood,
    PairKey,
    SeenValue,
    SetMember,
    StoredRefusal,
    StoredTurn,
    Value,
    Whole,
)
from identity.graph_commit_sql import FENCE, FORGOT, POLICY, note, pair_key, write
from identity.graph_tables import (
    membership,
    meta,
    metadata,
    observation,
    refusal,
    seen_together,
    set_member,
    turn,
    value,
    version,
)
from identity.observation import Node, Observation, ObservationId, Proof
from identity.resolve import Refusal

__all__ = ["SqlGraph", "metadata"]

STORE = "graph"
SCAN_ROWS = 10_000

CUT_OFF = text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    f" AND objid::bigint = hashtext('xunji {STORE}') & 4294967295"
)
"""The sessions of PostgreSQL whose turn it is to write the graph, see `cdp.records.writing`."""


class SqlGraph:
    """`identity.graph.Graph` on one SQL database. The engine is the caller's until `close`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._token: int | None = None

    # Evidence

    def head(self) -> Head:
        with hot_reading(self._engine, STORE) as reader:
            [(seq, births, forgot)] = read.HEAD.rows(reader, forgot=FORGOT)
        return Head(seq or 0, births or 0, int(forgot or 0))

    def known(self, observations: Collection[ObservationId]) -> set[ObservationId]:
        return {ObservationId(each) for (each,) in self._found(read.KNOWN, observations)}

    def observations(self, ids: Collection[ObservationId]) -> list[tuple[Observation, str]]:
        return self._told(list(self._rows(select(observation), observation.c.id, ids)))

    def mentioning(self, bases: Collection[int]) -> list[Observation]:
        found = {row[0]: row for row in self._found(read.MENTIONING, bases)}
        return self._built(list(found.values()))

    def values(self, pids: Collection[PersonId]) -> list[Value]:
        return [read.value_of(*row) for row in self._found(read.VALUES, pids)]

    def pairs(self, keys: Collection[PairKey]) -> dict[PairKey, Proof]:
        found = self._found(read.PAIRS_BY_KEY, [pair_key(key) for key in keys])
        return {(a, b): Proof(*proof) for a, b, *proof in found}

    def pairs_at(self, numbers: Collection[int]) -> dict[PairKey, Proof]:
        found = [*self._found(read.PAIRS_FROM, numbers), *self._found(read.PAIRS_TO, numbers)]
        return {(a, b): Proof(*proof) for a, b, *proof in found}

    def neighbourhood(self, components: Collection[int], *, pairs: bool) -> Neighbourhood:
        values = [read.value_of(*row) for row in self._found(read.VALUES_OF_COMPONENTS, components)]
        numbers = {each.number for each in values}
        found = self._found(read.PAIRS_FROM, numbers) if pairs else ()
        return Neighbourhood(values, {(a, b): Proof(*proof) for a, b, *proof in found if b in numbers})

    def commit(self, commit: Commit) -> None:
        with writing(self._engine, STORE) as db:
            if self._token is not None:
                self._check(db, self._token)
            try:
                db.execute(insert(version), {"seq": commit.seq, "at": commit.at})
            except IntegrityError as error:
                raise GraphConflict(commit.seq) from error
            write(db, commit)

    def fence(self, token: int) -> None:
        self._cut_off()
        with writing(self._engine, STORE) as db:
            self._check(db, token)
            note(db, FENCE, str(token))
        self._token = token

    def _cut_off(self) -> None:
        """End what another has begun to write: a process that was stopped in it would keep all others waiting."""
        if self._engine.dialect.name == "postgresql":
            with reading(self._engine, STORE) as db:
                db.execute(CUT_OFF)

    def _check(self, db: Connection, token: int) -> None:
        """Writers take turns, so no higher token can come before the end of the transaction."""
        highest = db.execute(select(meta.c.value).where(meta.c.name == FENCE)).scalar()
        if int(highest or 0) > token:
            raise LeaseLost(LEASE)

    # Sets

    def members(self, sets: Collection[SetId]) -> dict[SetId, list[SetMember]]:
        return read.by_set(self._found(read.MEMBERS, sets))

    def holding(self, bases: Collection[int]) -> set[SetId]:
        return {SetId(each) for (each,) in self._found(read.HOLDING, bases)}

    def moved_since(self, seq: int) -> set[SetId]:
        moved = (
            select(set_member.c.set_id)
            .join(value, value.c.base == set_member.c.value)
            .join(membership, membership.c.value == value.c.number)
            .where(or_(membership.c.from_seq > seq, membership.c.to_seq > seq))
        )
        with reading(self._engine, STORE) as db:
            return {SetId(each) for each in db.execute(moved).scalars()}

    # Persons

    def value(self, pid: PersonId) -> tuple[Value, PersonId | None] | None:
        # A past epoch has no person; whose it was is now its identifier's first owner's.
        its_person = func.coalesce(value.c.person, read.base_node.c.person)
        wanted = (
            select(value, read.person.c.pid.label("person_pid"))
            .select_from(value)
            .join(read.base_node, read.base_node.c.number == value.c.base)
            .outerjoin(read.person, read.person.c.number == its_person)
        )
        with reading(self._engine, STORE) as db:
            row = db.execute(wanted.where(value.c.pid == pid)).one_or_none()
        return None if row is None else (read.value_of(*row[:-1]), row.person_pid)

    def whole(self, pid: PersonId) -> Whole | None:
        with hot_reading(self._engine, STORE) as reader:
            owner = read.OWNER.rows(reader, pid=pid)
            if not owner:
                return None
            [(number, person)] = owner
            values = read.OWNED_VALUES.rows(reader, person=number)
            sets = read.OWNED_SETS.rows(reader, person=number)
            members = read.MEMBERS.rows(reader, keys=reader.many([each for (each,) in sets]))
        seen = [
            SeenValue(Identifier(kind, its_value), owner, first, last, read.epochs_of(epochs))
            for kind, its_value, owner, first, last, epochs in values
        ]
        return Whole(PersonId(person), seen, read.by_set(members))

    def identifiers(self, person: int) -> list[Value]:
        with reading(self._engine, STORE) as db:
            rows = db.execute(select(value).where(value.c.person == person).order_by(value.c.number))
            return [read.value_of(*row) for row in rows]

    def links(self, person: int) -> list[tuple[Node, Node, Proof]]:
        a, b = value.alias("va"), value.alias("vb")
        wanted = (
            read.PAIRS.add_columns(a.c.kind, a.c.value, a.c.owner, b.c.kind, b.c.value, b.c.owner)
            .join(a, (a.c.number == seen_together.c.a) & (a.c.person == person))
            .join(b, (b.c.number == seen_together.c.b) & (b.c.person == person))
            .where(seen_together.c.strength > 0)
        )
        with reading(self._engine, STORE) as db:
            return [(*read.ends_of(row[7:]), Proof(*row[2:7])) for row in map(tuple, db.execute(wanted))]

    def history(self, values: Collection[int]) -> list[tuple[int, Millis, StoredTurn]]:
        wanted = select(turn, version.c.at).join(version, version.c.seq == turn.c.seq)
        rows = [
            *self._rows(wanted, turn.c.person, values),
            *self._rows(wanted, turn.c.other, values),
        ]
        keys = sorted({(row.seq, row.n) for row in rows})
        whole = [row for row in self._rows(wanted, turn.c.seq, {seq for seq, _ in keys}) if (row.seq, row.n) in keys]
        return read.turns_of(sorted(whole, key=lambda row: (row.seq, row.n, row.other)))

    def turns_since(self, seq: int, limit: int) -> list[tuple[int, Millis, StoredTurn]]:
        wanted = select(turn, version.c.at).join(version, version.c.seq == turn.c.seq)
        with reading(self._engine, STORE) as db:
            first = select(turn.c.seq).where(turn.c.seq > seq).order_by(turn.c.seq).limit(limit).subquery()
            until = db.execute(select(func.max(first.c.seq))).scalar()
            if until is None:
                return []
            within = wanted.where(turn.c.seq > seq, turn.c.seq <= until).order_by(turn.c.seq, turn.c.n, turn.c.other)
            return read.turns_of(db.execute(within))

    def refusals(self, values: Collection[int]) -> list[Refusal]:
        a, b = value.alias("va"), value.alias("vb")
        wanted = (
            select(refusal.c.rule, a.c.kind, a.c.value, a.c.owner, b.c.kind, b.c.value, b.c.owner)
            .join(a, a.c.number == refusal.c.a)
            .join(b, b.c.number == refusal.c.b)
        )
        rows = {*self._rows(wanted, refusal.c.a, values), *self._rows(wanted, refusal.c.b, values)}
        return [Refusal(*read.ends_of(row[1:]), row[0]) for row in map(tuple, rows)]

    # The whole store

    def every_observation(self) -> Iterator[Observation]:
        last = -1
        page = select(observation).where(observation.c.retracted == "").order_by(observation.c.id).limit(SCAN_ROWS)
        while True:
            with reading(self._engine, STORE) as db:
                rows = [tuple(row) for row in db.execute(page.where(observation.c.id > last))]
            if not rows:
                return
            yield from self._built(rows)
            last = rows[-1][0]

    def every_set(self) -> Iterator[SetId]:
        last = -1
        page = select(set_member.c.set_id).distinct().order_by(set_member.c.set_id).limit(SCAN_ROWS)
        while True:
            with reading(self._engine, STORE) as db:
                found = list(db.execute(page.where(set_member.c.set_id > last)).scalars())
            if not found:
                return
            yield from map(SetId, found)
            last = found[-1]

    def every_value(self) -> list[Value]:
        with reading(self._engine, STORE) as db:
            return [read.value_of(*row) for row in db.execute(select(value).order_by(value.c.number))]

    def every_pair(self) -> dict[PairKey, Proof]:
        with reading(self._engine, STORE) as db:
            return {(a, b): Proof(*proof) for a, b, *proof in db.execute(read.PAIRS)}

    def every_refusal(self) -> set[StoredRefusal]:
        with reading(self._engine, STORE) as db:
            return {StoredRefusal(*row) for row in db.execute(select(refusal))}

    def notes(self, source: str) -> list[tuple[Observation, str]]:
        wanted = select(observation).where(observation.c.source == source)
        with reading(self._engine, STORE) as db:
            rows = list(db.execute(wanted.order_by(observation.c.occurred_at.desc(), observation.c.id)))
        return self._told(rows)

    def policy(self) -> str:
        with reading(self._engine, STORE) as db:
            return db.execute(select(meta.c.value).where(meta.c.name == POLICY)).scalar() or ""

    def seq_at(self, at: Millis) -> int:
        with reading(self._engine, STORE) as db:
            return db.execute(select(func.max(version.c.seq)).where(version.c.at <= at)).scalar() or 0

    def members_as_of(self, seq: int) -> dict[PersonId, set[Node]]:
        found: defaultdict[PersonId, set[Node]] = defaultdict(set)
        with reading(self._engine, STORE) as db:
            for person, *end in db.execute(read.as_of(seq)):
                found[person].add(read.node_of(*end))
        return dict(found)

    def person_as_of(self, pid: PersonId, seq: int) -> tuple[PersonId, set[Node]] | None:
        mine = (
            select(membership.c.person)
            .join(value, value.c.number == membership.c.value)
            .where(value.c.pid == pid, read.then(seq))
            .scalar_subquery()
        )
        with reading(self._engine, STORE) as db:
            rows = [tuple(row) for row in db.execute(read.as_of(seq).where(membership.c.person == mine))]
        return (rows[0][0], {read.node_of(*end) for _, *end in rows}) if rows else None

    def pids(self, numbers: Collection[int]) -> dict[int, PersonId]:
        rows = self._rows(select(value.c.number, value.c.pid), value.c.number, numbers)
        return {row.number: row.pid for row in rows}

    def probe(self) -> None:
        self.head()

    def close(self) -> None:
        self._engine.dispose()

    def _told(self, rows: Sequence[Any]) -> list[tuple[Observation, str]]:
        return list(zip(self._built(rows), [row[-1] for row in rows], strict=True))

    def _built(self, rows: Sequence[Any]) -> list[Observation]:
        """Observations out of whole rows of their table, in the same order."""
        members = read.by_set(self._found(read.MEMBERS, {row[1] for row in rows}))
        return [
            Observation(
                ObservationId(id_),
                tuple(each.identifier for each in members[its_set]),
                strength,
                at,
                source,
                bool(different),
                note,
            )
            for id_, its_set, strength, at, source, different, note, *_ in rows
        ]

    def _found(self, query: HotQuery, keys: Collection[Any]) -> list[Any]:
        """The rows of a query for `keys`."""
        if not keys:
            return []
        with hot_reading(self._engine, STORE) as reader:
            return query.rows(reader, keys=reader.many(sorted(keys)))

    def _rows(self, wanted: Select[Any], column: Column[Any], keys: Collection[Any]) -> Iterator[Row[Any]]:
        """The rows where the column is one of `keys`, whole before the first is handed out."""
        if not keys:
            return iter(())
        rows: list[Row[Any]] = []
        with reading(self._engine, STORE) as db:
            for some in chunks(sorted(keys)):
                rows += db.execute(wanted.where(column.in_(some)))
        return iter(rows)
