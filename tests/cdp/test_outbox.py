"""What becomes of persons goes out once each, in order, whatever crashes in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, select

from cdp.errors import StoreUnavailable
from cdp.feeds import cursor_rows
from cdp.live import LiveFeed
from cdp.migrations import migrate
from cdp.outbox import Outbox
from cdp.outgoing import outbox_rows
from cdp.records import open_engine, reading
from identity.engine import IdentityEngine
from identity.graph_sql import SqlGraph
from tests.identity.makers import SMALL, make_observation


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/records.db")
    migrate(engine, "records")
    yield engine
    engine.dispose()


@pytest.fixture
def identity(tmp_path: Path) -> Iterator[IdentityEngine]:
    engine = open_engine(f"sqlite:///{tmp_path}/graph.db")
    migrate(engine, "graph")
    graph = SqlGraph(engine)
    yield IdentityEngine(graph, SMALL, now=lambda: 1_700_000_000_000)
    graph.close()


def rows(records: Engine) -> list[dict[str, Any]]:
    with reading(records) as connection:
        found = connection.execute(select(outbox_rows).order_by(outbox_rows.c.n)).all()
    bodies = [msgspec.json.decode(row.payload) for row in found]
    assert [(row.id, row.kind) for row in found] == [(body["id"], body["kind"]) for body in bodies]
    return bodies


def merge(identity: IdentityEngine, n: int = 0) -> None:
    identity.observe(
        [make_observation(f"member:{n}", f"device:a{n}"), make_observation(f"openid:x/{n}", f"device:b{n}")]
    )
    identity.observe([make_observation(f"member:{n}", f"openid:x/{n}", day=1)])


def test_a_merge_goes_out_with_its_persons_its_cause_and_the_version(records: Engine, identity: IdentityEngine) -> None:
    merge(identity)
    assert Outbox(records, identity, LiveFeed()).fill() == 1
    [told] = rows(records)
    [change] = identity.changes_since(0)
    assert told == {
        "id": f"2-merged-{change.person}",
        "kind": "person.merged",
        "at": "2023-11-14T22:13:20.000Z",
        "person": change.person,
        "others": list(change.others),
        "causes": [str(change.cause)],
        "graph_version": 2,
    }


def test_nothing_goes_out_twice_after_a_crash_or_a_restart(records: Engine, identity: IdentityEngine) -> None:
    merge(identity)
    Outbox(records, identity, LiveFeed()).fill()
    with records.begin() as connection:
        # As if the process had died before the place was noted.
        connection.execute(cursor_rows.delete())
    assert Outbox(records, identity, LiveFeed()).fill() == 0
    merge(identity, 1)
    assert Outbox(records, identity, LiveFeed()).fill() == 1
    assert [each["graph_version"] for each in rows(records)] == [2, 4]


def test_listeners_hear_what_is_new_and_only_that(records: Engine, identity: IdentityEngine) -> None:
    live = LiveFeed()
    outbox = Outbox(records, identity, live)
    merge(identity)
    outbox.tell()
    with live.listening() as listener:
        merge(identity, 1)
        outbox.tell()
        outbox.tell()
        message = listener.next(0)
        assert message is not None
        assert (message.kind, msgspec.json.decode(msgspec.json.encode(message.body))) == ("person", rows(records)[-1])
        assert listener.next(0) is None


def test_one_process_follows_a_graph_that_others_move(records: Engine, identity: IdentityEngine) -> None:
    live = LiveFeed()
    following = Outbox(records, IdentityEngine(identity.graph, SMALL), live, shared=True)
    thread = threading.Thread(target=following.run)
    with live.listening() as listener:
        thread.start()
        merge(identity)
        Outbox(records, identity, LiveFeed(), shared=True).tell()
        assert listener.next(30) is not None
        following.stop()
        thread.join()
        assert listener.next(0) is None
    assert len(rows(records)) == 1


def test_where_the_graph_did_not_move_no_store_is_asked(
    records: Engine, identity: IdentityEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(identity)
    outbox = Outbox(records, identity, LiveFeed())
    outbox.tell()
    monkeypatch.setattr(outbox, "fill", None)
    outbox.tell()


def test_what_only_adds_to_persons_writes_no_row(records: Engine, identity: IdentityEngine) -> None:
    identity.observe([make_observation("member:1", "device:1")])
    outbox = Outbox(records, identity, LiveFeed())
    assert outbox.fill() == 0
    with reading(records) as connection:
        assert connection.execute(select(cursor_rows)).all() == []


def test_a_store_that_is_away_is_caught_up_with_later(
    records: Engine, identity: IdentityEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(identity)
    outbox = Outbox(records, identity, LiveFeed())

    def away(*_: object) -> None:
        raise StoreUnavailable("graph", "it is away")

    with monkeypatch.context() as patched:
        patched.setattr(identity, "changes_since", away)
        outbox.tell()
    assert rows(records) == []
    outbox.tell()
    assert len(rows(records)) == 1
