"""Leads that are probably one person's: the keys by which they find each other, and what came of each pair."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "similar_keys",
        sa.Column("key", sa.String(length=20), nullable=False),
        sa.Column("lead", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "lead"),
    )
    op.create_index("ix_similar_keys_lead", "similar_keys", ["lead"], unique=False)
    op.create_table(
        "similar_pairs",
        sa.Column("a", sa.String(length=40), nullable=False),
        sa.Column("b", sa.String(length=40), nullable=False),
        sa.Column("model", sa.String(length=16), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("review", sa.String(length=27), nullable=True),
        sa.Column("observation", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("a", "b"),
    )
    op.create_index("ix_similar_pairs_b", "similar_pairs", ["b"], unique=False)
