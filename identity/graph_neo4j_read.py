"""What is asked of the graph in Neo4j, and values out of the rows that come back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from cdp.model import Identifier, Millis, PersonId, SetId
from identity.changes import ChangeKind, Turn
from identity.graph import NOTHING_SEEN, PairKey, SetMember, StoredTurn, Value
from identity.graph_neo4j_commit import pair_of
from identity.graph_neo4j_schema import (
    CONCLUSIONS,
    IDENTIFIER,
    OBSERVATION,
    PERSON,
    SEEN_WITH,
    SET,
    TURN,
    VERSION,
    columns,
    find,
    find_after,
    find_all,
    find_edge,
)
from identity.observation import Node, Observation, ObservationId, Proof
from identity.ownership import Epoch
from identity.resolve import Ledger, State

_LEDGER = msgspec.json.Decoder(Ledger)
_EPOCHS = msgspec.json.Decoder(tuple[Epoch, ...])

_VALUE_NAMES = ("number", "pid", "kind", "value", "base", "owner", *CONCLUSIONS)
_OBSERVATION_NAMES = ("id", "strength", "occurred_at", "source", "different", "note", "retracted")
_ROW = f"RETURN {columns('i', _VALUE_NAMES)}"
_PROOF = f"RETURN {columns('n', SEEN_WITH.properties)}"
_TOLD = f"MATCH (o)-[:MENTIONS]->(m) RETURN {columns('o', _OBSERVATION_NAMES)}, collect([m.kind, m.value])"
_END_NAMES = ", ".join(columns(alias, ("kind", "value", "owner")) for alias in "ab")
_THEN = "n.from_seq <= $seq AND (n.to_seq IS NULL OR n.to_seq > $seq)"
_NODES = f"RETURN p.pid, {columns('i', ('kind', 'value', 'owner'))}"
_TURN = (
    f"{find(VERSION, 'v', 'seq', 't.seq')} RETURN t.seq, v.at, t.kind, t.person, t.others, t.cause, t.n"
    " ORDER BY t.seq, t.n"
)

HEAD = (
    f"CALL {{ {find_after(VERSION, 'v', 'seq', '0')} RETURN v ORDER BY v.seq DESC LIMIT 1 }}"
    f" CALL {{ {find_after(IDENTIFIER, 'i', 'number', '0')} RETURN max(i.number) AS births }}"
    " RETURN v.seq, coalesce(births, 0), coalesce(v.forgot, 0)"
)
# Who looks for a unique value in order to make it waits for the one who has just made it to let go.
AWAIT = f"MERGE (v:{VERSION.label} {{seq: $seq}}) RETURN v.seq"
DATABASE = "CALL db.info() YIELD name RETURN name"
# What those with a lower token are writing.
BEGUN = (
    "SHOW TRANSACTIONS YIELD transactionId, database, metaData"
    " WHERE database = $database AND metaData.fence < $token RETURN transactionId"
)
CUT_OFF = "TERMINATE TRANSACTIONS $begun"
KNOWN = f"{find_all(OBSERVATION, 'o', 'id')} RETURN o.id"
OBSERVATIONS = f"{find_all(OBSERVATION, 'o', 'id')} {_TOLD}"
MENTIONING = (
    f"{find_all(IDENTIFIER, 'i', 'number')} MATCH (i)<-[:MENTIONS]-(o:Observation) WHERE o.retracted IS NULL"
    f" WITH DISTINCT o {_TOLD}"
)
VALUES = f"{find_all(IDENTIFIER, 'i', 'pid')} {_ROW}"
PAIRS = f"UNWIND $keys AS key {find_edge(SEEN_WITH, 'key', 'key')} {_PROOF}"
PAIRS_AT = f"{find_all(IDENTIFIER, 'i', 'number')} MATCH (i)-[n:SEEN_WITH]-() WITH DISTINCT n {_PROOF}"
VALUES_OF_COMPONENTS = f"{find_all(IDENTIFIER, 'i', 'component')} {_ROW}"
PAIRS_INSIDE = (
    f"{find_all(IDENTIFIER, 'i', 'component')} MATCH (i)-[n:SEEN_WITH]->(b:Identifier) WHERE b.component IN $keys"
    f" {_PROOF}"
)
MEMBERS = (
    f"{find_all(SET, 's', 'id')} MATCH (s)-[:HOLDS]->(i:Identifier)"
    f" OPTIONAL {find(IDENTIFIER, 'p', 'number', 'i.person')}"
    " RETURN s.id, i.kind, i.value, i.state, i.epochs, p.pid"
)
HOLDING = f"{find_all(IDENTIFIER, 'i', 'number')} MATCH (i)<-[:HOLDS]-(s:Set) RETURN DISTINCT s.id"
MOVED = (
    f"{find_after(IDENTIFIER, 'i', 'moved', '$seq')} WITH DISTINCT i.base AS base"
    f" {find(IDENTIFIER, 'b', 'number', 'base')} MATCH (b)<-[:HOLDS]-(s:Set) RETURN DISTINCT s.id"
)
# A past epoch has no person; whose it was is now its identifier's first owner's.
_BASE = f"{find(IDENTIFIER, 'i', 'pid', '$pid')} {find(IDENTIFIER, 'b', 'number', 'i.base')}"
_OWNER = find(IDENTIFIER, "p", "number", "coalesce(i.person, b.person)")
VALUE = f"{_BASE} OPTIONAL {_OWNER} {_ROW}, p.pid"
OWNED = (
    f"{_BASE} {_OWNER} {find(IDENTIFIER, 'v', 'person', 'p.number')} {find(IDENTIFIER, 'base', 'number', 'v.base')}"
    " OPTIONAL MATCH (base)<-[:HOLDS]-(s:Set)"
    " RETURN p.pid, v.number, v.kind, v.value, v.owner, base.first_seen, base.last_seen, v.epochs, collect(s.id)"
    " ORDER BY v.number"
)
OF_PERSON = f"{find(IDENTIFIER, 'i', 'person', '$person')} {_ROW} ORDER BY i.number"
LINKS = (
    f"{find(IDENTIFIER, 'a', 'person', '$person')} MATCH (a)-[n:SEEN_WITH]->(b:Identifier)"
    f" WHERE b.person = $person AND n.strength > 0 RETURN {_END_NAMES}, {columns('n', SEEN_WITH.properties)}"
)
HISTORY = f"{find_all(PERSON, 'p', 'number')} MATCH (p)<-[:INVOLVES]-(t:Turn) WITH DISTINCT t {_TURN}"
TURNS = (
    f"{find_after(TURN, 't', 'seq', '$seq')} WITH t.seq AS seq ORDER BY seq LIMIT $limit"
    f" WITH max(seq) AS until {find_after(TURN, 't', 'seq', '$seq')} AND t.seq <= until"
    f" {_TURN}"
)
REFUSALS = (
    f"{find_all(IDENTIFIER, 'i', 'number')} MATCH (i)<-[:BETWEEN]-(r:Refusal) WITH DISTINCT r"
    f" {find(IDENTIFIER, 'a', 'number', 'r.a')} {find(IDENTIFIER, 'b', 'number', 'r.b')} RETURN {_END_NAMES}, r.rule"
)
PAGE = (
    f"{find_after(OBSERVATION, 'o', 'id', '$last')} AND o.retracted IS NULL WITH o ORDER BY o.id LIMIT $limit {_TOLD}"
)
SETS = f"{find_after(SET, 's', 'id', '$last')} RETURN s.id ORDER BY s.id LIMIT $limit"
EVERY_VALUE = f"MATCH (i:Identifier) {_ROW} ORDER BY i.number"
EVERY_PAIR = f"MATCH ()-[n:SEEN_WITH]->() {_PROOF}"
EVERY_REFUSAL = "MATCH (r:Refusal) RETURN r.a, r.b, r.rule"
NOTES = f"{find(OBSERVATION, 'o', 'source', '$source')} {_TOLD} ORDER BY o.occurred_at DESC, o.id"
POLICY = "MATCH (v:Version) WHERE v.policy IS NOT NULL RETURN v.policy ORDER BY v.seq DESC LIMIT 1"
SEQ_AT = f"{find_after(VERSION, 'v', 'seq', '0')} AND v.at <= $at RETURN v.seq ORDER BY v.seq DESC LIMIT 1"
MEMBERS_AS_OF = f"MATCH (i:Identifier)-[n:IS]->(p:Person) WHERE {_THEN} {_NODES}"
PERSON_AS_OF = (
    f"{find(IDENTIFIER, 'it', 'pid', '$pid')} MATCH (it)-[n:IS]->(p:Person) WHERE {_THEN}"
    f" WITH p MATCH (i:Identifier)-[n:IS]->(p) WHERE {_THEN} {_NODES}"
)
PIDS = f"{find_all(IDENTIFIER, 'i', 'number')} RETURN i.number, i.pid"


def value_of(row: Sequence[Any]) -> Value:
    """From the columns of `_VALUE_NAMES`; null stands for what is empty or false."""
    number, pid, kind, value, base, owner, state, component, person, ledger, first, last, *rest = row
    reason, contested, parted, epochs = rest
    return Value(
        number,
        PersonId(pid),
        Identifier(kind, value),
        base,
        owner or "",
        State(state),
        reason or "",
        component,
        person,
        contested or False,
        parted or False,
        _LEDGER.decode(ledger) if ledger else NOTHING_SEEN,
        epochs_of(epochs),
        first,
        last,
    )


def epochs_of(text: str | None) -> tuple[Epoch, ...]:
    return _EPOCHS.decode(text) if text else ()


def observation_of(row: Sequence[Any]) -> Observation:
    """From the columns of `_TOLD`."""
    its_id, strength, at, source, different, note, _, met = row
    identifiers = tuple(sorted(Identifier(kind, value) for kind, value in met))
    return Observation(ObservationId(its_id), identifiers, strength, at, source, different or False, note or "")


def proof_of(row: Sequence[Any]) -> Proof:
    strength, at, since, observation, apart = row
    return Proof(strength, at, since, ObservationId(observation), apart or 0)


def pairs_of(rows: Iterable[Sequence[Any]]) -> dict[PairKey, Proof]:
    return {pair_of(row[0]): proof_of(row[1:]) for row in rows}


def members_by_set(rows: Iterable[Sequence[Any]]) -> dict[SetId, list[SetMember]]:
    found: defaultdict[SetId, list[SetMember]] = defaultdict(list)
    for each, kind, value, state, epochs, person in rows:
        found[SetId(each)].append(SetMember(Identifier(kind, value), State(state), epochs_of(epochs), person))
    for members in found.values():
        members.sort(key=lambda member: member.identifier)
    return dict(found)


def nodes_by_person(rows: Iterable[Sequence[Any]]) -> dict[PersonId, set[Node]]:
    found: defaultdict[PersonId, set[Node]] = defaultdict(set)
    for person, kind, value, owner in rows:
        found[PersonId(person)].add(Node(Identifier(kind, value), owner or ""))
    return dict(found)


def ends_of(row: Sequence[Any]) -> tuple[Node, Node]:
    """Two nodes from kind, value and owner of each, the smaller first."""
    one, other = (Node(Identifier(kind, value), owner or "") for kind, value, owner in (row[:3], row[3:6]))
    return (one, other) if one < other else (other, one)


def turn_of(row: Sequence[Any]) -> tuple[int, Millis, StoredTurn]:
    seq, at, kind, person, others, cause, _ = row
    cause = None if cause is None else ObservationId(cause)
    return seq, at, StoredTurn(Turn(ChangeKind(kind), person, tuple(others)), cause)
