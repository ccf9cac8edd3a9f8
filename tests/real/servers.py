"""Real servers for tests: Kafka, Neo4j Community, PostgreSQL and ClickHouse's engine, started, stopped, killed and
started again.

    python -m tests.real.servers run neo4j build/neo4j        prints the URL; Ctrl-C stops it, the data stays

The jars of Kafka and Neo4j come from the ordinary Maven client, once, into `.cache/servers`; PostgreSQL from the
system's packages; the engine is a Python package. All listen on 127.0.0.1 only, and die with the thread that started
them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar, Self

import psutil

from tests.real.product import free_port, lives

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "servers"
READY_S, STOP_S = 90.0, 30.0
BOLT_HELLO = bytes.fromhex("6060B017 00080805") + bytes(12)
"""Asks for Bolt 5.0 to 5.8; a server that is ready answers with the four bytes of the version it takes."""
API_VERSIONS = struct.pack(">ihhih5s", 15, 18, 0, 1, 5, b"ready")
"""Kafka's request 18: which requests the broker understands."""
CLUSTER = "a2Fma2EtZm9yLXRlc3RzIQ"


class Server:
    """One server on a folder of its own, which may be used again. `start` and `kill` may alternate as often as one
    likes: port and data stay the same. All of it belongs in one thread that outlives the server."""

    stop_signal: ClassVar = signal.SIGTERM
    orphan_signal: ClassVar = signal.SIGKILL
    """What the kernel sends it when its starter dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def _prepare(self) -> None:
        """Make what the first start needs; harmless before any other."""
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _ready(self) -> bool:
        """Whether it answers its own protocol."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers. Raises RuntimeError with its last words."""
        self._prepare()
        with (self.folder / "server.log").open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", self.orphan_signal.name, *self._command()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{type(self).__name__} did not start: {self.output()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """A clean end. Does nothing where it does not run."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """SIGKILL to the server and to its children, as when memory runs out."""
        if self.process is None:
            return
        family = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        for child in family:
            if lives(child):
                child.kill()
        deadline = time.monotonic() + STOP_S
        while any(map(lives, family)) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.process = None

    def output(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-4_000:]


class Neo4j(Server):
    """Neo4j Community without a password."""

    opened: ClassVar = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
    """Packages of the JDK that it reaches into."""

    @property
    def url(self) -> str:
        return f"bolt://127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        self._jars = jars_of("neo4j")
        conf = self.folder / "conf"
        conf.mkdir(exist_ok=True)
        (conf / "neo4j.conf").write_text((HERE / "neo4j.conf").read_text().format(port=self.port))

    def _command(self) -> list[str]:
        return [
            java(),
            "-Xms128m",
            "-Xmx512m",
            # Takes half the memory of the default collector.
            "-XX:+UseSerialGC",
            *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in self.opened),
            "-cp",
            f"{self._jars}/*",
            "org.neo4j.server.CommunityEntryPoint",
            f"--home-dir={self.folder}",
            f"--config-dir={self.folder}/conf",
            "--console-mode",
        ]

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(BOLT_HELLO)
                return len(connection.recv(4)) == 4
        except OSError:
            return False


class Kafka(Server):
    """One broker that is its own controller."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._controller_port = free_port()

    @property
    def url(self) -> str:
        return f"kafka://{self.address}/xunji"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        self._jars = jars_of("kafka")
        conf = self.folder / "kafka.properties"
        ports = {"port": self.port, "controller_port": self._controller_port}
        conf.write_text((HERE / "kafka.properties").read_text().format(**ports, folder=f"{self.folder}/data"))
        if not (self.folder / "data" / "meta.properties").exists():
            formatted = self._java("kafka.tools.StorageTool", "format", "--standalone", "--config", str(conf))
            subprocess.run([*formatted, "--cluster-id", CLUSTER], check=True, stdout=subprocess.DEVNULL)

    def _java(self, program: str, *arguments: str) -> list[str]:
        # SerialGC takes half the memory of the default collector.
        flags = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        return [java(), *flags, "-cp", f"{self._jars}/*", program, *arguments]

    def _command(self) -> list[str]:
        return self._java("kafka.Kafka", f"{self.folder}/kafka.properties")

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(API_VERSIONS)
                return len(connection.recv(8)) == 8
        except OSError:
            return False


class Postgres(Server):
    """PostgreSQL with a superuser `postgres` and no password.

    It refuses to run as root, so root runs it as the user `postgres`, who must be able to reach the folder.
    """

    stop_signal: ClassVar = signal.SIGINT
    """"Fast": open connections are closed, where SIGTERM would wait for them."""
    orphan_signal: ClassVar = signal.SIGQUIT
    """Ends at once as SIGKILL does, but takes the children and the shared memory along."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._bin = postgres_programs()
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as_user = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    @property
    def url(self) -> str:
        """Of the database that is always there; see `url_of`."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def _prepare(self) -> None:
        if (self.folder / "data").exists():
            return
        made = subprocess.run(
            [
                *("setpriv", *self._as_user, str(self._bin / "initdb"), "--username=postgres", "--auth=trust"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", f"--pgdata={self.folder}/data"),
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed; can its user reach {self.folder}? {made.stderr[-2_000:]}")

    def _command(self) -> list[str]:
        command = [*self._as_user, str(self._bin / "postgres"), "-D", f"{self.folder}/data", "-p", str(self.port)]
        settings = {
            "listen_addresses": "127.0.0.1",
            # The path of a socket may have 107 bytes at most.
            "unix_socket_directories": "",
            # What a killed process wrote is in the system's cache; only a machine that dies would lose it. With it each
            # start after a kill syncs every file of every database.
            "fsync": "off",
        }
        return [*command, *(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))]

    def _ready(self) -> bool:
        asked = [str(self._bin / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        return subprocess.run(asked, check=False).returncode == 0


class ClickHouse(Server):
    """ClickHouse's engine behind HTTP (`tests.real.clickhouse`): a server's program is in no package registry."""

    password = ""
    """Of the user `default`; to be set before a start, as `config` is."""
    config = ""
    """What stands between <clickhouse> and </clickhouse> in its file of settings."""

    @property
    def url(self) -> str:
        """Of the database that is always there; see `url_of`."""
        return self.url_of("default")

    def url_of(self, database: str) -> str:
        user = f"default:{self.password}@" if self.password else ""
        return f"clickhouse://{user}127.0.0.1:{self.port}/{database}"

    def _prepare(self) -> None:
        (self.folder / "config.xml").write_text(f"<clickhouse>{self.config}</clickhouse>")

    def _command(self) -> list[str]:
        data = f"{self.folder}/data?config-file={self.folder}/config.xml"
        password = [self.password] if self.password else []
        return [sys.executable, str(HERE / "clickhouse.py"), data, str(self.port), *password]

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"GET /ping HTTP/1.1\r\n\r\n")
                return connection.recv(12) == b"HTTP/1.1 200"
        except OSError:
            return False


def jars_of(server: str) -> Path:
    """The folder of the server's jars, fetched where they are not there yet for this pom."""
    pom = HERE / f"pom-{server}.xml"
    jars = CACHE / f"{server}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if jars.exists():
        return jars
    CACHE.mkdir(parents=True, exist_ok=True)
    # Fetched beside it and renamed, so that a run that was cut off, or another at the same time, does no harm.
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        fetched = Path(folder) / "jars"
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={fetched}", "-DincludeScope=runtime"]
        done = subprocess.run(
            [program("mvn", "maven"), "--batch-mode", "--quiet", "--file", str(pom), *goal],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"mvn could not fetch the jars: {done.stdout[-2_000:]}")
        if not jars.exists():
            fetched.rename(jars)
    return jars


def java() -> str:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home, "bin", "java")) if home else program("java", "default-jre-headless")


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"There is no {name}: apt-get install {package}")
    return found


def postgres_programs() -> Path:
    """The folder with initdb and postgres; Debian keeps one per major version, out of the path."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else Path(program("initdb", "postgresql")).resolve().parent


SERVERS: dict[str, type[Server]] = {"clickhouse": ClickHouse, "kafka": Kafka, "neo4j": Neo4j, "postgres": Postgres}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.real.servers", description="Run a real server by hand.")
    run = parser.add_subparsers(required=True).add_parser("run", help="until Ctrl-C or SIGTERM; the data stays")
    run.add_argument("server", choices=sorted(SERVERS))
    run.add_argument("folder", type=Path)
    asked = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with SERVERS[asked.server](asked.folder) as server:
        print(server.url, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
