"""The two kinds of process that do the work: a collector, and the app with worker, identity, API and upkeep."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from api.app import create_app
from api.server import serve_api
from cdp.errors import ConfigurationError
from cdp.log_sqlite import SqliteLogWriter
from cdp.moments import now_ms
from cdp.settings import Settings
from cdp.supervisor import end_with_supervisor
from cdp.vault import Cipher
from cdp.wiring import System, log_folder, open_records, open_system, start_worker
from collectors.accept import Accept
from collectors.proxies import Proxies
from collectors.registry import DIALECTS
from collectors.server import run, serve_collector
from collectors.sources import LiveSources, SourceBook, announce

log = structlog.get_logger()

REFRESH_S = 0.2
"""How often a collector looks for new sources: a new key must work within a second."""
UPKEEP_S = 3_600.0
MAX_COLLECTORS = 64


def run_collector(settings: Settings) -> None:
    """Accept hits until SIGTERM; then answer what has come, and end."""
    run(_collect(settings))


async def _collect(settings: Settings) -> None:
    stop = asyncio.Event()
    _stop_on_signal(stop)
    records = open_records(settings)
    sources = LiveSources(SourceBook(records, settings.secret_bytes))
    writer = open_free_partition(log_folder(settings))
    accept = Accept(
        dialects=DIALECTS,
        sources=sources,
        log=writer,
        cipher=Cipher(settings.secret_bytes, "log"),
        proxies=Proxies(settings.proxies),
    )
    folder = settings.data / "run"
    refreshing = asyncio.create_task(_keep_fresh(sources, folder, writer.partition))
    try:
        await serve_collector(
            host=settings.host,
            port=settings.collector_port,
            accept=accept,
            stop=stop,
            listening=lambda port: log.info("collector_listening", port=port, partition=writer.partition),
        )
    finally:
        refreshing.cancel()
        await writer.close()


def open_free_partition(folder: Path) -> SqliteLogWriter:
    """The lowest partition that no other process holds; so collectors need no numbers of their own."""
    for partition in range(MAX_COLLECTORS):
        try:
            return SqliteLogWriter(folder, partition)
        except ConfigurationError:
            continue
    raise ConfigurationError("XUNJI_COLLECTOR_PROCESSES", came="more", allowed=f"{MAX_COLLECTORS} in one folder")


async def _keep_fresh(sources: LiveSources, folder: Path, partition: int) -> None:
    loop = asyncio.get_running_loop()
    announce(folder, partition, sources.version)
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            if await loop.run_in_executor(None, sources.refresh):
                announce(folder, partition, sources.version)
        except Exception as error:
            # The keys of a moment ago are better than none; the next round tries again.
            log.warning("sources_not_refreshed", reason=str(error))


def run_app(settings: Settings) -> None:
    """Process hits and serve the API until SIGTERM; then end the present batch, and end."""
    system = open_system(settings)
    worker = start_worker(system)
    upkeep = _start_upkeep(system)
    try:
        asyncio.run(_serve(system))
    finally:
        upkeep.set()
        system.worker.stop()
        worker.join()
        system.close()


async def _serve(system: System) -> None:
    stop = asyncio.Event()
    _stop_on_signal(stop)
    settings = system.settings
    await serve_api(create_app(system), settings.host, settings.port, stop, lambda port: _announce_api(system, port))


def _announce_api(system: System, port: int) -> None:
    """Leave a note in the data folder, by which the commands find the running server."""
    system.run_folder.mkdir(parents=True, exist_ok=True)
    note = system.run_folder / "app.json"
    fresh = note.with_suffix(".new")
    fresh.write_text(json.dumps({"pid": os.getpid(), "url": f"http://{system.settings.host}:{port}"}))
    fresh.replace(note)
    log.info("api_listening", port=port)


def _stop_on_signal(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)

    def stop_soon() -> None:
        loop.call_soon_threadsafe(stop.set)

    end_with_supervisor(stop_soon)


def _start_upkeep(system: System) -> threading.Event:
    """Delete what is past its retention, now and every hour, until the event is set."""
    done = threading.Event()
    threading.Thread(target=_upkeep, args=(system, done), name="upkeep", daemon=True).start()
    return done


def _upkeep(system: System, done: threading.Event) -> None:
    settings = system.settings
    tasks: list[tuple[str, Callable[[], object]]] = [
        ("log", lambda: system.log.trim(now_ms() - _ms(settings.log_retention.total_seconds())))
    ]
    if settings.events_retention is not None:
        kept_ms = _ms(settings.events_retention.total_seconds())
        tasks.append(("events", lambda: system.events.trim(now_ms() - kept_ms)))
    while not done.wait(UPKEEP_S):
        for store, trim in tasks:
            try:
                trim()
            except Exception:
                # What is too old now is still too old in an hour.
                log.exception("trim_failed", store=store)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
