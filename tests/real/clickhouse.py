"""ClickHouse's HTTP interface over the engine in this process: as much of it as our event store and its client use.

    python -m tests.real.clickhouse FOLDER PORT [PASSWORD]

SQL, types, formats, settings, error codes and texts are the engine's own, and so are durability and crashes. The HTTP
around it is ours: it has no users, roles or native protocol, keeps sessions for ever, sends an answer only when it is
complete, and shows nothing of replicas. Of a cluster it is all servers: what is told to them all is told to it.
"""

from __future__ import annotations

import base64
import email
import gzip
import re
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame
from backports import zstd

UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": zstd.decompress,
}
OWN = {
    *("query", "database", "default_format", "query_id", "session_id", "client_protocol_version"),
    *("wait_end_of_query", "enable_http_compression", "buffer_size"),
    *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
}
"""Parameters of the interface itself; every other one is a setting, or the value of a placeholder: `param_name`."""
STATUS = {47: 404, 60: 404, 62: 400, 81: 404, 115: 404, 159: 408, 516: 403}
"""HTTP statuses of the engine's codes; all others are 500."""
WRONG_PASSWORD = "Code: 516. DB::Exception: default: Authentication failed: password is incorrect, or there is no user"
INSERT = re.compile(rb"(\s*INSERT\s+INTO\s.+?)\sFORMAT\s+(\w+)[ \t]*(?:\n|$)", re.IGNORECASE | re.DOTALL)
FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*$", re.IGNORECASE)
NAME = re.compile(r"\w+")
MAX_FIELD = 131_072
"""The server's own `http_max_field_value_size`, in bytes, as it is unless somebody changes it."""
TOKEN, MOST_IDLE = "insert_deduplication_token", 8
TO_ALL = re.compile(rb" ON CLUSTER '[^']+'")


class Engine:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        # It lives as long as a handle is open.
        self._kept = chdb.connect(folder)
        self._idle: dict[str, list[Any]] = {}
        self._sessions: dict[str, Any] = {}
        version, timezone = str(self._kept.query("SELECT version(), timezone()", "TSV").data()).split()
        self.version, self.timezone = version, timezone

    @contextmanager
    def _handle(self, database: str, settings: Mapping[str, str], session: str) -> Iterator[Any]:
        """One with these settings and this database, for one request at a time; of a session always the same."""
        if session in self._sessions:
            yield self._sessions[session]
            return
        said = ", ".join(f"{name} = {quoted(value)}" for name, value in sorted(settings.items()))
        # A token is named once only.
        idle = [] if TOKEN in settings else self._idle.setdefault(f"{database} {said}", [])
        try:
            handle = idle.pop()
        except IndexError:
            handle = chdb.connect(self._folder)
        else:
            database = said = ""
        try:
            if database:
                handle.query(f"USE `{database}`")
            if said:
                handle.query(f"SET {said}")
            yield handle
        except BaseException:
            handle.close()
            raise
        if session:
            self._sessions[session] = handle
        elif TOKEN in settings or len(idle) >= MOST_IDLE:
            handle.close()
        else:
            idle.append(handle)

    def ask(self, sql: bytes, asked: Mapping[str, str]) -> tuple[bytes, str]:
        """The answer and its format. Raises RuntimeError with the engine's words."""
        settings = {name: value for name, value in asked.items() if name not in OWN and not name.startswith("param_")}
        if not all(map(NAME.fullmatch, settings)):
            raise RuntimeError("Code: 115. DB::Exception: Unknown setting")
        values = {name[len("param_") :]: value for name, value in asked.items() if name.startswith("param_")}
        sql = TO_ALL.sub(b"", sql, count=1)
        insert = INSERT.match(sql)
        with self._handle(asked.get("database", ""), settings, asked.get("session_id", "")) as handle:
            if insert:
                return insert_rows(handle, *insert.groups(), sql[insert.end() :]), ""
            text = sql.decode()
            named = FORMAT.search(text)
            answer_format = named[1] if named else asked.get("default_format", "TabSeparated")
            return handle.query(text, answer_format, params=values).bytes() or b"", answer_format

    def close(self) -> None:
        idle = [each for some in self._idle.values() for each in some]
        for handle in (self._kept, *self._sessions.values(), *idle):
            handle.close()


def insert_rows(handle: Any, into: bytes, row_format: bytes, rows: bytes) -> bytes:
    """Rows may be binary and the engine takes text, so that it reads them from a file."""
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        file.write(rows)
        handle.query(f"{into.decode()} FROM INFILE '{file.name}' FORMAT {row_format.decode()}")
    return b""


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """What the client sends in the body of a request where the query's parameters are too long for its head."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    fields = {}
    for part in email.message_from_bytes(head + body).get_payload():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if name != "query" and len(value) > MAX_FIELD:
            raise RuntimeError(f"Code: 1000. DB::Exception: Field value too long: {name}")
        fields[name] = value.decode()
    return fields


def quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, engine: Engine, port: int, password: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.engine, self.password = engine, password


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    # The head and the body of an answer leave together, and at once.
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if url.path == "/ping":
            return self._answer(200, b"Ok.\n", {})
        asked = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            if not self._known():
                raise RuntimeError(WRONG_PASSWORD)
            if encoding := self.headers.get("Content-Encoding"):
                body = UNPACK[encoding](body)
            if self.headers.get_content_type() == "multipart/form-data":
                asked |= form_fields(self.headers["Content-Type"], body)
                body = b""
            sql = b"\n".join(part for part in (asked.get("query", "").encode(), body) if part)
            answer, answer_format = self.server.engine.ask(sql, asked)
        except RuntimeError as error:
            return self._refuse(str(error).strip())
        head = {"X-ClickHouse-Timezone": self.server.engine.timezone, "X-ClickHouse-Format": answer_format}
        return self._answer(200, answer, {name: value for name, value in head.items() if value})

    def do_POST(self) -> None:
        self.do_GET()

    def _known(self) -> bool:
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        given = base64.b64decode(credentials).decode().partition(":")[2] if scheme == "Basic" else ""
        return given == self.server.password

    def _refuse(self, text: str) -> None:
        found = re.search(r"Code: (\d+)", text)
        code = int(found[1]) if found else 1002
        said = f"{text} (version {self.server.engine.version})\n".encode()
        self._answer(STATUS.get(code, 500), said, {"X-ClickHouse-Exception-Code": str(code)})

    def _answer(self, status: int, body: bytes, head: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**head, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main(folder: str, port: str, password: str = "") -> None:
    engine = Engine(folder)
    server = Server(engine, int(port), password)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.05)
    server.server_close()
    engine.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
