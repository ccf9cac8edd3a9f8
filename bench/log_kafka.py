"""The log on Kafka beside the embedded one: what a hit costs its collector, how long it waits, and how fast it is read.

    python -m bench.log_kafka [seconds]

It starts a broker, which shares the processor; figures of processor time are of the collector alone. `floor` is the
client library with a future for each hit and nothing else.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import uvloop
from confluent_kafka import KafkaError, Message, Producer

from bench.log import Appends, closed_loop, paced
from cdp.kafka_url import parse_kafka_url
from cdp.log import LogWriter
from cdp.log_kafka import KafkaLogConsumer, KafkaLogReader, KafkaLogWriter
from cdp.log_kafka.topic import HITS, ensure_topic, open_admin
from cdp.log_kafka.writer import LINGER_MS, TICK_S
from cdp.log_notes import rewrite_rows
from cdp.log_sqlite import SqliteLogWriter
from cdp.model import Millis, Position
from cdp.records import open_engine
from tests.real.servers import Kafka

LIMIT = 1 << 30
OWN_WORK_S = 40e-6
BATCH = 2_000


class Floor:
    """The least that an answer after acknowledgement takes."""

    name = "floor"

    def __init__(self, url: str) -> None:
        place = parse_kafka_url(url)
        ensure_topic(open_admin(place), place)
        self._topic = place.topic(HITS)
        self._producer = Producer(
            {"bootstrap.servers": place.brokers, "enable.idempotence": True, "linger.ms": LINGER_MS}
        )
        self._loop = asyncio.get_running_loop()
        self._under_way = 0
        self._looking = False

    def append(self, payload: bytes, received_at: Millis, *, key: bytes = b"") -> asyncio.Future[Position | None]:
        durable: asyncio.Future[Position | None] = self._loop.create_future()
        self._producer.produce(
            self._topic, payload, key, timestamp=received_at, on_delivery=partial(self._delivered, durable)
        )
        self._under_way += 1
        if not self._looking:
            self._looking = True
            self._loop.call_later(TICK_S, self._look)
        return durable

    def _delivered(self, durable: asyncio.Future[None], error: KafkaError | None, message: Message) -> None:
        self._under_way -= 1
        durable.set_result(None)

    def _look(self) -> None:
        self._producer.poll(0)
        self._looking = self._under_way > 0
        if self._looking:
            self._loop.call_later(TICK_S, self._look)

    async def close(self) -> None:
        self._producer.flush(30)


def bench_reads(url: str, folder: Path) -> None:
    records = open_engine(f"sqlite:///{folder}/records.db")
    rewrite_rows.create(records)
    reader = KafkaLogReader(url, records)
    ends = reader.ends()
    timed("ends()", reader.ends, 200)
    timed("read one", lambda: reader.read(0, ends[0] // 2, 1), 100)
    began, start = time.perf_counter(), 0
    while records_read := reader.read(0, start, BATCH):
        start = records_read[-1].offset + 1
    print(f"reads in chunks of {BATCH:,}: {start / (time.perf_counter() - began):,.0f} records/s of {start:,}")
    consumer = KafkaLogConsumer(url)
    while not consumer.waiting():
        consumer.poll(records=BATCH, size=LIMIT, timeout_s=1)
    for partition in consumer.waiting():
        consumer.begin(partition, 0)
    taken, began, cpu = 0, time.perf_counter(), time.process_time()
    while taken < sum(ends.values()):
        taken += sum(map(len, consumer.poll(records=BATCH, size=2 << 20, timeout_s=1).values()))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(
        f"consumed in batches of {BATCH:,}: {taken / took:,.0f} records/s of {taken:,}, {cpu / taken * 1e6:.1f} µs cpu"
    )
    consumer.close()
    reader.close()
    records.dispose()


def timed(name: str, work: Callable[[], object], times: int) -> None:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    taken.sort()
    print(f"{name}: p50 {taken[times // 2] * 1e3:.2f}, p99 {taken[int(times * 0.99)] * 1e3:.2f} ms")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    with tempfile.TemporaryDirectory() as name, Kafka(Path(name) / "kafka") as server:
        folder = Path(name)
        makers: dict[str, Callable[[], LogWriter | Floor]] = {
            "embedded": lambda: SqliteLogWriter(folder / "log", 0),
            "floor": lambda: Floor(server.url),
            "kafka": lambda: KafkaLogWriter(server.url, folder / "spool", limit_bytes=LIMIT),
        }

        async def run(make: Callable[[], LogWriter], how: Callable[..., Awaitable[Appends]], own_s: float) -> Appends:
            writer = make()
            await writer.append(b"warm", 1)
            appends = await how(writer, seconds, own_s)
            await writer.close()
            return appends

        for how in (closed_loop, paced):
            for own_s in (0, OWN_WORK_S):
                for kind, make in makers.items():
                    appends = uvloop.run(run(make, how, own_s))  # type: ignore[arg-type]
                    print(appends.row(f"{kind}, {how.__name__}, own {own_s * 1e6:.0f} µs"), flush=True)
        bench_reads(server.url, folder)


if __name__ == "__main__":
    main()
