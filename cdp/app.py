"""A process that opens the stores: worker, identity, API and scheduler, all of them together or some of them apart."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

import structlog
import uvloop

from api.app import create_app
from api.health import probes_of
from api.identity_calls import CallDesk, router_of
from api.kept import OnceBook
from api.server import serve_api
from cdp.at_work import doing_jobs, working
from cdp.errors import Retryable
from cdp.lease import Lease, end_process, held, wait_for
from cdp.role_server import RoleState, address_of, role_server
from cdp.roles import APP, Role
from cdp.running import leave_note
from cdp.settings import Settings
from cdp.stores import kind_of, open_records
from cdp.supervisor import stop_event, stop_on_signal
from cdp.wiring import System, open_system
from identity.calls import key_of

log = structlog.get_logger()

T = TypeVar("T")

ALONE = (Role.IDENTITY, Role.SCHEDULER)
"""Roles that one process has at a time; the others with it stand by."""
GARBAGE_AFTER = 50_000
"""Objects made and kept before cycles among them are looked for. A batch makes tens of thousands that live until its
end and form no cycle: with Python's 700 each batch is gone through dozens of times, for nothing."""


def run_app(settings: Settings, roles: Collection[Role] = APP, *, demo: bool = False) -> None:
    """Do what these roles are there for, with the demo shop if asked for, until SIGTERM; then end the present batch,
    and end. A role that only one may have is waited for."""
    stop = stop_event()
    state = RoleState()
    with ExitStack() as stack:
        desk = CallDesk(partial(end_process, Role.IDENTITY.value))
        calls = [router_of(desk, key_of(settings.secret_bytes))] if Role.IDENTITY in roles else []
        address = address_of(settings.host, settings.port)
        if Role.API not in roles or (calls and _shares(settings)):
            address = stack.enter_context(role_server(settings, state, calls))
        tokens = _leased(settings, roles, address, stack, state, stop)
        system = None if stop.is_set() else _opened(settings, roles, tokens, state, stop)
        if system is None:
            return
        stack.callback(system.close)
        # What is loaded by now stays; it need not be gone through again and again either.
        gc.freeze()
        gc.set_threshold(GARBAGE_AFTER)
        kept = OnceBook(system.records, settings.secret_bytes)
        if Role.API not in roles:
            system.forget_answers.append(kept.forget)
        if Role.IDENTITY in tokens:
            stack.enter_context(desk.open(system.identity))
        if Role.WORKER in roles:
            stack.enter_context(working(system))
        if Role.SCHEDULER in roles:
            stack.enter_context(doing_jobs(system))
        state.ready("ready", **probes_of(system, kept))
        if Role.API in roles:
            uvloop.run(_serve(system, demo=demo))
        else:
            stop.wait()


def _shares(settings: Settings) -> bool:
    """Whether other processes may work on the same records."""
    return kind_of(settings.records_url) == "postgresql"


def _leased(
    settings: Settings,
    roles: Collection[Role],
    address: str,
    stack: ExitStack,
    state: RoleState,
    stop: threading.Event,
) -> Mapping[Role, int]:
    """The fencing tokens of those of the roles that one process has at a time, once they are this one's."""
    tokens: dict[Role, int] = {}
    alone = [role for role in ALONE if role in roles and _shares(settings)]
    records = _waited(partial(open_records, settings), state, stop) if alone else None
    if records is None:
        return tokens
    stack.callback(records.dispose)
    for role in alone:
        lease = Lease(records, role.value)
        state.ready("standby", records=lease.probe)
        token = wait_for(lease, address, stop)
        state.starting()
        if token is not None:
            stack.enter_context(held(lease, partial(end_process, role.value)))
            tokens[role] = token
    return tokens


def _opened(
    settings: Settings, roles: Collection[Role], tokens: Mapping[Role, int], state: RoleState, stop: threading.Event
) -> System | None:
    if roles == APP:
        # Its supervisor starts it again, and nobody asks it meanwhile.
        return open_system(settings, roles, tokens)
    return _waited(partial(open_system, settings, roles, tokens), state, stop)


def _waited(opening: Callable[[], T], state: RoleState, stop: threading.Event) -> T | None:
    """What can be opened once its stores are there; None where `stop` was set before."""
    while not stop.is_set():
        try:
            return opening()
        except Retryable as error:
            state.waits_for = str(error)
            log.warning("start_waits", reason=str(error))
            stop.wait(error.retry_after_s)
    return None


async def _serve(system: System, *, demo: bool) -> None:
    stop = asyncio.Event()
    stop_on_signal(stop)
    settings = system.settings
    app = create_app(system, demo=demo)
    await serve_api(
        app,
        settings.host,
        settings.port,
        stop,
        lambda port: _announce_api(system, port),
        closing=app.state.services.closing.set,
    )


def _announce_api(system: System, port: int) -> None:
    """Leave a note in the data folder, by which the commands find the running server."""
    leave_note(system.run_folder / "app.json", url=f"http://{system.settings.host}:{port}")
    log.info("api_listening", port=port)
