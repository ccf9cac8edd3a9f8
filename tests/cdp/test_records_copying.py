"""What is written into SQLite's write-ahead log is copied back beside the writers."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from threading import enumerate as threads

import pytest
from sqlalchemy import Engine, text

from cdp import records
from cdp.records import open_engine, writing

ROWS = 500
PATIENCE_S = 20.0


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(records, "COPIED_ROWS", ROWS)
    engine = open_engine(f"sqlite:///{tmp_path / 'some.db'}")
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE things (n INTEGER, thing TEXT)"))
    return engine


def put(engine: Engine, rows: int) -> None:
    with writing(engine) as connection:
        connection.execute(
            text("INSERT INTO things VALUES (:n, :thing)"), [{"n": n, "thing": "x" * 400} for n in range(rows)]
        )


def settle() -> None:
    until = time.monotonic() + PATIENCE_S
    while any(each.name == "wal-copying" for each in threads()) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(each.name == "wal-copying" for each in threads())


def rows_in_file(tmp_path: Path) -> int:
    """Those that the file holds by itself."""
    (tmp_path / "alone.db").write_bytes((tmp_path / "some.db").read_bytes())
    with closing(sqlite3.connect(tmp_path / "alone.db")) as db:
        found: int = db.execute("SELECT count(*) FROM things").fetchone()[0]
    return found


def test_after_many_rows_the_file_has_them_too_while_the_database_is_open(engine: Engine, tmp_path: Path) -> None:
    for _ in range(3):
        put(engine, ROWS)
        settle()
    assert rows_in_file(tmp_path) == 3 * ROWS


def test_the_log_begins_anew_when_it_is_copied(engine: Engine, tmp_path: Path) -> None:
    put(engine, 4 * ROWS)
    settle()
    once = (tmp_path / "some.db-wal").stat().st_size
    for _ in range(10):
        put(engine, 4 * ROWS)
        settle()
    assert (tmp_path / "some.db-wal").stat().st_size < 3 * once


def test_nothing_is_made_anew_where_the_file_has_gone(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "some.db").unlink()
    put(engine, 2 * ROWS)
    settle()
    assert not (tmp_path / "some.db").exists()
