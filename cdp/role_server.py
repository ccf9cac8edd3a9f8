"""What a process says of itself that has no listener of its own: health, readiness and figures, in a thread."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import structlog

from api.health import Health, Probe
from api.role_app import Routers, create_role_app
from api.server import serve_api
from cdp.errors import StoreUnavailable
from cdp.settings import Settings

log = structlog.get_logger()

WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104
START_S = 30.0


class RoleState:
    """What a process is at. It is ready once `ready` was called; `status` says as what."""

    def __init__(self) -> None:
        self.status = ""
        self.probes: dict[str, Probe] = {}
        self.waits_for = "its stores"
        self.starting()

    def starting(self) -> None:
        """Not ready, until `ready` is called."""
        self.ready("starting", start=self._not_yet)

    def ready(self, status: str, **probes: Probe) -> None:
        """From now on ready where these probes pass."""
        self.status = status
        self.probes.update(probes)
        for name in self.probes.keys() - probes.keys():
            del self.probes[name]

    def _not_yet(self) -> None:
        raise StoreUnavailable("process", f"it waits for {self.waits_for}")


@contextmanager
def role_server(settings: Settings, state: RoleState, routers: Routers = ()) -> Iterator[str]:
    """Serve on XUNJI_HEALTH_PORT meanwhile; gives the address at which other processes reach this one.

    Raises OSError where the port cannot be had.
    """
    app = create_role_app(Health(state.probes, lambda: state.status), routers)
    ended = threading.Event()
    port: Future[int] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        waiting = loop.run_in_executor(None, ended.wait)
        waiting.add_done_callback(lambda _: stop.set())
        await serve_api(app, settings.host, settings.health_port, stop, port.set_result)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if not port.done():
                port.set_exception(error)
                return
            # Nobody could reach this process any more, while its work, or its lease, went on.
            log.exception("health_failed")
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run, name="role-server", daemon=True)
    thread.start()
    try:
        taken = port.result(START_S)
        log.info("health_listening", port=taken)
        yield address_of(settings.host, taken)
    finally:
        ended.set()
        thread.join()


def address_of(host: str, port: int) -> str:
    """The URL by which others reach a listener of this machine."""
    name = socket.gethostname() if host in WILDCARDS else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
