"""Accepted and durable: hits a second of the real collector beside the floor, both measured in the same minutes.

    python -m bench.intake [--runs 3] [--requests 40000] [--kafka]

Each run starts fresh processes, warms them up, and lets `bench.load` send through 32 connections from a process of
its own. Floor and collector take turns, so that what else the machine does falls on both. With `--kafka` the collector
on a Kafka log is measured in the same turns, with a real broker, started here, that shares the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import msgspec
import psutil

from bench.load import Load
from cdp.model import Source, SourceKind
from cdp.settings import Settings
from cdp.stores import open_log_writer
from cdp.vault import Cipher
from collectors.accept import Accept
from collectors.registry import DIALECTS
from collectors.server import run as run_collector
from collectors.server import serve_collector

if TYPE_CHECKING:
    from tests.real.servers import Kafka

KEY = "bench-key"
CONNECTIONS = 32
WARM_UP_REQUESTS = 2000
START_S = 20.0
CPU_TARGET = 1.5
"""Of the collector an event on Kafka, against the embedded log."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    processes: int
    batch: int
    target: float
    """What the ratio to the floor shall reach."""
    kafka_target: float = 0
    senders: int = 1
    """What each sends has a partition of its own, or shares one with some others'."""


CASES = (
    Case("single events of 700 bytes, 1 process", 1, 1, 1.7, 0.8),
    Case("single events of 700 bytes, 2 processes", 2, 1, 1.4),
    Case("batches of 20, 1 process", 1, 20, 0.9, 0.5),
    Case("single events, 1 process, many senders", 1, 1, 0, 0.8, senders=64),
)


@dataclass(frozen=True, slots=True)
class Run:
    load: Load
    cpu_s: float
    broker_cpu_s: float = 0

    @property
    def per_second(self) -> float:
        return self.load.events / self.load.seconds

    @property
    def per_cpu_second(self) -> float:
        return self.load.events / self.cpu_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.load.events * 1e6

    @property
    def broker_cpu_us(self) -> float:
        return self.broker_cpu_s / self.load.events * 1e6


@dataclass(frozen=True, slots=True)
class Row:
    """The runs of one case, floor and collector in turn."""

    case: Case
    floor: Sequence[Run]
    ours: Sequence[Run]

    def of_ours(self, name: str) -> list[float]:
        return [getattr(run, name) for run in self.ours]

    def cells(self) -> list[str]:
        per_second, per_cpu_second = (
            median(getattr(run, name) for run in self.ours) / median(getattr(run, name) for run in self.floor)
            for name in ("per_second", "per_cpu_second")
        )
        return [
            self.case.name,
            _spread([run.per_second for run in self.floor]),
            _spread([run.per_second for run in self.ours]),
            f"{per_second:.2f} x",
            _spread([run.per_cpu_second for run in self.floor]),
            _spread([run.per_cpu_second for run in self.ours]),
            f"{per_cpu_second:.2f} x",
            f"{self.case.target} x",
            _spread([run.load.p50_ms for run in self.ours], digits=1),
            _spread([run.load.p99_ms for run in self.ours], digits=1),
        ]


HEADINGS = [
    "what",
    "floor events/s",
    "events/s",
    "ratio",
    "floor per CPU-s",
    "per CPU-s",
    "ratio",
    "reach",
    "p50 ms",
    "p99 ms",
]


def run(*, runs: int = 3, requests: int = 40_000) -> list[Row]:
    """Measure all cases; a run of batches sends a tenth as many requests."""
    rows = []
    for case in (case for case in CASES if case.target):
        measured = [[_measure(which, case, requests) for which in ("floor", "ours")] for _ in range(runs)]
        rows.append(Row(case, *zip(*measured, strict=True)))
    return rows


def run_on_kafka(*, runs: int = 3, requests: int = 40_000) -> Iterator[tuple[Row, Row]]:
    """Rows of the collector on a Kafka log, each with the row of the embedded log in the same turns."""
    from tests.real.servers import Kafka

    with tempfile.TemporaryDirectory() as folder, Kafka(Path(folder)) as broker:
        # A broker that was just started is slow until its code is compiled.
        _measure("kafka", CASES[0], requests, broker)
        for case in CASES:
            if case.kafka_target:
                measured = [
                    [_measure(which, case, requests, broker) for which in ("floor", "ours", "kafka")]
                    for _ in range(runs)
                ]
                floor, ours, kafka = zip(*measured, strict=True)
                yield Row(replace(case, target=case.kafka_target), floor, kafka), Row(case, floor, ours)


def _spread(values: Sequence[float], *, digits: int = 0) -> str:
    """Median, and the least and the most of all runs."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def _measure(which: str, case: Case, requests: int, broker: Kafka | None = None) -> Run:
    count = requests if case.batch == 1 else requests // 10
    log_url = f"{broker.url}-{time.time_ns()}" if broker and which == "kafka" else ""
    brokers = [psutil.Process(broker.process.pid)] if broker and broker.process else []
    with (
        tempfile.TemporaryDirectory() as folder,
        servers_of(which, case.processes, Path(folder), log_url=log_url) as (port, servers),
    ):
        send_load(port, WARM_UP_REQUESTS, case.batch, [], first=10**9, senders=case.senders)
        before = _cpu_s(brokers)
        load, cpu_s = send_load(port, count, case.batch, servers, first=0, senders=case.senders)
        broker_cpu_s = _cpu_s(brokers) - before
    if load.bad:
        raise RuntimeError(f"{load.bad} of {load.requests} requests were not answered 200 or 204")
    return Run(load, cpu_s, broker_cpu_s)


@contextmanager
def servers_of(
    which: str, count: int, folder: Path, *, log_url: str = ""
) -> Iterator[tuple[int, list[psutil.Process]]]:
    """The port and the processes of a running `floor`, or else of the collector, on an embedded log without a URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with ExitStack() as stack:
        servers = []
        for number in range(count):
            if which == "floor":
                command = ["bench.floor", "--port", str(port), "--file", str(folder / f"floor-{number}"), "--key", KEY]
            else:
                command = ["bench.intake", "--collect", str(port), "--folder", str(folder), "--log", log_url]
            server = subprocess.Popen([sys.executable, "-m", *command])
            stack.callback(server.wait)
            stack.callback(server.send_signal, signal.SIGTERM)
            servers.append(psutil.Process(server.pid))
        for server in servers:
            _await_listening(server)
        yield port, servers


def _await_listening(server: psutil.Process) -> None:
    until = time.monotonic() + START_S
    while not any(connection.status == psutil.CONN_LISTEN for connection in server.net_connections("tcp")):
        if time.monotonic() > until:
            raise TimeoutError(f"process {server.pid} does not listen after {START_S} s")
        time.sleep(0.05)


def send_load(
    port: int,
    requests: int,
    batch: int,
    servers: Sequence[psutil.Process],
    *,
    first: int,
    dialect: str | None = None,
    senders: int = 1,
) -> tuple[Load, float]:
    """What the generator measured, and the CPU seconds of the servers meanwhile."""
    command = [sys.executable, "-m", "bench.load", "--port", str(port), "--requests", str(requests), "--key", KEY]
    command += [
        "--connections",
        str(CONNECTIONS),
        "--batch",
        str(batch),
        "--first",
        str(first),
        "--senders",
        str(senders),
    ]
    command += ["--dialect", dialect] if dialect else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        sender.stdout.readline()
        before = _cpu_s(servers)
        sender.stdin.write(b"\n")
        sender.stdin.flush()
        load = msgspec.json.decode(sender.stdout.readline(), type=Load)
        return load, _cpu_s(servers) - before


def _cpu_s(servers: Sequence[psutil.Process]) -> float:
    times = [server.cpu_times() for server in servers]
    return sum(each.user + each.system for each in times)


class _OneSource:
    def by_key(self, key: str) -> Source | None:
        return _SOURCE if key == KEY else None


_SOURCE = Source(id="bench", kind=SourceKind.SITE, keys=(KEY,))


async def _collect(port: int, folder: Path, log_url: str) -> None:
    """The collector process as `cdp serve` runs it, but for the records store, of which it needs one source."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings(data_dir=folder, **{"log_url": log_url} if log_url else {})
    log = open_log_writer(settings, spooling=True)
    accept = Accept(dialects=DIALECTS, sources=_OneSource(), log=log, cipher=Cipher(os.urandom(32), "log"))
    await serve_collector(host="127.0.0.1", port=port, accept=accept, stop=stop)
    await log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--kafka", action="store_true", help="the collector on a Kafka log, beside the embedded one")
    parser.add_argument("--collect", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--log", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.collect is not None:
        run_collector(_collect(args.collect, args.folder, args.log))
        return
    print(" | ".join(HEADINGS))
    if not args.kafka:
        for row in run(runs=args.runs, requests=args.requests):
            print(" | ".join(row.cells()), flush=True)
        return
    for row, embedded in run_on_kafka(runs=args.runs, requests=args.requests):
        print(" | ".join(row.cells()))
        print(" | ".join(embedded.cells()), "| embedded log")
        ratio = median(row.of_ours("cpu_us")) / median(embedded.of_ours("cpu_us"))
        print(
            f"CPU of the collector an event: {_spread(row.of_ours('cpu_us'), digits=1)} us, embedded log "
            f"{_spread(embedded.of_ours('cpu_us'), digits=1)} us: {ratio:.2f} x (reach {CPU_TARGET} x); "
            f"of the broker {_spread(row.of_ours('broker_cpu_us'), digits=1)} us",
            flush=True,
        )


if __name__ == "__main__":
    main()
