"""Nobody may work on a store while it is moved: what came in meanwhile would be left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import Engine, func, inspect, select

from cdp.errors import Refused
from cdp.lease import lease_rows
from cdp.log_notes import spool_rows
from cdp.moments import now_ms
from cdp.records import reading
from cdp.running import alive


def require_rest(folders: Iterable[Path], records: Iterable[Engine]) -> None:
    """Raises Refused where a process of this machine serves one of these data folders, where one of any machine holds
    a lease in the records, and where hits wait in the spool of a collector."""
    for folder in folders:
        for who in _servers(folder):
            raise _at_work(who)
    for engine in records:
        with reading(engine) as db:
            there = set(inspect(db).get_table_names())
            if lease_rows.name in there:
                held = lease_rows.c.expires_at > _now(engine)
                for name, holder in db.execute(select(lease_rows.c.name, lease_rows.c.holder).where(held)):
                    raise _at_work(f"The {name} process {holder}")
            waiting = 0
            if spool_rows.name in there:
                waiting = db.execute(select(func.coalesce(func.sum(spool_rows.c.waiting), 0))).scalar_one()
        if waiting:
            raise Refused(
                f"{waiting:,} hits wait on the disks of collectors for the brokers. Start these collectors until the "
                "log has them, then move."
            )


def _at_work(who: str) -> Refused:
    return Refused(f"{who} is at work. Stop every process of this deployment, collectors too, and try again.")


def _servers(folder: Path) -> Iterator[str]:
    """Living processes that left a note in the data folder."""
    for note in sorted((folder / "run").glob("*.json")):
        try:
            pid = int(json.loads(note.read_text())["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if pid != os.getpid() and alive(pid) and _is_ours(pid):
            yield f"Process {pid}, which serves {folder} as {note.stem},"


def _is_ours(pid: int) -> bool:
    """A process that died without a word leaves its note, and its number goes to another."""
    try:
        return b"cdp" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def _now(engine: Engine) -> object:
    """Leases run by the clock of the database."""
    if engine.dialect.name == "postgresql":
        return func.extract("epoch", func.clock_timestamp()) * 1000
    return now_ms()
