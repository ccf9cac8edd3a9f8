"""Each clear value that is shown leaves a row before it is shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from api import auditing
from api.auditing import Auditor
from api.keys import ApiKey
from api.permissions import Role
from cdp.audit import audit_rows
from cdp.errors import StoreUnavailable
from cdp.records import metadata, open_engine, reading

ANNA = ApiKey("anna", Role.SALES)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'records.db'}")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def rows_of(records: Engine) -> list[tuple[str, str, str]]:
    with reading(records) as connection:
        return [(row.actor, row.subject, row.token) for row in connection.execute(select(audit_rows))]


def test_what_many_show_at_once_is_noted_for_each(records: Engine) -> None:
    auditor = Auditor(records)
    missing: list[str] = []

    def show(number: int) -> None:
        for turn in range(5):
            subject = f"{number}/{turn}"
            auditor.note_shown(ANNA, ["a", "b"], subject=subject)
            if len([row for row in rows_of(records) if row[1] == subject]) != 2:
                missing.append(subject)

    threads = [threading.Thread(target=show, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []
    assert len(rows_of(records)) == len(set(rows_of(records))) == 80


def test_nothing_is_shown_while_it_cannot_be_noted(records: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Engine) -> object:
        raise StoreUnavailable("records", "it is away")

    auditor = Auditor(records)
    with monkeypatch.context() as patched:
        patched.setattr(auditing, "writing", away)
        with pytest.raises(StoreUnavailable):
            auditor.note_shown(ANNA, ["a"], subject="first")
    auditor.note_shown(ANNA, ["b"], subject="second")
    assert ("anna", "second", "b") in rows_of(records)


def test_showing_nothing_clear_notes_nothing(records: Engine) -> None:
    Auditor(records).note_shown(ANNA, [], subject="x")
    assert rows_of(records) == []
