"""The one place that names adapters: settings in, a system that runs out."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from cdp import erasure
from cdp.aftermath import Aftermath
from cdp.eraser import Eraser
from cdp.erasure import Keeping
from cdp.erasure_hits import Look
from cdp.erasure_jobs import ErasureBook
from cdp.errors import ConfigurationError
from cdp.imports import Importer
from cdp.imports import Tools as ImportTools
from cdp.imports_files import ImportFiles
from cdp.imports_jobs import ImportBook
from cdp.imports_report import Reporter
from cdp.imports_undo import Undoing
from cdp.imports_versions import Versions
from cdp.live import LiveFeed
from cdp.log import LogReader, LogWriter
from cdp.log_sqlite import SqliteLogReader, SqliteLogWriter
from cdp.migrations import migrate
from cdp.moments import now_ms
from cdp.outbox import Outbox
from cdp.personal import REMEMBERED_SETS, Personal
from cdp.pipeline import Tools
from cdp.policy import policy_in_force, put_in_force
from cdp.records import open_engine, purge_sqlite
from cdp.redactions import Redactions
from cdp.seen import SeenIds
from cdp.settings import Settings
from cdp.tombstones import Tombstones
from cdp.vault import Vault
from cdp.worker import Worker
from collectors.registry import ENQUIRIES, TRANSLATORS
from collectors.sources import LiveSources, SourceBook
from identity.engine import IdentityEngine
from identity.gate import Gate
from identity.graph import Graph
from identity.graph_sql import SqlGraph
from identity.kinds import Policy
from leads.capture import LeadDesk
from leads.similar import SimilarLeads
from profiles.interests import load_topics
from profiles.profile import ProfileReader
from profiles.store import EventStore
from profiles.whose import Whose

log = structlog.get_logger()

MAX_COLLECTORS = 64


@dataclass(frozen=True, slots=True)
class System:
    """Everything that the app process holds: stores, and what works on them. Made by `open_system`.

    Whoever takes evidence in is in `gate` together with others; an erasure is there alone.
    """

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
    similar: SimilarLeads
    live: LiveFeed
    outbox: Outbox
    aftermath: Aftermath
    gate: Gate
    worker: Worker
    eraser: Eraser
    importer: Importer
    forget_answers: list[Callable[[Collection[str]], None]]

    @property
    def run_folder(self) -> Path:
        """Where the processes of this machine say what they serve."""
        return self.settings.data / "run"

    def close(self) -> None:
        """Let go of all stores; call it after the worker has ended."""
        self.events.close()
        self.graph.close()
        self.log.close()
        self.records.dispose()


def open_system(settings: Settings) -> System:
    """Open every store, bring its schema up to date, and put the parts together.

    Raises ConfigurationError for a URL of no adapter, StoreUnavailable where a store cannot be reached.
    """
    policy = policy_in_force(settings.policy)
    gate = Gate()
    secret = settings.secret_bytes
    records = open_records(settings)
    reader = open_log_reader(settings)
    graph = open_graph(settings)
    events = open_events(settings)
    vault = Vault(records, secret, settings.vault_key_bytes)
    book = SourceBook(records, secret)
    sources = LiveSources(book)
    identity = IdentityEngine(graph, policy)
    put_in_force(identity, vault)
    profiles = ProfileReader(events)
    topics = load_topics(settings.topics)
    tombstones = Tombstones(records, vault)
    redactions = Redactions(records, reader, secret)
    leads = LeadDesk(records, identity, events, vault, topics, region=settings.region, gate=gate)
    live = LiveFeed()
    outbox = Outbox(records, identity, live)
    outbox.tell()
    aftermath = Aftermath(records, profiles, leads, outbox)
    similar = SimilarLeads(records, identity, vault, gate=gate, regrouped=aftermath.regrouped)
    leads.follow(similar)
    tools = Tools(
        dialects=TRANSLATORS,
        sources=sources,
        seen=SeenIds(),
        policy=policy,
        personal=_personal(settings, vault, policy, tombstones),
        vault=vault,
        identity=identity,
        events=events,
        profiles=profiles,
        leads=leads,
        live=live,
        outbox=outbox,
        records=records,
        tombstones=tombstones,
        redactions=redactions,
        gate=gate,
    )
    worker = Worker(tools, reader, secret, clock=now_ms)
    erasing = erasure.Tools(
        records=records,
        log=reader,
        identity=identity,
        whose=Whose(identity, events),
        events=events,
        profiles=profiles,
        vault=vault,
        leads=leads,
        topics=topics,
        look=Look(TRANSLATORS, sources, _personal(settings, vault, policy, tombstones)),
        open_payload=worker.open_payload,
        tombstones=tombstones,
        redactions=redactions,
        book=ErasureBook(records, secret, clock=now_ms),
        gate=gate,
        clock=now_ms,
        keeping=_keeping(settings, reader, events),
    )
    eraser = Eraser(erasing)
    eraser.resume()
    folder = settings.data / "imports"
    versions = Versions(records, identity, vault, tombstones)
    undoing = Undoing(
        records=records,
        log=reader,
        identity=identity,
        events=events,
        profiles=profiles,
        vault=vault,
        leads=leads,
        topics=topics,
        redactions=redactions,
        aftermath=aftermath,
        versions=versions,
        gate=gate,
        folder=folder,
        secret=secret,
        answers=erasing.answers,
    )
    importing = ImportTools(
        records=records,
        log=reader,
        open_writer=partial(open_log_writer, settings),
        open_payload=worker.open_payload,
        processed=worker.progress.wait_for,
        identity=identity,
        sources=sources,
        # Rows of a file hardly ever name the same together.
        reporter=Reporter(records, identity, _personal(settings, vault, policy, tombstones, remembered=1)),
        versions=versions,
        aftermath=aftermath,
        gate=gate,
        undoing=undoing,
        book=ImportBook(records, clock=now_ms),
        files=ImportFiles(folder, secret),
        secret=secret,
        region=settings.region,
        zone=settings.zone,
        capture_events=settings.capture_events,
        clock=now_ms,
    )
    return System(
        settings,
        records,
        reader,
        graph,
        events,
        vault,
        book,
        sources,
        identity,
        profiles,
        leads,
        similar,
        live,
        outbox,
        aftermath,
        gate,
        worker,
        eraser,
        Importer(importing),
        erasing.answers,
    )


def _personal(
    settings: Settings, vault: Vault, policy: Policy, tombstones: Tombstones, *, remembered: int = REMEMBERED_SETS
) -> Personal:
    return Personal(
        vault,
        policy,
        tombstones,
        region=settings.region,
        capture_events=settings.capture_events,
        capture_dialects=ENQUIRIES,
        remembered=remembered,
    )


def _keeping(settings: Settings, reader: LogReader, events: EventStore) -> tuple[Keeping, ...]:
    """The stores that an erasure sweeps at its end; a database server overwrites in its own time."""
    kept = [Keeping("log", _kind_of(settings.log_url), reader.purge)]
    kept.append(Keeping("events", _kind_of(settings.events_url), events.purge))
    for store, url in (("graph", settings.graph_url), ("records", settings.records_url)):
        kind, place = _kind_of(url), settings.resolved(url)
        kept.append(Keeping(store, kind, partial(purge_sqlite, place, store) if kind == "sqlite" else None))
    return tuple(kept)


def _kind_of(url: str) -> str:
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
    log_folder(settings)
    _events_url(settings)
    _open_sql("XUNJI_RECORDS_URL", settings.resolved(settings.records_url)).dispose()
    if _in_neo4j(settings):
        from identity.graph_neo4j import address_of

        address_of(settings.graph_url)
    else:
        _open_sql("XUNJI_GRAPH_URL", settings.resolved(settings.graph_url)).dispose()
    load_topics(settings.topics)
    policy_in_force(settings.policy)


def open_records(settings: Settings) -> Engine:
    """The records store with its schema up to date."""
    engine = _open_sql("XUNJI_RECORDS_URL", settings.resolved(settings.records_url))
    migrate(engine, "records")
    return engine


def open_log_reader(settings: Settings) -> LogReader:
    return SqliteLogReader(log_folder(settings))


def open_log_writer(settings: Settings) -> LogWriter:
    """A partition of the log that is the caller's alone until it is closed."""
    return open_free_partition(log_folder(settings))


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
    if _in_neo4j(settings):
        # Its driver takes half a second to load.
        from identity.graph_neo4j import Neo4jGraph

        return Neo4jGraph(settings.graph_url)
    engine = _open_sql("XUNJI_GRAPH_URL", settings.resolved(settings.graph_url))
    migrate(engine, "graph")
    return SqlGraph(engine)


def _in_neo4j(settings: Settings) -> bool:
    return settings.graph_url.startswith(("neo4j", "bolt"))


def open_events(settings: Settings) -> EventStore:
    # The engine takes a second to load and 100 MB; a collector, which opens no events, does without.
    from profiles.events_clickhouse import ClickHouseEvents

    return ClickHouseEvents(_events_url(settings))


def start_eraser(system: System) -> threading.Thread:
    """Run erasures in a thread of its own; end it with `system.eraser.stop()` and `join`."""
    thread = threading.Thread(target=system.eraser.run, name="eraser", daemon=True)
    thread.start()
    return thread


def start_importer(system: System) -> threading.Thread:
    """Run imports in a thread of its own; end it with `system.importer.stop()` and `join`, before the worker's end."""
    thread = threading.Thread(target=system.importer.run, name="importer", daemon=True)
    thread.start()
    return thread


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
        with system.similar.working():
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
    if setting == "XUNJI_GRAPH_URL":
        allowed = f"neo4j://user:password@host:7687/database, {allowed}"
    raise ConfigurationError(setting, came=f"an address of kind {driver!r} that cannot be used", allowed=allowed)
