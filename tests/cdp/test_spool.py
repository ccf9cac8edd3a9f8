"""Hits on this machine's disk: kept in order, within bounds, for whoever holds the spool next."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import cdp.spool
from cdp.errors import ConfigurationError, LogFull
from cdp.log_notes import SILENT_MS, hits_are_to_come, spool_rows, spooled
from cdp.records import open_engine, reading, writing
from cdp.spool import Kept, Spool, open_free_spool, open_left_spool, spool_names
from cdp.spool_note import NOTE_MS, RENEWED_MS, SpoolNote

LIMIT = 1_000_000


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, "0", limit=LIMIT)
    yield spool
    spool.close()


async def keep(spool: Spool, *payloads: bytes) -> None:
    """Durable on return."""
    waiting: list[asyncio.Future[None]] = []
    for payload in payloads:
        waiting.append(asyncio.get_running_loop().create_future())
        spool.add(1_000, b"k", payload, durable=waiting[-1])
    await asyncio.gather(*waiting)


def test_hits_come_back_in_order_with_key_and_time_until_they_are_forgotten(spool: Spool) -> None:
    asyncio.run(keep(spool, b"a", b"bb", b"ccc"))
    assert (spool.waiting, spool.size) == (3, 6)
    assert spool.read(0, 10, 100) == [
        Kept(n, 1_000, b"k", payload) for n, payload in enumerate([b"a", b"bb", b"ccc"], 1)
    ]
    spool.forget(2)
    assert (spool.waiting, spool.size) == (1, 3)
    assert [hit.payload for hit in spool.read(0, 10, 100)] == [b"ccc"]
    spool.forget(3)
    assert spool.empty


def test_a_read_stays_within_its_bounds_and_gives_one_at_least(spool: Spool) -> None:
    asyncio.run(keep(spool, *[b"x" * 100] * 10))
    assert len(spool.read(0, 3, 10_000)) == 3
    assert len(spool.read(0, 10, 250)) == 3
    assert len(spool.read(4, 10, 1)) == 1


def test_hits_added_together_share_one_sync(spool: Spool) -> None:
    commits: list[str] = []
    spool._db.set_trace_callback(commits.append)
    asyncio.run(keep(spool, *[b"x"] * 50))
    assert commits.count("COMMIT") == 1


def test_over_its_limit_a_hit_is_refused_and_a_smaller_one_kept(spool: Spool) -> None:
    asyncio.run(keep(spool, b"x" * 999_990))
    with pytest.raises(LogFull, match="the spool holds 1,000,000 bytes"):
        asyncio.run(keep(spool, b"x" * 11))
    asyncio.run(keep(spool, b"x" * 10))
    assert (spool.waiting, spool.healthy) == (2, True)


def test_a_full_disk_refuses_all_who_wait_and_the_spool_recovers_by_itself(spool: Spool) -> None:
    asyncio.run(keep(spool, b"before"))
    spool._db.execute("PRAGMA max_page_count=10")
    with pytest.raises(LogFull, match="full"):
        asyncio.run(keep(spool, b"small", b"x" * 100_000))
    assert not spool.healthy
    spool._db.execute("PRAGMA max_page_count=100000")
    spool.try_again()
    assert spool.healthy
    asyncio.run(keep(spool, b"after"))
    assert [hit.payload for hit in spool.read(0, 10, 100)] == [b"before", b"after"]


def test_the_next_holder_finds_what_was_left_and_goes_on_behind_it(tmp_path: Path) -> None:
    first = open_free_spool(tmp_path, limit=LIMIT)
    asyncio.run(keep(first, b"left"))
    second = open_free_spool(tmp_path, limit=LIMIT)
    assert (first.name, second.name) == ("0", "1")
    with pytest.raises(ConfigurationError, match="held by another"):
        Spool(tmp_path, "0", limit=LIMIT)
    first.close()
    again = open_free_spool(tmp_path, limit=LIMIT)
    asyncio.run(keep(again, b"later"))
    assert [(hit.number, hit.payload) for hit in again.read(0, 10, 100)] == [(1, b"left"), (2, b"later")]
    for spool in (again, second):
        spool.close()


def test_only_a_spool_that_holds_hits_and_that_nobody_holds_is_left(tmp_path: Path) -> None:
    held, empty, left = (open_free_spool(tmp_path, limit=LIMIT) for _ in range(3))
    asyncio.run(keep(held, b"mine"))
    asyncio.run(keep(left, b"left"))
    assert open_left_spool(tmp_path) is None
    empty.close()
    left.close()
    found = open_left_spool(tmp_path)
    assert found is not None
    assert found.name == "2"
    found.discard()
    assert open_left_spool(tmp_path) is None
    assert sorted(spool_names(tmp_path)) == ["0", "1"]
    held.close()


def test_a_spool_that_grew_large_gives_its_room_back_once_it_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdp.spool, "KEPT_FILE_BYTES", 50_000)
    spool = Spool(tmp_path, "0", limit=LIMIT)
    asyncio.run(keep(spool, *[b"x" * 10_000] * 20))
    spool.forget(19)
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (tmp_path / "spool-0.db").stat().st_size > 50_000
    spool.forget(20)
    assert (tmp_path / "spool-0.db").stat().st_size < 50_000
    asyncio.run(keep(spool, b"next"))
    assert [hit.number for hit in spool.read(0, 10, 100)] == [21]
    spool.close()


def test_a_spool_that_cannot_be_made_anew_is_opened_once_the_disk_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, "0", limit=LIMIT)
    asyncio.run(keep(spool, b"x" * 1_000))
    with monkeypatch.context() as patched:
        patched.setattr(cdp.spool, "KEPT_FILE_BYTES", 0)
        patched.setattr(cdp.spool, "SCHEMA", "INSERT INTO gone VALUES (1)")
        spool.forget(1)
        spool.try_again()
        assert not spool.healthy
        with pytest.raises(LogFull):
            asyncio.run(keep(spool, b"refused"))
    spool.try_again()
    assert (spool.healthy, spool.empty) == (True, True)
    asyncio.run(keep(spool, b"next"))
    assert [hit.payload for hit in spool.read(0, 10, 100)] == [b"next"]
    spool.close()


def test_a_spool_that_cannot_be_opened_hides_no_other_and_keeps_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "spool-1.db").write_bytes(b"not a database, and long enough to be looked at" * 20)
    left = Spool(tmp_path, "2", limit=LIMIT)
    asyncio.run(keep(left, b"left"))
    left.close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        found = open_left_spool(tmp_path)
        assert found is not None
        assert found.name == "2"
        found.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert (tmp_path / "spool-1.db").exists()


def test_what_is_kept_is_synced(spool: Spool, tmp_path: Path) -> None:
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,)
    asyncio.run(keep(spool, b"a"))
    with closing(sqlite3.connect(tmp_path / "spool-0.db")) as other:
        assert other.execute("SELECT payload FROM hits").fetchall() == [(b"a",)]


def test_the_records_tell_how_many_hits_wait_in_all_spools_of_all_machines(tmp_path: Path) -> None:
    records = open_engine(f"sqlite:///{tmp_path}/records.db")
    spool_rows.create(records)
    now = [0]
    one, other, far = (
        SpoolNote(records, place, name, clock=lambda: now[0]) for place, name in (("a", "0"), ("a", "1"), ("b", "0"))
    )
    one.tell(5, ["0", "1"])
    other.tell(7, ["0", "1"])
    far.tell(1, ["0"])
    assert spooled(records) == 13
    one.tell(6, ["0", "1"])
    assert spooled(records) == 13, "what goes on is noted now and then"
    now[0] += NOTE_MS
    one.tell(7, ["0", "1"])
    assert spooled(records) == 15
    one.tell(0, ["0", "1"])
    assert spooled(records) == 8, "that it is empty is noted at once"
    one.tell(7, ["0"])
    assert spooled(records) == 8, "what another had is this one's now"
    with reading(records) as connection:
        assert sorted(connection.execute(spool_rows.select()).scalars()) == ["a/0", "b/0"]
    records.dispose()


def test_a_spool_of_which_nothing_was_heard_for_long_is_counted_but_brings_no_more_hits(tmp_path: Path) -> None:
    records = open_engine(f"sqlite:///{tmp_path}/records.db")
    spool_rows.create(records)
    now = [0]
    note = SpoolNote(records, "a", "0", clock=lambda: now[0])

    def fall_silent() -> None:
        with writing(records) as connection:
            connection.execute(spool_rows.update().values(at=spool_rows.c.at - SILENT_MS))

    assert not hits_are_to_come(records)
    note.tell(5, ["0"])
    assert hits_are_to_come(records)
    fall_silent()
    assert not hits_are_to_come(records)
    assert spooled(records) == 5
    now[0] += RENEWED_MS
    note.tell(5, ["0"])
    assert hits_are_to_come(records), "who holds as many as before says so again"
    records.dispose()
