"""From the log to the trail, the lead and the profile: what the product needs, with few and with many events stored.

python -m bench.journey [--stored 10000000] [--backlog 500000]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import threading
import time
from pathlib import Path
from statistics import median

import httpx
import uvloop

from bench.events import PEOPLE
from bench.product import (
    ADMIN_KEY,
    WRITE_KEY,
    Hits,
    Product,
    anybody,
    create_source,
    fill_log,
    fresh_folder,
    settings_of,
    stock_events,
)
from cdp.moments import now_ms, parse_rfc3339

STEADY_PER_S = 1_000
STEADY_S = 30
ANSWERS_S = 30
"""For the last answers to come in."""
BROWSERS = 64
PROFILES_PER_S = 500
PROFILES_S = 15
LEADS = 1_000
LEADS_PER_S = 20
SMALL_STOCK = 100_000
SMALL_BACKLOG = 60_000


def drain(product: Product) -> tuple[float, float]:
    """Wait for the backlog to end; events a second and the app's CPU microseconds an event, from the first progress
    on, so that the start of the processes is left out."""
    product.wait_ready()
    app = product.app()
    total = product.pending()
    cpu, began = sum(app.cpu_times()[:2]), time.perf_counter()
    while product.pending():
        time.sleep(0.2)
    seconds = time.perf_counter() - began
    return total / seconds, (sum(app.cpu_times()[:2]) - cpu) / total * 1e6


def measure_cost(data: Path, stored: int, rounds: int = 3) -> float:
    """CPU microseconds per event with `stored` events there: the median of several backlogs."""
    spent = []
    for _ in range(rounds):
        fill_log(settings_of(data), anybody(SMALL_BACKLOG))
        with Product(data) as product:
            spent.append(drain(product)[1])
    print(f"cost per event at {stored:,} stored: {median(spent):.0f} us CPU  (each: {[round(each) for each in spent]})")
    return median(spent)


class Steady(threading.Thread):
    """Single events over HTTP into a collector, so many a second, until told to stop; `accepted` had a good answer."""

    def __init__(self, collector_port: int, per_s: int = STEADY_PER_S, *, hits: Hits | None = None) -> None:
        super().__init__(daemon=True)
        self._port, self._per_s, self._hits = collector_port, per_s, hits or Hits()
        self.stopping = threading.Event()
        self.sent = self.accepted = self._answered = 0

    def run(self) -> None:
        uvloop.run(self._send())

    async def _send(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        reading = asyncio.create_task(self._read(reader))
        key = base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
        began = time.perf_counter()
        while not self.stopping.is_set():
            due = int((time.perf_counter() - began) * self._per_s)
            while self.sent < due:
                person = random.randrange(PEOPLE)
                body = self._hits.body(person, random.random() < 0.05)
                head = f"POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {key}\r\n"
                # A log on Kafka keeps the hits of one browser at one address together.
                head += f"User-Agent: browser-{person % BROWSERS}\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                self.sent += 1
            await writer.drain()
            await asyncio.sleep(0.002)
        until = time.monotonic() + ANSWERS_S
        while self._answered < self.sent and time.monotonic() < until:
            await asyncio.sleep(0.01)
        writer.close()
        reading.cancel()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
            self._answered += 1
            self.accepted += head.startswith(b"HTTP/1.1 200")


def ages(product: Product, seconds: float) -> list[float]:
    """Milliseconds from receipt until an event is told to a listener, which is after every store has it."""
    found: list[float] = []
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    until = time.monotonic() + seconds
    with httpx.stream(
        "GET", f"http://127.0.0.1:{product.port}/api/v1/events/live", headers=headers, timeout=30
    ) as live:
        for line in live.iter_lines():
            if line.startswith("data:"):
                told = json.loads(line[5:])
                if told.get("received_at"):
                    found.append(now_ms() - parse_rfc3339(told["received_at"]))
            if time.monotonic() > until:
                break
    return found


def capture_leads(product: Product) -> None:
    spent, complete = [], 0
    for number in range(LEADS):
        began = time.perf_counter()
        person = random.randrange(PEOPLE)
        body = {
            "source": "bench-form",
            "external_id": f"{time.time_ns()}-{number}",
            "contact": {"name": "王先生", "phone": f"139{random.randrange(10**8):08d}"},
            "identifiers": [{"kind": "wx_openid", "value": f"wxa1b2/o{person:020d}"}],
            "consent": {"purposes": ["contact"], "text_version": "1", "at": "2026-11-22T00:00:00.000Z"},
        }
        answer = product.api.post("/api/v1/leads", json=body)
        assert answer.status_code == 201, answer.text
        if answer.json()["trail"]["complete"]:
            complete += 1
            spent.append((time.perf_counter() - began) * 1000)
        time.sleep(max(0.0, 1 / LEADS_PER_S - (time.perf_counter() - began)))
    print(f"lead capture under load: {complete / LEADS:.1%} complete; of these {percentiles(spent)}")


def read_profiles(product: Product) -> None:
    """Person by identifier, then the profile: two requests over one connection each time, at a steady rate."""
    # A key that sees masked values, as a marketing system's would: clear ones are audited, with a sync to disk.
    key = product.api.post("/api/v1/keys", json={"name": "bench-marketer", "role": "marketer"}).json()["key"]
    people = [f"wxa1b2/o{random.randrange(PEOPLE):020d}" for _ in range(2_000)]
    for label, rounds in (("first", 1), ("again", 2)):
        spent = uvloop.run(_ask_at_rate(product, key, people * rounds))
        print(f"profile by identifier at {PROFILES_PER_S}/s, {label}: {percentiles(spent)}")


async def _ask_at_rate(product: Product, key: str, people: list[str]) -> list[float]:
    waiting: asyncio.Queue[tuple[float, str]] = asyncio.Queue()
    spent: list[float] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", product.port)
        while True:
            due, value = await waiting.get()
            body = json.dumps({"kind": "wx_openid", "value": value}).encode()
            head = (
                "POST /api/v1/persons/lookup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            head_bytes = await reader.readuntil(b"\r\n\r\n")
            assert head_bytes.startswith(b"HTTP/1.1 200"), head_bytes
            length = int(head_bytes.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            spent.append((time.perf_counter() - due) * 1000)
            waiting.task_done()

    askers = [asyncio.create_task(ask()) for _ in range(16)]
    began = time.perf_counter()
    for number, value in enumerate(people):
        due = began + number / PROFILES_PER_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.put_nowait((max(due, began), value))
    await waiting.join()
    for each in askers:
        each.cancel()
    return spent


def percentiles(values: list[float]) -> str:
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    return f"n {len(ordered)}, p50 {at(0.5):.1f}, p99 {at(0.99):.1f}, max {ordered[-1]:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stored", type=int, default=10_000_000)
    parser.add_argument("--backlog", type=int, default=500_000)
    asked = parser.parse_args()
    with fresh_folder("few") as data:
        create_source(settings_of(data))
        stock_events(settings_of(data), SMALL_STOCK)
        few = measure_cost(data, SMALL_STOCK)
    with fresh_folder("many") as data:
        create_source(settings_of(data))
        began = time.perf_counter()
        stock_events(settings_of(data), asked.stored)
        print(f"{asked.stored:,} events stocked in {time.perf_counter() - began:.0f} s")
        many = measure_cost(data, asked.stored)
        print(f"cost per event, many against few: {many / few:.2f} x")
        fill_log(settings_of(data), anybody(asked.backlog))
        with Product(data) as product:
            rate, cpu = drain(product)
            print(f"backlog of {asked.backlog:,}: {rate:,.0f} events/s, {cpu:.0f} us CPU of the app an event")
            print(f"memory of all processes after it: {product.memory_mib():,.0f} MiB")
            read_profiles(product)
            steady = Steady(product.collector_port)
            steady.start()
            time.sleep(3)
            print(f"age in the trail at {STEADY_PER_S}/s: {percentiles(ages(product, STEADY_S))}")
            capture_leads(product)
            steady.stopping.set()
            steady.join()
            print(f"memory of all processes at the end: {product.memory_mib():,.0f} MiB")


if __name__ == "__main__":
    main()
