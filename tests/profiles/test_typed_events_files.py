"""The typed copy of events in the files: what is erased leaves it, and a store from before gets it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import StoreUnavailable
from cdp.model import Campaign, EventId, Page
from profiles import events_clickhouse_typed as typed
from profiles.events_clickhouse import ClickHouseEvents
from profiles.store import StoredEvent
from tests.contracts.events_contract import MONTH_MS, START, make_stored
from tests.profiles.test_typed_events import HOSTILE, rows


def test_nothing_typed_is_left_of_what_is_erased(tmp_path: Path) -> None:
    with closing(ClickHouseEvents(f"chdb://{tmp_path}")) as store:
        secret = json.dumps({"note": "moonlight", "nested": {"list": ["moonlight"]}}).encode()
        store.write(
            [make_stored(n, set_=1 + n % 2, properties=secret if n % 2 else b"{}") for n in range(6)], token="a"
        )
        store.erasing.delete_sets([make_stored(1, set_=2).set])
        store.erasing.purge()
        assert [row[1] for row in rows(store)] == [1, 1, 1]
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"moonlight" in file.read_bytes()]


# A store from before


def mixed(number: int) -> StoredEvent:
    """Of three months, many sets, and all kinds of properties but numbers that are no doubles."""
    texts = [text for name, text in HOSTILE.items() if len(text) < 20_000 and not name.startswith("numbers")]
    return make_stored(
        number,
        set_=number * 2**55 % 2**63,
        id=EventId(f"{number:032x}"),
        received_at=START + number % 3 * MONTH_MS,
        properties=texts[number % len(texts)].encode(),
        page=Page(url="https://x.cn/'\"\\", path="/x"),
        campaign=Campaign(source="baidu"),
        session="s" * (number % 2),
    )


@pytest.fixture
def before(tmp_path: Path) -> tuple[str, list[list[Any]]]:
    """The address of a store that was filled without the table, and what would have been in it."""
    url = f"chdb://{tmp_path}"
    with closing(ClickHouseEvents(url)) as store:
        for start in range(0, 300, 100):
            store.write([mixed(number) for number in range(start, start + 100)], token=f"{start}")
        kept = rows(store)
        for table in ("typed_events", "upgrades", "leads"):
            store._background.command(f"DROP TABLE {table} SYNC")
    return url, kept


def test_a_store_from_before_is_filled_with_what_would_have_been_written(before: tuple[str, list[list[Any]]]) -> None:
    url, kept = before
    with closing(ClickHouseEvents(url)) as store:
        assert rows(store) == []
        store.bring_up()
        assert rows(store) == kept
        store.write([mixed(300)], token="new")
        store.bring_up()
        assert len(rows(store)) == store.count() == 301


@pytest.mark.parametrize("done", [1, 4, 7])
def test_a_fill_that_was_cut_off_goes_on_and_repeats_nothing(
    before: tuple[str, list[list[Any]]], monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    url, kept = before
    monkeypatch.setattr(typed, "AT_ONCE", 30)
    with closing(ClickHouseEvents(url)) as store:
        copied, left = typed._copy, iter(range(done))
        with monkeypatch.context() as dying:
            dying.setattr(
                typed, "_copy", lambda *those: copied(*those) if next(left, None) is not None else "SELECT nothing"
            )
            with pytest.raises(StoreUnavailable):
                store.bring_up()
    with closing(ClickHouseEvents(url)) as store:
        assert 0 < len(rows(store)) < len(kept)
        store.bring_up()
        assert rows(store) == kept


def test_a_store_that_begins_now_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(ClickHouseEvents(f"chdb://{tmp_path}")) as store:
        store.bring_up()
        monkeypatch.setattr(typed, "fill", lambda *_: pytest.fail("filled again"))
        store.bring_up()
