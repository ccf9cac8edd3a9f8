"""The app process: worker, identity, upkeep and API, on one set of open stores."""

from __future__ import annotations

import asyncio
import gc

import structlog
import uvloop

from api.app import create_app
from api.server import serve_api
from cdp.at_work import doing_jobs, working
from cdp.running import leave_note
from cdp.settings import Settings
from cdp.supervisor import stop_on_signal
from cdp.wiring import System, open_system

log = structlog.get_logger()

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
    try:
        with working(system), doing_jobs(system):
            uvloop.run(_serve(system, demo=demo))
    finally:
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
