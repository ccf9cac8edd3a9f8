"""Replays as jobs: in the order in which they were asked for, and going on where a crash cut them off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Engine

from cdp.accounting import position_rows
from cdp.errors import NotFound, Overtaken, StoreUnavailable
from cdp.log import LogReader
from cdp.migrations import migrate
from cdp.records import open_engine, writing
from cdp.replays import Replay, ReplayBook, Replays

AT_ONCE = 10


class Log:
    """Two partitions of 30 hits, received one each millisecond."""

    def ends(self) -> dict[int, int]:
        return {0: 30, 1: 30}

    def seek(self, partition: int, at: int) -> int:
        return min(at, 30)


class Again:
    """Says that of each batch every second hit came out otherwise; fails as it is told."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.asked: list[tuple[int, int, int, str | None]] = []
        self.recovered = 0
        self.failures: list[Exception] = []

    def recover(self, source: str | None) -> None:
        self.recovered += 1

    def translate_again(self, partition: int, start: int, until: int, source: str | None) -> tuple[int, int, int]:
        self.asked.append((partition, start, until, source))
        if self.failures and len(self.asked) > 2:
            raise self.failures.pop()
        after = min(start + AT_ONCE, until)
        return after, after - start, (after - start) // 2


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'records.db'}")
    migrate(engine, "records")
    with writing(engine) as connection:
        connection.execute(position_rows.insert(), [{"partition": 0, "next": 25}, {"partition": 1, "next": 30}])
    yield engine
    engine.dispose()


@pytest.fixture
def book(records: Engine) -> ReplayBook:
    moments = iter(range(1_000))
    return ReplayBook(records, clock=lambda: next(moments))


def runner(records: Engine, book: ReplayBook, again: Again) -> Replays:
    return Replays(book, records, cast(LogReader, Log()), again)


def told(replay: Replay) -> tuple[int, int, int, bool]:
    return replay.hits, replay.total, replay.changed, replay.done


def test_a_replay_goes_through_each_partition_up_to_where_it_is_processed(records: Engine, book: ReplayBook) -> None:
    again = Again()
    asked = book.request(10, "shop")
    assert told(book.find(asked.id)) == (0, 0, 0, False)

    runner(records, book, again).drain()

    assert again.asked == [(0, 10, 25, "shop"), (0, 20, 25, "shop"), (1, 10, 30, "shop"), (1, 20, 30, "shop")]
    assert told(book.find(asked.id)) == (35, 35, 17, True)


def test_replays_are_done_in_the_order_in_which_they_were_asked_for(records: Engine, book: ReplayBook) -> None:
    again = Again()
    for source in "abc":
        book.request(25, source)
    runner(records, book, again).drain()
    assert [source for *_, source in again.asked] == ["a", "b", "c"]


def test_a_replay_of_what_is_past_its_retention_is_done_at_once(records: Engine, book: ReplayBook) -> None:
    asked = book.request(99)
    runner(records, book, again := Again()).drain()
    assert again.asked == []
    assert book.find(asked.id).done


def test_a_replay_that_a_crash_cut_off_goes_on_where_it_was(records: Engine, book: ReplayBook) -> None:
    asked = book.request(0)
    dying = Again()
    dying.failures = [KeyError("dies")]
    with pytest.raises(KeyError):
        runner(records, book, dying).drain()
    assert told(book.find(asked.id)) == (20, 55, 10, False)

    runner(records, book, again := Again()).drain()

    assert again.recovered == 1, "what had been begun is done again first"
    assert again.asked[0] == (0, 20, 25, None)
    assert told(book.find(asked.id)) == (55, 55, 27, True)


@pytest.mark.parametrize("failure", [StoreUnavailable("events", "away"), Overtaken(0)])
def test_a_replay_waits_for_what_is_away_and_takes_over_what_another_began(
    records: Engine, book: ReplayBook, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdp.replays.IDLE_S", 0.01)
    again = Again()
    again.failures = [failure]
    replays = runner(records, book, again)
    asked = book.request(0)
    thread = threading.Thread(target=replays.run)
    thread.start()
    for _ in range(1_000):
        if book.find(asked.id).done:
            break
        threading.Event().wait(0.01)
    replays.stop()
    thread.join(10)
    assert told(book.find(asked.id)) == (55, 55, 27, True)
    assert again.recovered == 2


def test_a_replay_that_is_stopped_is_not_done(records: Engine, book: ReplayBook) -> None:
    asked = book.request(0)
    again = Again()
    replays = runner(records, book, again)
    replays.stop()
    replays.run()
    assert again.asked == []
    assert not book.find(asked.id).done


def test_a_replay_that_nobody_asked_for_is_not_found(book: ReplayBook) -> None:
    with pytest.raises(NotFound):
        book.find("rp_none")
