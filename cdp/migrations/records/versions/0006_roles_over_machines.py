"""What processes on several machines tell each other: leases, begun batches by partition, open leads, replays, the
order in which tombstones came, and what a log on brokers cannot keep itself. A batch that was begun is not carried
over: it is done anew from its position."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("holder", sa.String(length=100), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(length=300), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "open_leads",
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lead", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("frozen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n"),
    )
    op.create_index("ix_open_leads_frozen_at", "open_leads", ["frozen_at"], unique=False)
    op.create_table(
        "replays",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("replay", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_replays_at", "replays", ["at"], unique=False)
    op.create_table(
        "log_rewrites",
        sa.Column("partition", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("offset", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "offset"),
    )
    op.create_table(
        "spools",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.add_column("tombstones", sa.Column("n", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index("ix_tombstones_n", "tombstones", ["n"], unique=False)
    op.drop_table("batch_begun")
    op.create_table(
        "batch_begun",
        sa.Column("partition", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("replay", sa.Boolean(), nullable=False, autoincrement=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=40), nullable=False),
        sa.Column("graph_version", sa.BigInteger(), nullable=False),
        sa.Column("claimed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "replay"),
    )
