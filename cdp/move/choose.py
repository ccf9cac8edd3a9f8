"""Which store two URLs mean, and its contents on either side."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine, Table, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from cdp.errors import ConfigurationError, Refused
from cdp.migrations import migrate, version_table
from cdp.move.contents import Contents
from cdp.move.log_sqlite import SqliteLogContents
from cdp.move.sql import SqlContents
from cdp.move.stores import Store
from cdp.records import open_engine, reading

ALLOWED = (
    "sqlite:///folder/ or kafka:// (log), sqlite:///file, postgresql+psycopg:// or neo4j:// (graph), "
    "chdb:///folder or clickhouse:// (events), sqlite:///file or postgresql+psycopg:// (records)"
)
FILLED_FIRST = ("version", "value", "set_member")
"""Of the graph: the rest names them."""
DECLARING = (
    "api.keys",
    "api.kept",
    "cdp.accounting",
    "cdp.audit",
    "cdp.erasure_jobs",
    "cdp.imports_jobs",
    "cdp.imports_versions",
    "cdp.lease",
    "cdp.log_notes",
    "cdp.outbox",
    "cdp.redactions",
    "cdp.replays",
    "cdp.seen",
    "cdp.tombstones",
    "cdp.vault",
    "collectors.sources",
    "identity.reviews",
    "leads.open_leads",
    "leads.similar_keys",
    "leads.store",
)
"""Each domain declares its tables of the records beside the code that uses them."""


SQL = frozenset({Store.GRAPH, Store.RECORDS})
KINDS = {
    "kafka": frozenset({Store.LOG}),
    "neo4j": frozenset({Store.GRAPH}),
    "bolt": frozenset({Store.GRAPH}),
    "chdb": frozenset({Store.EVENTS}),
    "clickhouse": frozenset({Store.EVENTS}),
    "clickhouses": frozenset({Store.EVENTS}),
    "postgresql": SQL,
    "sqlite": SQL | {Store.LOG},
}


def choose(source: str, target: str, said: Store | None) -> Store:
    """The store that is meant. Raises ConfigurationError for a URL of no adapter, Refused where the two are not of one
    store or the source holds none, and where either store could be meant and `said` is None."""
    if source == target:
        raise Refused("--from and --to are the same. Name two places.")
    if source.startswith("chdb:") and target.startswith("chdb:"):
        raise Refused("A process can open one chdb folder. While nothing runs, copy the folder itself.")
    held, takes = held_by("--from", source), _taken_by("--to", target)
    possible = held & takes & (frozenset({said}) if said else held)
    if not held:
        raise Refused("--from holds no store: nothing is there, or nothing of this product.")
    if not possible:
        meant = f", and --store {said}" if said else ""
        raise Refused(f"--from holds {_listed(held)}, --to can hold {_listed(takes)}{meant}: these do not meet.")
    if len(possible) > 1:
        raise Refused(f"--from holds {_listed(possible)}. Say which with --store.")
    return next(iter(possible))


def _listed(stores: frozenset[Store]) -> str:
    return " or ".join(sorted(stores))


def held_by(option: str, url: str) -> frozenset[Store]:
    """The stores that this URL may be read as, by what is there. Makes nothing."""
    possible = _kind(option, url)
    if is_embedded(url) and not path_of(url).exists():
        return frozenset()
    if not possible >= SQL:
        return possible
    if is_embedded(url) and path_of(url).is_dir():
        return frozenset({Store.LOG})
    engine = open_sql(option, url)
    try:
        with reading(engine, str(Store.RECORDS)) as db:
            tables = set(inspect(db).get_table_names())
    finally:
        engine.dispose()
    return frozenset(store for store in SQL if version_table(store) in tables)


def _taken_by(option: str, url: str) -> frozenset[Store]:
    """The stores that this URL may be filled as: an embedded one is a file or a folder of its own."""
    possible = _kind(option, url)
    if not url.startswith("sqlite"):
        return possible
    path = path_of(url)
    if path.is_dir() or url.endswith("/"):
        return frozenset({Store.LOG})
    return (held_by(option, url) or SQL) if path.exists() else possible


def _kind(option: str, url: str) -> frozenset[Store]:
    kind = url.partition(":")[0].partition("+")[0]
    if kind not in KINDS:
        raise ConfigurationError(option, came=f"an address of kind {kind!r}", allowed=ALLOWED)
    return KINDS[kind]


def is_embedded(url: str) -> bool:
    return url.startswith(("sqlite:", "chdb:"))


def path_of(url: str) -> Path:
    """Of an embedded store."""
    return Path(urlsplit(url).path if url.startswith("chdb:") else make_url(url).database or "")


def open_sql(option: str, url: str) -> Engine:
    """Raises ConfigurationError where it is no URL of a database that can be used."""
    try:
        return open_engine(url)
    except (ArgumentError, ModuleNotFoundError, NotImplementedError):
        raise ConfigurationError(option, came="an address that cannot be used", allowed=ALLOWED) from None


def open_contents(store: Store, option: str, url: str, records: Engine | None) -> Contents[Any]:
    """What the store holds, its schema brought up to date. Raises ConfigurationError, StoreUnavailable, Refused."""
    if store is Store.LOG:
        return SqliteLogContents(path_of(url)) if is_embedded(url) else _open_kafka(url, records)
    if store in SQL and not url.startswith(("neo4j", "bolt")):
        engine = open_sql(option, url)
        migrate(engine, store)
        return SqlContents(engine, store, tables_of(store))
    if store is Store.GRAPH:
        # Its driver takes half a second to load.
        from cdp.move.graph_neo4j import Neo4jContents

        return Neo4jContents(url)
    if store is Store.EVENTS:
        # The engine takes a second to load.
        from cdp.move.events import EventContents

        return EventContents(url)
    raise NotImplementedError


def _open_kafka(url: str, records: Engine | None) -> Contents[Any]:
    from cdp.move.log_kafka import KafkaLogContents

    if records is None:
        raise Refused("What was redacted in a log on Kafka stands in the records. Set XUNJI_RECORDS_URL to them.")
    migrate(records, Store.RECORDS)
    return KafkaLogContents(url, records)


def tables_of(store: Store) -> list[Table]:
    """All tables of a SQL store, in an order in which they can be filled."""
    if store is Store.GRAPH:
        from identity.graph_tables import metadata as graph

        later = len(FILLED_FIRST)
        places = {name: place for place, name in enumerate(FILLED_FIRST)}
        return sorted(graph.tables.values(), key=lambda table: places.get(table.name, later))
    for module in DECLARING:
        import_module(module)
    from cdp.records import metadata as records

    return list(records.sorted_tables)
