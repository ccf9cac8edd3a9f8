"""The identity graph in Neo4j, declared: kinds of nodes and edges, what is unique, what is indexed, and one builder
for the Cypher that writes them. `docs/graph-in-neo4j.md` shows the same as a table.

Rows go to the server as lists, because a map repeats its keys in each, and the driver's work grows with what it packs.
Their values come in the order of the declared properties. What is empty or false is null, which Neo4j does not store;
so is what a row lacks at its end, and the properties that are mostly there come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from identity.observation import Proof


@dataclass(frozen=True, slots=True)
class NodeKind:
    """`unique`: each a property, or several that are unique together. `indexed`: what else nodes are found by."""

    label: str
    properties: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    indexed: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        return f"(n:{self.label})"


@dataclass(frozen=True, slots=True)
class EdgeKind:
    """From `start` to `end`; the rest as in `NodeKind`."""

    label: str
    start: NodeKind
    end: NodeKind
    properties: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    indexed: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        return f"()-[n:{self.label}]-()"


# `policy` stands with those commits alone that changed the rules; `fence` (the highest token of who may write) and
# `forgot` (the last commit that forgot anything) are handed on from one to the next. One that only fences has no `at`.
VERSION = NodeKind("Version", ("seq", "at", "policy", "fence", "forgot"), unique=(("seq",),), indexed=("policy",))

CONCLUSIONS = (
    "state",
    "component",
    "person",
    "ledger",
    "first_seen",
    "last_seen",
    "reason",
    "contested",
    "parted",
    "epochs",
)
"""What may be another after each commit."""

# `moved` is the last commit in which its person or standing became another.
IDENTIFIER = NodeKind(
    "Identifier",
    ("number", "pid", "kind", "value", "base", "moved", *CONCLUSIONS, "owner"),
    unique=(("number",), ("pid",)),
    indexed=("component", "person", "moved"),
)

OBSERVATION = NodeKind(
    "Observation",
    ("id", "set", "strength", "occurred_at", "source", "note", "refused", "different", "retracted"),
    unique=(("id",),),
    indexed=("source",),
)
SET = NodeKind("Set", ("id",), unique=(("id",),))
PERSON = NodeKind("Person", ("number", "pid"), unique=(("number",), ("pid",)))
REFUSAL = NodeKind("Refusal", ("a", "b", "rule"), unique=(("a", "b"),))
TURN = NodeKind("Turn", ("seq", "n", "kind", "person", "others", "cause"), unique=(("seq", "n"),), indexed=("seq",))

MENTIONS = EdgeKind("MENTIONS", OBSERVATION, IDENTIFIER)
HOLDS = EdgeKind("HOLDS", SET, IDENTIFIER)
# From the older to the younger node. `key` is both numbers in one, because an edge is found by its index at once, and
# by its two ends only through all edges of one of them.
SEEN_WITH = EdgeKind(
    "SEEN_WITH",
    IDENTIFIER,
    IDENTIFIER,
    ("key", *Proof._fields),
    unique=(("key",),),
)
# Without `to_seq` it holds now.
IS = EdgeKind("IS", IDENTIFIER, PERSON, ("from_seq", "to_seq"))
BETWEEN = EdgeKind("BETWEEN", REFUSAL, IDENTIFIER)
INVOLVES = EdgeKind("INVOLVES", TURN, PERSON)

NODES = (VERSION, IDENTIFIER, OBSERVATION, SET, PERSON, REFUSAL, TURN)
EDGES = (MENTIONS, HOLDS, SEEN_WITH, IS, BETWEEN, INVOLVES)


def rules() -> Iterator[tuple[str, str]]:
    """Name and Cypher of each constraint and index."""
    for kind in (*NODES, *EDGES):
        for names in kind.unique:
            name = f"xunji_{kind.label.lower()}_{'_'.join(names)}"
            whole = ", ".join(f"n.{each}" for each in names)
            yield name, f"CREATE CONSTRAINT {name} IF NOT EXISTS FOR {kind.pattern} REQUIRE ({whole}) IS UNIQUE"
        for each in kind.indexed:
            name = f"xunji_{kind.label.lower()}_{each}"
            yield name, f"CREATE INDEX {name} IF NOT EXISTS FOR {kind.pattern} ON (n.{each})"


def columns(alias: str, names: tuple[str, ...]) -> str:
    """`a.x, a.y` for a RETURN."""
    return ", ".join(f"{alias}.{name}" for name in names)


def find(kind: NodeKind, alias: str, by: str, value: str) -> str:
    """MATCH the nodes with this value of a unique or indexed property.

    Without the hint the planner, which counted an empty store once, scans it for each row as it fills.
    """
    return f"MATCH ({alias}:{kind.label} {{{by}: {value}}}) {_index(kind, alias, by)}"


def find_all(kind: NodeKind, alias: str, by: str) -> str:
    """`find` for each of `$keys`."""
    return f"MATCH ({alias}:{kind.label}) {_index(kind, alias, by)} WHERE {alias}.{by} IN $keys"


def find_after(kind: NodeKind, alias: str, by: str, value: str) -> str:
    """`find` for all greater values."""
    return f"MATCH ({alias}:{kind.label}) {_index(kind, alias, by)} WHERE {alias}.{by} > {value}"


def find_edge(kind: EdgeKind, by: str, value: str) -> str:
    """`find`, of an edge `n`."""
    return f"MATCH ()-[n:{kind.label} {{{by}: {value}}}]->() {_index(kind, 'n', by)}"


def _index(kind: NodeKind | EdgeKind, alias: str, by: str) -> str:
    return f"USING INDEX SEEK {alias}:{kind.label}({by})"


def create(kind: NodeKind) -> str:
    """Make a node of each of `$rows`."""
    return f"UNWIND $rows AS row CREATE (n:{kind.label} {_map(kind.properties)})"


def change(kind: NodeKind, key: str, names: tuple[str, ...]) -> str:
    """Set these properties of the node that the first value of each of `$rows` names; the others are theirs."""
    return f"UNWIND $rows AS row {find(kind, 'n', key, 'row[0]')} {_set(names)}"


def change_edge(kind: EdgeKind, key: str, names: tuple[str, ...]) -> str:
    """`change`, of an edge."""
    return f"UNWIND $rows AS row {find_edge(kind, key, 'row[0]')} {_set(names)}"


def delete_edge(kind: EdgeKind, key: str) -> str:
    """Delete the edges whose `key` is among `$rows`."""
    return f"UNWIND $rows AS key {find_edge(kind, key, 'key')} DELETE n"


def connect(kind: EdgeKind, key: str, names: tuple[str, ...]) -> str:
    """Make an edge of each of `$rows`: the `key` of its start and of its end, and its properties."""
    ends = f"{find(kind.start, 'a', key, 'row[0]')} {find(kind.end, 'b', key, 'row[1]')}"
    return f"UNWIND $rows AS row {ends} CREATE (a)-[:{kind.label} {_map(names, 2)}]->(b)"


def create_connected(kind: NodeKind, edge: EdgeKind, key: str) -> str:
    """Make a node of each of `$rows`, and an `edge` to each node whose `key` is in the first value, a list."""
    return (
        f"UNWIND $rows AS row CREATE (n:{kind.label} {_map(kind.properties, 1)})"
        f" WITH n, row UNWIND row[0] AS other {find(edge.end, 'b', key, 'other')} CREATE (n)-[:{edge.label}]->(b)"
    )


def _map(names: tuple[str, ...], start: int = 0) -> str:
    return f"{{{', '.join(f'{name}: row[{place}]' for place, name in enumerate(names, start))}}}"


def _set(names: tuple[str, ...]) -> str:
    return f"SET {', '.join(f'n.{name} = row[{place}]' for place, name in enumerate(names, 1))}"
