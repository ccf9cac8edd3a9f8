"""What became of persons, for other systems to follow; and likely matches, for a steward to decide."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

GROWING = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""In SQLite only this very type counts up by itself."""


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("n", GROWING, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n"),
        sa.UniqueConstraint("id"),
    )
    op.create_table(
        "outbox_cursor",
        sa.Column("feed", sa.String(length=20), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("feed"),
    )
    op.create_table(
        "identity_review",
        sa.Column("id", sa.String(length=27), nullable=False),
        sa.Column("a_kind", sa.String(length=64), nullable=False),
        sa.Column("a_value", sa.String(length=256), nullable=False),
        sa.Column("b_kind", sa.String(length=64), nullable=False),
        sa.Column("b_value", sa.String(length=256), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("band", sa.String(length=10), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("decision", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_identity_review_at", "identity_review", ["at"], unique=False)
    op.create_index("ix_identity_review_decision", "identity_review", ["decision"], unique=False)
