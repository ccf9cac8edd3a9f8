"""The event store on a ClickHouse server: the contract over the wire, several processes, and what goes wrong."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pytest

from cdp.errors import ConfigurationError, StoreUnavailable
from cdp.model import Operation, SetId, TraitChange
from profiles import events_clickhouse_client
from profiles.events_clickhouse import ClickHouseEvents
from profiles.store import EventStore, StoredEvent
from tests.cdp.flaky_proxy import Proxy, Step, flaky_proxy
from tests.contracts.events_contract import EventStoreContract, emptied, make_stored
from tests.real.servers import ClickHouse

SET = SetId(7)
BATCH = 200
KILLS = 5
FULL = "<keep_free_space_bytes>1000000000000000</keep_free_space_bytes>"
"""Of its disk more is to be kept free than there is."""


class TestOverTheWire(EventStoreContract):
    """One store for all tests, emptied before each: opening one takes longer than most of them."""

    @pytest.fixture(scope="class")
    @classmethod
    def opened(cls, clickhouse: ClickHouse) -> Iterator[ClickHouseEvents]:
        store = ClickHouseEvents(clickhouse.url)
        yield store
        store.close()
        store.close()

    @pytest.fixture
    def store(self, opened: ClickHouseEvents) -> ClickHouseEvents:
        return emptied(opened)


@pytest.fixture
def store(clickhouse: ClickHouse) -> Iterator[ClickHouseEvents]:
    opened = ClickHouseEvents(clickhouse.url)
    yield emptied(opened)
    opened.close()


def make_batch(number: int, size: int = BATCH) -> list[StoredEvent]:
    visited = (TraitChange(Operation.INCREMENT, "visits", "1"),)
    return [make_stored(number * size + n, traits=visited) for n in range(size)]


def stored(store: EventStore) -> tuple[int, int]:
    return store.count(), len(store.traits([SET]))


def all_at_once(*acts: Callable[[], object]) -> None:
    """Each in a thread of its own. Raises what the first of them raises."""
    failed: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as failure:
            failed.append(failure)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


# Several processes


def test_processes_that_start_at_once_on_a_server_without_the_database_all_work(clickhouse: ClickHouse) -> None:
    url = clickhouse.url_of("at_once")
    opened: list[ClickHouseEvents] = []
    all_at_once(*[lambda: opened.append(ClickHouseEvents(url))] * 6)
    opened[0].write(make_batch(0), token="first")
    assert [stored(each) for each in opened] == [(BATCH, BATCH)] * 6
    for each in opened:
        each.close()


def test_one_batch_that_two_workers_write_at_once_is_stored_once(
    clickhouse: ClickHouse, store: ClickHouseEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ClickHouseEvents(clickhouse.url)
    both_looked = threading.Barrier(2)
    for each in (store, other):
        looks = each._stored

        def look(rows: list[StoredEvent], looks: Callable[..., set[str]] = looks) -> set[str]:
            found = looks(rows)
            both_looked.wait(30)
            return found

        monkeypatch.setattr(each, "_stored", look)
    for number in range(10):
        batch, token = make_batch(number), f"0:{number}"
        acts = [partial(each.write, batch, token=token, again=True) for each in (store, other)]
        all_at_once(*acts)
        assert stored(store) == ((number + 1) * BATCH, (number + 1) * BATCH)
    other.close()


def test_another_worker_repeats_nothing_though_a_power_cut_took_the_list_of_tokens(
    clickhouse: ClickHouse, store: ClickHouseEvents
) -> None:
    other = ClickHouseEvents(clickhouse.url)
    for number in range(30):
        other.write(make_batch(number, 5), token=f"1:{number}")
    store.write(make_batch(1), token="0:1")
    clickhouse.kill()
    lists = list(clickhouse.folder.rglob("deduplication_logs/*"))
    assert lists
    for file in lists:
        file.unlink()
    clickhouse.start()
    other.write(make_batch(1), token="0:1", again=True)
    assert stored(store) == (150 + BATCH, 150 + BATCH)
    other.close()


# A server that goes away


class Writer(threading.Thread):
    """Writes batches, each as often as it takes until the store has answered for it."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(daemon=True)
        self._store = store
        self.ended = threading.Event()
        self.answered = self.refused = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for number in count():
                if self.ended.is_set():
                    return
                self._write(make_batch(number), f"0:{number}")
                self.answered += 1
        except BaseException as failure:
            self.failure = failure

    def _write(self, batch: list[StoredEvent], token: str) -> None:
        again = False
        while True:
            try:
                return self._store.write(batch, token=token, again=again)
            except StoreUnavailable:
                again = True
                self.refused += 1
                time.sleep(0.02)


def test_every_batch_is_stored_once_although_the_server_is_killed_again_and_again(
    clickhouse: ClickHouse, store: ClickHouseEvents
) -> None:
    random.seed(20261126)
    writer = Writer(store)
    writer.start()
    for kill in range(1, KILLS + 1):
        time.sleep(random.uniform(0.05, 1.0))
        clickhouse.kill()
        while writer.refused < kill and writer.is_alive():
            time.sleep(0.01)
        clickhouse.start()
        answered = writer.answered
        while writer.answered == answered and writer.is_alive():
            time.sleep(0.01)
    writer.ended.set()
    writer.join(60)
    assert writer.failure is None
    assert stored(store) == (writer.answered * BATCH, writer.answered * BATCH)
    ids = [event["id"] for event in store.scan()]
    assert sorted(ids) == [f"{n:032x}" for n in range(writer.answered * BATCH)]


def test_while_the_server_is_away_all_is_retryable_and_when_it_is_back_all_goes_on(
    clickhouse: ClickHouse, store: ClickHouseEvents
) -> None:
    store.write(make_batch(0), token="before")
    clickhouse.kill()
    asked: list[Callable[[], object]] = [
        lambda: store.trail([SET], limit=1),
        lambda: store.facts([SET]),
        lambda: store.write(make_batch(1), token="after"),
        lambda: store.erasing.delete_sets([SetId(8)]),
        store.probe,
    ]
    for ask in [*asked, *asked]:
        with pytest.raises(StoreUnavailable, match="Connection refused") as raised:
            ask()
        assert "SELECT" not in str(raised.value)
    clickhouse.start()
    for ask in asked:
        ask()
    assert stored(store) == (2 * BATCH, 2 * BATCH)


def test_a_restart_that_fell_between_two_calls_is_not_noticed(clickhouse: ClickHouse, store: ClickHouseEvents) -> None:
    store.write(make_batch(0), token="before")
    clickhouse.stop()
    clickhouse.start()
    assert stored(store) == (BATCH, BATCH)
    clickhouse.stop()
    clickhouse.start()
    store.write(make_batch(1), token="after")
    assert stored(store) == (2 * BATCH, 2 * BATCH)


def test_a_server_that_hangs_is_given_up_and_what_it_then_does_late_counts_once(
    clickhouse: ClickHouse, store: ClickHouseEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wait in ("READ_S", "WRITE_S", "WORK_S"):
        monkeypatch.setattr(events_clickhouse_client, wait, 3)
    impatient = ClickHouseEvents(clickhouse.url)
    server = clickhouse.process
    assert server is not None
    server.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="timed out"):
            impatient.write(make_batch(0), token="hung")
        with pytest.raises(StoreUnavailable, match="timed out"):
            impatient.trail([SET], limit=1)
    finally:
        server.send_signal(signal.SIGCONT)
    store.write(make_batch(0), token="hung", again=True)
    assert stored(store) == (BATCH, BATCH)
    impatient.close()


# A server, or what stands before it, that answers otherwise


@pytest.fixture
def through(clickhouse: ClickHouse, store: ClickHouseEvents) -> Iterator[tuple[Proxy, ClickHouseEvents]]:
    """A store that is asked through a proxy, and has a batch in it."""
    store.write(make_batch(0), token="before")
    with flaky_proxy(f"http://127.0.0.1:{clickhouse.port}") as proxy:
        opened = ClickHouseEvents(f"clickhouse://127.0.0.1:{proxy.server_port}/default")
        yield proxy, opened
        opened.close()


@pytest.mark.parametrize("step", [500, 502, "cut", "page"])
def test_an_answer_that_is_none_is_retryable(through: tuple[Proxy, ClickHouseEvents], step: Step) -> None:
    proxy, store = through
    proxy.plays(step)
    with pytest.raises(StoreUnavailable):
        store.trail([SET], limit=100)
    assert len(store.trail([SET], limit=100)) == 100


@pytest.mark.parametrize("step", [503, "close"])
def test_a_read_that_found_nobody_for_a_moment_is_sent_again(
    through: tuple[Proxy, ClickHouseEvents], step: Step
) -> None:
    proxy, store = through
    proxy.plays(step)
    assert len(store.trail([SET], limit=100)) == 100
    assert proxy.seen[:2] == [step, "pass"]


def test_a_full_disk_stops_writes_alone_until_there_is_room(clickhouse: ClickHouse, store: ClickHouseEvents) -> None:
    store.write(make_batch(0), token="before")
    clickhouse.stop()
    clickhouse.config = f"<storage_configuration><disks><default>{FULL}</default></disks></storage_configuration>"
    try:
        clickhouse.start()
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="NOT_ENOUGH_SPACE"):
                store.write(make_batch(1), token="after")
        assert stored(store) == (BATCH, BATCH)
        clickhouse.stop()
    finally:
        clickhouse.config = ""
    clickhouse.start()
    store.write(make_batch(1), token="after")
    assert stored(store) == (2 * BATCH, 2 * BATCH)


# Addresses


def test_a_wrong_password_is_refused_in_a_sentence_that_does_not_repeat_it(
    clickhouse: ClickHouse, caplog: pytest.LogCaptureFixture
) -> None:
    url = clickhouse.url.replace("127.0.0.1", "default:s3cret%2F@127.0.0.1")
    with pytest.raises(ConfigurationError, match="user or password ClickHouse refuses") as raised:
        ClickHouseEvents(url)
    assert "s3cret" not in str(raised.value) + caplog.text


def test_a_password_with_signs_that_a_url_cannot_hold_opens_the_door(clickhouse: ClickHouse) -> None:
    clickhouse.stop()
    clickhouse.password = "p/w@#:"
    try:
        clickhouse.start()
        opened = ClickHouseEvents(clickhouse.url.replace("p/w@#:", "p%2Fw%40%23%3A"))
        opened.probe()
        opened.close()
        clickhouse.stop()
    finally:
        clickhouse.password = ""
    clickhouse.start()
