"""The segments that there are: people make, change and delete them; `segments.live` keeps who is in them.

A segment's definition has versions. A new one, or one whose meaning changed, is in no state to act on until it is
filled; so are those that name it, for their meaning changed with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, Row, String, Table, Text, delete, select, update

from cdp.errors import Conflict, NotFound, Refused
from cdp.model import Millis
from cdp.moments import now_ms
from cdp.records import metadata, reading, writing
from cdp.segment_work import Dropped, SegmentWork
from segments import health
from segments.faults import MalformedSegment
from segments.known import KnownSegment
from segments.language import parse
from segments.limits import MAX_INLINED_LEAVES, MAX_SEGMENT_NAME
from segments.mentions import inlined_leaves, named, reached
from segments.normal import key
from segments.references import faults_of_references
from segments.tree import Definition, Definitions
from segments.written import as_json

segment_rows = Table(
    "segments",
    metadata,
    # Never given twice: what is left of a deleted segment must not become another's.
    Column("n", Integer, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("name", String(MAX_SEGMENT_NAME), nullable=False, unique=True),
    Column("definition", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),
    sqlite_autoincrement=True,
)


class State(StrEnum):
    """LIVE, or to be filled: for the first time, because what it means changed, or because the engine refused it."""

    LIVE = "live"
    BACKFILL = "backfill"
    DEFINITION = "definition"
    REFUSED = "refused"


class Segment(NamedTuple):
    """`n` is its number in the tables, `id` its name for others, which never changes."""

    n: int
    id: str
    name: str
    definition: Definition
    version: int
    created_at: Millis
    updated_at: Millis
    state: State

    @property
    def live(self) -> bool:
        return self.state is State.LIVE


class SegmentBook:
    """Thread-safe. Durable on return. Raises StoreUnavailable."""

    def __init__(self, records: Engine, work: SegmentWork, *, clock: Callable[[], Millis] = now_ms) -> None:
        self._records, self._work, self._clock = records, work, clock

    def create(self, name: str, definition: Definition) -> tuple[Segment, bool]:
        """Make a segment, and whether it is new: the same name and meaning again gives the one that is there.

        Raises Conflict where another has the name, Refused where it names segments that it cannot, or too many.
        """
        name = _name(name)
        with writing(self._records) as connection:
            there = segments_in(connection)
            for each in there:
                if each.name == name and key(each.definition) == key(definition):
                    return each, False
            _refuse_taken(name, there)
            segment_id = f"sg_{secrets.token_hex(8)}"
            _check(segment_id, definition, there)
            at = self._clock()
            row = {"id": segment_id, "name": name, "definition": _text(definition), "version": 1}
            row |= {"created_at": at, "updated_at": at, "state": State.BACKFILL.value}
            connection.execute(segment_rows.insert(), row)
            made = _find(connection, segment_id)
            health.begin(connection, made.n)
        self._work.due.set()
        return made, True

    def update(self, segment_id: str, *, name: str | None = None, definition: Definition | None = None) -> Segment:
        """Change name or definition. One that means the same keeps its version, and who is in it is not touched.

        Raises as `create` does, and NotFound.
        """
        with writing(self._records) as connection:
            before = _find(connection, segment_id)
            others = [each for each in segments_in(connection) if each.id != segment_id]
            changed: dict[str, Any] = {}
            if name is not None:
                changed["name"] = _name(name)
                _refuse_taken(changed["name"], others)
            if definition is not None:
                _check_change(before, definition, others)
                changed["definition"] = _text(definition)
                if key(definition) != key(before.definition):
                    changed |= _means_another(before)
                    # What those mean that name it has changed with it.
                    for each in _users(segment_id, others):
                        _change(connection, each, _means_another(each), self._clock())
            if changed:
                _change(connection, before, changed, self._clock())
            after = _find(connection, segment_id)
        self._work.turns += 1
        self._work.due.set()
        return after

    def delete(self, segment_id: str) -> None:
        """Raises Conflict, with their list, where others name it; NotFound."""
        with writing(self._records) as connection:
            segment = _find(connection, segment_id)
            users = [each for each in segments_in(connection) if segment_id in named(each.definition)]
            if users:
                names = ", ".join(repr(each.name) for each in users)
                told = [
                    {"path": each.id, "expected": "no segment that names it", "got": each.name, "help": "Change it."}
                    for each in users
                ]
                raise Conflict(f"{segment.name!r} is named by {names}. Change or delete these first.", told)
            connection.execute(delete(segment_rows).where(segment_rows.c.n == segment.n))
            health.drop(connection, segment.n)
            self._work.note(connection, Dropped(segment.n), at=self._clock())
        self._work.turns += 1
        self._work.due.set()

    def get(self, segment_id: str) -> Segment:
        """Raises NotFound."""
        with reading(self._records) as connection:
            return _find(connection, segment_id)

    def every(self) -> list[Segment]:
        """By name."""
        with reading(self._records) as connection:
            return sorted(segments_in(connection), key=lambda each: each.name)

    def definitions(self) -> Definitions:
        """All of them by id: what `in` may name."""
        return {each.id: each.definition for each in self.every()}


def segments_in(connection: Connection) -> list[Segment]:
    """All of them, in the order in which they were made."""
    return [_segment(row) for row in connection.execute(select(segment_rows).order_by(segment_rows.c.n))]


def states_in(connection: Connection) -> dict[int, tuple[int, State]]:
    """By number, the versions and states of all segments."""
    rows = connection.execute(select(segment_rows.c.n, segment_rows.c.version, segment_rows.c.state))
    return {n: (version, State(state)) for n, version, state in rows}


def filled(connection: Connection, segment: Segment) -> None:
    """It can be acted on, unless it means something else since it was read."""
    connection.execute(update(segment_rows).where(_same(segment)).values(state=State.LIVE.value))


def set_aside(connection: Connection, segment: Segment) -> bool:
    """The engine refuses it: it is filled when that takes it again. False where it means something else by now."""
    refused = update(segment_rows).where(_same(segment)).values(state=State.REFUSED.value)
    return connection.execute(refused).rowcount == 1


def _same(segment: Segment) -> Any:
    return (segment_rows.c.n == segment.n) & (segment_rows.c.version == segment.version)


def _means_another(segment: Segment) -> dict[str, Any]:
    """What is another of a segment that is to be filled because its meaning changed."""
    state = State.BACKFILL if segment.state is State.BACKFILL else State.DEFINITION
    return {"version": segment.version + 1, "state": state.value}


def _change(connection: Connection, segment: Segment, changed: Mapping[str, Any], at: Millis) -> None:
    """At a time that no other change of it has."""
    values = {**changed, "updated_at": max(at, segment.updated_at + 1)}
    connection.execute(update(segment_rows).where(segment_rows.c.n == segment.n).values(values))


def _find(connection: Connection, segment_id: str) -> Segment:
    row = connection.execute(select(segment_rows).where(segment_rows.c.id == segment_id)).one_or_none()
    if row is None:
        raise NotFound("segment", segment_id)
    return _segment(row)


def _segment(row: Row[Any]) -> Segment:
    definition, state = _definition(row.definition), State(row.state)
    return Segment(row.n, row.id, row.name, definition, row.version, row.created_at, row.updated_at, state)


@lru_cache(maxsize=4_096)
def _definition(text: str) -> Definition:
    # Its time zone is always written.
    return parse(msgspec.json.decode(text), tz="UTC")


def _text(definition: Definition) -> str:
    return msgspec.json.encode(as_json(definition)).decode()


def _name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= MAX_SEGMENT_NAME:
        raise Refused(f"The name of a segment has 1 to {MAX_SEGMENT_NAME} characters, this one {len(name)}.")
    return name


def _refuse_taken(name: str, others: Iterable[Segment]) -> None:
    if any(each.name == name for each in others):
        raise Conflict(f"There is another segment {name!r}. Take a new name.")


def _check(segment_id: str, definition: Definition, others: Iterable[Segment]) -> None:
    """That it may name what it names, of which some may be another since whoever wrote it looked."""
    known = {each.id: KnownSegment(each.name, each.definition) for each in others}
    if faults := [*faults_of_references(definition, known, segment=segment_id)]:
        raise MalformedSegment(faults)


def _check_change(segment: Segment, definition: Definition, others: Sequence[Segment]) -> None:
    """As `_check`, that it stays about the same, and that those which name it do not become too large by it."""
    if definition.entity is not segment.definition.entity:
        raise Refused(f"{segment.name!r} is about a {segment.definition.entity}. Make a new segment for another.")
    _check(segment.id, definition, others)
    there = {each.id: each.definition for each in others}
    # Also where it means the same: it may say the same more often.
    before, after = {**there, segment.id: segment.definition}, {**there, segment.id: definition}
    for each in _users(segment.id, others):
        most = max(MAX_INLINED_LEAVES, inlined_leaves(each.definition, before))
        if inlined_leaves(each.definition, after) > most:
            raise Refused(
                f"{each.name!r} names it. Its conditions and those of the segments that it names would be more than"
                f" {MAX_INLINED_LEAVES}. Make one of them simpler, or take the name out."
            )


def _users(segment_id: str, others: Sequence[Segment]) -> list[Segment]:
    """Those that name it, themselves or through others."""
    there = {each.id: each.definition for each in others}
    return [each for each in others if segment_id in reached(each.definition, there)]
