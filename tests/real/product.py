"""A running product for tests: real processes, real sockets, an empty data folder, free ports."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

ADMIN_KEY = "tests-admin-key-0123456789"
READY_S = 60.0
PORTS = 15_000, 32_000
"""Below those that systems give to whoever asks for any."""

_chance = random.SystemRandom()


class Clients:
    """What tests ask of whatever runs, through its listeners: an API and a collector."""

    def __init__(self, port: int, collector_port: int) -> None:
        self.port, self.collector_port = port, collector_port
        self.api = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
            timeout=30,
            trust_env=False,
        )
        self.collector = httpx.Client(base_url=f"http://127.0.0.1:{collector_port}", timeout=30, trust_env=False)

    def close(self) -> None:
        self.api.close()
        self.collector.close()

    def output(self) -> str:
        """The last words of the processes."""
        raise NotImplementedError

    def create_source(self, name: str, kind: str = "site", **fields: Any) -> str:
        """Returns the write key."""
        answer = self.api.post("/api/v1/sources", json={"name": name, "kind": kind, **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])

    def accounting(self) -> dict[str, Any]:
        answer = self.api.get("/api/v1/accounting")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def settled(self, timeout_s: float = 60) -> dict[str, Any]:
        """The account once nothing is pending."""
        until(lambda: not any(part["pending"] for part in self.accounting()["partitions"]), timeout_s, self.output)
        return self.accounting()


class Product(Clients):
    """`cdp serve` on a data folder; start, stop and kill it as often as you like."""

    def __init__(self, folder: Path, *, collectors: int = 1, demo: bool = False, **settings: str) -> None:
        super().__init__(free_port(), free_port())
        self.folder = folder
        self.arguments = ("--demo",) if demo else ()
        self.env = os.environ | {
            "XUNJI_DATA_DIR": str(folder / "data"),
            "XUNJI_PORT": str(self.port),
            "XUNJI_COLLECTOR_PORT": str(self.collector_port),
            "XUNJI_COLLECTOR_PROCESSES": str(collectors),
            "XUNJI_ADMIN_KEY": ADMIN_KEY,
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Product:
        try:
            self.start()
        except BaseException:
            # Nobody leaves a block that was never entered.
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.close()

    def start(self, *arguments: str) -> None:
        """Start `cdp serve` and wait until both listeners answer."""
        with (self.folder / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cdp", "serve", *self.arguments, *arguments],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        until(self.ready, READY_S, self.output)

    def ready(self) -> bool:
        try:
            return self.api.get("/readyz").status_code == 200 and self.collector.get("/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    def output(self) -> str:
        return (self.folder / "output.log").read_text(errors="replace")[-4_000:]

    def children(self) -> dict[str, list[psutil.Process]]:
        """Living children by kind: collector and app."""
        found: dict[str, list[psutil.Process]] = {"collector": [], "app": []}
        if self.process is None:
            return found
        for child in psutil.Process(self.process.pid).children():
            try:
                found["collector" if "collector" in child.cmdline() else "app"].append(child)
            except psutil.NoSuchProcess:
                # It died just now, and waits for the supervisor to notice.
                continue
        return found

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """SIGKILL to the supervisor and, as they die with it, to nobody else: then wait until all are gone."""
        if self.process is None or self.process.poll() is not None:
            return
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        until(lambda: not any(map(lives, family)), 30, lambda: f"children outlived their supervisor: {family}")

    def kill_tree(self) -> None:
        """SIGKILL to every process at once."""
        assert self.process is not None
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for each in family:
            each.kill()
        self.process.wait()
        until(lambda: not any(map(lives, family)), 30, self.output)


def lives(process: psutil.Process) -> bool:
    """Who has ended holds nothing any more, though an orphan's entry may stay for seconds until somebody takes it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], bool], timeout_s: float, explain: Callable[[], str] = lambda: "") -> None:
    """Wait for a condition; fails with what `explain` says."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {timeout_s} s: {explain()}"
        time.sleep(0.02)


def free_port() -> int:
    """One that nobody has, nor gets from the system before it is used, as tests run beside each other."""
    for port in _chance.sample(range(*PORTS), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")
