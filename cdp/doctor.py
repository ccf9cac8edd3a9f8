"""Try everything that the product stands on, and tell what works and how long it took.

With a server running the stores are open there, so it is asked; else each is opened here, one after another, so
that one that fails does not hide the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from cdp.api_client import client_of, running_server
from cdp.errors import ConfigurationError
from cdp.settings import Settings

Check = dict[str, Any]
"""`works`, `ms` (how long it took), and `why` it does not, '' where it does."""


def examine(settings: Settings) -> dict[str, Any]:
    """`healthy`, the `server` that was asked or None, and `checks` by name.

    Raises ServerUnavailable where XUNJI_URL names a server that does not answer, ConfigurationError for a store's
    URL that names no adapter.
    """
    url = settings.url.rstrip("/") or running_server(settings)
    checks = _of_server(url, settings) if url else {name: _tried(probe) for name, probe in _probes(settings).items()}
    return {"healthy": all(check["works"] for check in checks.values()), "server": url or None, "checks": checks}


def _of_server(url: str, settings: Settings) -> dict[str, Check]:
    with client_of(url, settings.admin) as client:
        began = time.monotonic()
        status, body = client.health("/readyz")
        checks = {"server": _check(began, "" if status < 500 else body["detail"])}
        for name, state in body.get("stores", {}).items():
            checks[name] = {"works": state["ready"], "ms": state["ms"], "why": ""}
        for wrong in body.get("errors", ()):
            checks[wrong["path"]] = {"works": False, "ms": 0, "why": wrong["got"]}
        return checks


def _tried(probe: Callable[[], None]) -> Check:
    began = time.monotonic()
    try:
        probe()
    except ConfigurationError:
        raise
    except Exception as error:
        # Whatever a driver raises is what the doctor was asked for.
        return _check(began, str(error) or type(error).__name__)
    return _check(began, "")


def _check(began: float, why: str) -> Check:
    return {"works": not why, "ms": round((time.monotonic() - began) * 1000), "why": why}


def _probes(settings: Settings) -> dict[str, Callable[[], None]]:
    return {
        "records": lambda: _try_records(settings),
        "log": lambda: _try_log(settings),
        "graph": lambda: _try_graph(settings),
        "events": lambda: _try_events(settings),
    }


def _try_records(settings: Settings) -> None:
    from api.kept import Kept, OnceBook
    from cdp.errors import StoreUnavailable
    from cdp.stores import open_records

    engine = open_records(settings)
    try:
        kept = OnceBook(engine, settings.secret_bytes)
        kept.keep("", "probe", Kept(b"", 200, b""))
        if kept.find("", "probe") is None:
            raise StoreUnavailable("records", "what was written cannot be read")
    finally:
        engine.dispose()


def _try_log(settings: Settings) -> None:
    from cdp.records import open_engine
    from cdp.stores import open_log_reader, open_log_writer

    async def write() -> None:
        # Opening it makes what it writes to and locks it; a hit of ours would be one that nobody sent.
        await open_log_writer(settings).close()

    asyncio.run(write())
    # Not asked anything here, so that it may be away.
    records = open_engine(settings.resolved(settings.records_url))
    reader = open_log_reader(settings, records)
    try:
        reader.ends()
    finally:
        reader.close()
        records.dispose()


def _try_graph(settings: Settings) -> None:
    from cdp.stores import open_graph

    graph = open_graph(settings)
    try:
        graph.probe()
    finally:
        graph.close()


def _try_events(settings: Settings) -> None:
    from cdp.stores import open_events
    from profiles.rows import TYPED_COLUMNS

    events = open_events(settings)
    try:
        events.probe()
        # A table of another shape opens, and fails the first start that fills it.
        events.ask(f"SELECT {TYPED_COLUMNS} FROM typed_events LIMIT 0", {})
    finally:
        events.close()
