"""The log moved to Kafka and back: every hit keeps its partition, offset and time, also where hits are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from cdp.errors import Refused
from cdp.log_kafka import KafkaLogConsumer, KafkaLogReader
from cdp.log_notes import rewrite_rows
from cdp.log_sqlite import SqliteLogReader
from cdp.migrations import migrate
from cdp.model import Position
from cdp.move import log as cdp_log
from cdp.move.copy import copy
from cdp.move.log_kafka import KafkaLogContents
from cdp.move.log_sqlite import SqliteLogContents
from cdp.records import open_engine, reading, writing
from tests.cdp.kept_log import HITS, REWRITTEN, TRIMMED, all_of, make_log
from tests.real.product import until
from tests.real.servers import Kafka

_numbers = iter(range(1_000))


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/records.db")
    migrate(engine, "records")
    yield engine
    engine.dispose()


@pytest.fixture
def url(kafka: Kafka) -> str:
    """Of a log that is not there, and would have fewer or more partitions than the one that is moved to it."""
    number = next(_numbers)
    return f"kafka://{kafka.address}/move{number}?partitions={(2, 8)[number % 2]}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_log(tmp_path / "log")
    return tmp_path / "log"


def unseen(*_: object) -> None:
    pass


def move(source: Any, target: Any, tell: Any = unseen) -> Any:
    """Opened for this move alone."""
    with ExitStack() as opened:
        return copy(*(opened.enter_context(closing(each())) for each in (source, target)), tell)


def test_a_log_says_the_same_on_kafka_and_comes_back(folder: Path, url: str, records: Engine, tmp_path: Path) -> None:
    def on_disk() -> SqliteLogContents:
        return SqliteLogContents(folder)

    def on_kafka() -> KafkaLogContents:
        return KafkaLogContents(url, records)

    done = move(on_disk, on_kafka)
    assert (done.equal, done.copied) == (True, HITS - TRIMMED + 70)
    again = move(on_disk, on_kafka)
    assert (again.equal, again.copied) == (True, 0)
    with closing(SqliteLogReader(folder)) as one, closing(KafkaLogReader(url, records)) as there:
        assert all_of(there) == all_of(one)
    assert move(on_kafka, lambda: SqliteLogContents(tmp_path / "back")).equal
    with closing(SqliteLogReader(folder)) as one, closing(SqliteLogReader(tmp_path / "back")) as back:
        assert all_of(back) == all_of(one)


def test_workers_read_a_moved_log_as_if_nothing_were_missing(folder: Path, url: str, records: Engine) -> None:
    move(lambda: SqliteLogContents(folder), lambda: KafkaLogContents(url, records))
    found: dict[int, list[int]] = {0: [], 3: []}
    with closing(KafkaLogConsumer(url)) as consumer, closing(SqliteLogReader(folder)) as reader:
        until(lambda: bool(consumer.poll(records=9, size=9, timeout_s=0.1)) or consumer.partitions() >= {0, 3}, 60)
        for partition in found:
            consumer.begin(partition, reader.starts()[partition])

        def all_came() -> bool:
            for partition, some in consumer.poll(records=1_000, size=10_000_000, timeout_s=0.2).items():
                found[partition] += [each.offset for each in some]
            return all(found[each] and found[each][-1] == end - 1 for each, end in ((0, HITS), (3, 90)))

        until(all_came, 60)
        assert found == {each: [hit.offset for hit in reader.read(each, 0, 10_000)] for each in found}
        with pytest.raises(Refused, match="1 workers read this log"):
            KafkaLogContents(url, records)


def test_a_move_to_kafka_that_was_cut_off_anywhere_goes_on(
    folder: Path, url: str, records: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdp_log, "PAGE_RECORDS", 97)

    class CutOff(Exception):
        pass

    def cut(*told: object) -> None:
        if told not in cuts:
            cuts.append(told)
            raise CutOff

    cuts: list[object] = []
    with closing(SqliteLogContents(folder)) as one:
        while True:
            with closing(KafkaLogContents(url, records)) as there:
                try:
                    done = copy(one, there, cut)
                    break
                except CutOff:
                    continue
    assert len(cuts) >= 6
    assert (done.equal, done.copied) == (True, 0)


def test_what_was_redacted_on_kafka_comes_back_redacted(
    folder: Path, url: str, records: Engine, tmp_path: Path
) -> None:
    move(lambda: SqliteLogContents(folder), lambda: KafkaLogContents(url, records))
    with closing(KafkaLogReader(url, records)) as there:
        there.rewrite(Position(0, 200), b"nothing")
    assert move(lambda: KafkaLogContents(url, records), lambda: SqliteLogContents(tmp_path / "back")).equal
    with closing(SqliteLogReader(tmp_path / "back")) as back:
        assert [back.read(0, offset, 1)[0].payload for offset in (200, REWRITTEN.offset)] == [b"nothing", b"redacted"]


def test_what_was_redacted_once_more_since_is_not_as_it_was(folder: Path, url: str, records: Engine) -> None:
    old = {**REWRITTEN._asdict(), "payload": b"her name and her number"}
    with writing(records) as db:
        db.execute(insert(rewrite_rows), old)
    assert move(lambda: SqliteLogContents(folder), lambda: KafkaLogContents(url, records)).equal
    with closing(KafkaLogReader(url, records)) as there, reading(records) as db:
        assert there.read(*REWRITTEN, 1)[0].payload == b"redacted"
        assert db.execute(select(rewrite_rows)).all() == []


def test_a_topic_with_hits_of_its_own_is_refused(folder: Path, url: str, records: Engine, tmp_path: Path) -> None:
    make_log(tmp_path / "other")
    with closing(SqliteLogReader(tmp_path / "other")) as other:
        other.rewrite(Position(0, 140), b"other")
    assert move(lambda: SqliteLogContents(tmp_path / "other"), lambda: KafkaLogContents(url, records)).equal
    with pytest.raises(Refused, match="of its own in partition 0"):
        move(lambda: SqliteLogContents(folder), lambda: KafkaLogContents(url, records))
