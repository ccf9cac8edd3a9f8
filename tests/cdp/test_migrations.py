"""The revisions lead to the schema that the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, inspect, text

import api.kept
import api.keys
import cdp.audit
import cdp.lease
import cdp.log_notes
import cdp.replays
import cdp.wiring
import leads.open_leads
from cdp.migrations import migrate, version_table
from cdp.records import metadata as records
from cdp.records import open_engine, reading, writing
from identity.graph_sql import metadata as graph

DECLARING = (api.keys, api.kept, cdp.audit, cdp.lease, cdp.log_notes, cdp.replays, cdp.wiring, leads.open_leads)
"""Modules that declare tables of the records store, with all that they import."""


@pytest.mark.parametrize(("store", "declared"), [("records", records), ("graph", graph)])
def test_migrating_an_empty_store_twice_gives_the_declared_tables(
    tmp_path: Path, store: str, declared: MetaData
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/{store}.db")
    migrate(engine, store)
    migrate(engine, store)
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": version_table(store)})
        differences = compare_metadata(context, declared)
    engine.dispose()
    assert differences == []
    assert declared.tables


def test_a_store_whose_revision_was_noted_under_the_old_name_is_not_made_again(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/graph.db")
    migrate(engine, "graph")
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE graph_revision RENAME TO alembic_version"))
    migrate(engine, "graph")
    with reading(engine) as connection:
        tables = inspect(connection).get_table_names()
    engine.dispose()
    assert "graph_revision" in tables
    assert "alembic_version" not in tables
