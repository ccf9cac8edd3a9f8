"""Replays that were asked for: kept hits to be translated again, each a job that survives its process.

Whoever runs them takes the oldest that is not done and goes through the log partition by partition. How far it is, is
noted after each batch; so after a crash one batch at most is translated once more, which changes nothing.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog
from sqlalchemy import BigInteger, Boolean, Column, Engine, String, Table, Text, select

from cdp.begun import positions
from cdp.errors import NotFound, Overtaken, Retryable
from cdp.log import LogReader
from cdp.model import Millis
from cdp.records import metadata, reading, writing

log = structlog.get_logger()

IDLE_S = 1.0
"""Between two looks for a replay that another process asked for."""
AGAIN_S = 30.0
"""After a fault of ours."""

replay_rows = Table(
    "replays",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("done", Boolean, nullable=False),
    Column("replay", Text, nullable=False),
)


class Replay(msgspec.Struct, kw_only=True):
    """Of the hits received since `start`, of one source where one is named, `hits` of `total` are looked at, and
    `changed` records came out otherwise; those of a batch just before a crash are not counted.

    `left` is what is still to be looked at: partition, first offset, and the offset after the last; None before it is
    begun.
    """

    id: str
    start: Millis
    source: str | None
    hits: int = 0
    total: int = 0
    changed: int = 0
    left: list[tuple[int, int, int]] | None = None

    @property
    def done(self) -> bool:
        return self.left == []


class ReplayBook:
    """The table of replays. Thread-safe."""

    def __init__(self, records: Engine, *, clock: Callable[[], Millis]) -> None:
        self._records, self._clock = records, clock

    def request(self, start: Millis, source: str | None = None) -> Replay:
        """Ask for a replay; durable on return."""
        replay = Replay(id=f"rp_{secrets.token_hex(8)}", start=start, source=source)
        row = {"id": replay.id, "at": self._clock(), "done": False, "replay": _text(replay)}
        with writing(self._records) as connection:
            connection.execute(replay_rows.insert(), row)
        return replay

    def find(self, replay_id: str) -> Replay:
        """Raises NotFound."""
        with reading(self._records) as connection:
            text = connection.execute(select(replay_rows.c.replay).where(replay_rows.c.id == replay_id)).scalar()
        if text is None:
            raise NotFound("replay", replay_id)
        return _replay(text)

    def oldest(self) -> Replay | None:
        """The first that is not done."""
        undone = select(replay_rows.c.replay).where(replay_rows.c.done.is_(False))
        with reading(self._records) as connection:
            text = connection.execute(undone.order_by(replay_rows.c.at, replay_rows.c.id).limit(1)).scalar()
        return None if text is None else _replay(text)

    def save(self, replay: Replay) -> None:
        same = replay_rows.c.id == replay.id
        with writing(self._records) as connection:
            connection.execute(replay_rows.update().where(same).values(done=replay.done, replay=_text(replay)))


class Replayer(Protocol):
    """Translates again; see `cdp.worker.Replayer`."""

    stopping: threading.Event

    def recover(self, source: str | None) -> None: ...
    def translate_again(self, partition: int, start: int, until: int, source: str | None) -> tuple[int, int, int]: ...


class Replays:
    """Runs them, one after the other. `run` or `drain` in one thread, of one process at a time."""

    def __init__(self, book: ReplayBook, records: Engine, reader: LogReader, replayer: Replayer) -> None:
        self._book, self._records, self._reader, self._replayer = book, records, reader, replayer
        self._stopping = replayer.stopping
        self._recovered = False

    def run(self) -> None:
        """Until `stop`; a store that is away is waited for."""
        while not self._stopping.is_set():
            try:
                if not self._step():
                    self._stopping.wait(IDLE_S)
            except (Retryable, Overtaken) as error:
                # What another process began is taken over.
                log.warning("replay_waits", reason=str(error))
                self._recovered = False
                self._stopping.wait(IDLE_S)
            except Exception:
                log.exception("replay_failed")
                self._stopping.wait(AGAIN_S)

    def stop(self) -> None:
        """From any thread: end after the present batch."""
        self._stopping.set()

    def drain(self) -> None:
        """Do all that were asked for; for tests."""
        while self._step():
            pass

    def _step(self) -> bool:
        """Do the oldest, or as much of it as there is time for; whether there was any."""
        replay = self._book.oldest()
        if replay is None:
            return False
        if not self._recovered:
            self._replayer.recover(replay.source)
            self._recovered = True
        if replay.left is None:
            self._begin(replay)
        while replay.left and not self._stopping.is_set():
            self._go_on(replay, replay.left)
        return True

    def _begin(self, replay: Replay) -> None:
        """Up to where each partition is processed now: what comes later is translated as it should be."""
        with reading(self._records) as connection:
            ends = positions(connection)
        starts = {each: self._reader.seek(each, replay.start) for each in self._reader.ends()}
        left = [(each, start, ends.get(each, 0)) for each, start in sorted(starts.items())]
        replay.left = [each for each in left if each[1] < each[2]]
        replay.total = sum(end - start for _, start, end in replay.left)
        self._book.save(replay)

    def _go_on(self, replay: Replay, left: list[tuple[int, int, int]]) -> None:
        partition, start, end = left[0]
        after, hits, changed = self._replayer.translate_again(partition, start, end, replay.source)
        replay.hits += hits
        replay.changed += changed
        left[0] = (partition, after, end)
        if after >= end:
            del left[0]
        self._book.save(replay)


def _text(replay: Replay) -> str:
    return msgspec.json.encode(replay).decode()


def _replay(text: str) -> Replay:
    return msgspec.json.decode(text, type=Replay)
