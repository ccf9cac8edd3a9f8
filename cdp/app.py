"""The app process: worker, identity, upkeep and API, on one set of open stores."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable

import structlog
import uvloop

from api.app import create_app
from api.server import serve_api
from cdp.moments import now_ms
from cdp.running import leave_note
from cdp.settings import Settings
from cdp.supervisor import stop_on_signal
from cdp.wiring import System, open_system, start_eraser, start_importer, start_worker

log = structlog.get_logger()

UPKEEP_S = 3_600.0
GARBAGE_AFTER = 50_000
"""Objects made and kept before cycles among them are looked for. A batch makes tens of thousands that live until its
end and form no cycle: with Python's 700 each batch is gone through dozens of times, for nothing."""


def run_app(settings: Settings, *, demo: bool = False) -> None:
    """Process hits and serve the API, with the demo shop if asked for, until SIGTERM; then end the present batch, and
    end."""
    system = open_system(settings)
    # What is loaded by now stays; it need not be gone through again and again either.
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    worker = start_worker(system)
    eraser = start_eraser(system)
    importer = start_importer(system)
    upkeep = _start_upkeep(system)
    try:
        uvloop.run(_serve(system, demo=demo))
    finally:
        upkeep.set()
        system.importer.stop()
        system.worker.stop()
        system.eraser.stop()
        importer.join()
        worker.join()
        eraser.join()
        system.close()


async def _serve(system: System, *, demo: bool) -> None:
    stop = asyncio.Event()
    stop_on_signal(stop)
    settings = system.settings
    app = create_app(system, demo=demo)
    await serve_api(app, settings.host, settings.port, stop, lambda port: _announce_api(system, port))


def _announce_api(system: System, port: int) -> None:
    """Leave a note in the data folder, by which the commands find the running server."""
    leave_note(system.run_folder / "app.json", url=f"http://{system.settings.host}:{port}")
    log.info("api_listening", port=port)


def _start_upkeep(system: System) -> threading.Event:
    """Delete what is past its retention, now and every hour, until the event is set."""
    done = threading.Event()
    threading.Thread(target=_upkeep, args=(system, done), name="upkeep", daemon=True).start()
    return done


def _upkeep(system: System, done: threading.Event) -> None:
    settings = system.settings
    raw_kept_ms = _ms(settings.log_retention.total_seconds())
    tasks: list[tuple[str, Callable[[], object]]] = [
        ("log", lambda: system.log.trim(now_ms() - raw_kept_ms)),
        ("imports", lambda: system.importer.sweep(report_kept_ms=raw_kept_ms)),
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
