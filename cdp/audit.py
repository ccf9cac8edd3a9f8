"""Who saw which clear personal value, took a copy of a person or erased one, and when. Rows are only added."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Engine, Integer, String, Table

from cdp.model import Millis
from cdp.records import metadata, writing

audit_rows = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("actor", String(100), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(100), nullable=False),
    Column("token", String(20), nullable=False),
)


def note_done(engine: Engine, action: str, *, actor: str, subject: str, at: Millis) -> None:
    """One row for something done with a person's data as a whole, such as "export"; durable on return."""
    with writing(engine) as connection:
        connection.execute(audit_rows.insert(), done(action, actor=actor, subject=subject, at=at))


def done(action: str, *, actor: str, subject: str, at: Millis) -> dict[str, object]:
    """The row of `note_done`, for a transaction of the caller's."""
    return {"at": at, "actor": actor, "action": action, "subject": subject, "token": ""}


def note_shown(engine: Engine, tokens: Sequence[str], *, actor: str, subject: str, at: Millis) -> None:
    """One row for each clear value shown; durable before the value leaves the process.

    `actor` is the name of the API key, `subject` what was opened, such as the id of a lead.
    """
    if not tokens:
        return
    rows = [{"at": at, "actor": actor, "action": "show", "subject": subject, "token": token} for token in tokens]
    with writing(engine) as connection:
        connection.execute(audit_rows.insert(), rows)
