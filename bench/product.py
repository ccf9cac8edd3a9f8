"""The product as it runs, for measuring: real processes on a data folder that can be stocked beforehand."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from bench.events import BATCH, PEOPLE, Traffic, sets_of
from cdp.model import Hit, Identifier, SourceKind
from cdp.moments import now_ms
from cdp.policy import policy_in_force
from cdp.records import writing
from cdp.seen import Place, SeenIds
from cdp.settings import Settings
from cdp.stores import open_events, open_graph, open_log_writer, open_records
from cdp.vault import Cipher
from collectors.sources import SourceBook
from identity.engine import IdentityEngine
from profiles.owners import Owners
from profiles.whose import Whose

ADMIN_KEY = "bench-admin-key-0123456789"
WRITE_KEY = "bench-key"
NEW_EVIDENCE = 0.05
SEEN_CHUNK = 200_000
REGISTERED = 500
"""People whose sets go into the graph at once; a server's memory for one transaction has limits."""


class Product:
    """`cdp serve` with its processes; `cpu_s` and `memory_mib` count all of them."""

    def __init__(self, data: Path, *, collectors: int = 1) -> None:
        self.data = data
        self.port, self.collector_port = _free_port(), _free_port()
        self._env = os.environ | {
            "XUNJI_DATA_DIR": str(data),
            "XUNJI_PORT": str(self.port),
            "XUNJI_COLLECTOR_PORT": str(self.collector_port),
            "XUNJI_COLLECTOR_PROCESSES": str(collectors),
            "XUNJI_ADMIN_KEY": ADMIN_KEY,
            "XUNJI_LOG_LEVEL": "warning",
        }
        self._process: subprocess.Popen[bytes] | None = None
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=60)

    def __enter__(self) -> Product:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cdp", "serve"], env=self._env, stdin=subprocess.DEVNULL, stdout=sys.stderr
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        self.api.close()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if self.api.get("/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise TimeoutError("the product did not become ready in 120 s")

    def processes(self) -> list[psutil.Process]:
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def app(self) -> psutil.Process:
        return next(each for each in self.processes()[1:] if "worker" in each.cmdline())

    def memory_mib(self) -> float:
        """Proportional set size of all processes, so that what they share counts once."""
        return sum(each.memory_full_info().pss for each in self.processes()) / 2**20

    def account(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get("/api/v1/accounting").json()
        return found

    def pending(self) -> int:
        return sum(part["pending"] for part in self.account()["partitions"])


def create_source(settings: Settings) -> None:
    """Make the bench's source."""
    records = open_records(settings)
    SourceBook(records, settings.secret_bytes).create("bench", SourceKind.SITE, key=WRITE_KEY)
    records.dispose()


def stock_events(settings: Settings, count: int) -> None:
    """Store `count` events of 50,000 known people as the product would have, with their ids and owners remembered.

    Written through the stores' own ports, past the pipeline, which would take eight times as long.
    """
    traffic = Traffic(count)
    graph, events, records = open_graph(settings), open_events(settings), open_records(settings)
    identity = IdentityEngine(graph, policy_in_force(None))
    for start in range(0, PEOPLE, REGISTERED):
        people = range(start, min(start + REGISTERED, PEOPLE))
        identity.register_sets(
            {
                each: (Identifier("wx_openid", f"wxa1b2/o{p:020d}"), Identifier("device_id", f"device-{each}"))
                for p in people
                for each in sets_of(p)
            }
        )
    for start in range(0, count, BATCH):
        events.write(traffic.batch(min(BATCH, count - start)), token=f"stock-{start}")
    seen = SeenIds()
    seen.turn(records, at=now_ms())
    for start in range(0, count, SEEN_CHUNK):
        with writing(records) as connection:
            keys = sorted(random.getrandbits(63) for _ in range(min(SEEN_CHUNK, count - start)))
            seen.claim(connection, {key: Place(0, 0, 0) for key in keys})
    Owners(identity, events, Whose(identity, events), records).rebuild()
    for store in (graph, events):
        store.close()
    records.dispose()


def anybody(count: int) -> Sequence[int]:
    return random.choices(range(PEOPLE), k=count)


def fill_log(
    settings: Settings, people: Sequence[int], *, evidence: float = NEW_EVIDENCE, hits: Hits | None = None
) -> None:
    """Append a hit of one event for each of `people` to the log of a product whose collectors do not run."""
    cipher = Cipher(settings.secret_bytes, "log")
    make = hits or Hits()

    async def append() -> None:
        writer = open_log_writer(settings)
        for start in range(0, len(people), 2_000):
            now = now_ms()
            some = people[start : start + 2_000]
            sealed = [cipher.seal(make.hit(now, person, random.random() < evidence)) for person in some]
            await asyncio.gather(
                *(writer.append(each, now, key=b"%d" % person) for each, person in zip(sealed, some, strict=True))
            )
        await writer.close()

    asyncio.run(append())


class Hits:
    """Hits as the collector logs them: a page's track call of about 700 bytes, now and then an identify."""

    def __init__(self) -> None:
        self._made = 0
        self._run = random.getrandbits(32)

    def hit(self, now: int, person: int, evidence: bool) -> bytes:
        body = self.body(person, evidence)
        hit = Hit(
            received_at=now,
            source="bench",
            dialect="segment",
            method="POST",
            target="/v1/track",
            headers={"content-type": "application/json"},
            client_ip="127.0.0.1",
            body=body,
        )
        return msgspec.msgpack.encode(hit)

    def body(self, person: int, evidence: bool) -> bytes:
        """An event of a person; with `evidence` a login on a device of hers that was not seen before."""
        self._made += 1
        number = self._made
        device = f"{person:06x}-{self._run:08x}-{number:08x}" if evidence else f"{person:06x}"
        kind = (
            f'"type":"identify","userId":"member-{person}","traits":{{"city":"上海","visits":{number % 9}}}'
            if evidence
            else '"type":"track","event":"vehicle_viewed","properties":{"series":"X7","model":"X7 Max 2026",'
            '"space_mm":2980,"video":"rear_seat","seconds":41}'
        )
        return (
            f'{{"timestamp":"2026-11-20T08:15:30.123Z","integrations":{{}},{kind},"context":{{"page":{{"path":"/models/x7",'
            '"referrer":"https://www.example.com/","title":"X7 空间","url":"https://www.example.com/models/x7"},'
            '"userAgent":"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15",'
            '"locale":"zh-CN","library":{"name":"analytics.js","version":"npm:next-1.84.3"}},'
            f'"messageId":"ajs-next-{self._run:010d}-{number:012d}","anonymousId":"5b0c6f7e-4a53-4f37-{device}"}}'
        ).encode()


@contextmanager
def fresh_folder(name: str) -> Iterator[Path]:
    """An empty folder below bench/out, removed at the end."""
    folder = Path(__file__).parent / "out" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settings_of(data: Path) -> Settings:
    return Settings(data_dir=data, admin_key=ADMIN_KEY)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
