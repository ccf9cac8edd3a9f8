"""The graph in SQL: SQLite or PostgreSQL, through SQLAlchemy Core. Its tables are in `graph_tables`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Engine,
    Row,
    Select,
    and_,
    bindparam,
    func,
    insert,
    literal_column,
    or_,
    select,
)
from sqlalchemy.exc import IntegrityError

from cdp.errors import GraphConflict
from cdp.hot import HotQuery, OneOf, hot_reading
from cdp.model import Identifier, Millis, PersonId, SetId
from cdp.records import chunks, reading, writing
from identity.changes import ChangeKind, Turn
from identity.graph import (
    NOTHING_SEEN,
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
from identity.graph_commit_sql import POLICY, pair_key, write
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
from identity.ownership import Epoch
from identity.resolve import Ledger, Refusal, State

__all__ = ["SqlGraph", "metadata"]

STORE = "graph"
SCAN_ROWS = 10_000
_LEDGER = msgspec.json.Decoder(Ledger)
_EPOCHS = msgspec.json.Decoder(tuple[Epoch, ...])


class SqlGraph:
    """`identity.graph.Graph` on one SQL database. The engine is the caller's until `close`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # Evidence

    def head(self) -> Head:
        with reading(self._engine, STORE) as db:
            seq = db.execute(select(func.max(version.c.seq))).scalar()
            births = db.execute(select(func.max(value.c.number))).scalar()
        return Head(seq or 0, births or 0)

    def known(self, observations: Collection[ObservationId]) -> set[ObservationId]:
        return {ObservationId(each) for (each,) in self._found(_KNOWN, observations)}

    def observations(self, ids: Collection[ObservationId]) -> list[tuple[Observation, str]]:
        return self._told(list(self._rows(select(observation), observation.c.id, ids)))

    def mentioning(self, bases: Collection[int]) -> list[Observation]:
        found = {row[0]: row for row in self._found(_MENTIONING, bases)}
        return self._built(list(found.values()))

    def values(self, pids: Collection[PersonId]) -> list[Value]:
        return [_value(*row) for row in self._found(_VALUES, pids)]

    def pairs(self, keys: Collection[PairKey]) -> dict[PairKey, Proof]:
        found = self._found(_PAIRS_BY_KEY, [pair_key(key) for key in keys])
        return {(a, b): Proof(*proof) for a, b, *proof in found}

    def pairs_at(self, numbers: Collection[int]) -> dict[PairKey, Proof]:
        found = [*self._found(_PAIRS_FROM, numbers), *self._found(_PAIRS_TO, numbers)]
        return {(a, b): Proof(*proof) for a, b, *proof in found}

    def neighbourhood(self, components: Collection[int], *, pairs: bool) -> Neighbourhood:
        values = [_value(*row) for row in self._found(_VALUES_OF_COMPONENTS, components)]
        numbers = {each.number for each in values}
        found = self._found(_PAIRS_FROM, numbers) if pairs else ()
        return Neighbourhood(values, {(a, b): Proof(*proof) for a, b, *proof in found if b in numbers})

    def commit(self, commit: Commit) -> None:
        with writing(self._engine, STORE) as db:
            try:
                db.execute(insert(version), {"seq": commit.seq, "at": commit.at})
            except IntegrityError as error:
                raise GraphConflict(commit.seq) from error
            write(db, commit)

    # Sets

    def members(self, sets: Collection[SetId]) -> dict[SetId, list[SetMember]]:
        return _by_set(self._found(_MEMBERS, sets))

    def holding(self, bases: Collection[int]) -> set[SetId]:
        return {SetId(each) for (each,) in self._found(_HOLDING, bases)}

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
        its_person = func.coalesce(value.c.person, _base.c.person)
        wanted = (
            select(value, _person.c.pid.label("person_pid"))
            .select_from(value)
            .join(_base, _base.c.number == value.c.base)
            .outerjoin(_person, _person.c.number == its_person)
        )
        with reading(self._engine, STORE) as db:
            row = db.execute(wanted.where(value.c.pid == pid)).one_or_none()
        return None if row is None else (_value(*row[:-1]), row.person_pid)

    def whole(self, pid: PersonId) -> Whole | None:
        with hot_reading(self._engine, STORE) as reader:
            owner = _OWNER.rows(reader, pid=pid)
            if not owner:
                return None
            [(number, person)] = owner
            values = _OWNED_VALUES.rows(reader, person=number)
            sets = _OWNED_SETS.rows(reader, person=number)
            members = _MEMBERS.rows(reader, keys=reader.many([each for (each,) in sets]))
        seen = [
            SeenValue(Identifier(kind, its_value), owner, first, last, _epochs(epochs))
            for kind, its_value, owner, first, last, epochs in values
        ]
        return Whole(PersonId(person), seen, _by_set(members))

    def identifiers(self, person: int) -> list[Value]:
        with reading(self._engine, STORE) as db:
            rows = db.execute(select(value).where(value.c.person == person).order_by(value.c.number))
            return [_value(*row) for row in rows]

    def links(self, person: int) -> list[tuple[Node, Node, Proof]]:
        a, b = value.alias("va"), value.alias("vb")
        wanted = (
            _PAIRS.add_columns(a.c.kind, a.c.value, a.c.owner, b.c.kind, b.c.value, b.c.owner)
            .join(a, (a.c.number == seen_together.c.a) & (a.c.person == person))
            .join(b, (b.c.number == seen_together.c.b) & (b.c.person == person))
            .where(seen_together.c.strength > 0)
        )
        with reading(self._engine, STORE) as db:
            return [(*_ends(row[7:]), Proof(*row[2:7])) for row in map(tuple, db.execute(wanted))]

    def history(self, values: Collection[int]) -> list[tuple[int, Millis, StoredTurn]]:
        wanted = select(turn, version.c.at).join(version, version.c.seq == turn.c.seq)
        rows = [
            *self._rows(wanted, turn.c.person, values),
            *self._rows(wanted, turn.c.other, values),
        ]
        keys = sorted({(row.seq, row.n) for row in rows})
        whole = [row for row in self._rows(wanted, turn.c.seq, {seq for seq, _ in keys}) if (row.seq, row.n) in keys]
        return _turns(sorted(whole, key=lambda row: (row.seq, row.n, row.other)))

    def turns_since(self, seq: int, limit: int) -> list[tuple[int, Millis, StoredTurn]]:
        wanted = select(turn, version.c.at).join(version, version.c.seq == turn.c.seq)
        with reading(self._engine, STORE) as db:
            first = select(turn.c.seq).where(turn.c.seq > seq).order_by(turn.c.seq).limit(limit).subquery()
            until = db.execute(select(func.max(first.c.seq))).scalar()
            if until is None:
                return []
            within = wanted.where(turn.c.seq > seq, turn.c.seq <= until).order_by(turn.c.seq, turn.c.n, turn.c.other)
            return _turns(db.execute(within))

    def refusals(self, values: Collection[int]) -> list[Refusal]:
        a, b = value.alias("va"), value.alias("vb")
        wanted = (
            select(refusal.c.rule, a.c.kind, a.c.value, a.c.owner, b.c.kind, b.c.value, b.c.owner)
            .join(a, a.c.number == refusal.c.a)
            .join(b, b.c.number == refusal.c.b)
        )
        rows = {*self._rows(wanted, refusal.c.a, values), *self._rows(wanted, refusal.c.b, values)}
        return [Refusal(*_ends(row[1:]), row[0]) for row in map(tuple, rows)]

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

    def every_value(self) -> list[Value]:
        with reading(self._engine, STORE) as db:
            return [_value(*row) for row in db.execute(select(value).order_by(value.c.number))]

    def every_pair(self) -> dict[PairKey, Proof]:
        with reading(self._engine, STORE) as db:
            return {(a, b): Proof(*proof) for a, b, *proof in db.execute(_PAIRS)}

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
            for person, *end in db.execute(_as_of(seq)):
                found[person].add(_node(*end))
        return dict(found)

    def person_as_of(self, pid: PersonId, seq: int) -> tuple[PersonId, set[Node]] | None:
        mine = (
            select(membership.c.person)
            .join(value, value.c.number == membership.c.value)
            .where(value.c.pid == pid, _then(seq))
            .scalar_subquery()
        )
        with reading(self._engine, STORE) as db:
            rows = [tuple(row) for row in db.execute(_as_of(seq).where(membership.c.person == mine))]
        return (rows[0][0], {_node(*end) for _, *end in rows}) if rows else None

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
        members = _by_set(self._found(_MEMBERS, {row[1] for row in rows}))
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


_person, _base = value.alias("person"), value.alias("base")
_PAIRS = select(
    seen_together.c.a,
    seen_together.c.b,
    seen_together.c.strength,
    seen_together.c.at,
    seen_together.c.since,
    seen_together.c.observation,
    seen_together.c.apart,
)


NOTHING: ColumnElement[str] = literal_column("''")
"""A hot query takes no values but those that are named."""

_KNOWN = HotQuery(select(observation.c.id).where(OneOf(observation.c.id, "keys")))
_VALUES = HotQuery(select(value).where(OneOf(value.c.pid, "keys")))
_VALUES_OF_COMPONENTS = HotQuery(select(value).where(OneOf(value.c.component, "keys")))
_PAIRS_BY_KEY = HotQuery(_PAIRS.where(OneOf(seen_together.c.key, "keys")))
_PAIRS_FROM = HotQuery(_PAIRS.where(OneOf(seen_together.c.a, "keys")))
_PAIRS_TO = HotQuery(_PAIRS.where(OneOf(seen_together.c.b, "keys")))
_HOLDING = HotQuery(select(set_member.c.set_id).where(OneOf(set_member.c.value, "keys")))
_MENTIONING = HotQuery(
    select(observation)
    .join(set_member, set_member.c.set_id == observation.c.set_id)
    .where(OneOf(set_member.c.value, "keys"), observation.c.retracted == NOTHING)
)
_MEMBERS = HotQuery(
    select(set_member.c.set_id, value.c.kind, value.c.value, value.c.state, value.c.epochs, _person.c.pid)
    .join(value, value.c.number == set_member.c.value)
    .outerjoin(_person, _person.c.number == value.c.person)
    .where(OneOf(set_member.c.set_id, "keys"))
)

_OWNER = HotQuery(
    select(_person.c.number, _person.c.pid)
    .select_from(value)
    .join(_base, _base.c.number == value.c.base)
    .join(_person, _person.c.number == func.coalesce(value.c.person, _base.c.person))
    .where(value.c.pid == bindparam("pid"))
)
_OWNED_VALUES = HotQuery(
    select(value.c.kind, value.c.value, value.c.owner, _base.c.first_seen, _base.c.last_seen, value.c.epochs)
    .select_from(value)
    .join(_base, _base.c.number == value.c.base)
    .where(value.c.person == bindparam("person"))
    .order_by(value.c.number)
)
_OWNED_SETS = HotQuery(
    select(set_member.c.set_id)
    .distinct()
    .join(value, value.c.base == set_member.c.value)
    .where(value.c.person == bindparam("person"))
)


def _value(
    number: int,
    its_pid: PersonId,
    kind: str,
    its_value: str,
    base: int,
    owner: str,
    state: str,
    reason: str,
    component: int | None,
    person: int | None,
    contested: int,
    parted: int,
    ledger: str,
    epochs: str,
    first_seen: Millis | None,
    last_seen: Millis | None,
) -> Value:
    """From a row of the table, its columns in their order."""
    return Value(
        number,
        its_pid,
        Identifier(kind, its_value),
        base,
        owner,
        State(state),
        reason,
        component,
        person,
        bool(contested),
        bool(parted),
        _LEDGER.decode(ledger) if ledger else NOTHING_SEEN,
        _epochs(epochs),
        first_seen,
        last_seen,
    )


def _epochs(text: str) -> tuple[Epoch, ...]:
    return _EPOCHS.decode(text) if text else ()


def _by_set(rows: Iterable[Any]) -> dict[SetId, list[SetMember]]:
    """From rows of `_MEMBERS`."""
    found: dict[SetId, list[SetMember]] = {}
    for each, kind, its_value, state, epochs, person in rows:
        member = SetMember(Identifier(kind, its_value), State(state), _epochs(epochs), person)
        found.setdefault(SetId(each), []).append(member)
    for members in found.values():
        members.sort(key=lambda member: member.identifier)
    return found


def _node(kind: str, its_value: str, owner: str) -> Node:
    return Node(Identifier(kind, its_value), owner)


def _ends(columns: Sequence[str]) -> tuple[Node, Node]:
    """Two nodes from kind, value and owner of each, the smaller first."""
    one, other = _node(*columns[:3]), _node(*columns[3:6])
    return (one, other) if one < other else (other, one)


def _then(seq: int) -> ColumnElement[bool]:
    return and_(membership.c.from_seq <= seq, or_(membership.c.to_seq.is_(None), membership.c.to_seq > seq))


def _as_of(seq: int) -> Select[Any]:
    """The person of each node after the commit `seq`."""
    return (
        select(_person.c.pid, value.c.kind, value.c.value, value.c.owner)
        .select_from(membership)
        .join(value, value.c.number == membership.c.value)
        .join(_person, _person.c.number == membership.c.person)
        .where(_then(seq))
    )


def _turns(rows: Iterable[Row[Any]]) -> list[tuple[int, Millis, StoredTurn]]:
    """From rows in the order of (seq, n, other)."""
    return [_turn(list(parts)) for _, parts in groupby(rows, key=lambda row: (row.seq, row.n))]


def _turn(parts: Sequence[Row[Any]]) -> tuple[int, Millis, StoredTurn]:
    first = parts[0]
    others = tuple(row.other for row in parts)
    return first.seq, first.at, StoredTurn(Turn(ChangeKind(first.kind), first.person, others), first.cause)
