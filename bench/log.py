"""The log alone: appends of 32 senders that each wait for their answer, then reads, and the cost of asking for ends.

    python -m bench.log [seconds]

`own work` stands for what the collector does with a hit besides, so that syncs and work share the processor as
they do in the product.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

from cdp.log import LogWriter
from cdp.log_sqlite import SqliteLogReader, SqliteLogWriter

SENDERS = 32
PACED_PER_S = 4_000
PAYLOAD_BYTES = 700
CHUNK = 5_000


@dataclass(frozen=True)
class Appends:
    count: int
    seconds: float
    cpu_s: float
    latencies_s: list[float]

    def row(self, name: str) -> str:
        ordered = sorted(self.latencies_s)
        p50, p99, p999 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99, 0.999))
        return (
            f"{name:34} {self.count / self.seconds:9,.0f}/s {self.cpu_s / self.count * 1e6:6.1f} µs cpu"
            f"   p50 {p50:.2f}  p99 {p99:.2f}  p99.9 {p999:.2f}  max {ordered[-1] * 1e3:.1f} ms"
        )


async def append_for(folder: Path, seconds: float, own_work_s: float) -> Appends:
    writer = SqliteLogWriter(folder, 0)
    appends = await closed_loop(writer, seconds, own_work_s)
    wal = (folder / "partition-0.db-wal").stat().st_size
    await writer.close()
    print(f"  write-ahead log at the end: {wal / 1e6:.1f} MB")
    return appends


async def closed_loop(writer: LogWriter, seconds: float, own_work_s: float) -> Appends:
    """Each sender waits for its answer before it sends again."""
    payload = os.urandom(PAYLOAD_BYTES)
    latencies: list[float] = []
    clock = time.perf_counter
    began, cpu = clock(), time.process_time()

    async def sender(number: int) -> None:
        while clock() - began < seconds:
            busy_until = clock() + own_work_s
            while clock() < busy_until:
                pass
            asked = clock()
            key = (number * 2_039 + len(latencies)) % 65_536
            await writer.append(payload, int(time.time() * 1000), key=key.to_bytes(2, "big"))
            latencies.append(clock() - asked)

    await asyncio.gather(*(sender(number) for number in range(SENDERS)))
    return Appends(len(latencies), clock() - began, time.process_time() - cpu, latencies)


async def paced(writer: LogWriter, seconds: float, own_work_s: float) -> Appends:
    """Hits come when they come, and each is timed from when it was due."""
    payload = os.urandom(PAYLOAD_BYTES)
    latencies: list[float] = []
    clock = time.perf_counter
    began, cpu = clock(), time.process_time()
    waiting: set[asyncio.Future[object]] = set()
    for number in range(int(seconds * PACED_PER_S)):
        due = began + number / PACED_PER_S
        if (early_s := due - clock()) > 0:
            await asyncio.sleep(early_s)
        busy_until = clock() + own_work_s
        while clock() < busy_until:
            pass
        hit = asyncio.ensure_future(writer.append(payload, int(time.time() * 1000), key=number.to_bytes(4, "big")))
        waiting.add(hit)

        def answered(hit: asyncio.Future[object], due: float = due) -> None:
            waiting.discard(hit)
            latencies.append(clock() - due)

        hit.add_done_callback(answered)
    await asyncio.gather(*waiting)
    return Appends(len(latencies), clock() - began, time.process_time() - cpu, latencies)


def bench_reads(folder: Path) -> None:
    reader = SqliteLogReader(folder)
    for _ in range(3):
        began, start = time.perf_counter(), 0
        while records := reader.read(0, start, CHUNK):
            start = records[-1].offset + 1
        took = time.perf_counter() - began
        print(f"reads in chunks of {CHUNK:,}: {start / took:,.0f} records/s of {start:,}")
    began = time.perf_counter()
    for _ in range(2_000):
        reader.ends()
    print(f"ends(): {(time.perf_counter() - began) / 2_000 * 1e6:.1f} µs")
    reader.close()


def ends_beside(folder: Path, done: threading.Event, taken: list[float]) -> None:
    reader = SqliteLogReader(folder)
    while not done.wait(0.01):
        began = time.perf_counter()
        reader.ends()
        taken.append(time.perf_counter() - began)
    reader.close()


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        for own_work_us in (0, 40):
            print(uvloop.run(append_for(folder, seconds, own_work_us / 1e6)).row(f"appends, own work {own_work_us} µs"))
        bench_reads(folder)
        child = os.fork()
        if child == 0:
            reader = SqliteLogReader(folder)
            time.sleep(0.5)
            began = time.perf_counter()
            count = reader.trim(int(time.time() * 1000) - 1_500)
            print(f"  trimmed {count:,} beside it, {count / (time.perf_counter() - began):,.0f}/s", flush=True)
            os._exit(0)
        print(uvloop.run(append_for(folder, seconds * 2, 40e-6)).row("appends, own work 40 µs, trimming"))
        os.waitpid(child, 0)
        done = threading.Event()
        taken: list[float] = []
        child = os.fork()
        if child == 0:
            threading.Timer(seconds, done.set).start()
            ends_beside(folder, done, taken)
            taken.sort()
            print(
                f"  ends() beside appends: p50 {taken[len(taken) // 2] * 1e6:.0f}, max {taken[-1] * 1e6:.0f} µs",
                flush=True,
            )
            os._exit(0)
        print(uvloop.run(append_for(folder, seconds, 40e-6)).row("appends, own work 40 µs, asked"))
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
