"""What each dialect costs: events a second and core from kept hits to events, and its accept rate beside Segment's.

    python -m bench.dialects [--runs 3] [--seconds 2] [--requests 20000]

The same track call in every dialect (`bench.requests`). The floor of translation is decoding the unpacked body into
plain Python objects with msgspec, of which no event is made yet. Dialects take turns, so that what else the machine
does falls on all.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import process_time
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from bench.intake import WARM_UP_REQUESTS, send_load, servers_of
from bench.requests import ALONE, BROWSER, KEY, MAKERS, SENT_MS, Sent
from cdp.model import Hit, Source, SourceKind
from collectors.dialect import Dialect, Request
from collectors.registry import route

REACH_PER_S = 15_000
WITHIN = 0.8
"""Of Segment's accept rate."""
BATCH = 20
DIFFERENT = 500
"""Requests made before the clock starts, each with ids of its own."""
_SOURCE = Source(id="bench", kind=SourceKind.SITE, keys=(KEY,))


def request_of(sent: Sent) -> Request:
    path, _, query = sent.target.partition("?")
    headers = dict(line.lower().split(": ", 1) for line in (f"user-agent: {BROWSER}", *sent.headers))
    return Request(sent.method, sent.target, path, query, headers, sent.body, "203.0.113.7")


def hit_of(request: Request, dialect: Dialect) -> Hit:
    return Hit(
        received_at=SENT_MS + 80,
        source=_SOURCE.id,
        dialect=dialect.name,
        method=request.method,
        target=request.target,
        headers=dict(request.headers),
        client_ip=request.client_ip,
        body=request.body,
    )


def made(name: str, batch: int) -> tuple[Dialect, list[Request]]:
    maker = MAKERS[name]
    requests = [request_of(maker(range(number * batch, (number + 1) * batch))) for number in range(DIFFERENT)]
    dialect = route(requests[0].method, requests[0].path)
    if dialect is None:
        raise LookupError(f"no dialect takes {requests[0].path}")
    return dialect, requests


def rate(work: Callable[[int], int], seconds: float) -> float:
    """Events a second of CPU time; `work` takes a number and says how many events it made."""
    for number in range(DIFFERENT):
        work(number)
    events, number, began = 0, 0, process_time()
    while (spent := process_time() - began) < seconds:
        for _ in range(20):
            events += work(number % DIFFERENT)
            number += 1
    return events / spent


def translation(name: str, batch: int, seconds: float) -> tuple[float, float, float]:
    """Events per CPU second: translated, read at intake, and of the floor."""
    dialect, requests = made(name, batch)
    hits = [hit_of(request, dialect) for request in requests]
    floor = [_plain(request.body) for request in requests]

    def translate(number: int) -> int:
        return len(dialect.translate(hits[number], "0-7", lambda _key: _SOURCE))

    def read(number: int) -> int:
        return dialect.read(requests[number]).events

    def decode(number: int) -> int:
        msgspec.json.decode(floor[number])
        return batch

    return rate(translate, seconds), rate(read, seconds), rate(decode, seconds)


def _plain(body: bytes) -> bytes:
    """JSON text of about what the body says, whatever it is packed in."""
    if body.startswith(b"data_list="):
        return base64.b64decode(unquote_to_bytes(body.removeprefix(b"data_list=")))
    text = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    return text if text[:1] in (b"{", b"[") else msgspec.json.encode(parse_qsl(text.decode()))


def accepted(name: str, requests: int) -> float:
    """Accepted events per second of the real collector, single events, 32 connections."""
    with tempfile.TemporaryDirectory() as folder, servers_of("ours", 1, Path(folder)) as (port, servers):
        send_load(port, WARM_UP_REQUESTS, 1, [], first=10**9, dialect=name)
        load, _ = send_load(port, requests, 1, servers, first=0, dialect=name)
    if load.bad:
        raise RuntimeError(f"{load.bad} requests of {name} were refused")
    return load.events / load.seconds


def _thousands(values: Sequence[float]) -> str:
    return f"{median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--requests", type=int, default=20_000)
    args = parser.parse_args()
    print("| dialect | translated/s, single | batches of 20 | floor | share of floor | read/s, single |")
    for name in MAKERS:
        single = [translation(name, 1, args.seconds) for _ in range(args.runs)]
        batch = single if name in ALONE else [translation(name, BATCH, args.seconds) for _ in range(args.runs)]
        translated, read, floor = ([run[part] for run in single] for part in range(3))
        cells = [name, _thousands(translated), _thousands([run[0] for run in batch]), _thousands(floor)]
        cells += [f"{median(translated) / median(floor):.2f}", _thousands(read)]
        print(
            "|", " | ".join(cells), "|" if median(translated) >= REACH_PER_S else f"| under {REACH_PER_S:,}", flush=True
        )
    rates: dict[str, list[float]] = {name: [] for name in MAKERS}
    for _ in range(args.runs):
        for name in MAKERS:
            rates[name].append(accepted(name, args.requests))
    print("| dialect | accepted/s | of Segment's |")
    for name, values in rates.items():
        share = median(values) / median(rates["segment"])
        print("|", name, "|", _thousands(values), "|", f"{share:.2f}", "|" if share >= WITHIN else f"| under {WITHIN}")


if __name__ == "__main__":
    main()
