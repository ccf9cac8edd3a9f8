"""What every log of hits promises to who appends and who reads. An adapter's suite inherits it and gives `log`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol, TypeVar

import pytest

from cdp.log import LogReader, LogWriter
from cdp.model import Position

T = TypeVar("T")

LONG_S = 30.0
"""A wait that only ends because of what is tested; the suite's own timeout is what fails otherwise."""


class Log(Protocol):
    """One log of one partition, 0, empty at first. The fixture closes what the test left open."""

    def writer(self) -> LogWriter:
        """Called in the event loop that it shall use."""

    def reader(self) -> LogReader: ...


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def payloads(count: int, start: int = 0) -> list[bytes]:
    return [b"hit %d" % number for number in range(start, start + count)]


async def append_all(writer: LogWriter, items: Sequence[bytes], at: int = 1_000) -> list[Position]:
    return placed(await asyncio.gather(*(writer.append(item, at) for item in items)))


def placed(positions: Sequence[Position | None]) -> list[Position]:
    assert None not in positions
    return [position for position in positions if position is not None]


def fill(log: Log, times: Sequence[int]) -> None:
    """One record for each moment, in that order; the writer is closed again."""

    async def work() -> None:
        writer = log.writer()
        for number, at in enumerate(times):
            await writer.append(b"hit %d" % number, at)
        await writer.close()

    run(work())


class LogContract:
    def test_records_are_read_in_the_order_of_their_appends(self, log: Log) -> None:
        fill(log, [1_000] * 5)
        records = log.reader().read(0, 0, 100)
        assert [tuple(record) for record in records] == list(enumerate(payloads(5)))

    def test_offsets_of_a_partition_are_dense_from_0_whoever_waits_together(self, log: Log) -> None:
        async def work() -> list[Position]:
            writer = log.writer()
            positions = []
            for size in (1, 7, 64, 200, 2):
                positions += await append_all(writer, payloads(size))
            await writer.close()
            return positions

        positions = run(work())
        assert positions == [Position(0, offset) for offset in range(274)]
        assert log.reader().ends() == {0: 274}

    def test_each_of_many_waiting_appends_gets_the_position_of_its_own_record(self, log: Log) -> None:
        async def connection(writer: LogWriter, name: int) -> list[tuple[Position, bytes]]:
            said = []
            for turn in range(20):
                payload = b"%d of %d" % (turn, name)
                said += zip(await append_all(writer, [payload]), [payload], strict=True)
            return said

        async def work() -> list[tuple[Position, bytes]]:
            writer = log.writer()
            spoken = await asyncio.gather(*(connection(writer, name) for name in range(16)))
            await writer.close()
            return [pair for said in spoken for pair in said]

        said = run(work())
        kept = {record.offset: record.payload for record in log.reader().read(0, 0, 1_000)}
        assert kept == {position.offset: payload for position, payload in said}
        assert len(said) == len(kept) == 320

    def test_bytes_come_back_as_they_went_in(self, log: Log) -> None:
        odd = [b"", b"\0", bytes(range(256)), "寻迹".encode(), b"x" * 3_000_000]

        async def work() -> None:
            writer = log.writer()
            await append_all(writer, odd)
            await writer.close()

        run(work())
        assert [record.payload for record in log.reader().read(0, 0, 10)] == odd

    def test_an_append_is_readable_when_it_answers(self, log: Log) -> None:
        reader = log.reader()

        async def work() -> None:
            writer = log.writer()
            for number in range(10):
                [position] = await append_all(writer, [b"hit %d" % number])
                assert reader.ends() == {0: number + 1}
                assert reader.read(0, position.offset, 10) == [(number, b"hit %d" % number)]
            await writer.close()

        run(work())

    def test_offsets_go_on_after_a_restart(self, log: Log) -> None:
        fill(log, [1_000] * 3)
        fill(log, [1_000] * 2)
        reader = log.reader()
        assert reader.ends() == {0: 5}
        assert [record.offset for record in reader.read(0, 0, 10)] == [0, 1, 2, 3, 4]

    def test_offsets_go_on_after_a_restart_though_everything_was_trimmed(self, log: Log) -> None:
        fill(log, [1_000] * 3)
        reader = log.reader()
        assert reader.trim(2_000) == 3
        assert (reader.starts(), reader.ends()) == ({0: 3}, {0: 3})
        fill(log, [3_000])
        assert reader.read(0, 0, 10) == [(3, b"hit 0")]
        assert (reader.starts(), reader.ends()) == ({0: 3}, {0: 4})

    def test_reading_at_and_beyond_the_end_gives_nothing(self, log: Log) -> None:
        fill(log, [1_000] * 3)
        reader = log.reader()
        assert reader.read(0, 3, 10) == []
        assert reader.read(0, 4_000, 10) == []
        assert reader.read(0, 2, 10) == [(2, b"hit 2")]

    def test_a_read_is_cut_at_its_limit_and_goes_on_where_it_ended(self, log: Log) -> None:
        fill(log, [1_000] * 10)
        reader = log.reader()
        found: list[bytes] = []
        while chunk := reader.read(0, len(found), 3):
            assert len(chunk) <= 3
            found += [record.payload for record in chunk]
        assert found == payloads(10)

    def test_a_fresh_partition_starts_and_ends_at_0(self, log: Log) -> None:
        fill(log, [])
        reader = log.reader()
        assert (reader.ends(), reader.starts(), reader.seek(0, 0), reader.trim(5_000)) == ({0: 0}, {0: 0}, 0, 0)
        assert reader.read(0, 0, 10) == []

    def test_what_is_no_partition_is_empty(self, log: Log) -> None:
        fill(log, [1_000])
        reader = log.reader()
        assert (reader.read(7, 0, 10), reader.seek(7, 0)) == ([], 0)

    def test_trimming_takes_the_old_records_and_moves_no_offset(self, log: Log) -> None:
        fill(log, [1_000, 2_000, 3_000, 4_000])
        reader = log.reader()
        assert reader.trim(3_000) == 2
        assert reader.trim(3_000) == 0
        assert (reader.starts(), reader.ends()) == ({0: 2}, {0: 4})
        assert [record.offset for record in reader.read(0, 0, 10)] == [2, 3]

    def test_trimming_more_than_one_helping_counts_every_record(self, log: Log) -> None:
        async def work() -> None:
            writer = log.writer()
            await append_all(writer, payloads(1_700), at=1_000)
            await append_all(writer, payloads(30), at=9_000)
            await writer.close()

        run(work())
        reader = log.reader()
        assert reader.trim(5_000) == 1_700
        assert (reader.starts(), reader.ends()) == ({0: 1_700}, {0: 1_730})

    def test_trimming_beside_a_busy_writer_and_a_reader_disturbs_neither(self, log: Log) -> None:
        reader = log.reader()
        wrong: list[str] = []
        done = threading.Event()

        def read_on() -> None:
            while not done.is_set():
                offsets = [record.offset for record in reader.read(0, 0, 10_000)]
                # What is trimmed while it is read leaves a gap.
                if offsets != sorted(set(offsets)):
                    wrong.append(f"{offsets[0]}…{offsets[-1]}")

        async def work() -> int:
            writer = log.writer()
            await append_all(writer, payloads(3_000), at=1_000)
            trimming = asyncio.create_task(asyncio.to_thread(reader.trim, 5_000))
            appended = 3_000
            while not trimming.done() or appended < 3_500:
                positions = await append_all(writer, payloads(10), at=9_000)
                assert positions[0].offset == appended
                appended += 10
            assert await trimming == 3_000
            await writer.close()
            return appended

        thread = threading.Thread(target=read_on)
        thread.start()
        try:
            appended = run(work())
        finally:
            done.set()
            thread.join()
        assert wrong == []
        assert (reader.starts(), reader.ends()) == ({0: 3_000}, {0: appended})

    def test_seek_finds_the_first_record_of_that_moment_or_later(self, log: Log) -> None:
        fill(log, [1_000, 2_000, 2_000, 4_000])
        reader = log.reader()
        assert [reader.seek(0, at) for at in (0, 1_000, 1_001, 2_000, 3_000, 4_000)] == [0, 0, 1, 1, 3, 3]
        assert reader.seek(0, 4_001) == 4

    def test_seek_skips_nothing_where_the_clock_stepped_back(self, log: Log) -> None:
        fill(log, [1_000, 5_000, 2_000, 3_000, 6_000])
        reader = log.reader()
        assert [reader.seek(0, at) for at in (1_000, 2_500, 5_000, 5_500)] == [0, 1, 1, 4]

    def test_seek_knows_only_kept_records(self, log: Log) -> None:
        fill(log, [1_000, 2_000, 3_000])
        reader = log.reader()
        reader.trim(2_500)
        assert (reader.seek(0, 0), reader.seek(0, 9_000)) == (2, 3)
        reader.trim(9_000)
        assert reader.seek(0, 0) == 3

    def test_a_rewritten_record_keeps_its_place_and_its_time(self, log: Log) -> None:
        fill(log, [1_000, 2_000, 3_000])
        reader = log.reader()
        reader.rewrite(Position(0, 1), b"redacted")
        assert [record.payload for record in reader.read(0, 0, 10)] == [b"hit 0", b"redacted", b"hit 2"]
        assert (reader.seek(0, 1_500), reader.ends()) == (1, {0: 3})

    def test_a_purge_changes_nothing_that_can_be_read(self, log: Log) -> None:
        fill(log, [1_000, 2_000, 3_000])
        reader = log.reader()
        reader.purge()
        reader.rewrite(Position(0, 1), b"redacted")
        reader.purge()
        assert [record.payload for record in reader.read(0, 0, 10)] == [b"hit 0", b"redacted", b"hit 2"]
        assert reader.ends() == {0: 3}

    def test_rewriting_what_is_not_kept_changes_nothing(self, log: Log) -> None:
        fill(log, [1_000, 2_000])
        reader = log.reader()
        reader.trim(1_500)
        for position in (Position(0, 0), Position(0, 2), Position(7, 0)):
            reader.rewrite(position, b"redacted")
        assert reader.read(0, 0, 10) == [(1, b"hit 1")]
        assert reader.ends() == {0: 2}

    def test_closing_twice_is_as_closing_once(self, log: Log) -> None:
        async def work() -> None:
            writer = log.writer()
            await writer.append(b"hit", 1_000)
            await writer.close()
            await writer.close()

        run(work())
        reader = log.reader()
        assert reader.ends() == {0: 1}
        reader.close()
        reader.close()

    def test_closing_finishes_what_was_appended(self, log: Log) -> None:
        async def work() -> list[Position]:
            writer = log.writer()
            appends = [asyncio.ensure_future(writer.append(payload, 1_000)) for payload in payloads(3)]
            await asyncio.sleep(0)
            await writer.close()
            return placed(await asyncio.gather(*appends))

        assert run(work()) == [Position(0, 0), Position(0, 1), Position(0, 2)]
        assert len(log.reader().read(0, 0, 10)) == 3

    def test_a_cancelled_append_hurts_nobody_else(self, log: Log) -> None:
        async def work() -> list[Position]:
            writer = log.writer()
            appends = [asyncio.ensure_future(writer.append(payload, 1_000)) for payload in payloads(3)]
            await asyncio.sleep(0)
            appends[1].cancel()
            with pytest.raises(asyncio.CancelledError):
                await appends[1]
            kept = placed([await appends[0], await appends[2], await writer.append(b"after", 1_000)])
            await writer.close()
            return kept

        positions = run(work())
        found = {record.offset: record.payload for record in log.reader().read(0, 0, 10)}
        assert [found[position.offset] for position in positions] == [b"hit 0", b"hit 2", b"after"]
        assert sorted(found) == list(range(len(found)))

    def test_a_writer_says_that_it_is_healthy(self, log: Log) -> None:
        async def work() -> None:
            writer = log.writer()
            assert writer.healthy()
            await writer.append(b"hit", 1_000)
            assert writer.healthy()
            await writer.close()

        run(work())

    def test_threads_read_beside_each_other(self, log: Log) -> None:
        fill(log, [1_000] * 500)
        reader = log.reader()
        counts: list[int] = []

        def read_all() -> None:
            counts.append(sum(len(reader.read(0, start, 50)) for start in range(0, reader.ends()[0], 50)))

        threads = [threading.Thread(target=read_all) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [500] * 8
