"""Writing one commit of the graph in SQL, within the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, Update, bindparam, delete, insert, or_, update

from cdp.records import chunks, run_rows
from identity.graph import Commit, PairKey, StoredTurn, Value
from identity.graph_tables import (
    identifier_set,
    membership,
    observation,
    refusal,
    seen_together,
    set_member,
    turn,
    value,
)
from identity.observation import Proof

PAIR_SHIFT = 31
"""Bits for the second number of a pair's key: room for two thousand million values."""

_CONCLUSIONS = ("state", "reason", "component", "person", "contested", "partners", "first_seen", "last_seen")


def _update(table: Table, key: str, columns: Sequence[str], *conditions: ColumnElement[bool]) -> Update:
    """Set the columns, named new_… among the values, of the rows whose `key` is its_…"""
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    return update(table).where(table.c[key] == bindparam(f"its_{key}"), *conditions).values(values)


_SET_VALUE = _update(value, "number", _CONCLUSIONS)
_SET_PAIR = _update(seen_together, "key", Proof._fields)
_SET_OWNER = _update(identifier_set, "id", ("owner", "seq"))
_END_MEMBERSHIP = _update(membership, "value", ("to_seq",), membership.c.to_seq.is_(None))
_ADD = {
    table: insert(table)
    for table in (value, observation, seen_together, identifier_set, set_member, membership, refusal, turn)
}


def write(db: Connection, commit: Commit) -> None:
    """All of a commit but its version."""
    _write_values(db, commit)
    _write_evidence(db, commit)
    _write_sets(db, commit)
    _write_memberships(db, commit)
    _write_reasons(db, commit)


def pair_key(pair: PairKey) -> int:
    return pair[0] << PAIR_SHIFT | pair[1]


def _write_values(db: Connection, commit: Commit) -> None:
    run_rows(db, _ADD[value], [_value_row(each) for each in commit.born])
    changed = ((each.number, _value_row(each)) for each in commit.changed)
    rows = [{"its_number": number, **{f"new_{name}": row[name] for name in _CONCLUSIONS}} for number, row in changed]
    run_rows(db, _SET_VALUE, rows)


def _value_row(each: Value) -> dict[str, Any]:
    return {
        "number": each.number,
        "pid": each.pid,
        "kind": each.identifier.kind,
        "value": each.identifier.value,
        "state": each.state.value,
        "reason": each.reason,
        "component": each.component,
        "person": each.person,
        "contested": each.contested,
        "partners": msgspec.json.encode(each.partners).decode(),
        "first_seen": each.first_seen,
        "last_seen": each.last_seen,
    }


def _write_evidence(db: Connection, commit: Commit) -> None:
    columns = ("id", "set_id", "strength", "occurred_at", "source", "refused")
    run_rows(db, _ADD[observation], [dict(zip(columns, each, strict=True)) for each in commit.observations])
    added = commit.new_pairs.items()
    run_rows(
        db,
        _ADD[seen_together],
        [{"key": pair_key(key), "a": key[0], "b": key[1], **proof._asdict()} for key, proof in added],
    )
    changed = ((pair_key(key), proof._asdict()) for key, proof in commit.changed_pairs.items())
    run_rows(db, _SET_PAIR, [{"its_key": key, **{f"new_{name}": row[name] for name in row}} for key, row in changed])


def _write_sets(db: Connection, commit: Commit) -> None:
    run_rows(
        db, _ADD[identifier_set], [{"id": each.id, "owner": each.owner, "seq": commit.seq} for each in commit.new_sets]
    )
    members = [{"set_id": each.id, "value": member} for each in commit.new_sets for member in each.members]
    run_rows(db, _ADD[set_member], members)
    owners = commit.owners.items()
    run_rows(db, _SET_OWNER, [{"its_id": each, "new_owner": owner, "new_seq": commit.seq} for each, owner in owners])


def _write_memberships(db: Connection, commit: Commit) -> None:
    born = {each.number for each in commit.born}
    ended = [each.number for each in commit.moved if each.number not in born]
    run_rows(db, _END_MEMBERSHIP, [{"its_value": number, "new_to_seq": commit.seq} for number in ended])
    begun = [each for each in commit.moved if each.person is not None]
    rows = [{"value": each.number, "from_seq": commit.seq, "to_seq": None, "person": each.person} for each in begun]
    run_rows(db, _ADD[membership], rows)


def _write_reasons(db: Connection, commit: Commit) -> None:
    for some in chunks(sorted(commit.unsettled)):
        db.execute(delete(refusal).where(or_(refusal.c.a.in_(some), refusal.c.b.in_(some))))
    run_rows(db, _ADD[refusal], [each._asdict() for each in commit.refusals])
    rows = [
        {"seq": commit.seq, "n": n, **_turn_row(each), "other": other}
        for n, each in enumerate(commit.turns)
        for other in each.turn.others
    ]
    run_rows(db, _ADD[turn], rows)


def _turn_row(each: StoredTurn) -> dict[str, Any]:
    return {"kind": each.turn.kind.value, "person": each.turn.person, "cause": each.cause}
