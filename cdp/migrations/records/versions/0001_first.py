"""The first tables of the records store."""

from alembic import op

import cdp.audit
import cdp.pipeline  # noqa: F401
from cdp.records import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
