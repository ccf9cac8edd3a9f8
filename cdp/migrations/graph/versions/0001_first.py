"""The first tables of the graph store."""

from alembic import op

from identity.graph_sql import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
