"""The gate for processes on several machines that share their records: locks of PostgreSQL, behind the threads' own.

A place in it is a lock of a database session, so it is given back when its process dies. One that was stopped but not
killed is put out by whoever wants to be alone and has waited for long: its session is ended, and it finds so before it
commits. The database hands locks out in the order in which they were asked for, so who waits to be alone goes first
here too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from cdp.errors import GateClosed, GateLost, StoreUnavailable
from cdp.records import is_shared, open_engine
from identity.gate import Gate

log = structlog.get_logger()

LONGEST_INSIDE_S = 60.0
"""For which who wants to be alone waits for those inside. All others wait behind, and a batch takes seconds."""
TOGETHER = 5
"""Threads of one process that are inside at the same time; each takes a session of the database."""

_GATE = "gate"
_SHARED = "_shared"
_PUT_OUT = (
    "count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    f" AND objid::bigint = hashtext('xunji {_GATE}')::bigint & 4294967295"
)
_NOT_IN_TIME = "55P03"
"""What PostgreSQL calls a lock that was not to be had in time."""


def open_gate(records: Engine) -> Gate:
    """The gate of all who share these records: of one process where they are a file."""
    return SharedGate(records) if is_shared(records) else Gate()


class SharedGate(Gate):
    """Raises StoreUnavailable where the records cannot be reached; nobody is inside then.

    `entering` is called by whoever has entered together with others, before anything else: what it remembers may be
    older than the last who was alone. Raising there turns it away.
    """

    def __init__(self, records: Engine, *, longest_s: float = LONGEST_INSIDE_S) -> None:
        super().__init__()
        self._longest_s = longest_s
        # Sessions of its own: whoever is inside needs others to work with. Not in transactions, which would keep the
        # database from cleaning up.
        own = open_engine(records.url.render_as_string(hide_password=False))
        self._sessions = own.execution_options(isolation_level="AUTOCOMMIT")
        self._places = threading.BoundedSemaphore(TOGETHER)
        self._mine = threading.local()
        self.entering: list[Callable[[], None]] = []

    @contextmanager
    def together(self, *, within_s: float | None = None) -> Iterator[None]:
        until = None if within_s is None else time.monotonic() + within_s
        with super().together(within_s=within_s), self._one_of_few(until), self._with_a_place(_SHARED, until):
            for look in self.entering:
                look()
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        with super().alone(), ExitStack() as stack:
            try:
                stack.enter_context(self._with_a_place(until=time.monotonic() + self._longest_s))
            except GateClosed:
                self._put_out()
                stack.enter_context(self._with_a_place())
            yield

    def _put_out(self) -> None:
        """End the sessions of those inside; what they do is not committed, but done again."""
        log.warning("gate_cleared", waited_s=self._longest_s)
        self._session_with(_PUT_OUT).close()

    @contextmanager
    def turn(self, what: str, *, within_s: float | None = None) -> Iterator[None]:
        until = None if within_s is None else time.monotonic() + within_s
        with super().turn(what, within_s=within_s), self._locked(what, until=until):
            yield

    def check(self) -> None:
        try:
            if session := getattr(self._mine, "session", None):
                _do(session, "1")
        except SQLAlchemyError as error:
            raise GateLost from error

    def close(self) -> None:
        self._sessions.dispose()

    @contextmanager
    def _one_of_few(self, until: float | None) -> Iterator[None]:
        if not self._places.acquire(timeout=_left(until)):
            raise GateClosed
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def _with_a_place(self, how: str = "", until: float | None = None) -> Iterator[None]:
        with self._locked(_GATE, how, until) as session:
            self._mine.session = session
            try:
                yield
            finally:
                del self._mine.session

    @contextmanager
    def _locked(self, what: str, how: str = "", until: float | None = None) -> Iterator[Connection]:
        session = self._session_with(f"{_patience(until)}, {_lock('lock', what, how)}")
        try:
            yield session
        finally:
            _leave(session, _lock("unlock", what, how))

    def _session_with(self, locks: str) -> Connection:
        session = None
        try:
            session = self._sessions.connect()
            _do(session, locks)
        except BaseException as error:
            if session is not None:
                _end(session)
            if isinstance(error, OperationalError):
                if getattr(error.orig, "sqlstate", "") == _NOT_IN_TIME:
                    raise GateClosed from error
                raise StoreUnavailable("records", str(error.orig)) from error
            raise
        return session


def _left(until: float | None) -> float | None:
    """Seconds, None without limit."""
    return None if until is None else max(0.001, until - time.monotonic())


def _patience(until: float | None) -> str:
    # Each time, for a session is used again by who has another; 0 is without limit.
    return f"set_config('lock_timeout', '{round(1000 * (_left(until) or 0))}', false)"


def _lock(verb: str, what: str, how: str) -> str:
    return f"pg_advisory_{verb}{how}(hashtext('xunji {what}'))"


def _do(session: Connection, what: str) -> object:
    return session.exec_driver_sql(f"SELECT {what}").scalar()


def _leave(session: Connection, unlock: str) -> None:
    try:
        held = _do(session, unlock)
    except SQLAlchemyError as error:
        held = False
        log.warning("gate_session_lost", error=type(error).__name__)
    if held:
        session.close()
    else:
        _end(session)


def _end(session: Connection) -> None:
    """Close the session itself, whatever locks it may have; the pool would keep it."""
    session.invalidate()
    session.close()
