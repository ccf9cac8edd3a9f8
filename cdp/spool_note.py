"""What a collector tells the others of its spool, so that accounting and captures know what is not in the log yet."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sqlalchemy import Engine, select

from cdp.log_notes import spool_rows
from cdp.model import Millis
from cdp.records import CLOCK, reading, writing

NOTE_MS = 1_000
"""Between two notes of a spool that goes on holding something; that it begins to, or is empty, is noted at once."""
RENEWED_MS = 60_000
"""Between two notes of one that holds as many as before, so that it does not count as silent."""


class SpoolNote:
    """Tells everybody how many hits wait on this machine in the spool `name`, one of those of this `place`."""

    def __init__(self, records: Engine, place: str, name: str, *, clock: Callable[[], Millis]) -> None:
        self._records, self._place, self._name, self._clock = records, place, name, clock
        self._told: int | None = None
        self._told_at = 0

    def tell(self, waiting: int, names: Collection[str]) -> None:
        """Note it where that is due, and forget spools that are not among the `names` any more: another took over what
        they held. Raises StoreUnavailable."""
        now = self._clock()
        fresh_ms = RENEWED_MS if waiting == self._told else NOTE_MS
        if waiting == self._told == 0 or (waiting and self._told and now - self._told_at < fresh_ms):
            return
        mine = f"{self._place}/{self._name}"
        living = {mine, *(f"{self._place}/{each}" for each in names)}
        with reading(self._records) as connection:
            here = spool_rows.c.name.startswith(f"{self._place}/", autoescape=True)
            noted = set(connection.execute(select(spool_rows.c.name).where(here)).scalars())
        if waiting or noted:
            with writing(self._records) as connection:
                gone = (noted - living) | {mine}
                connection.execute(spool_rows.delete().where(spool_rows.c.name.in_(gone)))
                if waiting:
                    at = CLOCK[connection.dialect.name]
                    connection.execute(spool_rows.insert().values(name=mine, waiting=waiting, at=at))
        self._told, self._told_at = waiting, now
