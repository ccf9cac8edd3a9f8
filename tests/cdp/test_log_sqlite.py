"""The SQLite log: the contract, and what only files and processes can do to it."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

import cdp.log_sqlite
from cdp.doorbell import PIPE_BYTES, Doorbell
from cdp.errors import ConfigurationError, LogFull, StoreUnavailable
from cdp.log import LogReader, LogWriter
from cdp.log_sqlite import SqliteLogReader, SqliteLogWriter
from cdp.log_sqlite_consumer import SqliteLogConsumer
from cdp.model import Position
from tests.contracts.log_consumer_contract import ConsumerContract
from tests.contracts.log_contract import LONG_S, LogContract, append_all, fill, payloads, run


class SqliteLog:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._readers: list[SqliteLogReader] = []
        self._writers: list[SqliteLogWriter] = []
        self._consumers: list[SqliteLogConsumer] = []

    def writer(self, partition: int = 0) -> LogWriter:
        self._writers.append(SqliteLogWriter(self.folder, partition))
        return self._writers[-1]

    def reader(self) -> LogReader:
        self._readers.append(SqliteLogReader(self.folder))
        return self._readers[-1]

    def consumer(self) -> SqliteLogConsumer:
        self._consumers.append(SqliteLogConsumer(self.folder, self.reader()))
        return self._consumers[-1]

    def fill(self, partition: int, payloads: Sequence[bytes]) -> None:
        async def work() -> None:
            writer = SqliteLogWriter(self.folder, partition)
            await append_all(writer, payloads)
            await writer.close()

        run(work())

    def close(self) -> None:
        for consumer in self._consumers:
            consumer.close()
        for reader in self._readers:
            reader.close()
        for writer in self._writers:
            asyncio.run(writer.close())


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log")
    yield log
    log.close()


class TestSqliteLog(LogContract):
    """The whole contract."""


class TestSqliteConsumer(ConsumerContract):
    @pytest.fixture
    def log(self, log: SqliteLog) -> SqliteLog:
        for partition in (0, 1):
            log.fill(partition, [])
        return log


def test_an_empty_log_has_no_partitions(log: SqliteLog) -> None:
    reader = log.reader()
    assert (reader.ends(), reader.starts(), reader.trim(5_000)) == ({}, {}, 0)


def test_a_running_reader_sees_a_new_partition_and_keeps_them_apart(log: SqliteLog) -> None:
    reader = log.reader()
    log.fill(0, payloads(2))
    assert reader.ends() == {0: 2}
    log.fill(1, payloads(3))
    assert reader.ends() == {0: 2, 1: 3}
    assert len(reader.read(1, 0, 10)) == 3


def test_a_second_writer_of_a_partition_is_refused_in_one_sentence(log: SqliteLog) -> None:
    log.writer(0)
    with pytest.raises(ConfigurationError, match=r"XUNJI_LOG_URL is the folder .* to whose partition 0 another"):
        SqliteLogWriter(log.folder, 0)
    log.writer(1)


def test_a_second_writing_process_is_refused_until_the_first_is_gone(log: SqliteLog) -> None:
    child = start(APPEND_FOREVER, log.folder, 1)
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(ConfigurationError):
        log.writer(0)
    child.kill()
    child.wait()
    child.stdout.close()
    log.writer(0)


def test_an_append_after_closing_is_refused_and_may_be_tried_elsewhere(log: SqliteLog) -> None:
    async def work() -> None:
        writer = log.writer()
        await writer.close()
        with pytest.raises(StoreUnavailable):
            await writer.append(b"late", 1_000)

    run(work())


def test_hits_that_wait_together_share_one_transaction(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this each hit would cost a sync of its own."""

    async def work() -> int:
        writer = log.writer()
        commits = 0

        def count(sql: str) -> None:
            nonlocal commits
            commits += sql == "COMMIT"

        assert isinstance(writer, SqliteLogWriter)
        writer._db.set_trace_callback(count)
        await append_all(writer, payloads(50))
        return commits

    assert run(work()) == 1


APPEND_FOREVER = """
import asyncio, sys
from pathlib import Path
import uvloop
import cdp.log_sqlite
from cdp.log_sqlite import SqliteLogWriter

cdp.log_sqlite.CHECKPOINT_BYTES = 50_000

async def connection(writer, name):
    for turn in range(1_000_000):
        payload = b"%d of %s " % (turn, name) + b"x" * (turn * 37 % 1_500)
        position = await writer.append(payload, 1_000)
        print(position.offset, turn, name.decode(), flush=True)

async def main():
    writer = SqliteLogWriter(Path(sys.argv[1]), 0)
    await asyncio.gather(*(connection(writer, b"c%d" % n) for n in range(int(sys.argv[2]))))

uvloop.run(main())
"""


def start(script: str, folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(folder), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(cdp.log_sqlite.__file__).parents[1])


def test_a_writer_killed_at_any_moment_keeps_what_it_answered_and_leaves_no_gap(log: SqliteLog) -> None:
    reader = log.reader()
    chance = random.Random(20)
    answered: dict[int, bytes] = {}
    for _ in range(20):
        child = start(APPEND_FOREVER, log.folder, 8)
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        threading.Timer(chance.uniform(0, 0.1), child.send_signal, [signal.SIGKILL]).start()
        lines += child.stdout.readlines()
        child.wait()
        child.stdout.close()
        for line in lines:
            if line.endswith("\n"):
                offset, turn, name = line.split()
                assert int(offset) not in answered
                answered[int(offset)] = f"{turn} of {name} ".encode() + b"x" * (int(turn) * 37 % 1_500)
    records = reader.read(0, 0, 10_000_000)
    kept = dict(records)
    assert [record.offset for record in records] == list(range(len(records))) == list(range(reader.ends()[0]))
    assert len(answered) > 200
    assert {offset: kept.get(offset) for offset in answered} == answered
    with closing(sqlite3.connect(log.folder / "partition-0.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


FILL_THE_DISK = """
import asyncio, resource, sys
from pathlib import Path
from cdp.errors import LogFull
from cdp.log_sqlite import SqliteLogWriter

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    writer = SqliteLogWriter(Path(sys.argv[1]), 0)
    limit(1_000_000)
    kept, refused = 0, []
    while not refused:
        answers = await asyncio.gather(
            *(writer.append(b"x" * 700, 1_000) for _ in range(10)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Exception)]
        kept += len(answers) - len(refused)
    assert len(refused) == 10 and all(isinstance(error, LogFull) for error in refused), refused
    assert not writer.healthy()
    try:
        await writer.append(b"x" * 7_000, 1_000)
    except LogFull:
        assert not writer.healthy()
    else:
        raise AssertionError("the disk is full")
    limit(1)
    writer.try_again()
    assert not writer.healthy()
    limit(resource.RLIM_INFINITY)
    writer.try_again()
    assert writer.healthy()
    position = await writer.append(b"after", 1_000)
    assert writer.healthy()
    await writer.close()
    print(kept, position.offset)

asyncio.run(main())
"""


def test_a_full_disk_refuses_all_who_wait_and_the_log_recovers_by_itself(log: SqliteLog) -> None:
    child = start(FILL_THE_DISK, log.folder)
    out, _ = child.communicate(timeout=LONG_S)
    assert child.returncode == 0
    kept, after = map(int, out.split())
    assert kept == after > 100
    reader = log.reader()
    assert reader.read(0, after, 10) == [(after, b"after")]
    assert len(reader.read(0, 0, after * 2)) == reader.ends()[0] == after + 1


def test_a_record_that_cannot_be_kept_is_refused_and_the_next_one_is_kept(log: SqliteLog) -> None:
    async def work() -> Position:
        writer = log.writer()
        with pytest.raises(LogFull):
            await writer.append(b"hit", 2**70)
        assert not writer.healthy()
        return await writer.append(b"next", 1_000)

    assert run(work()) == Position(0, 0)


def test_a_file_that_stays_locked_is_answered_like_a_full_disk(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdp.log_sqlite, "WRITER_BUSY_S", 0.02)

    async def work() -> Position:
        writer = log.writer()
        with closing(sqlite3.connect(log.folder / "partition-0.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LogFull, match="locked"):
                await writer.append(b"hit", 1_000)
        return await writer.append(b"next", 1_000)

    assert run(work()) == Position(0, 0)


RING_AND_LOOK = """
import sys
from pathlib import Path
from cdp.log_sqlite import SqliteLogReader
from cdp.log_sqlite_consumer import SqliteLogConsumer

consumer = SqliteLogConsumer(Path(sys.argv[1]), SqliteLogReader(Path(sys.argv[1])))
seen, goal = 0, int(sys.argv[2])
print("ready", flush=True)
while seen < goal:
    found = consumer.poll(records=1_000, size=1_000_000, timeout_s=3_600)
    for partition in consumer.waiting():
        consumer.begin(partition, 0)
    seen += sum(map(len, found.values()))
    print(seen, flush=True)
"""


def test_no_wake_up_is_lost_between_processes(log: SqliteLog) -> None:
    """The other process waits an hour for each record, and the next is only appended when it has seen the last."""
    child = start(RING_AND_LOOK, log.folder, 1_000)
    assert child.stdout is not None
    child.stdout.readline()

    def seen(count: int) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= count:
                return

    async def work() -> None:
        writer = log.writer()
        for number in range(1_000):
            await writer.append(b"hit", 1_000)
            await asyncio.to_thread(seen, number + 1)

    try:
        run(asyncio.wait_for(work(), timeout=LONG_S * 2))
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_pipe_that_nobody_empties_stops_no_append_and_still_wakes(log: SqliteLog) -> None:
    fill(log, [1_000])
    bell = Doorbell(log.folder)
    for _ in range(PIPE_BYTES + 10):
        bell.ring()
    fill(log, [1_000])
    bell.wait(LONG_S * 10)
    bell.close()
    assert log.reader().ends() == {0: 2}


def test_the_write_ahead_log_stays_bounded_under_load(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdp.log_sqlite, "CHECKPOINT_BYTES", 200_000)
    reader = log.reader()

    async def work() -> int:
        writer = log.writer()
        largest = 0
        for _ in range(300):
            await append_all(writer, [b"x" * 1_000] * 50)
            reader.read(0, 0, 10)
            largest = max(largest, (log.folder / "partition-0.db-wal").stat().st_size)
        await writer.close()
        return largest

    assert run(work()) < 5_000_000
    assert reader.ends() == {0: 15_000}


def test_a_partition_appears_whole_though_its_maker_died_half_way(log: SqliteLog) -> None:
    reader = log.reader()
    (log.folder / "partition-0.new").write_bytes(b"half a file")
    assert reader.ends() == {}
    fill(log, [1_000])
    assert reader.ends() == {0: 1}


def test_redacted_bytes_are_nowhere_in_the_files_once_all_is_closed(log: SqliteLog) -> None:
    async def work() -> None:
        writer = log.writer()
        for number in range(20):
            await writer.append(b"secret-%d " % number * 500, 1_000)
        await writer.close()

    run(work())
    reader = log.reader()
    reader.rewrite(Position(0, 3), b"redacted")
    reader.close()
    everything = b"".join(path.read_bytes() for path in log.folder.glob("partition-*"))
    assert b"secret-3 " not in everything
    assert b"secret-4 " in everything


def test_a_file_that_is_no_log_is_named_as_unavailable(log: SqliteLog) -> None:
    reader = log.reader()
    (log.folder / "partition-0.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(StoreUnavailable, match="log"):
        reader.ends()


def test_a_purge_leaves_nothing_of_a_redacted_record_beside_a_writer_that_goes_on(log: SqliteLog) -> None:
    reader = log.reader()

    def found(secret: bytes) -> bool:
        return any(secret in path.read_bytes() for path in log.folder.glob("partition-*"))

    async def work() -> None:
        writer = log.writer()
        for number in range(200):
            await writer.append(b"secret-%d " % number * 500, 1_000)
        assert found(b"secret-7 ")
        reader.rewrite(Position(0, 7), b"redacted")
        appending = asyncio.create_task(append_on(writer))
        await asyncio.to_thread(reader.purge)
        await appending
        assert not found(b"secret-7 ")
        assert found(b"secret-8 ")
        await writer.close()

    async def append_on(writer: LogWriter) -> None:
        for number in range(200, 300):
            assert await writer.append(b"secret-%d " % number, 1_000) == Position(0, number)

    run(work())
    assert [record.offset for record in reader.read(0, 0, 1_000)] == list(range(300))
