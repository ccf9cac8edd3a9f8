"""What is asked of the graph in SQL: constant questions, and what their rows mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, func, literal_column, or_, select

from cdp.hot import HotQuery, OneOf
from cdp.model import Identifier, Millis, PersonId, SetId
from identity.changes import ChangeKind, Turn
from identity.graph import NOTHING_SEEN, SetMember, StoredTurn, Value
from identity.graph_tables import membership, meta, observation, seen_together, set_member, value, version
from identity.observation import Node
from identity.ownership import Epoch
from identity.resolve import Ledger, State

_LEDGER = msgspec.json.Decoder(Ledger)
_EPOCHS = msgspec.json.Decoder(tuple[Epoch, ...])

person, base_node = value.alias("person"), value.alias("base")
PAIRS = select(
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

HEAD = HotQuery(
    select(
        select(func.max(version.c.seq)).scalar_subquery(),
        select(func.max(value.c.number)).scalar_subquery(),
        select(meta.c.value).where(meta.c.name == bindparam("forgot")).scalar_subquery(),
    )
)
KNOWN = HotQuery(select(observation.c.id).where(OneOf(observation.c.id, "keys")))
VALUES = HotQuery(select(value).where(OneOf(value.c.pid, "keys")))
VALUES_OF_COMPONENTS = HotQuery(select(value).where(OneOf(value.c.component, "keys")))
PAIRS_BY_KEY = HotQuery(PAIRS.where(OneOf(seen_together.c.key, "keys")))
PAIRS_FROM = HotQuery(PAIRS.where(OneOf(seen_together.c.a, "keys")))
PAIRS_TO = HotQuery(PAIRS.where(OneOf(seen_together.c.b, "keys")))
HOLDING = HotQuery(select(set_member.c.set_id).where(OneOf(set_member.c.value, "keys")))
MENTIONING = HotQuery(
    select(observation)
    .join(set_member, set_member.c.set_id == observation.c.set_id)
    .where(OneOf(set_member.c.value, "keys"), observation.c.retracted == NOTHING)
)
MEMBERS = HotQuery(
    select(set_member.c.set_id, value.c.kind, value.c.value, value.c.state, value.c.epochs, person.c.pid)
    .join(value, value.c.number == set_member.c.value)
    .outerjoin(person, person.c.number == value.c.person)
    .where(OneOf(set_member.c.set_id, "keys"))
)

OWNER = HotQuery(
    select(person.c.number, person.c.pid)
    .select_from(value)
    .join(base_node, base_node.c.number == value.c.base)
    .join(person, person.c.number == func.coalesce(value.c.person, base_node.c.person))
    .where(value.c.pid == bindparam("pid"))
)
OWNED_VALUES = HotQuery(
    select(value.c.kind, value.c.value, value.c.owner, base_node.c.first_seen, base_node.c.last_seen, value.c.epochs)
    .select_from(value)
    .join(base_node, base_node.c.number == value.c.base)
    .where(value.c.person == bindparam("person"))
    .order_by(value.c.number)
)
OWNED_SETS = HotQuery(
    select(set_member.c.set_id)
    .distinct()
    .join(value, value.c.base == set_member.c.value)
    .where(value.c.person == bindparam("person"))
)


def value_of(
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
        epochs_of(epochs),
        first_seen,
        last_seen,
    )


def epochs_of(text: str) -> tuple[Epoch, ...]:
    return _EPOCHS.decode(text) if text else ()


def by_set(rows: Iterable[Any]) -> dict[SetId, list[SetMember]]:
    """From rows of `MEMBERS`."""
    found: dict[SetId, list[SetMember]] = {}
    for each, kind, its_value, state, epochs, person in rows:
        member = SetMember(Identifier(kind, its_value), State(state), epochs_of(epochs), person)
        found.setdefault(SetId(each), []).append(member)
    for members in found.values():
        members.sort(key=lambda member: member.identifier)
    return found


def node_of(kind: str, its_value: str, owner: str) -> Node:
    return Node(Identifier(kind, its_value), owner)


def ends_of(columns: Sequence[str]) -> tuple[Node, Node]:
    """Two nodes from kind, value and owner of each, the smaller first."""
    one, other = node_of(*columns[:3]), node_of(*columns[3:6])
    return (one, other) if one < other else (other, one)


def then(seq: int) -> ColumnElement[bool]:
    return and_(membership.c.from_seq <= seq, or_(membership.c.to_seq.is_(None), membership.c.to_seq > seq))


def as_of(seq: int) -> Select[Any]:
    """The person of each node after the commit `seq`."""
    return (
        select(person.c.pid, value.c.kind, value.c.value, value.c.owner)
        .select_from(membership)
        .join(value, value.c.number == membership.c.value)
        .join(person, person.c.number == membership.c.person)
        .where(then(seq))
    )


def turns_of(rows: Iterable[Row[Any]]) -> list[tuple[int, Millis, StoredTurn]]:
    """From rows in the order of (seq, n, other)."""
    return [turn_of(list(parts)) for _, parts in groupby(rows, key=lambda row: (row.seq, row.n))]


def turn_of(parts: Sequence[Row[Any]]) -> tuple[int, Millis, StoredTurn]:
    first = parts[0]
    others = tuple(row.other for row in parts)
    return first.seq, first.at, StoredTurn(Turn(ChangeKind(first.kind), first.person, others), first.cause)
