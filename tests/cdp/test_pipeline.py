"""Every event has exactly one outcome, and nothing else comes out."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Engine, select

from cdp import pipeline
from cdp.accounting import refusal_rows, statement
from cdp.batch import Batch, Item
from cdp.begun import Notes
from cdp.errors import ConfigurationError, StoreUnavailable
from cdp.model import Hit, Identifier, Source
from cdp.moments import now_ms
from cdp.pipeline import Tools
from cdp.progress import Progress
from cdp.records import reading
from cdp.replays import Replay
from cdp.settings import Settings
from cdp.stores import open_log_consumer
from cdp.wiring import System, open_system
from cdp.worker import Worker
from tests.cdp.intake import Intake, hit_of, make_event
from tests.files import contents


class Crash(BaseException):
    """As SIGKILL: nothing of ours catches it."""


def crash(*_: object) -> list[Item]:
    raise Crash


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    opened = open_system(Settings(data_dir=tmp_path_factory.mktemp("data")))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def intake(system: System) -> Iterator[Intake]:
    opened = Intake(system)
    yield opened
    opened.close()


@pytest.fixture
def source(intake: Intake) -> Source:
    return intake.source()


def account(system: System, source: Source) -> dict[str, Any]:
    """The counts of one source, summed over hours; and the books as a whole must balance."""
    told = statement(system.records, system.log.ends())
    assert told["balanced"]
    total: dict[str, Any] = {"found": 0, "stored": 0, "duplicate": 0, "dropped": {}, "translated": 0, "unreadable": 0}
    for row in told["rows"]:
        if row["source"] == source.id:
            for name in ("found", "stored", "duplicate"):
                total[name] += row["events"][name]
            total["dropped"] |= row["events"]["dropped"]
            for name in ("translated", "unreadable"):
                total[name] += row["hits"][name]
    return {name: n for name, n in total.items() if n}


def stored(system: System, source: Source) -> list[dict[str, Any]]:
    return system.events.recent(limit=1_000, source=source.id)


def test_a_good_event_is_stored_and_nothing_else_comes_out(system: System, intake: Intake, source: Source) -> None:
    intake.take(source.id, make_event())
    assert account(system, source) == {"found": 1, "stored": 1, "translated": 1}
    assert len(stored(system, source)) == 1


def test_an_id_counts_once_within_a_batch_and_over_batches(system: System, intake: Intake, source: Source) -> None:
    event = make_event()
    intake.take(source.id, event, event | {"properties": {"other": 1}})
    intake.take(source.id, event)
    assert account(system, source) == {"found": 3, "stored": 1, "duplicate": 2, "translated": 3}
    assert [each["properties"] for each in stored(system, source)] == [{}]


def test_the_same_id_of_another_source_is_another_event(system: System, intake: Intake, source: Source) -> None:
    event, other = make_event(), intake.source()
    intake.take(source.id, event)
    intake.take(other.id, event)
    assert account(system, source) == account(system, other) == {"found": 1, "stored": 1, "translated": 1}


def test_an_unreadable_hit_is_counted_and_kept(system: System, intake: Intake, source: Source) -> None:
    [position] = intake.take(source.id, b"\x1f\x8b broken")
    assert account(system, source) == {"unreadable": 1}
    hit = system.hits.find(position)
    assert hit is not None
    assert hit.body == b"\x1f\x8b broken"


def test_a_hit_of_no_source_ends_as_unknown_key(system: System, intake: Intake) -> None:
    nobody = Source(id="", kind=intake.source().kind)
    before = account(system, nobody).get("dropped", {}).get("UNKNOWN_KEY", 0)
    intake.take("", make_event())
    assert account(system, nobody)["dropped"] == {"UNKNOWN_KEY": before + 1}


def hit_of_nobody(key: str) -> Hit:
    """As a collector keeps what Sensors' SDK sent with a key that it does not know."""
    record = {"type": "track", "event": "seat_viewed", "distinct_id": "visitor-1", "time": now_ms(), "properties": {}}
    body = json.dumps(record | {"_track_id": secrets.randbelow(10**9)}).encode()
    return msgspec.structs.replace(hit_of("", body), dialect="sensors", target=f"/sa?project={key}")


def test_a_new_key_counts_where_a_collector_has_not_heard_of_it_yet(system: System, intake: Intake) -> None:
    source = intake.source()
    intake.append_hits([hit_of_nobody(source.keys[0]), hit_of_nobody("nobody's")])
    system.worker.drain()
    assert account(system, source) == {"found": 1, "stored": 1}


def test_what_came_with_an_unknown_key_is_stored_by_a_replay_once_a_source_has_it(
    system: System, intake: Intake
) -> None:
    key = secrets.token_hex(8)
    intake.append_hits([hit_of_nobody(key), hit_of_nobody("nobody's")])
    system.worker.drain()
    source = intake.source(key=key)
    assert account(system, source) == {}
    system.replays.request(0, None)
    system.replaying.drain()
    assert account(system, source) == {"found": 1, "stored": 1}


def test_an_event_with_a_key_of_its_own_counts_in_a_hit_of_nobody(system: System, intake: Intake) -> None:
    known = intake.source()
    intake.take("", make_event(writeKey=known.keys[0]), make_event())
    assert account(system, known)["stored"] == 1


def test_a_poison_event_ends_alone_with_its_trace(
    system: System, intake: Intake, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(tools: Tools, batch: Batch, items: list[Item]) -> list[Item]:
        if any(item.event.name == "poison" for item in items):
            raise ZeroDivisionError("call 13651234567")
        return pipeline.resolve_identity(tools, batch, items)

    steps = tuple(resolve if step is pipeline.resolve_identity else step for step in pipeline.STEPS)
    monkeypatch.setattr(pipeline, "STEPS", steps)
    intake.take(source.id, *(make_event(event="poison" if n == 3 else "seat_viewed") for n in range(7)))
    assert account(system, source) == {"found": 7, "stored": 6, "dropped": {"INTERNAL": 1}, "translated": 7}
    with reading(system.records) as connection:
        [row] = connection.execute(select(refusal_rows).where(refusal_rows.c.source == source.id)).all()
    assert "ZeroDivisionError" in row.detail
    assert "13651234567" not in row.detail


def test_a_store_that_is_away_is_waited_for_and_nothing_counts_twice(
    system: System, intake: Intake, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([StoreUnavailable("events", "away"), StoreUnavailable("events", "away")])
    monkeypatch.setattr(StoreUnavailable, "retry_after_s", 0)

    def store(tools: Tools, batch: Batch, items: list[Item]) -> list[Item]:
        kept = pipeline.store_events(tools, batch, items)
        for failure in failures:
            raise failure
        return kept

    steps = tuple(store if step is pipeline.store_events else step for step in pipeline.STEPS)
    monkeypatch.setattr(pipeline, "STEPS", steps)
    intake.take(source.id, *(make_event() for _ in range(5)))
    assert account(system, source) == {"found": 5, "stored": 5, "translated": 5}
    assert len(stored(system, source)) == 5


@pytest.mark.parametrize("step", [step.__name__ for step in pipeline.STEPS] + ["commit", "publish"])
def test_a_batch_that_a_crash_cut_off_after_any_step_is_done_again_to_the_same_end(
    system: System, intake: Intake, source: Source, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def crash_after(run: Any) -> Any:
        def crashing(*arguments: Any) -> Any:
            run(*arguments)
            raise Crash

        crashing.__name__ = run.__name__
        return crashing

    event = make_event(type="identify", userId="member-1", traits={"visits": 1})
    intake.append(source.id, event, event, make_event())
    with monkeypatch.context() as patch:
        if step in ("commit", "publish"):
            patch.setattr(pipeline, step, crash_after(getattr(pipeline, step)))
        else:
            steps = tuple(crash_after(each) if each.__name__ == step else each for each in pipeline.STEPS)
            patch.setattr(pipeline, "STEPS", steps)
        with pytest.raises(Crash):
            system.worker.drain()
    restarted(system).drain()
    system.worker.drain()
    assert account(system, source) == {"found": 3, "stored": 2, "duplicate": 1, "translated": 3}
    events = stored(system, source)
    assert len(events) == 2
    sets = sorted({each["set"] for each in events})
    assert [row.name for row in system.events.traits(sets) if row.event in {each["id"] for each in events}] == [
        "visits"
    ]


def test_what_a_batch_moved_between_persons_is_told_although_a_crash_came_before_it_could_be(
    system: System, intake: Intake, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: set[int] = set()

    def tell(tools: Tools, batch: Batch, items: list[Item]) -> list[Item]:
        told.update(batch.changed_sets)
        return pipeline.capture_lead(tools, batch, items)

    intake.take(source.id, make_event(userId="mover"), make_event(anonymousId="moved"))
    [moved] = {each["set"] for each in stored(system, source) if len(each["identifiers"]) == 1}
    intake.append(source.id, make_event(type="identify", userId="mover", anonymousId="moved"))
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "STEPS", (*pipeline.STEPS[:4], crash))
        with pytest.raises(Crash):
            system.worker.drain()
    monkeypatch.setattr(pipeline, "STEPS", (*pipeline.STEPS[:-1], tell))
    restarted(system).drain()
    system.worker.drain()
    assert moved in told


def restarted(system: System) -> Worker:
    """A worker that knows only what the stores know."""
    tools = replace(system.worker._tools, notes=Notes())
    consumer = partial(open_log_consumer, system.settings, system.log)
    return Worker(tools, system.log, consumer, system.hits, progress=Progress(), clock=now_ms)


def replayed(system: System, source: Source) -> Replay:
    replay = system.replays.request(0, source.id)
    system.replaying.drain()
    return system.replays.find(replay.id)


def test_a_replay_changes_nothing_and_a_second_one_neither(system: System, intake: Intake, source: Source) -> None:
    nameless = make_event(event="")
    intake.take(
        source.id, make_event(), b"{broken", nameless, make_event(messageId="same"), make_event(messageId="same")
    )
    before = account(system, source), stored(system, source)
    for _ in range(2):
        replay = replayed(system, source)
        assert replay.done
        assert replay.changed == 0
        assert (account(system, source), stored(system, source)) == before


def test_a_mended_dialect_finds_on_replay_what_it_could_not_read(
    system: System, intake: Intake, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect = pipeline_dialect(system)
    mended = dialect.translate

    def broken(hit: Any, hit_id: str, source_of_key: Any) -> Any:
        if b"mend me" in hit.body:
            raise ValueError("a fault of the dialect")
        return mended(hit, hit_id, source_of_key)

    with monkeypatch.context() as patch:
        patch.setattr(dialect, "translate", broken)
        intake.take(source.id, make_event(), make_event(properties={"note": "mend me"}))
    assert account(system, source) == {"found": 1, "stored": 1, "translated": 1, "unreadable": 1}
    for _ in range(2):
        replayed(system, source)
        assert account(system, source) == {"found": 2, "stored": 2, "translated": 2}
    assert len(stored(system, source)) == 2


def test_a_wrong_setting_drops_no_event(
    system: System, intake: Intake, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[Item]:
        raise ConfigurationError("XUNJI_SECRET", came="another", allowed="one for all")

    intake.append(source.id, make_event(), make_event())
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "STEPS", (*pipeline.STEPS[:3], refuse))
        with pytest.raises(ConfigurationError):
            system.worker.drain()
    restarted(system).drain()
    assert account(system, source) == {"found": 2, "stored": 2, "translated": 2}


def unread(system: System, patch: pytest.MonkeyPatch) -> None:
    """Let the dialect find nothing in hits that say "mend me"."""
    dialect = pipeline_dialect(system)
    mended = dialect.translate

    def broken(hit: Any, *rest: Any) -> Any:
        return [] if b"mend me" in hit.body else mended(hit, *rest)

    patch.setattr(dialect, "translate", broken)


def test_a_replay_whose_claim_was_written_but_not_answered_stores_what_it_found(
    system: System, intake: Intake, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        unread(system, patch)
        intake.take(source.id, make_event(properties={"note": "mend me"}))
    written, lost = pipeline.writing, [True]

    @contextmanager
    def unanswered(engine: Engine, **options: Any) -> Iterator[Connection]:
        with written(engine, **options) as connection:
            yield connection
        if lost:
            lost.pop()
            raise StoreUnavailable("records", "its answer was lost")

    monkeypatch.setattr(pipeline, "writing", unanswered)
    monkeypatch.setattr(StoreUnavailable, "retry_after_s", 0)
    replayed(system, source)
    assert not lost
    assert account(system, source) == {"found": 1, "stored": 1, "translated": 1}


def test_a_replay_of_one_source_that_is_cut_off_ends_with_the_hits_of_that_source(
    system: System, intake: Intake, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = intake.source()
    with monkeypatch.context() as patch:
        unread(system, patch)
        for each in (source, other, source, other):
            intake.append(each.id, make_event(properties={"note": "mend me"}))
        system.worker.drain()
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "commit", crash)
        system.replays.request(0, other.id)
        with pytest.raises(Crash):
            system.replaying.drain()
    monkeypatch.setattr(system.replaying, "_recovered", False)
    system.replaying.drain()
    assert account(system, source) == {"translated": 2}
    assert account(system, other) == {"found": 2, "stored": 2, "translated": 2}
    assert len(stored(system, other)) == 2


def pipeline_dialect(system: System) -> Any:
    return system.worker._tools.dialects["segment"]


def test_a_merge_moves_no_event_and_shows_at_once(system: System, intake: Intake, source: Source) -> None:
    intake.take(source.id, make_event(anonymousId="tablet-a"), make_event(anonymousId="phone-b"))
    a, b = (system.identity.person_of(Identifier("anonymous_id", each)) for each in ("tablet-a", "phone-b"))
    assert a is not None
    assert a != b
    for visitor in ("tablet-a", "phone-b"):
        intake.take(source.id, make_event(type="identify", anonymousId=visitor, userId="member-77"))
    merged = system.identity.person_of(Identifier("member_id", "member-77"))
    assert merged is not None
    assert system.identity.current(a) == system.identity.current(b) == merged  # type: ignore[arg-type]
    trail = system.events.trail(system.identity.sets_of(merged), limit=10)
    assert len(trail) == 4


PERSONAL = {
    "phone": "13651234567",
    "phone as typed": "136 5123 4567",
    "e-mail": "li.na@example.com",
    "ID number": "11010519491231002X",
    "VIN": "LSVAA49J132047371",
}


def test_no_clear_personal_value_is_in_any_store_but_the_sealed_vault(
    system: System, intake: Intake, source: Source, tmp_path: Path
) -> None:
    everything = " ".join(PERSONAL.values())
    intake.take(
        source.id,
        make_event(
            type="identify",
            userId=PERSONAL["phone"],
            traits={"phone": PERSONAL["phone"], "email": PERSONAL["e-mail"], "note": everything},
            context={"page": {"url": f"https://x.example/?m={PERSONAL['phone']}", "title": everything}},
        ),
        make_event(event="lead_submitted", properties={"phone": PERSONAL["phone as typed"], "remark": everything}),
        make_event(properties={"nested": [{"deep": everything}], PERSONAL["phone"]: 1, "number": 13651234567}),
    )
    assert account(system, source)["stored"] == 3
    written = json.dumps(stored(system, source), ensure_ascii=False)
    files = b"".join(contents(system.settings.data).values())
    told = b"".join(
        str(row).encode()
        for table in ("leads", "lead_contacts", "refusals", "vault")
        for row in table_rows(system, table)
    )
    for name, value in PERSONAL.items():
        assert value not in written, name
        assert value.encode() not in files, name
        assert value.encode() not in told, name


def table_rows(system: System, table: str) -> list[Any]:
    with reading(system.records) as connection:
        return list(connection.exec_driver_sql(f"SELECT * FROM {table}"))


def test_a_worker_waits_for_a_store_that_is_away_when_it_looks_for_hits(
    system: System, intake: Intake, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = iter([True, True, False])
    refresh = system.sources.refresh

    def refresh_when_there() -> bool:
        if next(away, False):
            raise StoreUnavailable("records", "away")
        return refresh()

    monkeypatch.setattr(StoreUnavailable, "retry_after_s", 0)
    monkeypatch.setattr(system.sources, "refresh", refresh_when_there)
    [position] = intake.append(source.id, make_event())
    worker = restarted(system)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert worker.progress.wait_for({0: position.offset + 1}, timeout_s=30)
    finally:
        worker.stop()
        thread.join(30)
    system.worker.drain()
    assert account(system, source) == {"found": 1, "stored": 1, "translated": 1}
