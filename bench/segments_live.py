"""Live membership in the real processes: how late a change is seen, and what a wave of due moments costs.

    python -m bench.segments_live [--only lag|wave] [--stored 1000000] [--persons 100000] [--backlog 400000]

Besides the fifty segments of `bench.segments_many` there are one that they name and one of probes: people who do one
thing and leave the segment a little later, because its window ends.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from pathlib import Path
from typing import Any

from bench.journey import STEADY_PER_S, Steady, drain, percentiles
from bench.product import Hits, Product, anybody, create_source, fill_log, fresh_folder, settings_of, stock_events
from bench.segments_data import CHANNELS, CITIES, NAMES
from bench.segments_many import OWNERS_ALL, documents
from cdp.moments import now_ms, parse_rfc3339, rfc3339

STEADY_S = 60
PROBES = 35
"""Of a thousand events."""
PROBED, PROBED_S = "probe_seen", 20
WAVE, WAVE_AHEAD_S, WAVE_AFTER_S = "wave_seen", 90, 12
"""The moment lies so far ahead when its segment is made, and comes so long after the product starts on a backlog."""
KNOWN = 2_000
"""Events of all kinds beforehand, for a segment is refused that asks for what nobody has."""
FILL_S = 900
LOOK_S = 0.1
PAGE = 300
"""Of a segment's newest changes: more than a round brings."""


class Visits(Hits):
    """Hits of what the segments are about, now; some are probes, of a person each, with when they were made."""

    def __init__(self) -> None:
        super().__init__()
        self.probes: dict[str, float] = {}
        self._names = random.choices(list(NAMES), weights=NAMES.values(), k=10_000)

    def body(self, person: int, evidence: bool) -> bytes:
        self._made += 1
        number, now = self._made, now_ms()
        message, name = f"visit-{self._run:010d}-{number:012d}", self._names[number % len(self._names)]
        visitor = f"{person:012x}"
        if number * 7_919 % 1_000 < PROBES:
            name, visitor = PROBED, f"{self._run:08x}{number:010x}"
            self.probes[message] = now
        traits = f'"city":"{CITIES[number % len(CITIES)]}","level":"{"ABC"[number % 3]}","delivered_at":"2026-06-01"'
        kind = f'"type":"identify","userId":"member-{person}","traits":{{{traits}}}'
        if not evidence or name == PROBED:
            viewed = f'"model_id":"m{number % 20}","series":"s{number % 6}","stay_seconds":{number % 120}'
            viewed += f',"price":{number % 300},"channel":"{CHANNELS[number % len(CHANNELS)]}"'
            kind = f'"type":"track","event":"{name}","properties":{{{viewed}}}'
        return _sent(kind, message, visitor, now)


class Wave(Hits):
    """One event of each of many persons, all of one moment."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def body(self, person: int, evidence: bool) -> bytes:
        kind = f'"type":"track","event":"{WAVE}","properties":{{}}'
        return _sent(kind, f"wave-{self._run:010d}-{person}", f"wave{person:08x}", self._at)


def _sent(kind: str, message: str, visitor: str, at: int) -> bytes:
    library = '{"name":"analytics.js","version":"npm:next-1.84.3"}'
    context = f'{{"page":{{"path":"/models/x7","title":"X7 空间"}},"locale":"zh-CN","library":{library}}}'
    who = f'"messageId":"{message}","anonymousId":"{visitor}"'
    return f'{{"timestamp":"{rfc3339(at)}",{kind},"context":{context},{who}}}'.encode()


def make_segments(product: Product) -> None:
    """All of them, filled. Some ask for what only a lead has, or a visitor of some time before."""
    consent = {"purposes": ["contact"], "text_version": "1", "at": "2026-11-22T00:00:00.000Z"}
    lead = {"source": "bench-form", "contact": {"phone": "13900000000"}, "channel": "dongchedi", "consent": consent}
    answer = product.api.post("/api/v1/leads", json=lead)
    assert answer.status_code == 201, answer.text
    began = time.monotonic()
    owners = make_segment(product, "owners", {"v": 1, "entity": "person", "where": OWNERS_ALL})
    for n, each in enumerate(each for some in documents(owners) for each in some):
        make_segment(product, f"segment {n}", each)
    wait_filled(product)
    print(f"all segments made and filled in {time.monotonic() - began:.0f} s")


def make_segment(product: Product, name: str, document: Any) -> str:
    answer = product.api.post("/api/v1/segments", json={"name": name, "definition": document})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


def wait_filled(product: Product) -> None:
    until = time.monotonic() + FILL_S
    while any(each["state"] != "live" for each in every(product)):
        assert time.monotonic() < until, "the segments were not filled"
        time.sleep(LOOK_S)


def every(product: Product) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = product.api.get("/api/v1/segments", params={"limit": 200}).json()["segments"]
    return found


class Watcher(threading.Thread):
    """Looks at a segment's changes all the time, and notes when it sees each of them first."""

    def __init__(self, product: Product, segment: str) -> None:
        super().__init__(daemon=True)
        self._product, self._segment = product, segment
        self.stopping = threading.Event()
        self.seen: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}

    def run(self) -> None:
        while not self.stopping.is_set():
            page = self._product.api.get(f"/api/v1/segments/{self._segment}/changes", params={"limit": PAGE}).json()
            now = now_ms()
            for each in page["changes"]:
                self.seen.setdefault((each["person"], each["change"]), (now, each))
            self.stopping.wait(LOOK_S)


def measure_lag(data: Path, stored: int) -> None:
    create_source(settings_of(data))
    stock_events(settings_of(data), stored)
    fill_log(settings_of(data), anybody(KNOWN), evidence=0.5, hits=Visits())
    with Product(data) as product:
        drain(product)
        make_segments(product)
        window = {"did": PROBED, "window": {"last": f"PT{PROBED_S}S"}}
        probes = make_segment(product, "probes", {"v": 1, "entity": "person", "where": window})
        wait_filled(product)
        visits = Visits()
        steady, watcher = Steady(product.collector_port, hits=visits), Watcher(product, probes)
        app = product.app()
        watcher.start()
        steady.start()
        began, cpu = time.monotonic(), sum(app.cpu_times()[:2])
        time.sleep(STEADY_S)
        busy = (sum(app.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
        steady.stopping.set()
        steady.join()
        accepted = f"{steady.accepted:,} of {steady.sent:,} events accepted at {STEADY_PER_S:,}/s"
        print(f"{accepted}; the app took {busy:.2f} cores")
        time.sleep(PROBED_S)
        settle(product)
        watcher.stopping.set()
        watcher.join()
        tell_lags(product, visits, watcher)
        lags = sorted(each["lag"]["p95_ms"] for each in every(product) if each["lag"])
        print(f"as the product says, p95 by segment: median {lags[len(lags) // 2]}, worst {lags[-1]} ms")
        print(f"memory of all processes: {product.memory_mib():,.0f} MiB")


def tell_lags(product: Product, visits: Visits, watcher: Watcher) -> None:
    entered, exited = [], []
    for (_, change), (seen, told) in watcher.seen.items():
        if change == "entered" and told["cause_event"]:
            event = product.api.get(f"/api/v1/events/{told['cause_event']}").json()
            if event["client_id"] in visits.probes:
                entered.append(seen - visits.probes[event["client_id"]])
        if change == "exited" and told["reason"] == "timer":
            exited.append(float(seen - parse_rfc3339(told["at"])))
    print(f"{len(visits.probes):,} probes; sent -> seen in the segment, {_lags(entered)}")
    print(f"its window ends -> seen out of it, {_lags(exited)}")


def _lags(found: list[float]) -> str:
    return f"p95 {sorted(found)[len(found) * 95 // 100]:.0f} ms; {percentiles(found)}" if found else "none"


def measure_wave(data: Path, persons: int, backlog: int) -> None:
    """What happened to everybody at one moment ends for everybody at one moment, while a backlog is worked off."""
    settings = settings_of(data)
    create_source(settings)
    seen = now_ms() - 3_600_000
    fill_log(settings, range(persons), hits=Wave(seen))
    fill_log(settings, anybody(KNOWN), evidence=0.5, hits=Visits())
    with Product(data) as product:
        rate, _ = drain(product)
        print(f"{persons:,} persons taken in, {rate:,.0f} events/s")
        make_segments(product)
    fill_log(settings, anybody(backlog), hits=Visits())
    with Product(data) as product:
        print(f"backlog of {backlog:,} with 51 segments and no wave: {drain(product)[0]:,.0f} events/s")
        settle(product)
        lasts = (now_ms() - seen) // 1000 + WAVE_AHEAD_S
        document = {"v": 1, "entity": "person", "where": {"did": WAVE, "window": {"last": f"PT{lasts}S"}}}
        wave = make_segment(product, "wave", document)
        wait_filled(product)
        size = product.api.get(f"/api/v1/segments/{wave}").json()["size"]
    fill_log(settings, anybody(backlog), hits=Visits())
    ends = seen + lasts * 1000
    left = ends - now_ms() - WAVE_AFTER_S * 1000
    assert left > 0, "the wave came before all was ready"
    time.sleep(left / 1000)
    with Product(data) as product:
        product.wait_ready()
        tell_wave(product, wave, size, ends)


def tell_wave(product: Product, wave: str, size: int, ends: int) -> None:
    looks: list[tuple[int, int, int]] = []
    while not looks or looks[-1][2] > 0 or looks[-1][0] < ends:
        there = product.api.get(f"/api/v1/segments/{wave}").json()["size"]
        looks.append((now_ms(), product.pending(), there))
        time.sleep(LOOK_S)
    before = [each for each in looks if each[0] < ends]
    during = [each for each in looks if each[0] >= ends]
    took = (during[-1][0] - ends) / 1000
    first = _first(during, size)
    print(f"wave of {size:,}: the first out of the segment {first:.1f} s after the moment, the last {took:.1f} s")
    print(f"events/s worked off: {_rate(before):,.0f} before, {_rate(during):,.0f} during, {during[-1][1]:,} left then")


def _first(during: list[tuple[int, int, int]], size: int) -> float:
    return next(((at - during[0][0]) / 1000 for at, _, there in during if there < size), 0.0)


def _rate(looks: list[tuple[int, int, int]]) -> float:
    """From the first progress on, as long as there is something to do."""
    busy = [(at, pending) for at, pending, _ in looks if pending]
    return (busy[0][1] - busy[-1][1]) / max(1, busy[-1][0] - busy[0][0]) * 1000 if len(busy) > 1 else 0.0


def settle(product: Product) -> None:
    """Until the segments have seen all that was taken in."""
    until = time.monotonic() + FILL_S
    fresh = now_ms()
    while time.monotonic() < until and any(parse_rfc3339(each["fresh_at"]) < fresh for each in every(product)):
        time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("lag", "wave"))
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--persons", type=int, default=100_000)
    parser.add_argument("--backlog", type=int, default=400_000)
    asked = parser.parse_args()
    if asked.only != "wave":
        with fresh_folder("segments-lag") as data:
            measure_lag(data, asked.stored)
    if asked.only != "lag":
        with fresh_folder("segments-wave") as data:
            measure_wave(data, asked.persons, asked.backlog)


if __name__ == "__main__":
    main()
