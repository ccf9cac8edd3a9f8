"""A system with live segments, whose clock we set, and the question whether all that it says of members is true."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import select

from cdp.model import Identifier, Millis, PersonId
from cdp.moments import now_ms, rfc3339
from cdp.outgoing import outbox_rows
from cdp.records import reading
from cdp.settings import Settings
from cdp.wiring import System, open_system
from leads.lead import Waited
from leads.request import read_request
from profiles.owners import Owners
from profiles.whose import Whose
from segments.book import Segment
from segments.language import parse
from segments.lead_rows import LeadRows
from segments.live import LiveSegments
from segments.live_touched import Toucher
from segments.members import Crossing
from segments.stays import stay_rows
from segments.tree import Definition, Entity
from segments.verdict import Evaluates
from tests.cdp.intake import Intake, make_event
from tests.segments.slow_evaluator import SlowEvaluator

CONSENT = {"purposes": ["sales_contact"], "text_version": "1", "at": "2026-01-01T00:00:00Z"}
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


class Late:
    """A hand that does what it is given when somebody waits for it; when all dies before, it is not done."""

    def submit(self, do: Callable[..., None], *what: Any) -> Future[None]:
        future = Future[None]()
        future.result = lambda timeout=None: do(*what)  # type: ignore[method-assign]
        return future


def defined(where: Any, entity: str = "person", **fields: Any) -> Definition:
    return parse({"v": 1, "entity": entity, "where": where} | fields, tz="Asia/Shanghai")


class World:
    """Opened in a folder, or with other settings; `now` is what its clock shows, and moves only when told to.

    With `slow` segments are kept by the evaluator by which they are checked; `late` writes what a round found only when
    the next one has looked.
    """

    def __init__(self, folder: Path, *, slow: bool = False, late: bool = False, **settings: Any) -> None:
        self._slow, self.late = slow, late
        self.settings = Settings(data_dir=folder, **settings)
        self.now: Millis = now_ms() + HOUR
        self.told: list[Any] = []
        self._stack = ExitStack()
        self._open()
        self.site = self.intake.source("site").id

    def _open(self) -> None:
        self.system: System = open_system(self.settings)
        self.intake = Intake(self.system)
        self._stack.callback(self.system.close)
        self._stack.callback(self.intake.close)
        system = self.system
        self.book, self.membership = system.segment_book, system.membership
        self.evaluator = SlowEvaluator(system, lambda: [each.id for each in self.book.every()])
        self.live = self.another_live()

    def another_live(self) -> LiveSegments:
        """What keeps segments, as another process would have it."""
        system = self.system
        leads = LeadRows(system.records, system.segment_work, system.events.leads)
        live = LiveSegments(
            system.records,
            system.segment_work,
            system.identity,
            Toucher(
                system.records,
                system.segment_work,
                system.identity,
                self.owners(),
                leads,
                system.events.mirror,
                system.gate,
            ),
            self.evaluator if self._slow else system.evaluator,
            lambda kind, bodies: self.told.extend((kind, body) for body in bodies),
            clock=lambda: self.now,
            late_ms=0,
        )
        if self.late:
            live._rounds._hand = Late()  # type: ignore[assignment]
        return live

    def owners(self) -> Owners:
        """What keeps the mirror, as another process would have it."""
        system = self.system
        return Owners(system.identity, system.events, Whose(system.identity, system.events), system.records)

    def round(self) -> bool:
        """One, to its end; whether there was anything to do."""
        did = self.live._round()
        self.live._rounds.settle()
        return did

    def ask(self, evaluator: Evaluates) -> None:
        """What keeps segments asks this one from now on."""
        self.live._evaluator = self.live._rounds._evaluator = evaluator

    def close(self) -> None:
        self._stack.close()
        self._stack = ExitStack()

    def crash(self) -> None:
        """What is not written is lost, and all begins again on what is."""
        self.close()
        self._open()

    # What happens

    def segment(self, name: str, where: Any, *, entity: str = "person", **fields: Any) -> Segment:
        """Made and filled."""
        made = self.make(name, where, entity=entity, **fields)
        self.live.drain()
        return self.book.get(made.id)

    def make(self, name: str, where: Any, *, entity: str = "person", **fields: Any) -> Segment:
        """Not filled yet."""
        return self.book.create(name, defined(where, entity, **fields))[0]

    def take(self, name: str, visitor: str, *, ago: Millis = 0, **fields: Any) -> None:
        """An event of a visitor goes all the way."""
        at = rfc3339(self.now - ago)
        event = make_event(event=name, anonymousId=visitor, timestamp=at, **fields)
        self.intake.take(self.site, event, received_at=self.now)

    def log_in(self, visitor: str, member: str, **traits: Any) -> None:
        self.take("", visitor, type="identify", userId=member, traits=traits)

    def capture(self, body: dict[str, Any]) -> str:
        """A lead; its id."""
        desk = self.system.leads
        lead, _ = desk.capture(read_request(body), waited=Waited(complete=True), actor="tests")
        return str(lead["id"])

    def erase(self, person: str) -> None:
        self.system.eraser.request(PersonId(person), reason="asked for", by="tests")
        self.system.eraser.drain()

    def change(self, segment: Segment, where: Any) -> Segment:
        """Another definition, filled."""
        entity = segment.definition.entity
        definition = parse({"v": 1, "entity": entity, "where": where}, tz="Asia/Shanghai")
        self.book.update(segment.id, definition=definition)
        self.live.drain()
        return self.book.get(segment.id)

    def pass_by(self, duration: Millis) -> None:
        self.now += duration
        self.live.drain()

    def person(self, value: str, kind: str = "anonymous_id") -> str:
        person = self.system.identity.person_of(Identifier(kind, value))
        assert person is not None
        return person

    # What is said

    def members(self, segment: Segment, at: Millis | None = None) -> set[str]:
        found: set[str] = set()
        page, after = self.membership.members(segment.n, at=at)
        found.update(each.unit for each in page)
        while after is not None:
            page, after = self.membership.members(segment.n, at=at, after=after)
            found.update(each.unit for each in page)
        return found

    def changes(self, segment: Segment) -> list[Crossing]:
        """Oldest first."""
        return self.membership.changes(segment.n)[0][::-1]

    def published(self) -> list[dict[str, Any]]:
        with reading(self.system.records) as connection:
            rows = connection.execute(select(outbox_rows).order_by(outbox_rows.c.n)).all()
        return [json.loads(row.payload) for row in rows if row.kind.startswith("segment.")]

    # Whether it is true

    def check_published(self) -> None:
        """What was published is each once, and of each unit by turns that it came in and went out."""
        last: dict[tuple[str, str], str] = {}
        ids = set()
        for each in self.published():
            assert each["id"] not in ids
            ids.add(each["id"])
            key = each["segment"], each.get("person") or each["lead"]
            assert each["version"] > 1 or last.get(key) != each["change"], each
            last[key] = each["change"]

    def check(self) -> None:
        """Live membership is what a full evaluation gives, and stays are in order."""
        every = self.book.every()
        now = self.live.moment()
        others = self.book.definitions()
        for entity in Entity:
            segments = [each for each in every if each.definition.entity is entity]
            if not segments:
                continue
            true = defaultdict(set)
            for said in self.evaluator.evaluate([each.definition for each in segments], now, others=others):
                for place in said.members:
                    true[segments[place].id].add(said.unit)
            for each in segments:
                assert self.members(each) == true[each.id], each.name
                health = self.membership.health(each.n, now=now)
                assert health is not None
                assert health.size == len(true[each.id])
        self._check_stays()

    def _check_stays(self) -> None:
        with reading(self.system.records) as connection:
            wanted = select(stay_rows).order_by(stay_rows.c.segment, stay_rows.c.unit, stay_rows.c.entered_at)
            rows = connection.execute(wanted).all()
        before: dict[tuple[int, str], Millis | None] = {}
        for row in rows:
            key = row.segment, row.unit
            left = before.get(key, 0)
            assert left is not None, "a stay follows one that has no end"
            assert left < row.entered_at
            assert row.left_at is None or row.left_at > row.entered_at
            before[key] = row.left_at
