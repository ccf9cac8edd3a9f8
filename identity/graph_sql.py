"""The graph in SQL: SQLite or PostgreSQL, through SQLAlchemy Core. Its tables are in `graph_tables`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Engine,
    Row,
    Select,
    bindparam,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.exc import IntegrityError

from cdp.errors import GraphConflict
from cdp.hot import HotQuery, OneOf, hot_reading
from cdp.model import Identifier, Millis, PersonId, SetId
from cdp.records import chunks, reading, writing
from identity.changes import ChangeKind, Turn
from identity.graph import Commit, Head, Neighbourhood, PairKey, SeenValue, StoredTurn, Value, Whole
from identity.graph_commit_sql import pair_key, write
from identity.graph_tables import (
    identifier_set,
    membership,
    metadata,
    observation,
    refusal,
    seen_together,
    set_member,
    turn,
    value,
    version,
)
from identity.observation import ObservationId, Proof
from identity.resolve import Refusal, State

__all__ = ["SqlGraph", "metadata"]

STORE = "graph"
_PARTNERS = msgspec.json.Decoder(dict[str, int])


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

    def values(self, pids: Collection[PersonId]) -> list[Value]:
        return [_value(*row) for row in self._found(_VALUES, pids)]

    def pairs(self, keys: Collection[PairKey]) -> dict[PairKey, Proof]:
        found = self._found(_PAIRS_BY_KEY, [pair_key(key) for key in keys])
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

    def members(self, sets: Collection[SetId]) -> dict[SetId, tuple[Identifier, ...]]:
        found: defaultdict[SetId, list[Identifier]] = defaultdict(list)
        for each, kind, its_value in self._found(_MEMBERS, sets):
            found[each].append(Identifier(kind, its_value))
        return {each: tuple(sorted(members)) for each, members in found.items()}

    def persons(self, sets: Collection[SetId]) -> dict[SetId, PersonId | None]:
        return dict(self._found(_PERSONS, sets))

    def owned(self, owners: Collection[int]) -> dict[SetId, int]:
        return dict(self._found(_OWNED, owners))

    def moved_since(self, seq: int) -> set[SetId]:
        moved = select(identifier_set.c.id).join(membership, membership.c.value == identifier_set.c.owner)
        with reading(self._engine, STORE) as db:
            own = db.execute(select(identifier_set.c.id).where(identifier_set.c.seq > seq)).scalars()
            return {SetId(each) for each in (*own, *db.execute(moved.where(membership.c.from_seq > seq)).scalars())}

    # Persons

    def value(self, pid: PersonId) -> tuple[Value, PersonId | None] | None:
        wanted = select(value, _person.c.pid.label("person_pid")).outerjoin(_person, _person.c.number == value.c.person)
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
            members = _OWNED_SETS.rows(reader, person=number)
        sets: dict[SetId, list[Identifier]] = {}
        for each, kind, its_value in members:
            sets.setdefault(SetId(each), []).append(Identifier(kind, its_value))
        return Whole(
            PersonId(person),
            [SeenValue(Identifier(kind, its_value), first, last) for kind, its_value, first, last in values],
            {each: tuple(sorted(identifiers)) for each, identifiers in sets.items()},
        )

    def identifiers(self, person: int) -> list[Value]:
        with reading(self._engine, STORE) as db:
            rows = db.execute(select(value).where(value.c.person == person).order_by(value.c.number))
            return [_value(*row) for row in rows]

    def links(self, person: int) -> list[tuple[Identifier, Identifier, Proof]]:
        a, b = value.alias("va"), value.alias("vb")
        wanted = (
            _PAIRS.add_columns(a.c.kind.label("a_kind"), a.c.value.label("a_value"))
            .add_columns(b.c.kind.label("b_kind"), b.c.value.label("b_value"))
            .join(a, (a.c.number == seen_together.c.a) & (a.c.person == person))
            .join(b, (b.c.number == seen_together.c.b) & (b.c.person == person))
        )
        with reading(self._engine, STORE) as db:
            return [_link(row) for row in db.execute(wanted)]

    def sets(self, person: int) -> list[SetId]:
        owned = select(identifier_set.c.id).join(value, value.c.number == identifier_set.c.owner)
        with reading(self._engine, STORE) as db:
            return [SetId(each) for each in db.execute(owned.where(value.c.person == person)).scalars()]

    def history(self, values: Collection[int]) -> list[tuple[int, Millis, StoredTurn]]:
        wanted = select(turn, version.c.at).join(version, version.c.seq == turn.c.seq)
        rows = [
            *self._rows(wanted, turn.c.person, values),
            *self._rows(wanted, turn.c.other, values),
        ]
        keys = sorted({(row.seq, row.n) for row in rows})
        whole = [row for row in self._rows(wanted, turn.c.seq, {seq for seq, _ in keys}) if (row.seq, row.n) in keys]
        whole.sort(key=lambda row: (row.seq, row.n, row.other))
        return [_turn(list(parts)) for _, parts in groupby(whole, key=lambda row: (row.seq, row.n))]

    def refusals(self, values: Collection[int]) -> list[Refusal]:
        a, b = value.alias("va"), value.alias("vb")
        wanted = (
            select(a.c.kind, a.c.value, b.c.kind.label("b_kind"), b.c.value.label("b_value"), refusal.c.rule)
            .join(a, a.c.number == refusal.c.a)
            .join(b, b.c.number == refusal.c.b)
        )
        rows = {*self._rows(wanted, refusal.c.a, values), *self._rows(wanted, refusal.c.b, values)}
        ends = ((Identifier(row.kind, row.value), Identifier(row.b_kind, row.b_value), row.rule) for row in rows)
        return [Refusal(min(one, other), max(one, other), rule) for one, other, rule in ends]

    # The whole store

    def members_as_of(self, seq: int) -> dict[PersonId, set[Identifier]]:
        wanted = (
            select(_person.c.pid, value.c.kind, value.c.value)
            .select_from(membership)
            .join(value, value.c.number == membership.c.value)
            .join(_person, _person.c.number == membership.c.person)
            .where(membership.c.from_seq <= seq, or_(membership.c.to_seq.is_(None), membership.c.to_seq > seq))
        )
        found: defaultdict[PersonId, set[Identifier]] = defaultdict(set)
        with reading(self._engine, STORE) as db:
            for row in db.execute(wanted):
                found[row.pid].add(Identifier(row.kind, row.value))
        return dict(found)

    def pids(self, numbers: Collection[int]) -> dict[int, PersonId]:
        rows = self._rows(select(value.c.number, value.c.pid), value.c.number, numbers)
        return {row.number: row.pid for row in rows}

    def probe(self) -> None:
        self.head()

    def close(self) -> None:
        self._engine.dispose()

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


_person = value.alias("person")
_PAIRS = select(
    seen_together.c.a,
    seen_together.c.b,
    seen_together.c.strength,
    seen_together.c.at,
    seen_together.c.since,
    seen_together.c.observation,
)


_KNOWN = HotQuery(select(observation.c.id).where(OneOf(observation.c.id, "keys")))
_VALUES = HotQuery(select(value).where(OneOf(value.c.pid, "keys")))
_VALUES_OF_COMPONENTS = HotQuery(select(value).where(OneOf(value.c.component, "keys")))
_PAIRS_BY_KEY = HotQuery(_PAIRS.where(OneOf(seen_together.c.key, "keys")))
_PAIRS_FROM = HotQuery(_PAIRS.where(OneOf(seen_together.c.a, "keys")))
_MEMBERS = HotQuery(
    select(set_member.c.set_id, value.c.kind, value.c.value)
    .join(value, value.c.number == set_member.c.value)
    .where(OneOf(set_member.c.set_id, "keys"))
)
_PERSONS = HotQuery(
    select(identifier_set.c.id, _person.c.pid)
    .outerjoin(value, value.c.number == identifier_set.c.owner)
    .outerjoin(_person, _person.c.number == value.c.person)
    .where(OneOf(identifier_set.c.id, "keys"))
)
_OWNED = HotQuery(select(identifier_set.c.id, identifier_set.c.owner).where(OneOf(identifier_set.c.owner, "keys")))

_OWNER = HotQuery(
    select(_person.c.number, _person.c.pid)
    .join(value, value.c.person == _person.c.number)
    .where(value.c.pid == bindparam("pid"))
)
_OWNED_VALUES = HotQuery(
    select(value.c.kind, value.c.value, value.c.first_seen, value.c.last_seen)
    .where(value.c.person == bindparam("person"))
    .order_by(value.c.number)
)
_OWNED_SETS = HotQuery(
    select(identifier_set.c.id, value.c.kind, value.c.value)
    .join(_person, _person.c.number == identifier_set.c.owner)
    .join(set_member, set_member.c.set_id == identifier_set.c.id)
    .join(value, value.c.number == set_member.c.value)
    .where(_person.c.person == bindparam("person"))
)


def _value(
    number: int,
    its_pid: PersonId,
    kind: str,
    its_value: str,
    state: str,
    reason: str,
    component: int | None,
    person: int | None,
    contested: int,
    partners: str,
    first_seen: Millis | None,
    last_seen: Millis | None,
) -> Value:
    """From a row of the table, its columns in their order."""
    return Value(
        number,
        its_pid,
        Identifier(kind, its_value),
        State(state),
        reason,
        component,
        person,
        bool(contested),
        _PARTNERS.decode(partners),
        first_seen,
        last_seen,
    )


def _proof(row: Row[Any]) -> Proof:
    return Proof(row.strength, row.at, row.since, ObservationId(row.observation))


def _link(row: Row[Any]) -> tuple[Identifier, Identifier, Proof]:
    a, b = sorted((Identifier(row.a_kind, row.a_value), Identifier(row.b_kind, row.b_value)))
    return a, b, _proof(row)


def _turn(parts: Sequence[Row[Any]]) -> tuple[int, Millis, StoredTurn]:
    first = parts[0]
    others = tuple(row.other for row in parts)
    return first.seq, first.at, StoredTurn(Turn(ChangeKind(first.kind), first.person, others), first.cause)
