"""The first tables of the records store."""

from importlib import import_module

from alembic import op

from cdp.records import metadata

DECLARE_TABLES = (
    "api.keys",
    "api.kept",
    "cdp.accounting",
    "cdp.audit",
    "cdp.seen",
    "cdp.vault",
    "collectors.sources",
    "leads.store",
)
"""Whoever migrates first, be it a collector or a command, makes the tables of all."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    for module in DECLARE_TABLES:
        import_module(module)
    metadata.create_all(op.get_bind())
