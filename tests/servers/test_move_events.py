"""Events moved between the engine in the process and a server: months, pages, rows that are alike, and a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import Refused
from cdp.model import Operation, SetId, TraitChange
from cdp.move import events
from cdp.move.copy import copy
from cdp.move.events import EventContents
from profiles.events_clickhouse import ClickHouseEvents
from profiles.store import OwnerRow, StoredEvent
from tests.contracts.events_contract import MONTH_MS, START, make_stored
from tests.real.product import until
from tests.real.servers import ClickHouse

EVENTS = 1_000
NAMES = iter(f"move{n}" for n in range(1_000))


@pytest.fixture
def url(clickhouse: ClickHouse) -> str:
    """Of a database that is not there."""
    return clickhouse.url_of(next(NAMES))


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    with closing(ClickHouseEvents(f"chdb://{tmp_path}/events")) as store:
        rows = [some(number) for number in range(EVENTS)]
        for start in range(0, EVENTS, 100):
            store.write(rows[start : start + 100], token=f"batch {start}")
        # What was seen again after its id was forgotten lies there twice.
        store.write(rows[500:510], token="again")
        # This stays behind.
        store.mirror.own([OwnerRow(SetId(7), 1, None)])
    return tmp_path / "events"


def some(number: int) -> StoredEvent:
    """Of three months of receipt, 40 sets, and few moments."""
    traits = (TraitChange(Operation.SET, "城市", json.dumps(f"广州 {number}")),) * (number % 3)
    times = {"occurred_at": START + number % 10, "received_at": START + number % 3 * MONTH_MS}
    properties = json.dumps({"n": number, "tags": [number, "家庭", {"at": number / 2}]}).encode()
    return make_stored(number, set_=number % 40, traits=traits, properties=properties, **times)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PAGE_ROWS", 33)


def all_of(store: ClickHouseEvents) -> Any:
    traits = [(row, store.traits([row])) for row in range(40)]
    return sorted(map(repr, store.scan())), traits


def unseen(*_: object) -> None:
    pass


@pytest.mark.usefixtures("small_pages")
def test_events_and_traits_go_to_a_server_and_come_back(filled: Path, url: str, tmp_path: Path) -> None:
    with closing(EventContents(f"chdb://{filled}")) as here, closing(EventContents(url)) as there:
        done = copy(here, there, unseen)
        traits = sum(n % 3 for n in [*range(EVENTS), *range(500, 510)])
        # Each event lies there twice, once of them typed.
        assert (done.equal, done.copied) == (True, 2 * (EVENTS + 10) + traits)
        assert len(done.tables) == 8
        assert copy(here, there, unseen).copied == 0
    with closing(ClickHouseEvents(f"chdb://{filled}")) as here_, closing(ClickHouseEvents(url)) as there_:
        before = all_of(here_)
        assert all_of(there_) == before
    with closing(EventContents(url)) as there, closing(EventContents(f"chdb://{tmp_path}/back")) as back:
        assert copy(there, back, unseen).equal
    with closing(ClickHouseEvents(f"chdb://{tmp_path}/back")) as back_:
        assert all_of(back_) == before


@pytest.mark.usefixtures("small_pages")
def test_a_move_of_events_that_was_cut_off_anywhere_goes_on(filled: Path, url: str) -> None:
    class CutOff(Exception):
        pass

    def cut(table: str, done: int, _: int) -> None:
        if (table, done // 100) not in cuts:
            cuts.add((table, done // 100))
            raise CutOff

    cuts: set[tuple[str, int]] = set()
    with closing(EventContents(f"chdb://{filled}")) as here:
        done = None
        while done is None:
            with closing(EventContents(url)) as there, suppress(CutOff):
                done = copy(here, there, cut)
    assert len(cuts) > 10
    assert done.equal


def test_a_killed_move_of_events_goes_on_with_the_same_command(filled: Path, url: str, tmp_path: Path) -> None:
    env = os.environ | {"XUNJI_DATA_DIR": str(tmp_path / "data")}
    words = [sys.executable, "-m", "cdp", "move", "--from", f"chdb://{filled}", "--to", url, "--json"]
    with closing(ClickHouseEvents(url)) as there:
        with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL) as moving:
            until(lambda: there.count() > 0, 60)
            moving.kill()
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["equal"]
        assert there.count() == EVENTS + 10


def test_a_database_with_events_of_its_own_is_refused_and_left_alone(filled: Path, url: str) -> None:
    with closing(ClickHouseEvents(url)) as there:
        there.write([make_stored(7, set_=39)], token="theirs")
        with (
            closing(EventContents(f"chdb://{filled}")) as here,
            closing(EventContents(url)) as target,
            pytest.raises(Refused, match="of its own in events 202510"),
        ):
            copy(here, target, unseen)
        assert there.count() == 1
