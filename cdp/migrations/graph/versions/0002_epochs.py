"""Epochs, retractions and cannot-links; sets no longer name an owner. Conclusions are derived again at the next start,
because `meta` names no policy."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("value") as value:
        value.add_column(sa.Column("base", sa.BigInteger(), nullable=False, server_default="0"))
        value.add_column(sa.Column("owner", sa.String(length=321), nullable=False, server_default=""))
        value.add_column(sa.Column("parted", sa.Boolean(), nullable=False, server_default=sa.false()))
        value.add_column(sa.Column("ledger", sa.Text(), nullable=False, server_default=""))
        value.add_column(sa.Column("epochs", sa.Text(), nullable=False, server_default=""))
        value.drop_column("partners")
    op.execute("UPDATE value SET base = number")
    with op.batch_alter_table("observation") as observation:
        observation.add_column(sa.Column("different", sa.Boolean(), nullable=False, server_default=sa.false()))
        observation.add_column(sa.Column("note", sa.Text(), nullable=False, server_default=""))
        observation.add_column(sa.Column("retracted", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("seen_together") as seen_together:
        seen_together.add_column(sa.Column("apart", sa.SmallInteger(), nullable=False, server_default="0"))
    op.create_index(op.f("ix_seen_together_b"), "seen_together", ["b"], unique=False)
    op.drop_table("identifier_set")
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
