"""The role identity: one process leads and writes the graph, the others stand by until its lease is free."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from functools import partial

import structlog

from api.identity_calls import CallDesk, router_of
from cdp.errors import LeaseLost, Retryable
from cdp.lease import Lease, end_process, held, wait_for
from cdp.policy import policy_in_force, put_in_force
from cdp.role_server import RoleState, role_server
from cdp.roles import Role
from cdp.settings import Settings
from cdp.stores import open_graph, open_records
from cdp.supervisor import stop_event
from cdp.vault import Vault
from identity.calls import key_of
from identity.engine import IdentityEngine
from identity.graph import Graph

log = structlog.get_logger()

NAME = Role.IDENTITY.value
LOSE = partial(end_process, NAME)


def run_identity(settings: Settings) -> None:
    """Lead or stand by until SIGTERM; then answer what is under way, and let another lead.

    A process that loses its lease ends at once, with the exit code `cdp.lease.LOST`. Raises ConfigurationError.
    """
    stop = stop_event()
    state, desk = RoleState(), CallDesk(LOSE)
    with role_server(settings, state, [router_of(desk, key_of(settings.secret_bytes))]) as address:
        candidate = Candidate(settings, state, desk, stop)
        while not stop.is_set():
            try:
                candidate.run(address)
            except (Retryable, LeaseLost) as error:
                # A higher token in the graph, while the lease is this one's: the records are older, out of a backup.
                # With each attempt the lease's token grows.
                state.waits_for = str(error)
                log.warning("identity_waits", reason=str(error))
                stop.wait(1.0)


class Candidate:
    """A process that would lead, and does when nobody else does."""

    def __init__(self, settings: Settings, state: RoleState, desk: CallDesk, stop: threading.Event) -> None:
        self._settings, self._state, self._desk, self._stop = settings, state, desk, stop
        self._policy = policy_in_force(settings.policy)

    def run(self, address: str) -> None:
        """Open the stores, stand by, lead, until it is to stop. Raises StoreUnavailable, GraphConflict, LeaseLost."""
        with ExitStack() as stores:
            records = open_records(self._settings)
            stores.callback(records.dispose)
            graph = open_graph(self._settings)
            stores.callback(graph.close)
            lease = Lease(records, NAME)
            self._state.ready("standby", records=lease.probe, graph=graph.probe)
            token = wait_for(lease, address, self._stop)
            if token is not None:
                vault = Vault(records, self._settings.secret_bytes, self._settings.vault_key_bytes)
                with held(lease, LOSE):
                    self._lead(graph, vault, token)

    def _lead(self, graph: Graph, vault: Vault, token: int) -> None:
        graph.fence(token)
        engine = IdentityEngine(graph, self._policy)
        put_in_force(engine, vault)
        with self._desk.open(engine):
            self._state.status = "leading"
            log.info("identity_leads", version=engine.version, token=token)
            self._stop.wait()
            self._state.status = "stopping"
