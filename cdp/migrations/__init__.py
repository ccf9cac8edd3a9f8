"""Schemas of the SQL stores, brought up to date at every start: one line of revisions per store.

A revision's file is named for its number, `0002_what.py`, so that a start that finds the newest one need not load
Alembic, which takes longer than all the rest of a collector.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from cdp.records import reading, writing


def migrate(engine: Engine, store: str) -> None:
    """Bring a store's schema ("records" or "graph") to the newest revision; does nothing where it is there.

    Of several processes that start at once one migrates and the others wait. Raises StoreUnavailable.
    """
    folder = Path(__file__).parent / store
    newest = max(path.name.partition("_")[0] for path in folder.glob("versions/[0-9]*.py"))
    with reading(engine, store) as connection:
        if _revision(connection) == newest:
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder))
    with writing(engine, store) as connection:
        if _revision(connection) != newest:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
