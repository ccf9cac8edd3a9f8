"""Send hits as fast as they are answered: a closed loop over keep-alive connections, in a process of its own.

Requests are built before the clock starts, each with message ids of its own, so that the generator takes as little
of the machine as it can. Prints one JSON line.

    python -m bench.load --port 9100 --requests 50000 --connections 32 --batch 1 --key bench-key [--dialect sensors]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import cast

import msgspec
import uvloop

from bench.requests import MAKERS, event, wire


class Load(msgspec.Struct):
    """What a run gave; latencies in milliseconds, `bad` counts answers other than 200 and 204."""

    events: int
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    bad: int


def requests(count: int, *, first: int, batch: int, key: str, senders: int = 1) -> Iterator[bytes]:
    """Whole HTTP requests with `batch` events each, in turn of so many senders; event numbers begin at `first`."""
    authorization = base64.b64encode(f"{key}:".encode()).decode()
    for number in range(count):
        numbers = range(first + number * batch, first + (number + 1) * batch)
        events = [event(each) for each in numbers]
        body = events[0] if batch == 1 else b'{"batch":[%b],"sentAt":"2026-03-02T08:15:30.323Z"}' % b",".join(events)
        head = (
            f"POST /v1/{'track' if batch == 1 else 'batch'} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"User-Agent: analytics-node/3.1.{number % senders}\r\nContent-Type: application/json\r\nAccept: */*\r\n"
            f"Accept-Encoding: gzip, deflate\r\nAuthorization: Basic {authorization}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body


def in_dialect(dialect: str, count: int, *, first: int, batch: int) -> Iterator[bytes]:
    """The same, as the SDK of this dialect sends it; its key is the benches' own."""
    for number in range(count):
        yield wire(MAKERS[dialect](range(first + number * batch, first + (number + 1) * batch)))


_OK = b"HTTP/1.1 200"
_GOOD = (_OK, b"HTTP/1.1 204")
_TAKEN = b'\r\n\r\n{"success":true}'
"""How a good answer of floor and collector ends; seen first, so that the generator takes little of the machine."""


class _Sender(asyncio.Protocol):
    """One connection: a request goes out when the answer to the last one is in."""

    def __init__(self, pending: list[bytes], latencies: list[float]) -> None:
        self._pending = pending
        self._latencies = latencies
        self._sent_at = 0.0
        self._answer = b""
        self.bad = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def start(self) -> None:
        if self._pending:
            self._sent_at = perf_counter()
            self._transport.write(self._pending.pop())
        elif not self.done.done():
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        if data.startswith(_OK) and data.endswith(_TAKEN):
            self._answered(good=True)
            return
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return
        self._answer = b""
        self._answered(good=head.startswith(_GOOD))

    def _answered(self, *, good: bool) -> None:
        self._latencies.append(perf_counter() - self._sent_at)
        self.bad += not good
        self.start()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("the server closed a connection"))


async def send(port: int, pending: list[bytes], *, connections: int, batch: int) -> Load:
    loop = asyncio.get_running_loop()
    count = len(pending)
    latencies: list[float] = []
    senders = [
        (await loop.create_connection(lambda: _Sender(pending, latencies), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    began = perf_counter()
    for sender in senders:
        sender.start()
    await asyncio.gather(*(sender.done for sender in senders))
    seconds = perf_counter() - began
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
    return Load(count * batch, count, seconds, p50, p99, sum(sender.bad for sender in senders))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("port", None),
        ("requests", 50_000),
        ("connections", 32),
        ("batch", 1),
        ("first", 0),
        ("senders", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, required=default is None)
    parser.add_argument("--key", required=True)
    parser.add_argument("--dialect", help="as this dialect's SDK sends it, else as Segment's servers do")
    args = parser.parse_args()
    if args.dialect is None:
        pending = list(requests(args.requests, first=args.first, batch=args.batch, key=args.key, senders=args.senders))
    else:
        pending = list(in_dialect(args.dialect, args.requests, first=args.first, batch=args.batch))
    # The parent starts its measurement of the servers' CPU now, and says so.
    print("ready", flush=True)
    sys.stdin.readline()
    result = uvloop.run(send(args.port, pending, connections=args.connections, batch=args.batch))
    print(msgspec.json.encode(result).decode(), flush=True)


if __name__ == "__main__":
    main()
