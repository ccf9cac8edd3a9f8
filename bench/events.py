"""The event store alone: what a write and a read cost as it grows, and the memory of the process that holds it.

    python -m bench.events [EVENTS] [FOLDER]

Writes EVENTS (10,000,000 without an argument) of 50,000 people, received over 90 days, in batches of 5,000, and
measures on the way at 100,000, a tenth and the whole. The folder is emptied first; a temporary one by default.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import psutil

from cdp.model import (
    DAY_MS,
    App,
    Device,
    Event,
    EventId,
    EventType,
    Identifier,
    Operation,
    Page,
    SetId,
    TraitChange,
)
from profiles.events_clickhouse import ClickHouseEvents
from profiles.profile import ProfileReader
from profiles.store import StoredEvent

PEOPLE = 50_000
BATCH = 5_000
DAYS_MS = 90 * DAY_MS
START = 1_760_000_000_000
SETS_OF = (1, 1, 1, 5, 5, 20)
"""How many sets a person has, in turn."""

NAMES = ("page_viewed", "element_clicked", "video_played", "series_viewed", "post_liked", "price_opened")
TITLES = ("X9 后排空间", "X9 第三排座椅", "G6 性能", "超充地图", "金融方案", "周末亲子自驾")


def sets_of(person: int) -> list[SetId]:
    count = SETS_OF[person % len(SETS_OF)]
    return [SetId(int.from_bytes(blake2b(b"%d/%d" % (person, n), digest_size=8).digest()) >> 1) for n in range(count)]


class Traffic:
    """Batches of events in the order of receipt, as fast as Python makes them."""

    def __init__(self, total: int) -> None:
        self._sets = [sets_of(person) for person in range(PEOPLE)]
        self._made, self._total = 0, total
        self._pages = [
            Page(url=f"https://example.com/cars/{n}?from=home", path=f"/cars/{n}", title=TITLES[n % len(TITLES)])
            for n in range(300)
        ]
        self._properties = [
            b'{"series":"X9","video":"rear-seat-%d","position":%d,"duration":%d,"from":"home_banner","screen":"1170x2532",'
            b'"network":"wifi","scene":1089,"route":"pages/cars/detail","tags":["space","family"],"token":"%s"}'
            % (n % 40, n, n * 37 % 900, random.randbytes(40).hex().encode())
            for n in range(5_000)
        ]
        self._devices = [Device(kind="mobile", os="iOS", os_version=f"17.{n}", model="iPhone") for n in range(8)]
        self._app = App(id="wxa1b2", version="3.2.1")

    def batch(self, size: int = BATCH) -> list[StoredEvent]:
        people = random.choices(range(PEOPLE), k=size)
        return [self._event(person) for person in people]

    def _event(self, person: int) -> StoredEvent:
        number = self._made
        self._made += 1
        received = START + int(number / self._total * DAYS_MS)
        event = Event(
            id=EventId(f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"),
            client_id=f"{number * 0xF39CC0605CEDC8359E3779B97F4A7C15 % 2**128:032x}",
            type=EventType.TRACK,
            name=NAMES[number % len(NAMES)],
            original_name=NAMES[number % len(NAMES)],
            occurred_at=received - number % 4_000,
            received_at=received,
            source="mini-program",
            dialect="sensors",
            hit=f"0-{number // 5}",
            platform="mini_program",
            app=self._app,
            session=f"s{person}-{number // 500_000}",
            identifiers=(Identifier("wx_openid", f"wxa1b2/o{person:020d}"),),
            page=self._pages[number * 7 % 300],
            device=self._devices[person % 8],
            locale="zh-CN",
            ip_city="上海",
            properties=self._properties[number % 5_000],
            traits=(TraitChange(Operation.SET, "city", '"上海"'),) if number % 20 == 0 else (),
        )
        return StoredEvent(event, random.choice(self._sets[person]))


def percentiles(run: Callable[[int], object], times: int) -> str:
    spent = []
    for n in range(times):
        began = time.perf_counter()
        run(n)
        spent.append((time.perf_counter() - began) * 1000)
    spent.sort()
    return f"p50 {spent[times // 2]:6.2f}  p99 {spent[times * 99 // 100]:6.2f} ms"


def measure(store: ClickHouseEvents, traffic: Traffic, stored: int) -> None:
    parts = store._query("SELECT count(), sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'events'")[0]
    memory = psutil.Process().memory_info().rss / 2**20
    print(f"\n{stored:,} events: {parts[0]} parts, {parts[1] / stored:.0f} bytes an event, RSS {memory:.0f} MiB")
    for count in sorted(set(SETS_OF)):
        people = [sets_of(p) for p in random.sample(range(PEOPLE), 2_000) if SETS_OF[p % len(SETS_OF)] == count][:150]
        trail = percentiles(lambda n, of=people: store.trail(of[n], limit=200), len(people))
        print(f"  trail of 200, {count:2} sets            {trail}")
    reader = ProfileReader(store)
    people = [sets_of(person) for person in random.sample(range(PEOPLE), 300)]
    print(f"  profile, first time             {percentiles(lambda n: reader.get(people[n]), 300)}")
    print(f"  profile, again                  {percentiles(lambda n: reader.get(people[n]), 300)}")
    reader.close()
    some = [row.event.id for row in traffic.batch(30)]
    print(f"  event by id, not there          {percentiles(lambda n: store.event(some[n]), 30)}")
    print(f"  newest 100 received             {percentiles(lambda n: store.recent(limit=100), 30)}")
    batches = [traffic.batch(20) for _ in range(100)]
    small = percentiles(lambda n: store.write(batches[n], token=f"small-{stored}-{n}"), 100)
    print(f"  write of 20                     {small}")


def main(total: int, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    store = ClickHouseEvents(f"chdb://{folder}")
    traffic = Traffic(total)
    stops = sorted({min(100_000, total), total // 10, total})
    stored, spent, used, began = 0, [], [], time.perf_counter()
    while stored < total:
        batch = traffic.batch()
        before, cpu = time.perf_counter(), time.process_time()
        store.write(batch, token=f"batch-{stored}")
        spent.append(time.perf_counter() - before)
        used.append(time.process_time() - cpu)
        stored += BATCH
        if stored in stops:
            last = sorted(spent[-100:])
            print(
                f"\nwrite of {BATCH:,}: {last[len(last) // 2] / BATCH * 1e6:.1f} us an event (median of the last)",
                end="",
            )
            print(
                f", {sum(used[-100:]) / len(used[-100:]) / BATCH * 1e6:.1f} us CPU, merges of that time included",
                end="",
            )
            print(f"; {time.perf_counter() - began:.0f} s so far")
            measure(store, traffic, stored)
    store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000,
            Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary) / "events",
        )
