"""Writing one commit of the graph in SQL, within the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, Update, bindparam, delete, insert, or_, update

from cdp.records import chunks, run_rows
from identity.graph import NOTHING_SEEN, Commit, PairKey, StoredObservation, StoredTurn, Value
from identity.graph_tables import (
    membership,
    meta,
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

POLICY, FENCE, FORGOT = "policy", "fence", "forgot"
"""Rows of `meta`: the name of the rules of the conclusions; the highest token; the last commit that forgot anything."""

_CONCLUSIONS = (
    "state",
    "reason",
    "component",
    "person",
    "contested",
    "parted",
    "ledger",
    "epochs",
    "first_seen",
    "last_seen",
)


def _update(table: Table, key: str, columns: Sequence[str], *conditions: ColumnElement[bool]) -> Update:
    """Set the columns, named new_… among the values, of the rows whose `key` is its_…"""
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    return update(table).where(table.c[key] == bindparam(f"its_{key}"), *conditions).values(values)


_IDENTITY = ("pid", "kind", "value", "owner")
_SET_VALUE = _update(value, "number", _CONCLUSIONS)
_FORGET_VALUE = _update(value, "number", _IDENTITY + _CONCLUSIONS)
_SET_PAIR = _update(seen_together, "key", Proof._fields)
_RETRACT = _update(observation, "id", ("retracted",))
_UNSAY = _update(observation, "id", ("note", "retracted"))
_END_MEMBERSHIP = _update(membership, "value", ("to_seq",), membership.c.to_seq.is_(None))
_ADD = {table: insert(table) for table in (value, observation, seen_together, set_member, membership, refusal, turn)}


def write(db: Connection, commit: Commit) -> None:
    """All of a commit but its version."""
    _write_values(db, commit)
    _write_evidence(db, commit)
    _write_pairs(db, commit)
    _write_memberships(db, commit)
    _write_reasons(db, commit)
    if commit.policy is not None:
        note(db, POLICY, commit.policy)
    if commit.forgotten:
        note(db, FORGOT, str(commit.seq))


def note(db: Connection, name: str, text: str) -> None:
    """Set a row of `meta`."""
    db.execute(delete(meta).where(meta.c.name == name))
    db.execute(insert(meta), {"name": name, "value": text})


def pair_key(pair: PairKey) -> int:
    return pair[0] << PAIR_SHIFT | pair[1]


def _write_values(db: Connection, commit: Commit) -> None:
    run_rows(db, _ADD[value], [_value_row(each) for each in commit.born])
    run_rows(db, _SET_VALUE, [_renewed(each, _CONCLUSIONS) for each in commit.changed])
    run_rows(db, _FORGET_VALUE, [_renewed(each, _IDENTITY + _CONCLUSIONS) for each in commit.forgotten])


def _renewed(each: Value, columns: Sequence[str]) -> dict[str, Any]:
    row = _value_row(each)
    return {"its_number": each.number, **{f"new_{name}": row[name] for name in columns}}


def _value_row(each: Value) -> dict[str, Any]:
    return {
        "number": each.number,
        "pid": each.pid,
        "kind": each.identifier.kind,
        "value": each.identifier.value,
        "base": each.base,
        "owner": each.owner,
        "state": each.state.value,
        "reason": each.reason,
        "component": each.component,
        "person": each.person,
        "contested": each.contested,
        "parted": each.parted,
        "ledger": encode(each.ledger) if each.ledger != NOTHING_SEEN else "",
        "epochs": encode(each.epochs) if each.epochs else "",
        "first_seen": each.first_seen,
        "last_seen": each.last_seen,
    }


def encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _write_evidence(db: Connection, commit: Commit) -> None:
    run_rows(db, _ADD[observation], [_observation_row(each) for each in commit.observations])
    gone = [{"its_id": each, "new_retracted": note} for each, note in commit.retracted.items()]
    run_rows(db, _RETRACT, gone)
    unsaid = [{"its_id": each, "new_note": "", "new_retracted": note} for each, note in commit.unsaid.items()]
    run_rows(db, _UNSAY, unsaid)
    for some in chunks(sorted(commit.renewed)):
        db.execute(delete(set_member).where(set_member.c.set_id.in_(some)))
    members = [{"set_id": each.id, "value": member} for each in commit.new_sets for member in each.members]
    run_rows(db, _ADD[set_member], members)


def _observation_row(each: StoredObservation) -> dict[str, Any]:
    row = each._asdict()
    row["set_id"] = row.pop("set")
    return row


def _write_pairs(db: Connection, commit: Commit) -> None:
    added = commit.new_pairs.items()
    run_rows(
        db,
        _ADD[seen_together],
        [{"key": pair_key(key), "a": key[0], "b": key[1], **proof._asdict()} for key, proof in added],
    )
    changed = ((pair_key(key), proof._asdict()) for key, proof in commit.changed_pairs.items())
    run_rows(db, _SET_PAIR, [{"its_key": key, **{f"new_{name}": row[name] for name in row}} for key, row in changed])
    for some in chunks(sorted(map(pair_key, commit.dropped_pairs))):
        db.execute(delete(seen_together).where(seen_together.c.key.in_(some)))


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
