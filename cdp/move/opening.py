"""The contents of a store, opened by its URL: the one place of the package that names adapters."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sqlalchemy import Engine, Table

from cdp.errors import Refused
from cdp.migrations import migrate
from cdp.move.choose import SQL, is_embedded, open_sql, path_of
from cdp.move.contents import Contents
from cdp.move.log_sqlite import SqliteLogContents
from cdp.move.sql import SqlContents
from cdp.move.stores import Store

FILLED_FIRST = ("version", "value", "set_member")
"""Of the graph: the rest names them."""
DECLARING = (
    "api.keys",
    "api.kept",
    "cdp.accounting",
    "cdp.audit",
    "cdp.erasure_jobs",
    "cdp.feeds",
    "cdp.imports_jobs",
    "cdp.imports_versions",
    "cdp.lease",
    "cdp.log_notes",
    "cdp.outgoing",
    "cdp.redactions",
    "cdp.replays",
    "cdp.seen",
    "cdp.segment_work",
    "cdp.tombstones",
    "cdp.vault",
    "collectors.sources",
    "identity.reviews",
    "leads.open_leads",
    "leads.similar_keys",
    "leads.store",
    "segments.book",
    "segments.health",
    "segments.stays",
    "segments.timers",
)
"""Each domain declares its tables of the records beside the code that uses them."""


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
    # The engine takes a second.
    from cdp.move.events import EventContents

    return EventContents(url)


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
