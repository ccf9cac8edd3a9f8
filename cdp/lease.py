"""Who may do what only one may do: a lease in the records store, by the store's own clock.

A holder renews its lease long before it runs out; the others wait until nobody has it. With each holder its token grows
by one, so that what is written can be fenced: who has the lease no more is refused, whatever it believes. Clocks of
machines are never compared: the database says when a lease runs out, and a holder counts from before it asked.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from uuid import uuid4

import structlog
from prometheus_client import Gauge
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    String,
    Table,
    event,
    select,
    update,
)
from sqlalchemy.exc import OperationalError

from cdp.errors import LeaseLost, StoreUnavailable
from cdp.records import CLOCK, insert_ignoring, metadata, reading, writing

log = structlog.get_logger()

TTL_S = 6.0
RENEWALS = 3
"""In the time that a lease lasts."""
MARGIN = 1 / 6
"""Of that time: so much earlier its holder stops relying on it."""
POLL_S = 0.4
"""How often who waits for a lease looks whether it is free."""
WATCH_S = 0.2
LOST = 3
"""The exit code of a process that lost its lease: started again, it stands by."""

HELD = Gauge("xunji_lease_held", "Whether this process holds the lease", ["name"])

lease_rows = Table(
    "leases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(100), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("address", String(300), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)


class Holder(NamedTuple):
    """Where the holder of a lease can be reached, and its token."""

    address: str
    token: int


def holders(records: Engine) -> dict[str, str]:
    """Who holds each lease now."""
    wanted = select(lease_rows.c.name, lease_rows.c.holder)
    with reading(records) as db:
        alive = lease_rows.c.expires_at > CLOCK[db.dialect.name]
        return {row.name: row.holder for row in db.execute(wanted.where(alive))}


class Lease:
    """One process's end of one lease. `holder` names the process; no two may have one name. Raises StoreUnavailable."""

    def __init__(self, records: Engine, name: str, *, holder: str = "", ttl_s: float = TTL_S) -> None:
        self.name, self.ttl_s = name, ttl_s
        self._records = records
        self._holder = holder or f"{socket.gethostname()[:40]} {os.getpid()} {uuid4().hex}"
        self._token = 0
        self._sure_until = 0.0
        now = CLOCK[records.dialect.name]
        self._until = now + round(ttl_s * 1000)
        self._alive = lease_rows.c.expires_at > now

    @property
    def sure(self) -> bool:
        """Whether nobody else can have taken it yet, as far as this process knows."""
        return time.monotonic() < self._sure_until

    def take(self, address: str) -> int | None:
        """Take the lease where nobody has it: its token; None where somebody has.

        In turn with all written transactions of the records, so that what a fenced holder has begun ends before.
        """
        free = (lease_rows.c.name == self.name) & ~self._alive
        mine = {"holder": self._holder, "token": lease_rows.c.token + 1, "address": address, "expires_at": self._until}
        with writing(self._records) as db:
            empty = {"name": self.name, "holder": "", "token": 0, "address": "", "expires_at": 0}
            db.execute(insert_ignoring(db, lease_rows), empty)
            taken = db.execute(update(lease_rows).where(free).values(mine).returning(lease_rows.c.token)).scalar()
        if taken is None:
            return None
        self._token = int(taken)
        # The turn may have been long in coming.
        return self._token if self.renew() else None

    def renew(self) -> bool:
        """Let it last for its whole time from now on; False where another took it meanwhile."""
        asked = time.monotonic()
        renewed = self._change(expires_at=self._until)
        self._sure_until = asked + self.ttl_s * (1 - MARGIN) if renewed else 0.0
        HELD.labels(self.name).set(renewed)
        return renewed

    def release(self) -> None:
        """Let others take it at once. Does nothing where another has it."""
        self._sure_until = 0.0
        HELD.labels(self.name).set(0)
        # Nobody's, so that a renewal which hung until now finds nothing to renew.
        self._change(expires_at=0, holder="")

    def current(self) -> Holder | None:
        """Who holds it now, None for nobody."""
        wanted = select(lease_rows.c.address, lease_rows.c.token).where(lease_rows.c.name == self.name, self._alive)
        with reading(self._records) as db:
            row = db.execute(wanted).one_or_none()
        return Holder(*row) if row else None

    def probe(self) -> None:
        """A read of it, for health checks."""
        self.current()

    def address(self) -> str | None:
        """Where its holder can be reached, None for nobody."""
        holder = self.current()
        return holder.address if holder else None

    def _change(self, **values: Any) -> bool:
        """Change the row where it is this holder's still. Waits for no other's transaction: a renewal must not."""
        mine = (lease_rows.c.name == self.name) & (lease_rows.c.token == self._token)
        changed = update(lease_rows).where(mine, lease_rows.c.holder == self._holder).values(values)
        try:
            with self._records.connect() as db, db.begin():
                if db.dialect.name == "postgresql":
                    # As of now, where REPEATABLE READ would fail when another changed the row since.
                    db.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
                return db.execute(changed).rowcount == 1
        except OperationalError as error:
            raise StoreUnavailable("records", str(error.orig)) from error


def wait_for(lease: Lease, address: str, stop: threading.Event) -> int | None:
    """Take the lease as soon as nobody has it: its token; None where `stop` was set before. Says what it waits for."""
    said = ""
    while not stop.is_set():
        try:
            holder = lease.current()
            token = None if holder else lease.take(address)
            waits_for = f"the holder of the lease, at {holder.address}" if holder else "its turn"
        except StoreUnavailable as error:
            token, waits_for = None, str(error)
        if token is not None:
            log.info("lease_taken", lease=lease.name, token=token)
            return token
        if waits_for != said:
            said = waits_for
            log.info("standing_by", lease=lease.name, waits_for=said)
        stop.wait(POLL_S)
    return None


@contextmanager
def held(lease: Lease, lost: Callable[[], None]) -> Iterator[None]:
    """Renew a lease that was taken until the block ends, then let it go.

    `lost` is called once, from another thread, when another has it or may have it soon because renewing fails; also at
    once where the process was stopped for so long.
    """
    done = threading.Event()
    threads = [
        threading.Thread(target=each, args=arguments, name=f"lease-{lease.name}", daemon=True)
        for each, arguments in ((_renew, (lease, done)), (_watch, (lease, done, lost)))
    ]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        done.set()
        for each in threads:
            if each is not threading.current_thread():
                each.join(lease.ttl_s)
        with suppress(StoreUnavailable):
            lease.release()


def _renew(lease: Lease, done: threading.Event) -> None:
    while not done.wait(lease.ttl_s / RENEWALS):
        try:
            if not lease.renew():
                return
        except StoreUnavailable as error:
            log.warning("lease_not_renewed", lease=lease.name, reason=str(error))


def _watch(lease: Lease, done: threading.Event, lost: Callable[[], None]) -> None:
    # Apart from renewing, which may hang on a connection for longer than the lease lasts.
    while not done.wait(WATCH_S):
        if not lease.sure:
            HELD.labels(lease.name).set(0)
            lost()
            return


def end_process(name: str) -> None:
    """What a process does that lost its lease: it ends at once, whatever it is at."""
    log.error("lease_lost", lease=name, exit_code=LOST)
    os._exit(LOST)


def fence(records: Engine, name: str, token: int) -> None:
    """From now on each written transaction of this engine begins with a look whether the lease has this token still,
    and raises LeaseLost where it has another. What has begun is written before another can take the lease."""

    def check(connection: Connection) -> None:
        wanted = select(lease_rows.c.token).where(lease_rows.c.name == name)
        if connection.get_execution_options().get("writes") and connection.execute(wanted).scalar() != token:
            raise LeaseLost(name)

    event.listen(records, "begin", check)
