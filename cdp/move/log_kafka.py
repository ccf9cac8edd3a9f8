"""The log on Kafka. What was rewritten there lies in the records store, over what the topic holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import ColumnElement, Engine, and_, delete, select

from cdp.errors import Refused
from cdp.log_kafka.whole import WholeTopic
from cdp.log_notes import rewrite_rows
from cdp.move.contents import Digest, Key, Page
from cdp.move.log import KeptHit, Stretch, digest_of_log, pages_of, partition_of, table_of
from cdp.records import reading, writing


class KafkaLogContents:
    """`cdp.move.contents.Contents`; the topic and its partitions are made as they are needed. `records` are those that
    belong to the log. Of a page that could not be written its beginning may be there."""

    def __init__(self, url: str, records: Engine) -> None:
        """Raises Refused where a worker is at work."""
        self._topic = WholeTopic(url)
        self._records = records
        if members := self._topic.members():
            raise Refused(f"{members} workers read this log. Stop every process of this deployment, and try again.")

    def tables(self) -> Mapping[str, int]:
        spans = {each: self._topic.span(each) for each in range(self._topic.partitions)}
        return {table_of(each): end - start for each, (start, end) in spans.items()}

    def last(self, table: str) -> Key | None:
        _, end = self._topic.span(partition_of(table))
        return (end - 1,) if end else None

    def pages(self, table: str, after: Key | None) -> Iterator[Page[Stretch]]:
        partition = partition_of(table)
        _, end = self._topic.span(partition)
        start = next((each.offset for each in self._hits(partition, 0)), end)
        for page in pages_of(self._hits(partition, start if after is None else after[0] + 1), start=start, end=end):
            yield self._as_rewritten(partition, page)

    def add(self, table: str, page: Page[Stretch]) -> None:
        partition, stretch = partition_of(table), page.rows
        self._topic.grow(partition + 1)
        # What is left of an earlier time of this log on brokers: what comes now is as it was rewritten last.
        with writing(self._records) as db:
            db.execute(delete(rewrite_rows).where(_places(partition, stretch)))
        records = [(hit.received_at, hit.payload) for hit in stretch.hits]
        self._topic.write(partition, stretch.first, records)
        self._topic.start_at(partition, stretch.start)

    def digest(self, table: str, until: Key | None = None) -> Digest:
        return digest_of_log(self.pages(table, None), until)

    def close(self) -> None:
        self._topic.close()

    def _hits(self, partition: int, start: int) -> Iterator[KeptHit]:
        for offset, received_at, payload in self._topic.read(partition, start):
            if payload is not None:
                yield KeptHit(offset, received_at, payload)

    def _as_rewritten(self, partition: int, page: Page[Stretch]) -> Page[Stretch]:
        start, first, hits = page.rows
        with reading(self._records) as db:
            wanted = select(rewrite_rows.c.offset, rewrite_rows.c.payload).where(_places(partition, page.rows))
            rewritten = {row.offset: row.payload for row in db.execute(wanted)}
        if not rewritten:
            return page
        now = [hit._replace(payload=rewritten.get(hit.offset, hit.payload)) for hit in hits]
        return Page(page.count, Stretch(start, first, now))


def _places(partition: int, stretch: Stretch) -> ColumnElement[bool]:
    end = stretch.first + len(stretch.hits)
    return and_(
        rewrite_rows.c.partition == partition, rewrite_rows.c.offset >= stretch.first, rewrite_rows.c.offset < end
    )
