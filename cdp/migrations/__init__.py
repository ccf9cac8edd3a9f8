"""Schemas of the SQL stores, brought up to date at every start: one line of revisions per store.

A revision's file is named for its number, `0002_what.py`, so that a start that finds the newest one need not load
Alembic, which takes longer than all the rest of a collector. Each store notes its revision in a table of its own,
for in PostgreSQL both may lie in one database.
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
        if _revision(connection, store) == newest:
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder))
    with writing(engine, store) as connection:
        _rename_note(connection, store)
        if _revision(connection, store) != newest:
            config.attributes |= {"connection": connection, "version_table": version_table(store)}
            command.upgrade(config, "head")


def version_table(store: str) -> str:
    """The table with the store's revision."""
    return f"{store}_revision"


def _rename_note(connection: Connection, store: str) -> None:
    # Until they could share a database, every store used Alembic's own name for it.
    tables = inspect(connection).get_table_names()
    if "alembic_version" in tables and version_table(store) not in tables:
        connection.execute(text(f"ALTER TABLE alembic_version RENAME TO {version_table(store)}"))


def _revision(connection: Connection, store: str) -> str | None:
    if not inspect(connection).has_table(version_table(store)):
        return None
    return connection.execute(text(f"SELECT version_num FROM {version_table(store)}")).scalar()
