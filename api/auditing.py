"""Audit rows of many requests in one transaction: each waits for the disk, and so all that wait share one sync."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

from sqlalchemy import Engine

from api.keys import ApiKey
from cdp.audit import audit_rows
from cdp.moments import now_ms
from cdp.records import writing


class Auditor:
    """Thread-safe. Rows are those of `cdp.audit`."""

    def __init__(self, records: Engine) -> None:
        self._records = records
        self._lock = Lock()
        self._turn = Lock()
        self._waiting: list[_Showing] = []

    def note_shown(self, caller: ApiKey, tokens: Sequence[str], *, subject: str) -> None:
        """One row for each clear value shown to this caller; durable on return. Raises StoreUnavailable."""
        if not tokens:
            return
        showing = _Showing(caller.name, subject, tokens)
        with self._lock:
            self._waiting.append(showing)
        # Whoever gets the turn writes for all who wait; they find their rows written when theirs comes.
        with self._turn:
            if not showing.written:
                self._write()

    def _write(self) -> None:
        with self._lock:
            showings = list(self._waiting)
        rows = [row for showing in showings for row in showing.rows()]
        with writing(self._records) as connection:
            connection.execute(audit_rows.insert(), rows)
        for showing in showings:
            showing.written = True
        with self._lock:
            del self._waiting[: len(showings)]


class _Showing:
    """What one answer shows. One that was not written because the store was away is written with the next: it says
    of too much that it was shown, never of too little."""

    __slots__ = ("_actor", "_at", "_subject", "_tokens", "written")

    def __init__(self, actor: str, subject: str, tokens: Sequence[str]) -> None:
        self._actor, self._subject, self._tokens, self._at = actor, subject, tokens, now_ms()
        self.written = False

    def rows(self) -> list[dict[str, Any]]:
        same = {"at": self._at, "actor": self._actor, "action": "show", "subject": self._subject}
        return [same | {"token": token} for token in self._tokens]
