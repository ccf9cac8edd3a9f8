"""Segments: their definitions, who is in them from when to when, when time alone may change that, how well they are
kept, and what waits to be looked at for them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "segments",
        sa.Column("n", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.PrimaryKeyConstraint("n"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "segment_stays",
        sa.Column("segment", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.String(length=64), nullable=False),
        sa.Column("entered_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entered_reason", sa.String(length=12), nullable=False),
        sa.Column("entered_cause", sa.String(length=64), nullable=True),
        sa.Column("left_at", sa.BigInteger(), nullable=True),
        sa.Column("left_reason", sa.String(length=12), nullable=True),
        sa.Column("left_cause", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("segment", "unit", "entered_at"),
        sqlite_with_rowid=False,
    )
    op.create_index("segment_stays_entered", "segment_stays", ["segment", "entered_at", "unit"], unique=False)
    op.create_index("segment_stays_left", "segment_stays", ["segment", "left_at", "entered_at", "unit"], unique=False)
    op.create_index("segment_stays_of_unit", "segment_stays", ["unit", "left_at"], unique=False)
    op.create_table(
        "segment_timers",
        sa.Column("unit", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("timers", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("unit"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_segment_timers_at", "segment_timers", ["at"], unique=False)
    op.create_table(
        "segment_health",
        sa.Column("segment", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("fresh_at", sa.BigInteger(), nullable=True),
        sa.Column("lag_p50_ms", sa.BigInteger(), nullable=True),
        sa.Column("lag_p95_ms", sa.BigInteger(), nullable=True),
        sa.Column("reconciled_at", sa.BigInteger(), nullable=True),
        sa.Column("differences", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.String(length=500), nullable=True),
        sa.PrimaryKeyConstraint("segment"),
    )
    op.create_table(
        "segment_work",
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("work", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("n"),
    )
    op.create_index("ix_segment_work_due_at", "segment_work", ["due_at"], unique=False)
