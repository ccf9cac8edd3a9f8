"""Lots of rows on their way into the log: as hits of the dialect `file`, each of which is recognised there again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import msgspec

from cdp.errors import Retryable, StoreUnavailable
from cdp.imports_jobs import Job
from cdp.log import LogReader, LogWriter
from cdp.log import Record as LogRecord
from cdp.model import Hit, Millis, Position
from cdp.vault import Cipher
from collectors.enquiry import LEAD_SUBMITTED
from collectors.file import File, Rows
from collectors.file_row import Record

READ_AT_ONCE = 100


class LotWriter:
    """A writer of the log for one import, with the event loop that it needs."""

    def __init__(self, open_writer: Callable[[], LogWriter], secret: bytes) -> None:
        self._open = open_writer
        self._cipher = Cipher(secret, "log")

    def __enter__(self) -> LotWriter:
        self._runner = asyncio.Runner()
        self._writer = self._runner.run(self._opened())
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Retryable):
            self._runner.run(self._writer.close())
        self._runner.close()

    def append(self, hit: Hit) -> Position:
        """Durable on return. Raises Retryable; the hit may be kept all the same."""
        payload = self._cipher.seal(msgspec.msgpack.encode(hit))
        return self._runner.run(self._appended(payload, hit.received_at))

    async def _opened(self) -> LogWriter:
        return self._open()

    async def _appended(self, payload: bytes, received_at: Millis) -> Position:
        position = await self._writer.append(payload, received_at)
        if position is None:
            raise StoreUnavailable("log", "a lot of an import lies in a spool, where nobody finds it")
        return position


def hit_of(job: Job, records: Sequence[Record], *, capture_events: Sequence[str], at: Millis) -> Hit:
    """The hit of the job's present lot; a lead has the first name that captures one, if ours does not."""
    encode = msgspec.json.encode
    rows = Rows(
        origin=job.id,
        kind=job.kind,
        at=job.requested_at,
        name=LEAD_SUBMITTED if LEAD_SUBMITTED in capture_events else [*capture_events, ""][0],
        rows=[msgspec.Raw(encode(each)) for each in records],
    )
    return Hit(
        received_at=at,
        source=job.source,
        dialect=File.name,
        method="POST",
        target=_target(job),
        headers={},
        client_ip="",
        body=encode(rows),
    )


def written(job: Job, hit: Hit, log: LogReader, open_payload: Callable[[bytes], Hit | None]) -> Position | None:
    """Where this lot lies in the log, if a life that ended before that was noted wrote it."""
    if job.writing is None:
        return None
    starts = job.writing if isinstance(job.writing, dict) else dict([job.writing])
    ends = log.ends()
    for partition, start in starts.items():
        for record in _between(log, partition, start, ends.get(partition, 0)):
            found = open_payload(record.payload)
            if found is not None and (found.dialect, found.target) == (hit.dialect, hit.target):
                return Position(partition, record.offset)
    return None


def _between(log: LogReader, partition: int, start: int, end: int) -> Iterator[LogRecord]:
    while start < end and (records := log.read(partition, start, min(READ_AT_ONCE, end - start))):
        yield from records
        start = records[-1].offset + 1


def _target(job: Job) -> str:
    return f"/imports/{job.id}?chunk={job.chunk}"
