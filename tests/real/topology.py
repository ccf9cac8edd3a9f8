"""The processes of deploy/Procfile on real servers: killed, paused, stopped and started at will.

    python -m tests.real.topology run build/topology      all servers and all roles; prints where; Ctrl-C stops them

Each process has a data folder of its own, as if on a machine of its own. One that ends by itself is started again, as
a container is; all die with the process that made them.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg
from psycopg import sql

from cdp.supervisor import WRONG_CALL
from tests.real.product import ADMIN_KEY, Clients, free_port, until
from tests.real.servers import SERVERS, Postgres, Server

PROCFILE = Path(__file__).parents[2] / "deploy" / "Procfile"
READY_S, STOP_S, RESTART_S, POLL_S = 120.0, 30.0, 0.5, 0.05
PORT_SETTING = {"collector": "XUNJI_COLLECTOR_PORT", "api": "XUNJI_PORT"}
"""Of the roles with a listener of their own; the others have one for health and metrics."""
SHARE_FILES = ("api", "scheduler")
"""Who takes a file that is imported, and who reads it: the folder `imports` is on a disk that both reach."""
STOP_ORDER = ("collector", "api", "worker", "scheduler", "identity")
"""Nothing comes in any more; then what came is finished, and what others lean on ends last."""


def procfile() -> dict[str, list[str]]:
    """The command of each process by its name, such as worker-2."""
    lines = (line.partition("#")[0].strip() for line in PROCFILE.read_text().splitlines())
    return {name: shlex.split(command) for name, _, command in (line.partition(":") for line in lines if line)}


@dataclass
class Process:
    """One line of the Procfile. `env` and `command` may be changed; they count from the next start on."""

    name: str
    command: list[str]
    port: int
    env: dict[str, str]
    log: Path
    wanted: bool = False
    popen: subprocess.Popen[bytes] | None = None
    ended_at: float = 0.0

    @property
    def role(self) -> str:
        return self.name.rpartition("-")[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def alive(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number: int) -> None:
        assert self.popen is not None, f"{self.name} was never started"
        self.popen.send_signal(number)

    def status(self, path: str) -> int:
        """Of the answer to GET; 0 where there is none."""
        try:
            return httpx.get(self.url + path, timeout=5, trust_env=False).status_code
        except httpx.HTTPError:
            return 0

    def start(self) -> None:
        """To be called by the thread that lives as long as the topology does: its end is the process's."""
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "SIGKILL", *self.command],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


class Topology(Clients):
    """All roles over four servers, whose databases and topics are this topology's own but for Neo4j's only database,
    which should be empty. Processes are named by role and number: `kill("worker", 2)`."""

    def __init__(
        self,
        folder: Path,
        kafka: Server,
        neo4j: Server,
        postgres: Postgres,
        clickhouse: Server,
        *,
        name: str = "",
        first_port: int = 0,
        **settings: str,
    ) -> None:
        """`name` is what its topics and databases are called; `settings` go before ours, such as a store's address
        behind a proxy. Ports are counted from `first_port`, or free ones."""
        self.folder = folder
        self.postgres, self.name = postgres, name or f"xunji_{secrets.token_hex(4)}"
        for shared in ("logs", "imports"):
            (folder / shared).mkdir(parents=True, exist_ok=True)
        self.env = {
            "XUNJI_LOG_URL": f"kafka://127.0.0.1:{kafka.port}/{self.name}",
            "XUNJI_GRAPH_URL": f"neo4j://127.0.0.1:{neo4j.port}/neo4j",
            "XUNJI_RECORDS_URL": postgres.url_of(self.name),
            "XUNJI_EVENTS_URL": f"clickhouse://127.0.0.1:{clickhouse.port}/{self.name}",
            "XUNJI_SECRET": _kept_secret(folder / "secret.key"),
            "XUNJI_ADMIN_KEY": ADMIN_KEY,
            **settings,
        }
        """The settings that all share; a command needs XUNJI_URL besides: see `command_env`."""
        self.processes = {
            name: self._process(name, command, first_port + number if first_port else free_port())
            for number, (name, command) in enumerate(procfile().items())
        }
        super().__init__(self.process("api").port, self.process("collector").port)
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._keep_running, name="topology", daemon=True)

    def _process(self, name: str, command: list[str], port: int) -> Process:
        assert command[0] == "cdp", command
        own = {PORT_SETTING.get(name.rpartition("-")[0], "XUNJI_HEALTH_PORT"): str(port)}
        data = self.folder / name
        env = os.environ | {"XUNJI_DATA_DIR": str(data)} | own | self.env
        if name.rpartition("-")[0] in SHARE_FILES and not data.exists():
            data.mkdir()
            (data / "imports").symlink_to(self.folder / "imports")
        return Process(name, [sys.executable, "-m", *command], port, env, self.folder / "logs" / f"{name}.log")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            # Nobody leaves a block that was never entered.
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._watch.ident:
            self._watch.join()
        for process in self.processes.values():
            if process.alive():
                process.signal(signal.SIGKILL)
                process.popen.wait()  # type: ignore[union-attr]
        self.close()

    @property
    def command_env(self) -> dict[str, str]:
        """The environment of a command such as `cdp accounting`, which asks the API."""
        return os.environ | self.env | {"XUNJI_URL": self.process("api").url}

    def process(self, role: str, number: int = 1) -> Process:
        return self.processes[f"{role}-{number}"]

    def of(self, role: str) -> list[Process]:
        """All processes of a role, by number."""
        return [process for process in self.processes.values() if process.role == role]

    def start(self, role: str | None = None, number: int = 1) -> None:
        """Start all, or the one, and wait until what was started is ready."""
        self._make_database()
        chosen = list(self.processes.values()) if role is None else [self.process(role, number)]
        for process in chosen:
            process.wanted, process.ended_at = True, 0.0
        if not self._watch.ident:
            self._watch.start()
        until(lambda: all(map(self._is_ready, chosen)), READY_S, self.output)

    def ready(self) -> bool:
        return all(map(self._is_ready, self.processes.values()))

    def kill(self, role: str, number: int = 1, *, again: bool = True) -> None:
        """SIGKILL. It is started again half a second later, or stays away until `start`."""
        process = self.process(role, number)
        process.wanted = again
        assert process.popen is not None
        process.signal(signal.SIGKILL)
        process.popen.wait()

    def stop(self, role: str, number: int = 1) -> int:
        """SIGTERM, and the exit code. It stays away until `start`."""
        return self._stop([self.process(role, number)])[f"{role}-{number}"]

    def stop_all(self) -> dict[str, int]:
        """SIGTERM to all, in an order that finishes what is under way; exit codes by name."""
        return {name: code for role in STOP_ORDER for name, code in self._stop(self.of(role)).items()}

    def restart(self, role: str, number: int = 1) -> int:
        """Stop it and start it again; the exit code of its first life."""
        code = self.stop(role, number)
        self.start(role, number)
        return code

    def pause(self, role: str, number: int = 1) -> None:
        """SIGSTOP: it keeps its connections and leases, and does nothing with them."""
        self.process(role, number).signal(signal.SIGSTOP)

    def resume(self, role: str, number: int = 1) -> None:
        self.process(role, number).signal(signal.SIGCONT)

    def holder(self, lease: str) -> Process | None:
        """Who of the role of that name is at work now, None while nobody is."""
        query = (
            "SELECT address FROM leases WHERE name = %s AND expires_at > EXTRACT(EPOCH FROM clock_timestamp()) * 1000"
        )
        place = f"host=127.0.0.1 port={self.postgres.port} user=postgres dbname={self.name}"
        with psycopg.connect(place) as connection:
            row = connection.execute(query, [lease]).fetchone()
        return next((process for process in self.of(lease) if row and f":{process.port}" in row[0]), None)

    def readiness(self, process: Process) -> str:
        """What a process without an API of its own says that it is ready as."""
        answer = httpx.get(f"{process.url}/readyz", timeout=5, trust_env=False)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["status"])

    def collectors(self) -> list[str]:
        """The URLs of all collectors."""
        return [process.url for process in self.of("collector")]

    def settled(self, timeout_s: float = 60) -> dict[str, Any]:
        """The account once nothing is pending and it balances."""
        until(lambda: _is_settled(self._account()), timeout_s, lambda: f"{self._account()}\n{self.output()}")
        return self.accounting()

    def _account(self) -> dict[str, Any] | None:
        try:
            return self.accounting()
        except (httpx.HTTPError, AssertionError):
            # After a fault the API may say for a moment that a store is away.
            return None

    def output(self) -> str:
        return "\n".join(f"== {name}\n{self.log_of(name)[-1_500:]}" for name in self.processes)

    def log_of(self, name: str) -> str:
        path = self.processes[name].log
        return path.read_text(errors="replace") if path.exists() else ""

    def _is_ready(self, process: Process) -> bool:
        assert process.alive() or process.popen is None or process.popen.returncode != WRONG_CALL, self.output()
        return process.alive() and process.status("/healthz" if process.role == "collector" else "/readyz") == 200

    def _stop(self, chosen: list[Process]) -> dict[str, int]:
        running = [process for process in chosen if process.popen is not None]
        for process in running:
            process.wanted = False
            process.signal(signal.SIGTERM)
        return {process.name: process.popen.wait(STOP_S) for process in running if process.popen is not None}

    def _keep_running(self) -> None:
        while not self._done.wait(POLL_S):
            for process in self._ended():
                process.start()

    def _ended(self) -> Iterator[Process]:
        """Those that should run, do not, and have waited their time."""
        now = time.monotonic()
        for process in self.processes.values():
            if process.alive() or not process.wanted:
                process.ended_at = 0.0
            elif process.popen is None or (process.ended_at and now - process.ended_at >= RESTART_S):
                yield process
            elif process.popen.returncode != WRONG_CALL:
                process.ended_at = process.ended_at or now

    def _make_database(self) -> None:
        with psycopg.connect(f"host=127.0.0.1 port={self.postgres.port} user=postgres", autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.name]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name)))


def _is_settled(account: dict[str, Any] | None) -> bool:
    return (
        account is not None
        and account["balanced"]
        and not account.get("spooled")
        and not any(part["pending"] for part in account["partitions"])
    )


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    return path.read_text()


def run(folder: Path, first_port: int) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with ExitStack() as stack:
        servers: dict[str, Any] = {}
        for name in ("kafka", "neo4j", "postgres", "clickhouse"):
            servers[name] = stack.enter_context(SERVERS[name](folder / name))
            print(f"{name:<12} 127.0.0.1:{servers[name].port}", flush=True)
        topology = stack.enter_context(Topology(folder / "roles", **servers, name="xunji", first_port=first_port))
        for process in topology.processes.values():
            print(f"{process.name:<12} {process.url}", flush=True)
        print(f"Ready. Its API key is {ADMIN_KEY}; logs are in {folder / 'roles' / 'logs'}", flush=True)
        ended.wait()
        topology.stop_all()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.real.topology", description="Run all roles by hand.")
    call = parser.add_subparsers(required=True).add_parser("run", help="until Ctrl-C or SIGTERM; the data stays")
    call.add_argument("folder", type=Path)
    call.add_argument("--port", type=int, default=0, help="the first of nine ports in a row; else free ones")
    asked = parser.parse_args()
    run(asked.folder, asked.port)


if __name__ == "__main__":
    main()
