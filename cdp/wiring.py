"""The one place that names adapters: settings in, a system that runs out."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from cdp.errors import ConfigurationError
from cdp.live import LiveFeed
from cdp.log import LogReader
from cdp.log_sqlite import SqliteLogReader, SqliteLogWriter
from cdp.migrations import migrate
from cdp.moments import now_ms
from cdp.outbox import Outbox
from cdp.personal import Personal
from cdp.pipeline import Tools
from cdp.policy import policy_in_force, put_in_force
from cdp.records import open_engine
from cdp.seen import SeenIds
from cdp.settings import Settings
from cdp.vault import Vault
from cdp.worker import Worker
from collectors.registry import DIALECTS
from collectors.sources import LiveSources, SourceBook
from identity.engine import IdentityEngine
from identity.graph import Graph
from identity.graph_sql import SqlGraph
from leads.capture import LeadDesk
from profiles.interests import load_topics
from profiles.profile import ProfileReader
from profiles.store import EventStore

log = structlog.get_logger()

MAX_COLLECTORS = 64


@dataclass(frozen=True, slots=True)
class System:
    """Everything that the app process holds: stores, and what works on them. Made by `open_system`."""

    settings: Settings
    records: Engine
    log: LogReader
    graph: Graph
    events: EventStore
    vault: Vault
    book: SourceBook
    sources: LiveSources
    identity: IdentityEngine
    profiles: ProfileReader
    leads: LeadDesk
    live: LiveFeed
    outbox: Outbox
    worker: Worker

    @property
    def run_folder(self) -> Path:
        """Where the processes of this machine say what they serve."""
        return self.settings.data / "run"

    def close(self) -> None:
        """Let go of all stores; call it after the worker has ended."""
        self.events.close()
        self.log.close()
        self.records.dispose()


def open_system(settings: Settings) -> System:
    """Open every store, bring its schema up to date, and put the parts together.

    Raises ConfigurationError for a URL of no adapter, StoreUnavailable where a store cannot be reached.
    """
    policy = policy_in_force(settings.policy)
    secret = settings.secret_bytes
    records = open_records(settings)
    reader = open_log_reader(settings)
    graph = open_graph(settings)
    events = open_events(settings)
    vault = Vault(records, secret)
    book = SourceBook(records, secret)
    sources = LiveSources(book)
    identity = IdentityEngine(graph, policy)
    put_in_force(identity, vault)
    profiles = ProfileReader(events)
    leads = LeadDesk(records, identity, events, vault, load_topics(settings.topics), region=settings.region)
    live = LiveFeed()
    outbox = Outbox(records, identity, live)
    outbox.tell()
    tools = Tools(
        dialects=DIALECTS,
        sources=sources,
        seen=SeenIds(),
        policy=policy,
        personal=Personal(vault, policy, region=settings.region, capture_events=settings.capture_events),
        vault=vault,
        identity=identity,
        events=events,
        profiles=profiles,
        leads=leads,
        live=live,
        outbox=outbox,
        records=records,
    )
    worker = Worker(tools, reader, secret, clock=now_ms)
    return System(
        settings, records, reader, graph, events, vault, book, sources, identity, profiles, leads, live, outbox, worker
    )


def check(settings: Settings) -> None:
    """Raises ConfigurationError for what would stop the start later: a folder, a URL or a file that cannot be used."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        came = f"{str(settings.data)!r} ({error.strerror})"
        raise ConfigurationError("XUNJI_DATA_DIR", came=came, allowed="a folder that can be written to") from None
    log_folder(settings)
    _events_url(settings)
    for setting, url in (("XUNJI_GRAPH_URL", settings.graph_url), ("XUNJI_RECORDS_URL", settings.records_url)):
        _open_sql(setting, settings.resolved(url)).dispose()
    load_topics(settings.topics)
    policy_in_force(settings.policy)


def open_records(settings: Settings) -> Engine:
    """The records store with its schema up to date."""
    engine = _open_sql("XUNJI_RECORDS_URL", settings.resolved(settings.records_url))
    migrate(engine, "records")
    return engine


def open_log_reader(settings: Settings) -> LogReader:
    return SqliteLogReader(log_folder(settings))


def log_folder(settings: Settings) -> Path:
    """The folder of the embedded log."""
    url = make_url(settings.resolved(settings.log_url))
    if url.drivername != "sqlite" or not url.database:
        raise ConfigurationError("XUNJI_LOG_URL", came=url.drivername, allowed="sqlite:///folder/")
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
    engine = _open_sql("XUNJI_GRAPH_URL", settings.resolved(settings.graph_url))
    migrate(engine, "graph")
    return SqlGraph(engine)


def open_events(settings: Settings) -> EventStore:
    # The engine takes a second to load and 100 MB; a collector, which opens no events, does without.
    from profiles.events_clickhouse import ClickHouseEvents

    return ClickHouseEvents(_events_url(settings))


def start_worker(system: System) -> threading.Thread:
    """Run the worker in a thread of its own; end it with `system.worker.stop()` and `join`.

    A fault of ours that ends the worker ends the process too, with SIGTERM to itself: the supervisor starts another,
    while an API without a worker would look well and lose its way.
    """
    thread = threading.Thread(target=_work, args=(system,), name="worker", daemon=True)
    thread.start()
    return thread


def _work(system: System) -> None:
    try:
        system.worker.run()
    except BaseException:
        log.exception("worker_failed")
        os.kill(os.getpid(), signal.SIGTERM)


def _events_url(settings: Settings) -> str:
    url = settings.resolved(settings.events_url)
    if not url.startswith(("chdb://", "clickhouse://")):
        came = f"an address of kind {url.partition(':')[0]!r}"
        raise ConfigurationError("XUNJI_EVENTS_URL", came=came, allowed="chdb:///folder or clickhouse://host:port/db")
    return url


def _open_sql(setting: str, url: str) -> Engine:
    allowed = "sqlite:///file, or postgresql+psycopg:// where the driver psycopg is installed"
    try:
        driver = make_url(url).drivername
        if driver in ("sqlite", "postgresql+psycopg"):
            return open_engine(url)
    except (ArgumentError, ModuleNotFoundError):
        driver = url.partition(":")[0]
    raise ConfigurationError(setting, came=f"an address of kind {driver!r} that cannot be used", allowed=allowed)
