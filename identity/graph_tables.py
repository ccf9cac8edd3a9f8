"""The tables of the graph in SQL. `observation`, `set_member`, `membership`, `turn` and `version` are what was said and
what happened, and only grow; all else follows from them and the policy.

A pair is keyed by both numbers in one integer, because SQLite finds a list of integers by its index and a list of
number pairs only by reading the whole table.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
)

metadata = MetaData()

# In SQLite only a column of this very type is the table's own order; any other key costs a second tree.
Key = BigInteger().with_variant(Integer, "sqlite")

version = Table(
    "version",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
)

value = Table(
    "value",
    metadata,
    Column("number", Key, primary_key=True, autoincrement=False),
    Column("pid", String(36), nullable=False, unique=True),
    Column("kind", String(64), nullable=False),
    Column("value", String(256), nullable=False),
    Column("base", BigInteger, nullable=False),
    Column("owner", String(321), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("component", BigInteger, index=True),
    Column("person", BigInteger, index=True),
    Column("contested", Boolean, nullable=False),
    Column("parted", Boolean, nullable=False),
    Column("ledger", Text, nullable=False),
    Column("epochs", Text, nullable=False),
    Column("first_seen", BigInteger),
    Column("last_seen", BigInteger),
)

observation = Table(
    "observation",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=False),
    Column("set_id", BigInteger, nullable=False, index=True),
    Column("strength", SmallInteger, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("different", Boolean, nullable=False),
    Column("note", Text, nullable=False),
    Column("refused", Text, nullable=False),
    Column("retracted", Text, nullable=False),
)

seen_together = Table(
    "seen_together",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),
    Column("a", BigInteger, nullable=False, index=True),
    Column("b", BigInteger, nullable=False, index=True),
    Column("strength", SmallInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("observation", BigInteger, nullable=False),
    Column("apart", SmallInteger, nullable=False),
)

set_member = Table(
    "set_member",
    metadata,
    Column("set_id", BigInteger, nullable=False),
    Column("value", BigInteger, nullable=False, index=True),
    PrimaryKeyConstraint("set_id", "value"),
    sqlite_with_rowid=False,
)

membership = Table(
    "membership",
    metadata,
    Column("value", BigInteger, nullable=False),
    Column("from_seq", BigInteger, nullable=False, index=True),
    Column("to_seq", BigInteger),
    Column("person", BigInteger, nullable=False),
    PrimaryKeyConstraint("value", "from_seq"),
    sqlite_with_rowid=False,
)

refusal = Table(
    "refusal",
    metadata,
    Column("a", BigInteger, nullable=False),
    Column("b", BigInteger, nullable=False, index=True),
    Column("rule", Text, nullable=False),
    PrimaryKeyConstraint("a", "b"),
)

turn = Table(
    "turn",
    metadata,
    Column("seq", BigInteger, nullable=False),
    Column("n", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("person", BigInteger, nullable=False),
    Column("other", BigInteger, nullable=False),
    Column("cause", BigInteger),
    PrimaryKeyConstraint("seq", "n", "other"),
    Index("ix_turn_person", "person"),
    Index("ix_turn_other", "other"),
)

meta = Table(
    "meta",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
