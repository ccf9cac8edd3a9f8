"""Which store two URLs mean."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from cdp.errors import ConfigurationError, Refused
from cdp.migrations import version_table
from cdp.move.stores import Store
from cdp.records import open_engine, reading

ALLOWED = (
    "sqlite:///folder/ or kafka:// (log), sqlite:///file, postgresql+psycopg:// or neo4j:// (graph), "
    "chdb:///folder or clickhouse:// (events), sqlite:///file or postgresql+psycopg:// (records)"
)
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
