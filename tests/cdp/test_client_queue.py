"""The file in which a client's events wait, damaged, full, or left behind."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from cdp import client_queue
from cdp.client_queue import Spool


def left_behind(folder: Path, *ids: str) -> Path:
    """The file of a process that died with these events; its name sorts first."""
    spool = Spool(folder)
    for id_ in ids:
        spool.add(id_, b"{}")
    spool._file.close()
    return spool._path.rename(folder / f"0-{ids[0]}.events")


def waiting(spool: Spool) -> list[str]:
    return [each.id for each in spool.head(9, 9_999)]


def test_a_damaged_file_is_told_by_its_name_and_a_living_clients_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    living = Spool(tmp_path)
    damaged = left_behind(tmp_path, "lost")
    damaged.write_bytes(b"SQLite format 3\0" + b"?" * 9_000)
    left_behind(tmp_path, "m1", "m2")
    caplog.clear()
    spool = Spool(tmp_path)
    assert (waiting(spool), len(spool), spool.last) == (["m1", "m2"], 2, 2)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert damaged.name in caplog.text
    assert damaged.exists()
    living.close()


def test_a_takeover_that_fails_leaves_the_events_where_they_are_and_the_new_file_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = left_behind(tmp_path, "m1", "m2")
    with monkeypatch.context() as patched:
        patched.setattr(client_queue, "_INSERT", "INSERT INTO nowhere VALUES (?, ?)")
        spool = Spool(tmp_path)
    assert left.name in caplog.text
    spool.add("m3", b"{}")
    spool.settle([spool.last])
    spool.close()
    assert waiting(Spool(tmp_path)) == ["m1", "m2"]


def test_settling_that_failed_can_be_tried_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for id_ in ("m1", "m2"):
        spool.add(id_, b"{}")
    spool._file.execute(
        "CREATE TRIGGER full BEFORE DELETE ON events WHEN old.number = 2 BEGIN SELECT RAISE(FAIL, ''); END"
    )
    with pytest.raises(sqlite3.Error):
        spool.settle([1, 2])
    assert (waiting(spool), len(spool)) == (["m1", "m2"], 2)
    spool._file.execute("DROP TRIGGER full")
    spool.settle([1, 2])
    assert (waiting(spool), len(spool)) == ([], 0)
