"""Real servers with the roles of the deployment on them, and what each process of both has used.

All of them share this machine's cores. PostgreSQL syncs each commit, as operators run it and tests do not; Kafka is one
broker, which answers from memory as brokers do; the event store is ClickHouse's engine behind HTTP.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from cdp.settings import PREFIX, Settings
from tests.real.servers import ClickHouse, Kafka, Neo4j, Postgres, Server
from tests.real.topology import Topology

NAME = "bench"


class SyncedPostgres(Postgres):
    def _command(self) -> list[str]:
        return [*super()._command(), "-c", "fsync=on"]


class Stack:
    """The servers run; of the roles those that are started with `topology.start(role, number)`."""

    def __init__(self, servers: Mapping[str, Server], topology: Topology) -> None:
        self.servers, self.topology = servers, topology
        values = {name.removeprefix(PREFIX).lower(): value for name, value in topology.env.items()}
        self.settings = Settings(data_dir=topology.folder / NAME, **values)

    def query(self, sql: str) -> int:
        """The one number that the records store answers with."""
        place = f"host=127.0.0.1 port={self.servers['postgres'].port} user=postgres dbname={self.topology.name}"
        with psycopg.connect(place, autocommit=True) as connection:
            row = connection.execute(sql.encode()).fetchone()
        return int(row[0] or 0) if row else 0

    def processed(self) -> int:
        """Hits that are processed, of all partitions."""
        return self.query("SELECT sum(next) FROM positions")

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds of each server and each process of a role so far, its children's included."""
        running = {name: server.process for name, server in self.servers.items()}
        running |= {name: each.popen for name, each in self.topology.processes.items() if each.alive()}
        return {name: _cpu_s(process.pid) for name, process in running.items() if process is not None}

    def disk_bytes(self) -> dict[str, int]:
        """What the folder of each server takes on disk."""
        return {name: disk_bytes(server.folder) for name, server in self.servers.items()}


def _cpu_s(pid: int) -> float:
    total = 0.0
    parent = psutil.Process(pid)
    for each in (parent, *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            # Of itself, and of those children that have ended.
            total += sum(each.cpu_times()[:4])
    return total


def disk_bytes(folder: Path) -> int:
    total = 0
    # Servers delete files and folders meanwhile; `walk` passes over a folder that is gone.
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512  # noqa: PTH118
    return total


@contextmanager
def servers() -> Iterator[dict[str, Server]]:
    """One server of each kind, empty, in a folder that PostgreSQL's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="xunji-bench-"))
    folder.chmod(0o755)
    kinds = {"kafka": Kafka, "neo4j": Neo4j, "postgres": SyncedPostgres, "clickhouse": ClickHouse}
    try:
        with ExitStack() as running:
            yield {name: running.enter_context(kind(folder / name)) for name, kind in kinds.items()}
    finally:
        shutil.rmtree(folder)


@contextmanager
def stack(on: Mapping[str, Server], name: str = NAME, **settings: str) -> Iterator[Stack]:
    """The roles of one deployment on these servers, none of them started; the first start makes the databases."""
    folder = on["postgres"].folder.parent / name
    with ExitStack() as running:
        topology = Topology(folder, **on, name=name, **settings)  # type: ignore[arg-type]
        running.push(topology)
        yield Stack(on, topology)
        topology.stop_all()
