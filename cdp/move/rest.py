"""Nobody may work on a store while it is moved: what came in meanwhile would be left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import Engine, inspect

from cdp.errors import Refused
from cdp.lease import holders, lease_rows
from cdp.log_notes import spool_rows, spooled
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
            # Those of an older version have neither.
            there = {lease_rows.name, spool_rows.name} & set(inspect(db).get_table_names())
        if lease_rows.name in there:
            for name, holder in holders(engine).items():
                raise _at_work(f"The {name} process {holder}")
        if spool_rows.name in there and (waiting := spooled(engine)):
            raise Refused(
                f"{waiting:,} hits wait on the disks of collectors for the brokers. Start these collectors until the "
                "log has them, then move. Of a disk that is gone for good see docs/log-on-kafka.md."
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
