"""Schemas of the SQL stores, brought up to date at every start: one line of revisions per store."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from cdp.records import writing


def migrate(engine: Engine, store: str) -> None:
    """Bring a store's schema ("records" or "graph") to the newest revision; does nothing where it is there.

    Of several processes that start at once one migrates and the others wait. Raises StoreUnavailable.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / store))
    newest = ScriptDirectory.from_config(config).get_current_head()
    with writing(engine, store) as connection:
        if MigrationContext.configure(connection).get_current_revision() != newest:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
