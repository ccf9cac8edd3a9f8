"""The revisions lead to the schema that the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData

import api.kept
import api.keys
import cdp.audit
import cdp.worker
from cdp.migrations import migrate
from cdp.records import metadata as records
from cdp.records import open_engine, reading
from identity.graph_sql import metadata as graph

DECLARING = (api.keys, api.kept, cdp.audit, cdp.worker)
"""Modules that declare tables of the records store, with all that they import."""


@pytest.mark.parametrize(("store", "declared"), [("records", records), ("graph", graph)])
def test_migrating_an_empty_store_twice_gives_the_declared_tables(
    tmp_path: Path, store: str, declared: MetaData
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/{store}.db")
    migrate(engine, store)
    migrate(engine, store)
    with reading(engine) as connection:
        differences = compare_metadata(MigrationContext.configure(connection), declared)
    engine.dispose()
    assert differences == []
    assert declared.tables
