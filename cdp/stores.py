"""The stores that the settings name, opened: the one place that names adapters."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from cdp.errors import ConfigurationError
from cdp.kafka_url import FORM, is_kafka, parse_kafka_url
from cdp.live import LiveFeed
from cdp.log import LogConsumer, LogReader, LogWriter
from cdp.log_sqlite import SqliteLogReader, SqliteLogWriter
from cdp.log_sqlite_consumer import SqliteLogConsumer
from cdp.migrations import migrate
from cdp.policy import policy_in_force
from cdp.records import open_engine
from cdp.settings import Settings
from identity.graph import Graph
from identity.graph_neo4j_address import address_of
from identity.graph_sql import SqlGraph
from profiles.interests import load_topics
from profiles.store import EventStore

MAX_COLLECTORS = 64


def kind_of(url: str) -> str:
    kind = url.partition(":")[0].partition("+")[0]
    # Neo4j's protocol has a name of its own.
    return "neo4j" if kind == "bolt" else kind


def check(settings: Settings) -> None:
    """Raises ConfigurationError for what would stop the start later: a folder, a URL or a file that cannot be used."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        came = f"{str(settings.data)!r} ({error.strerror})"
        raise ConfigurationError("XUNJI_DATA_DIR", came=came, allowed="a folder that can be written to") from None
    if is_kafka(settings.log_url):
        parse_kafka_url(settings.log_url)
    else:
        log_folder(settings)
    _events_url(settings)
    _open_sql("XUNJI_RECORDS_URL", settings.resolved(settings.records_url)).dispose()
    if _in_neo4j(settings):
        address_of(settings.graph_url)
    else:
        _open_sql("XUNJI_GRAPH_URL", settings.resolved(settings.graph_url)).dispose()
    load_topics(settings.topics)
    policy_in_force(settings.policy)


def check_servers(settings: Settings) -> None:
    """Raises ConfigurationError where a store is embedded, so that roles cannot run apart."""
    for setting, url, kinds, allowed in (
        ("XUNJI_LOG_URL", settings.log_url, {"kafka"}, FORM),
        ("XUNJI_GRAPH_URL", settings.graph_url, {"neo4j", "postgresql"}, "neo4j://… or postgresql+psycopg://…"),
        ("XUNJI_EVENTS_URL", settings.events_url, {"clickhouse", "clickhouses"}, "clickhouse://…"),
        ("XUNJI_RECORDS_URL", settings.records_url, {"postgresql"}, "postgresql+psycopg://…"),
    ):
        if kind_of(url) not in kinds:
            came = f"a store of kind {kind_of(url)!r}, which is one process's"
            raise ConfigurationError(setting, came=came, allowed=f"a server where roles run apart: {allowed}")


def open_records(settings: Settings) -> Engine:
    """The records store with its schema up to date."""
    return _migrated(_open_sql("XUNJI_RECORDS_URL", settings.resolved(settings.records_url)), "records")


def open_log_reader(settings: Settings, records: Engine) -> LogReader:
    if is_kafka(settings.log_url):
        from cdp.log_kafka import KafkaLogReader

        return KafkaLogReader(settings.log_url, records)
    return SqliteLogReader(log_folder(settings))


def open_log_consumer(settings: Settings, reader: LogReader) -> LogConsumer:
    """The worker's end, to be closed before `reader`."""
    if is_kafka(settings.log_url):
        from cdp.log_kafka import KafkaLogConsumer

        return KafkaLogConsumer(settings.log_url)
    return SqliteLogConsumer(log_folder(settings), reader)


def open_log_writer(settings: Settings, *, spooling: bool = False) -> LogWriter:
    """To append to the log, for the caller alone until it closes it; made in the event loop that it is used in.

    Where it is `spooling`, hits are safe on this machine while brokers are away, and have no place until they are back.
    """
    if is_kafka(settings.log_url):
        from cdp.log_kafka import KafkaLogWriter

        folder = spool_folder(settings) if spooling else None
        return KafkaLogWriter(settings.log_url, folder, limit_bytes=settings.spool_limit)
    return open_free_partition(log_folder(settings))


def spool_folder(settings: Settings) -> Path:
    """Where hits wait for brokers that are away."""
    return settings.data / "spool"


def open_live(settings: Settings, *, shared: bool) -> LiveFeed:
    """The live feed; between processes it goes the way of the log."""
    if shared and is_kafka(settings.log_url):
        from cdp.live_kafka import KafkaFeed

        return KafkaFeed(settings.log_url)
    return LiveFeed()


def log_folder(settings: Settings) -> Path:
    """The folder of the embedded log."""
    url = make_url(settings.resolved(settings.log_url))
    if url.drivername != "sqlite" or not url.database:
        raise ConfigurationError("XUNJI_LOG_URL", came=url.drivername, allowed=f"sqlite:///folder/ or {FORM}")
    return Path(url.database)


def open_free_partition(folder: Path) -> SqliteLogWriter:
    """The lowest partition that no other process holds; so collectors need no numbers of their own."""
    for partition in range(MAX_COLLECTORS):
        try:
            return SqliteLogWriter(folder, partition)
        except ConfigurationError:
            continue
    raise ConfigurationError("XUNJI_COLLECTOR_PROCESSES", came="more", allowed=f"{MAX_COLLECTORS} in one folder")


def open_graph(settings: Settings) -> Graph:
    if _in_neo4j(settings):
        # Its driver takes half a second to load.
        from identity.graph_neo4j import Neo4jGraph

        return Neo4jGraph(settings.graph_url)
    return SqlGraph(_migrated(_open_sql("XUNJI_GRAPH_URL", settings.resolved(settings.graph_url)), "graph"))


def _in_neo4j(settings: Settings) -> bool:
    return settings.graph_url.startswith(("neo4j", "bolt"))


def open_events(settings: Settings) -> EventStore:
    # The engine takes a second to load and 100 MB; a collector, which opens no events, does without.
    from profiles.events_clickhouse import ClickHouseEvents

    return ClickHouseEvents(_events_url(settings))


def _events_url(settings: Settings) -> str:
    url = settings.resolved(settings.events_url)
    if not url.startswith("chdb://"):
        from profiles.events_clickhouse_client import check_url

        check_url(url)
    return url


def _migrated(engine: Engine, store: str) -> Engine:
    """With its schema up to date. Where that fails no session stays open."""
    try:
        migrate(engine, store)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _open_sql(setting: str, url: str) -> Engine:
    allowed = "sqlite:///file, or postgresql+psycopg:// where the driver psycopg is installed"
    try:
        driver = make_url(url).drivername
        if driver in ("sqlite", "postgresql+psycopg"):
            return open_engine(url)
    except (ArgumentError, ModuleNotFoundError):
        driver = url.partition(":")[0]
    if setting == "XUNJI_GRAPH_URL":
        allowed = f"neo4j://user:password@host:7687/database, {allowed}"
    raise ConfigurationError(setting, came=f"an address of kind {driver!r} that cannot be used", allowed=allowed)
