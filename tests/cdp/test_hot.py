"""Hot queries say what ordinary ones say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, bindparam, select

from cdp.audit import audit_rows
from cdp.errors import StoreUnavailable
from cdp.hot import HotQuery, hot_reading
from cdp.records import metadata, open_engine, writing

BY_ACTOR_AND_TOKEN = HotQuery(
    select(audit_rows.c.at, audit_rows.c.subject)
    .where(audit_rows.c.token == bindparam("token"), audit_rows.c.actor == bindparam("actor"))
    .order_by(audit_rows.c.at)
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'records.db'}")
    metadata.create_all(opened)
    yield opened
    opened.dispose()


def note(engine: Engine, at: int) -> None:
    row = {"at": at, "actor": "anna", "action": "show", "subject": f"lead {at}", "token": "t"}
    with writing(engine) as connection:
        connection.execute(audit_rows.insert(), [row, row | {"actor": "ben"}])


def test_values_go_by_their_names(engine: Engine) -> None:
    note(engine, 1)
    note(engine, 2)
    with hot_reading(engine) as reader:
        assert BY_ACTOR_AND_TOKEN.rows(reader, actor="anna", token="t") == [(1, "lead 1"), (2, "lead 2")]
        assert BY_ACTOR_AND_TOKEN.rows(reader, actor="t", token="anna") == []


def test_one_look_sees_one_state(engine: Engine) -> None:
    note(engine, 1)
    with hot_reading(engine) as reader:
        before = BY_ACTOR_AND_TOKEN.rows(reader, actor="anna", token="t")
        note(engine, 2)
        assert BY_ACTOR_AND_TOKEN.rows(reader, actor="anna", token="t") == before
    with hot_reading(engine) as reader:
        assert len(BY_ACTOR_AND_TOKEN.rows(reader, actor="anna", token="t")) == 2


def test_a_store_that_is_away_is_retryable(tmp_path: Path) -> None:
    away = open_engine(f"sqlite:///{tmp_path / 'nothing.db'}")
    with pytest.raises(StoreUnavailable, match="graph store"), hot_reading(away, "graph") as reader:
        BY_ACTOR_AND_TOKEN.rows(reader, actor="anna", token="t")
    away.dispose()
