"""Writing one commit of the graph in Cypher, within the caller's transaction: a statement for each kind of row."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from cdp.records import chunks
from identity.graph import NOTHING_SEEN, Commit, PairKey, StoredObservation, StoredTurn, Value
from identity.graph_neo4j_schema import (
    BETWEEN,
    CONCLUSIONS,
    HOLDS,
    IDENTIFIER,
    INVOLVES,
    IS,
    MENTIONS,
    OBSERVATION,
    PERSON,
    REFUSAL,
    SEEN_WITH,
    SET,
    TURN,
    VERSION,
    change,
    change_edge,
    connect,
    create,
    create_connected,
    delete_edge,
    find,
)
from identity.observation import Proof

ROWS = 2_000
"""Of one statement. More take more of the server's memory and are no faster."""
PAIR_SHIFT = 31
"""Bits for the second number of a pair's key: room for two thousand million values."""

_BEAR = create(IDENTIFIER)
_CHANGE = change(IDENTIFIER, "number", CONCLUSIONS)
_FORGET = change(IDENTIFIER, "number", ("pid", "kind", "value", "owner", *CONCLUSIONS))
_FORGET_NAME = change(PERSON, "number", ("pid",))
_NAME = f"UNWIND $rows AS row MERGE (n:{PERSON.label} {{number: row[0]}}) ON CREATE SET n.pid = row[1]"
_END = (
    f"UNWIND $rows AS number {find(IDENTIFIER, 'i', 'number', 'number')} SET i.moved = $seq"
    f" WITH i MATCH (i)-[n:{IS.label}]->() WHERE n.to_seq IS NULL SET n.to_seq = $seq"
)
_BEGIN = connect(IS, "number", ("from_seq",))
_RENEW = f"UNWIND $rows AS id {find(SET, 'n', 'id', 'id')} DETACH DELETE n"
_ADD_SET = create_connected(SET, HOLDS, "number")
_OBSERVE = (
    f"{create(OBSERVATION)} WITH n {find(SET, 's', 'id', 'n.set')}"
    f" MATCH (s)-[:{HOLDS.label}]->(b) CREATE (n)-[:{MENTIONS.label}]->(b)"
)
_RETRACT = change(OBSERVATION, "id", ("retracted",))
_UNSAY = change(OBSERVATION, "id", ("note", "retracted"))
_ADD_PAIR = connect(SEEN_WITH, "number", SEEN_WITH.properties)
_CHANGE_PAIR = change_edge(SEEN_WITH, "key", Proof._fields)
_DROP_PAIR = delete_edge(SEEN_WITH, "key")
_SETTLE = (
    f"UNWIND $rows AS number {find(IDENTIFIER, 'i', 'number', 'number')}"
    f" MATCH (i)<-[:{BETWEEN.label}]-(n:{REFUSAL.label}) WITH DISTINCT n DETACH DELETE n"
)
_REFUSE = create_connected(REFUSAL, BETWEEN, "number")
_TELL = create_connected(TURN, INVOLVES, "number")


# Makes nothing where a higher token is in force.
ADD_VERSION = (
    f"UNWIND $rows AS row OPTIONAL {find(VERSION, 'last', 'seq', 'row.seq - 1')}"
    " WITH row, last WHERE row.fence IS NULL OR coalesce(last.fence, 0) <= row.fence"
    f" CREATE (n:{VERSION.label} {{seq: row.seq, at: row.at, policy: row.policy,"
    " fence: coalesce(row.fence, last.fence),"
    " forgot: CASE WHEN row.forgets THEN row.seq ELSE last.forgot END})"
)


class Run(Protocol):
    """Run a statement in the transaction; returns how many nodes and edges it made."""

    def __call__(self, statement: str, /, **parameters: Any) -> tuple[int, int]: ...


def write(run: Run, commit: Commit) -> None:
    """All of a commit but its version. Raises ValueError for a commit that names nodes which are not there."""
    each = _Writer(run, commit.seq)
    _write_values(each, commit)
    _write_evidence(each, commit)
    _write_pairs(each, commit)
    _write_reasons(each, commit)


class _Writer:
    def __init__(self, run: Run, seq: int) -> None:
        self._run, self._seq = run, seq

    def __call__(self, statement: str, rows: Sequence[Any], *, nodes: int = 0, edges: int | None = 0) -> None:
        """Run the statement for all rows, which are in the order of their keys, so that writers who meet lock in one
        order. What a MATCH does not find it passes over without a word; so count what came of it."""
        made = [self._run(statement, rows=list(some), seq=self._seq) for some in chunks(rows, ROWS)]
        if sum(each for each, _ in made) < nodes or (edges and sum(each for _, each in made) != edges):
            raise ValueError(f"A commit names nodes that are not there: {statement}")


def pair_key(pair: PairKey) -> int:
    return pair[0] << PAIR_SHIFT | pair[1]


def pair_of(key: int) -> PairKey:
    return key >> PAIR_SHIFT, key & ((1 << PAIR_SHIFT) - 1)


def _write_values(run: _Writer, commit: Commit) -> None:
    numbers = attrgetter("number")
    born, changed = sorted(commit.born, key=numbers), sorted(commit.changed, key=numbers)
    moved = {each.number: each for each in sorted(commit.moved, key=numbers)}
    # What is there is changed before anything is made, for a transaction finds what it made itself more slowly.
    run(_CHANGE, [_full([each.number, *_conclusions(each)]) for each in changed])
    run(_FORGET, [_forgotten_row(each) for each in sorted(commit.forgotten, key=numbers)])
    run(_FORGET_NAME, [[each.number, each.pid] for each in sorted(commit.forgotten, key=numbers)])
    run(_END, sorted(moved.keys() - {each.number for each in born}))
    run(_BEAR, [_born_row(each, commit.seq if each.number in moved else None) for each in born], nodes=len(born))
    run(_NAME, [[number, each.pid] for number, each in moved.items() if number == each.person])
    begun = [[number, each.person, commit.seq] for number, each in moved.items() if each.person is not None]
    run(_BEGIN, begun, edges=len(begun))


def _born_row(each: Value, moved: int | None) -> list[Any]:
    name = (each.number, each.pid, each.identifier.kind, each.identifier.value, each.base, moved)
    return _full([*name, *_conclusions(each), each.owner or None])


def _forgotten_row(each: Value) -> list[Any]:
    name = (each.pid, each.identifier.kind, each.identifier.value, each.owner or None)
    return _full([each.number, *name, *_conclusions(each)])


def _conclusions(each: Value) -> tuple[Any, ...]:
    """In the order of `CONCLUSIONS`."""
    return (
        each.state.value,
        each.component,
        each.person,
        encode(each.ledger) if each.ledger != NOTHING_SEEN else None,
        each.first_seen,
        each.last_seen,
        each.reason or None,
        each.contested or None,
        each.parted or None,
        encode(each.epochs) if each.epochs else None,
    )


def _full(row: list[Any]) -> list[Any]:
    """Without the nulls at its end."""
    while row[-1] is None:
        row.pop()
    return row


def encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _write_evidence(run: _Writer, commit: Commit) -> None:
    run(_RETRACT, [[each, note or None] for each, note in sorted(commit.retracted.items())])
    run(_UNSAY, [[each, None, note] for each, note in sorted(commit.unsaid.items())])
    run(_RENEW, sorted(commit.renewed))
    sets = [[each.members, each.id] for each in sorted(commit.new_sets)]
    run(_ADD_SET, sets, nodes=len(sets), edges=sum(len(each.members) for each in commit.new_sets))
    observations = [_observation_row(each) for each in sorted(commit.observations)]
    run(_OBSERVE, observations, nodes=len(observations), edges=None)


def _observation_row(each: StoredObservation) -> list[Any]:
    said = (each.note or None, each.refused or None, each.different or None, each.retracted or None)
    return _full([each.id, each.set, each.strength, each.occurred_at, each.source, *said])


def _write_pairs(run: _Writer, commit: Commit) -> None:
    run(_CHANGE_PAIR, [[pair_key(key), *_proof(proof)] for key, proof in sorted(commit.changed_pairs.items())])
    run(_DROP_PAIR, sorted(map(pair_key, commit.dropped_pairs)))
    added = [[*key, pair_key(key), *_proof(proof)] for key, proof in sorted(commit.new_pairs.items())]
    run(_ADD_PAIR, added, edges=len(added))


def _proof(proof: Proof) -> list[Any]:
    return _full([*proof[:-1], proof.apart or None])


def _write_reasons(run: _Writer, commit: Commit) -> None:
    run(_SETTLE, sorted(commit.unsettled))
    refusals = [[each[:2], *each] for each in sorted(commit.refusals)]
    run(_REFUSE, refusals, nodes=len(refusals), edges=2 * len(refusals))
    turns = [[_names(each), commit.seq, n, *_turn_row(each)] for n, each in enumerate(commit.turns)]
    run(_TELL, turns, nodes=len(turns), edges=sum(len(_names(each)) for each in commit.turns))


def _names(each: StoredTurn) -> list[int]:
    return [each.turn.person, *each.turn.others]


def _turn_row(each: StoredTurn) -> list[Any]:
    return [each.turn.kind.value, each.turn.person, each.turn.others, each.cause]
