"""The contract on the engine in this process, and crashes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from structlog.testing import capture_logs

from cdp.errors import ConfigurationError, StoreUnavailable
from cdp.model import SetId
from profiles.events_clickhouse import ClickHouseEvents
from profiles.events_clickhouse_client import NOT_ALLOWED, check_version
from tests.contracts.events_contract import START, EventStoreContract, emptied, make_stored
from tests.real.product import free_port


class TestEmbedded(EventStoreContract):
    """One store for all tests, emptied before each: opening one takes longer than most of them."""

    @pytest.fixture(scope="class")
    @classmethod
    def opened(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseEvents]:
        store = ClickHouseEvents(f"chdb://{tmp_path_factory.mktemp('events')}")
        yield store
        store.close()
        store.close()

    @pytest.fixture
    def store(self, opened: ClickHouseEvents) -> ClickHouseEvents:
        return emptied(opened)


WRITER = """
import sys
from cdp.model import Operation, TraitChange
from profiles import events_clickhouse
from tests.contracts.events_contract import make_stored

path, crash = sys.argv[1:]
store = events_clickhouse.ClickHouseEvents(f"chdb://{path}")
insert = store._insert

def crashing(table, *rest):
    if crash == f"before {table}":
        print("ready", flush=True)
        sys.stdin.read()
    insert(table, *rest)

store._insert = crashing
batch = [make_stored(n, traits=(TraitChange(Operation.INCREMENT, "visits", "1"),)) for n in range(500)]
store.write(batch, token="crash", again=not crash)
[[typed]] = store.ask("SELECT count() FROM typed_events", {})
print("ready" if crash else f"{store.count()} {len(store.traits([7]))} {typed}", flush=True)
if crash:
    sys.stdin.read()
"""


def run(folder: Path, *, kill: str = "") -> str:
    """Write one batch in a process of its own; with `kill`, end it with SIGKILL at that point. Gives its last word."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), kill],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = process.stdout.readline().strip()
    if kill:
        process.send_signal(signal.SIGKILL)
    process.stdin.close()
    process.stdout.close()
    process.wait(timeout=60)
    return said


@pytest.mark.parametrize("moment", ["before traits", "before typed_events", "before events", "after events"])
def test_a_redo_after_sigkill_heals_the_batch_and_repeats_nothing(tmp_path: Path, moment: str) -> None:
    assert run(tmp_path, kill=moment) == "ready"
    assert run(tmp_path) == "500 500 500"


def test_a_redo_repeats_nothing_though_the_power_cut_took_the_list_of_tokens(tmp_path: Path) -> None:
    run(tmp_path, kill="after events")
    lists = list(tmp_path.rglob("deduplication_logs/*"))
    assert lists
    for file in lists:
        file.unlink()
    assert run(tmp_path) == "500 500 500"


def test_an_event_outlives_the_process_that_wrote_it(tmp_path: Path) -> None:
    run(tmp_path, kill="after events")
    store = ClickHouseEvents(f"chdb://{tmp_path}")
    try:
        assert [event["occurred_at"] for event in store.trail([SetId(7)], limit=1)] == [START + 499_000]
    finally:
        store.close()


def test_what_goes_wrong_in_the_engine_is_retryable(tmp_path: Path) -> None:
    store = ClickHouseEvents(f"chdb://{tmp_path}")
    try:
        store._background.command("RENAME TABLE events TO away")
        with pytest.raises(StoreUnavailable, match="event store"):
            store.write([make_stored(1)], token="retried")
        with pytest.raises(StoreUnavailable, match="event store"):
            store.trail([SetId(7)], limit=1)
        store._background.command("RENAME TABLE away TO events")
        store.write([make_stored(1)], token="retried")
        assert store.count() == 1
    finally:
        store.close()


def test_a_store_gets_the_settings_that_came_since_it_was_made_and_keeps_what_was_set_there(tmp_path: Path) -> None:
    store = ClickHouseEvents(f"chdb:///{tmp_path / 'events'}")
    store._background.command("ALTER TABLE events RESET SETTING min_age_to_force_merge_seconds")
    store._background.command("ALTER TABLE traits MODIFY SETTING min_age_to_force_merge_seconds = 7")
    store.close()
    store = ClickHouseEvents(f"chdb:///{tmp_path / 'events'}")
    store.bring_up()
    asked = "SELECT name, extract(engine_full, 'min_age_to_force_merge_seconds = [0-9]+') FROM system.tables"
    asked += " WHERE database = currentDatabase() AND name IN ('events', 'traits')"
    found = dict(store.ask(asked, {}))
    assert found == {
        "events": "min_age_to_force_merge_seconds = 86400",
        "traits": "min_age_to_force_merge_seconds = 7",
    }
    store.close()


def test_a_user_who_may_not_change_settings_is_told_so_and_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ClickHouseEvents(f"chdb:///{tmp_path / 'events'}")
    store._background.command("ALTER TABLE events RESET SETTING min_age_to_force_merge_seconds")
    command = store._background.command

    def refused(text: str, *what: Any, **how: Any) -> Any:
        if "MODIFY SETTING" in text:
            raise DatabaseError("Not enough privileges", code=NOT_ALLOWED)
        return command(text, *what, **how)

    monkeypatch.setattr(store._background, "command", refused)
    with capture_logs() as logged:
        store.bring_up()
    assert [(each["event"], each["table"]) for each in logged] == [("settings_not_added", "events")]
    store.close()


def test_a_closed_store_says_that_it_cannot_be_reached(tmp_path: Path) -> None:
    store = ClickHouseEvents(f"chdb://{tmp_path}")
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.count()


def test_a_folder_that_another_process_has_open_is_named_with_that_process(tmp_path: Path) -> None:
    holding = "import sys; from profiles.events_clickhouse import ClickHouseEvents"
    holding += "; store = ClickHouseEvents('chdb://' + sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        with pytest.raises(StoreUnavailable) as raised:
            ClickHouseEvents(f"chdb://{tmp_path}")
        holder.stdin.close()
    assert f"process {holder.pid} has {tmp_path} open" in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root:s3cret@127.0.0.1/events",
        "clickhouse:///events",
        "clickhouse://default:s3cret/1@127.0.0.1:8123/events",
        "clickhouse://default:s3cret#@127.0.0.1:8123/events",
        "chdb://events",
    ],
)
def test_what_cannot_be_an_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="XUNJI_EVENTS_URL is an address that ClickHouse's client") as raised:
        ClickHouseEvents(url)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(("version", "allowed"), [("9.8", False), ("25.3.1.2703", True), ("25.1", False)])
def test_a_server_that_is_too_old_is_refused(version: str, allowed: bool) -> None:
    with nullcontext() if allowed else pytest.raises(ConfigurationError, match=f"ClickHouse {version}; allowed is"):
        check_version(version)


def test_where_nobody_answers_the_store_cannot_be_reached() -> None:
    with pytest.raises(StoreUnavailable, match="Connection refused") as raised:
        ClickHouseEvents(f"clickhouse://default:s3cret@127.0.0.1:{free_port()}/events")
    assert "s3cret" not in str(raised.value)
