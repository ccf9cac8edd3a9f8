"""The graph in Neo4j as the rows of its tables in SQL (`graph_tables`), for moving it from one to the other.

What SQL keeps as empty, false or zero Neo4j leaves out. What Neo4j has besides follows from the rows: `moved` of an
identifier, the nodes of persons, and which identifiers an observation mentions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, Column, Integer, String, Table

from identity.graph_commit_sql import FENCE, FORGOT, POLICY
from identity.graph_neo4j_schema import (
    HOLDS,
    IDENTIFIER,
    IS,
    OBSERVATION,
    PERSON,
    REFUSAL,
    SEEN_WITH,
    SET,
    TURN,
    VERSION,
    EdgeKind,
    NodeKind,
    find,
)
from identity.graph_tables import (
    membership,
    meta,
    observation,
    refusal,
    seen_together,
    set_member,
    turn,
    value,
    version,
)

LEFT_OUT = frozenset(
    {"ledger", "reason", "contested", "parted", "epochs", "owner", "note", "refused", "different", "retracted", "apart"}
)
"""Columns whose empty value is null in Neo4j."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One table of SQL. `match` finds what its rows are made of, from `$k0` on, the first column of its key; `columns`
    says what each is there. `writes` are run one after another with all rows of a page, each a map `row`."""

    table: Table
    kind: NodeKind | EdgeKind
    """Of which there are about as many."""
    match: str
    columns: Mapping[str, str]
    writes: Sequence[str]

    @property
    def key(self) -> list[str]:
        return [column.name for column in self.table.primary_key]

    @property
    def before_all(self) -> list[Any]:
        """Smaller than every key."""
        return ["" if isinstance(column.type, String) else -(2**63) for column in self.table.primary_key]

    def count(self) -> str:
        return f"MATCH {_pattern(self.kind)} RETURN count(n)"

    def page(self) -> str:
        """The next `$limit` rows after `$k0`, `$k1`, … in the order of the key, as lists in that of the columns."""
        return self._rows(f"WHERE {_after(self.key)}", ", ".join(self.key))

    def newest(self) -> str:
        """The first `$limit` rows in the opposite order."""
        return self._rows("", ", ".join(f"{name} DESC" for name in self.key))

    def _rows(self, where: str, order: str) -> str:
        named = ", ".join(f"{what} AS {name}" for name, what in self.columns.items())
        return f"{self.match} WITH {named} {where} RETURN {', '.join(self.columns)} ORDER BY {order} LIMIT $limit"

    def to_neo4j(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: row[name] or None if name in LEFT_OUT else row[name] for name in self.columns}

    def to_sql(self, row: Sequence[Any]) -> dict[str, Any]:
        return {name: _filled(self.table.c[name], cell) for name, cell in zip(self.columns, row, strict=True)}


def _after(key: Sequence[str], place: int = 0) -> str:
    """The condition that a key is greater than the parameters."""
    name = key[place]
    if place + 1 == len(key):
        return f"{name} > $k{place}"
    return f"({name} > $k{place} OR ({name} = $k{place} AND {_after(key, place + 1)}))"


def _filled(column: Column[Any], cell: Any) -> Any:
    if cell is not None or column.nullable:
        return cell
    return False if isinstance(column.type, Boolean) else 0 if isinstance(column.type, Integer) else ""


def _from(kind: NodeKind | EdgeKind, by: str, also: str = "") -> str:
    """Nodes or edges `n` by an index, of which `also` is the second property if it has two."""
    index, there = (f"{by}, {also}", f" AND n.{also} IS NOT NULL") if also else (by, "")
    return f"MATCH {_pattern(kind)} USING INDEX SEEK n:{kind.label}({index}) WHERE n.{by} >= $k0{there}"


def _pattern(kind: NodeKind | EdgeKind) -> str:
    # An edge without a direction is found from both of its ends.
    return kind.pattern.replace("]-(", "]->(")


def _same(table: Table, **others: str) -> dict[str, str]:
    """Each column is the property of its name, but for some."""
    return {column.name: others.get(column.name, f"n.{column.name}") for column in table.columns}


_EACH = "UNWIND $rows AS row"
_ONE, _OTHER = (find(IDENTIFIER, alias, "number", f"row.{alias}") for alias in "ab")

# A commit that only fences has no moment, which SQL must have: one that never comes, so that nothing is as of it.
NEVER = 2**63 - 1
_MOMENT = f"coalesce(n.at, {NEVER})"
_COMMIT = f"{_EACH} CREATE (n:Version {{seq: row.seq, at: CASE row.at WHEN {NEVER} THEN null ELSE row.at END}})"
_ADD_SET = f"{_EACH} MERGE (:Set {{id: row.set_id}})"
_ADD_MEMBER = (
    f"{_EACH} {find(SET, 's', 'id', 'row.set_id')} {find(IDENTIFIER, 'i', 'number', 'row.value')}"
    " CREATE (s)-[:HOLDS]->(i)"
)
_OBSERVE = (
    f"{_EACH} CREATE (n:Observation) SET n = row, n.set = row.set_id, n.set_id = null"
    f" WITH n {find(SET, 's', 'id', 'n.set')} MATCH (s)-[:HOLDS]->(i) CREATE (n)-[:MENTIONS]->(i)"
)
_ADD_PAIR = f"{_EACH} {_ONE} {_OTHER} CREATE (a)-[n:SEEN_WITH]->(b) SET n = row, n.a = null, n.b = null"
_NAME = (
    f"{_EACH} WITH DISTINCT row.person AS number {find(IDENTIFIER, 'i', 'number', 'number')}"
    " MERGE (p:Person {number: number}) ON CREATE SET p.pid = i.pid"
)
# Rows come in the order of their commits, so the last one that moved it stays.
_BELONG = (
    f"{_EACH} {find(IDENTIFIER, 'i', 'number', 'row.value')} {find(PERSON, 'p', 'number', 'row.person')}"
    " CREATE (i)-[:IS {from_seq: row.from_seq, to_seq: row.to_seq}]->(p)"
    " SET i.moved = coalesce(row.to_seq, row.from_seq)"
)
_REFUSE = f"{_EACH} {_ONE} {_OTHER} CREATE (n:Refusal)-[:BETWEEN]->(a), (n)-[:BETWEEN]->(b) SET n = row"
_TELL = (
    f"{_EACH} MERGE (n:Turn {{seq: row.seq, n: row.n}})"
    " ON CREATE SET n.kind = row.kind, n.person = row.person, n.cause = row.cause, n.others = []"
    " SET n.others = n.others + row.other"
    f" WITH n, row UNWIND [row.person, row.other] AS number {find(PERSON, 'p', 'number', 'number')}"
    " MERGE (n)-[:INVOLVES]->(p)"
)
# The notes lie on the last commit; one before all others, which nobody reads, bears them where there is none.
_NOTES = (
    "MATCH (v:Version) WITH v ORDER BY v.seq DESC LIMIT 1"
    " OPTIONAL MATCH (n:Version) WHERE n.policy IS NOT NULL WITH v, n ORDER BY n.seq DESC LIMIT 1"
    " UNWIND [['policy', n.policy], ['fence', toString(v.fence)], ['forgot', toString(v.forgot)]] AS note"
    " WITH note WHERE note[1] IS NOT NULL"
)
_LAST = "CALL { OPTIONAL MATCH (v:Version) RETURN coalesce(max(v.seq), 0) AS last } MERGE (n:Version {seq: last})"
_NOTE = f"{_LAST} WITH n UNWIND $rows AS row SET " + ", ".join(
    f"n.{name} = CASE row.name WHEN '{name}' THEN {text} ELSE n.{name} END"
    for name, text in ((POLICY, "row.value"), (FENCE, "toInteger(row.value)"), (FORGOT, "toInteger(row.value)"))
)

_MEMBERS = f"{_from(SET, 'id')} MATCH (n)-[:HOLDS]->(i:Identifier)"
_MEMBERSHIPS = f"{_from(IDENTIFIER, 'number')} MATCH (n)-[is:IS]->(p:Person)"
_MEMBERSHIP = {"value": "n.number", "from_seq": "is.from_seq", "to_seq": "is.to_seq", "person": "p.number"}
_ENDS = {"a": "startNode(n).number", "b": "endNode(n).number"}

ROWS = (
    Rows(version, VERSION, f"{_from(VERSION, 'seq')} AND n.seq > 0", _same(version, at=_MOMENT), (_COMMIT,)),
    Rows(value, IDENTIFIER, _from(IDENTIFIER, "number"), _same(value), (f"{_EACH} CREATE (n:Identifier) SET n = row",)),
    Rows(set_member, HOLDS, _MEMBERS, {"set_id": "n.id", "value": "i.number"}, (_ADD_SET, _ADD_MEMBER)),
    Rows(observation, OBSERVATION, _from(OBSERVATION, "id"), _same(observation, set_id="n.set"), (_OBSERVE,)),
    Rows(seen_together, SEEN_WITH, _from(SEEN_WITH, "key"), _same(seen_together, **_ENDS), (_ADD_PAIR,)),
    Rows(membership, IS, _MEMBERSHIPS, _MEMBERSHIP, (_NAME, _BELONG)),
    Rows(refusal, REFUSAL, _from(REFUSAL, "a", "b"), _same(refusal), (_REFUSE,)),
    Rows(turn, TURN, f"{_from(TURN, 'seq')} UNWIND n.others AS other", _same(turn, other="other"), (_TELL,)),
    Rows(meta, VERSION, _NOTES, {"name": "note[0]", "value": "note[1]"}, (_NOTE,)),
)
"""Of each table, after those that its writes look for."""
