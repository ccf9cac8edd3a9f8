"""How ClickHouse is reached: the engine in this process or a server, opened by one client; and what went wrong there.

An engine in the process takes one path at a time; several stores may be opened on it. A client of it serialises its
calls, hence one for writing, a few for reading and one for slow work, each with caps of its own. A client of a server
takes calls of many threads at once and keeps their connections open.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

import clickhouse_connect
import msgspec
from clickhouse_connect.driver.client import Client as Client
from clickhouse_connect.driver.exceptions import Error, ProgrammingError
from clickhouse_connect.driver.httpclient import HttpClient

from cdp.errors import ConfigurationError, StoreUnavailable
from profiles.store import STORE, AskedTooMuch

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SETTING = "XUNJI_EVENTS_URL"
FORM = (
    "chdb:///folder, or clickhouse://user:password@host:8123/database (clickhouses:// over TLS), with signs like / or @"
    " in the password percent-encoded"
)
SCHEMES = {"clickhouse": "http", "clickhouses": "https"}
OLDEST = (25, 3)
"""The first long-term release in which values of JSON have columns of their own types."""

UNKNOWN_DATABASE = 81
REFUSED = {192, 193, 194, 516}
"""Codes of a user that is not there, and of a password that is wrong or missing."""
TOO_MUCH = {159, 160, 167, 168, 241}
"""Codes of a query that takes too much time or memory, or is too long."""
NOT_ALLOWED = 497
"""The code of what this user may not do."""

MIB = 1024 * 1024
READERS = 3
"""Clients of the embedded engine that read."""
ASKERS = 2
"""Questions about everybody at once; each may take both processors."""
CONNECTIONS = 8
"""That one client keeps open to a server, and so many reads are sent at once; more wait for one of them."""

PACKING, PACKING_LEVEL = "zstd", 1
"""Of what is sent to a server: 1 µs makes 130 of 990 bytes of an event."""

CONNECT_S, READ_S, WRITE_S, WORK_S = 5, 15, 60, 600
"""How long a server may be silent; a read ends by itself before, see READER."""

ENGINE_OPTIONS = {
    "mark_cache_size": 64 * MIB,
    "index_mark_cache_size": 32 * MIB,
    "primary_index_cache_size": 64 * MIB,
    "uncompressed_cache_size": 128 * MIB,
    "query_condition_cache_size": 16 * MIB,
    "background_pool_size": 2,
}
"""Caps of the embedded engine, in bytes but for the last, which is threads."""

EMBEDDED = {"log_queries": 0, "query_profiler_real_time_period_ns": 0, "query_profiler_cpu_time_period_ns": 0}
"""Nobody looks at what the engine in the process notes about its queries."""
_READING = {
    "output_format_json_quote_64bit_integers": 0,
    "max_read_buffer_size": 65_536,
    "max_query_size": 16 * MIB,
}
JSON_AS_IT_IS = {
    # What is text stays text, and of a name that comes twice the first counts.
    "input_format_try_infer_dates": 0,
    "input_format_try_infer_datetimes": 0,
    "type_json_skip_duplicated_paths": 1,
    # In a list of several types each item keeps its own.
    "input_format_json_read_bools_as_numbers": 0,
    "input_format_json_read_bools_as_strings": 0,
    "input_format_json_read_numbers_as_strings": 0,
    "input_format_json_read_arrays_as_strings": 0,
}
WRITER = {
    "max_threads": 1,
    "max_memory_usage": 1024 * MIB,
    # A batch is one block, whatever its size, so that its token stands for the whole of it.
    "async_insert": 0,
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 100_000_000,
    "min_insert_block_size_rows": 100_000_000,
    "min_insert_block_size_bytes": 16 * 1024 * MIB,
    "max_partitions_per_insert_block": 0,
    "input_format_json_read_objects_as_strings": 1,
    **JSON_AS_IT_IS,
    # Where tables are spread over servers: all of them have the rows when a write returns.
    "distributed_foreground_insert": 1,
}
READER = {
    **_READING,
    "max_threads": 1,
    "max_memory_usage": 256 * MIB,
    "max_execution_time": 10,
    "use_uncompressed_cache": 1,
    # Where tables are spread over servers: only those are asked that hold one of the sets.
    "optimize_skip_unused_shards": 1,
}
EMBEDDED_READER = {
    # The primary key leaves a granule or two of each part; asking the index while reading costs more than before.
    "use_skip_indexes_on_data_read": 0,
}
PROFILING = {
    # A profile is asked for most often, and its query is short enough for planning to be most of it.
    "use_skip_indexes": 0,
    "optimize_use_projections": 0,
}
ASKING = {
    **_READING,
    "max_threads": 2,
    "max_memory_usage": 1536 * MIB,
    "max_execution_time": 120,
    # Units are many and have all columns of an answer: each pass over events is the side to look up in.
    "join_algorithm": "hash",
    "query_plan_join_swap_table": "0",
    # The primary key finds the rows of many sets; asking an index about each of them costs as much as reading these.
    "use_skip_indexes": 0,
    # Many segments make one long question.
    "max_ast_elements": 2_000_000,
    "max_expanded_ast_elements": 10_000_000,
    "max_ast_depth": 10_000,
    # To add comparisons that follow from others, the engine hashes every table expression under each of them.
    "optimize_and_compare_chain": 0,
    # Events of few units are typed when they are read.
    **JSON_AS_IT_IS,
}
"""Of questions about everybody."""
BACKGROUND = {
    **_READING,
    "max_threads": 1,
    "max_memory_usage": 512 * MIB,
    # What is erased is gone on every replica when the command returns.
    "mutations_sync": 2,
    # Replicas find what is to be erased each for itself, and they all hold the same.
    "allow_nondeterministic_mutations": 1,
}

_rows = msgspec.json.Decoder(list[Any])


@dataclass(frozen=True, slots=True)
class Clients:
    """`reading` holds a client as often as it may be used at once. What somebody waits for is asked by `asking`, what
    goes on all the time by `watching`: each for one question at a time, as questions make tables of their own."""

    writer: Client
    reading: list[Client]
    profiling: Client
    background: Client
    asking: list[Client]
    watching: Client
    packing: str | None = None
    """How rows that are written are packed for the way."""

    def packed(self, rows: bytes) -> bytes:
        return zstd.compress(rows, PACKING_LEVEL) if self.packing else rows

    def close(self) -> None:
        for client in {
            id(each): each
            for each in (*self.reading, *self.asking, self.profiling, self.writer, self.background, self.watching)
        }.values():
            client.close()


def open_clients(url: str) -> Clients:
    """Raises ConfigurationError for what cannot be an address, a refused password, a database that is not there and may
    not be made, and a server that is too old; StoreUnavailable where nobody answers, or another process has the folder
    open."""
    with unavailable():
        packing = None
        if check_url(url).scheme == "chdb":
            reader = READER | EMBEDDED_READER
            reading = [open_client(url, reader) for _ in range(READERS)]
        else:
            reader, packing = READER, PACKING
            _make_ready(url)
            reading = [open_client(url, reader, silent_s=READ_S)] * CONNECTIONS
        return Clients(
            background=open_client(url, BACKGROUND, silent_s=WORK_S),
            writer=open_client(url, WRITER, silent_s=WRITE_S),
            reading=reading,
            profiling=open_client(url, reader | PROFILING, silent_s=READ_S),
            asking=[open_client(url, ASKING, silent_s=WORK_S, session=True) for _ in range(ASKERS)],
            watching=open_client(url, ASKING, silent_s=WORK_S, session=True),
            packing=packing,
        )


def open_client(url: str, settings: Mapping[str, Any], *, silent_s: int = WORK_S, session: bool = False) -> Client:
    """One that waits so long for a server that is silent. With a session it has temporary tables, and takes one call at
    a time. Raises the driver's errors, see `unavailable`."""
    parts = check_url(url)
    if parts.scheme == "chdb":
        return _open_engine(Path(parts.path), {**EMBEDDED, **settings})
    return _open_server(url, parts, settings, silent_s, session=session)


def check_url(url: str) -> SplitResult:
    """The parts of the URL. Raises ConfigurationError where it is of another form, without repeating it."""
    try:
        parts = urlsplit(url)
        at_server = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        whole = at_server or (parts.scheme == "chdb" and parts.netloc == "" and parts.path.startswith("/"))
    except ValueError:
        whole = False
    if not whole or parts.fragment:
        raise ConfigurationError(SETTING, came="an address that ClickHouse's client does not understand", allowed=FORM)
    return parts


def check_version(version: str) -> None:
    """Raises ConfigurationError where a server of that version is too old."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        came, allowed = f"the address of ClickHouse {version}", f"that of ClickHouse {oldest} or later"
        raise ConfigurationError(SETTING, came=came, allowed=allowed)


@contextmanager
def unavailable() -> Iterator[None]:
    """What the driver raises inside is StoreUnavailable, AskedTooMuch where that is because of the query; so is an
    answer that cannot be read."""
    try:
        yield
    except Error as error:
        kind = AskedTooMuch if error.code in TOO_MUCH else StoreUnavailable
        raise kind(STORE, _cause(error)) from error
    except msgspec.DecodeError as error:
        raise StoreUnavailable(STORE, "its answer is not whole") from error


def rows_of(client: Client, sql: str, values: dict[str, Any] | None = None) -> list[list[Any]]:
    """Rows of a SELECT. Values are bound by the engine, never put into the text. Raises StoreUnavailable."""
    with unavailable():
        return _rows.decode_lines(client.raw_query(sql, values, fmt="JSONCompactEachRow"))


def do_if_allowed(client: Client, command: str) -> bool:
    """Whether the user may; then it is done. Raises the driver's other errors."""
    try:
        client.command(command)
    except Error as error:
        if error.code != NOT_ALLOWED:
            raise
        return False
    return True


def _open_engine(folder: Path, settings: Mapping[str, Any]) -> Client:
    folder.mkdir(parents=True, exist_ok=True)
    options = {key: str(value) for key, value in ENGINE_OPTIONS.items()}
    try:
        return clickhouse_connect.get_client(
            interface="chdb", path=str(folder), settings=dict(settings), chdb_options=options
        )
    except ProgrammingError as error:
        # The engine's own message is its connection string and no cause.
        if (holder := _holder(folder)) is not None:
            cause = f"process {holder} has {folder} open, and only one at a time may"
            raise StoreUnavailable(STORE, cause) from error
        raise


def _holder(folder: Path) -> str | None:
    """The process that has this folder open: an engine locks the file into which it writes its PID."""
    try:
        with (folder / "status").open() as status:
            said = status.readline().partition(":")[2].strip()
            flock(status, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return said
    except OSError:
        pass
    return None


def _open_server(
    url: str,
    parts: SplitResult,
    settings: Mapping[str, Any],
    silent_s: int,
    *,
    database: str | None = None,
    session: bool = False,
) -> Client:
    opened = clickhouse_connect.get_client(
        dsn=url,
        interface=SCHEMES[parts.scheme],
        database=database,
        settings=dict(settings),
        connect_timeout=CONNECT_S,
        send_receive_timeout=silent_s,
        # Without a session calls may come from several threads.
        autogenerate_session_id=session,
        dedicated_pool=True,
    )
    client = cast(HttpClient, opened)
    # The client itself sends again what may be sent twice; the layer beneath would log each try with all values.
    client.http_retries = 0
    return client


def _make_ready(url: str) -> None:
    """See that the server is one that we can use, and make the database where it is missing."""
    try:
        client = open_client(url, {})
    except Error as error:
        if error.code in REFUSED:
            came = "an address whose user or password ClickHouse refuses"
            raise ConfigurationError(SETTING, came=came, allowed=FORM) from None
        if error.code != UNKNOWN_DATABASE:
            raise
        parts = check_url(url)
        client = _open_server(url, parts, {}, WORK_S, database="default")
        _make_database(unquote(parts.path.strip("/")), client)
    check_version(client.server_version or "of unknown age")
    client.close()


def _make_database(name: str, client: Client) -> None:
    try:
        client.command(f"CREATE DATABASE IF NOT EXISTS `{name.replace('`', '')}`")
    except Error as error:
        if error.code is None:
            raise
        came = f"an address of database {name!r}, which that server does not have and this user may not create"
        raise ConfigurationError(SETTING, came=came, allowed=FORM) from None


def _cause(error: Error) -> str:
    """One line. What the client says of a lost connection holds the whole request; its own cause is what happened."""
    cause = error.__cause__
    said = str(getattr(cause, "reason", cause)) if error.code is None and cause is not None else str(error)
    return said.partition("\n")[0][:300]
