"""An import that is undone is as if it had never been, whatever came before it, between and after."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from cdp.imports_jobs import State
from collectors.columns import RowKind
from tests.cdp.import_desk import Desk, a_desk
from tests.cdp.intake import make_event
from tests.collectors.sheets import as_csv


def test_undone_is_as_if_it_had_never_been(tmp_path: Path) -> None:
    told = []
    for imported in (True, False):
        with a_desk(tmp_path / str(imported)) as desk:
            play(desk, imported=imported)
            told.append(all_that_is_told(desk))
    assert told[0] == told[1]


PHONES = [f"138123500{n:02}" for n in range(13)]
MEMBERS = [f"m{n}" for n in range(9)]
VISITORS = [f"v{n}" for n in range(8)]


def play(desk: Desk, *, imported: bool) -> None:
    """Visits and logins before, between and after two imports, of which one is undone, all of the same few people."""
    chance = random.Random(7)
    desk.visit(*happened(chance, 15, 0))
    rows = [*rows_of(chance, 20), ["C-alone", PHONES[-1], MEMBERS[-1], "A", "2026/3/1"]]
    leads = [["手机", "姓名"], *([phone, "郑"] for phone in chance.sample(PHONES, 4))]
    undone = [desk.begin(as_csv(rows), RowKind.PEOPLE), desk.begin(as_csv(leads))] if imported else []
    desk.system.importer.drain()
    desk.visit(*happened(chance, 15, 100))
    # Each comes alone here, so that no evidence speaks of it but that of the import.
    desk.client.post(
        "/leads", {"source": "form", "external_id": "1", "contact": {"phone": PHONES[-1]}, "consent": CONSENT}
    )
    alone = make_event(anonymousId=None, userId=MEMBERS[-1], messageId="alone", timestamp="2026-03-05T10:00:00Z")
    desk.visit(alone)
    desk.take(as_csv(rows_of(chance, 10)), RowKind.PEOPLE)
    for each in undone:
        assert desk.undo(each).state is State.UNDONE


CONSENT = {"purposes": ["contact"], "text_version": "1", "at": "2026-03-01T00:00:00Z"}


def happened(chance: random.Random, count: int, start: int) -> list[dict[str, Any]]:
    found = []
    for n in range(start, start + count):
        fields: dict[str, Any] = {"anonymousId": chance.choice(VISITORS), "messageId": f"e{n}"}
        if chance.random() < 0.5:
            fields |= {"type": "identify", "userId": chance.choice(MEMBERS[:-1])}
            fields["traits"] = {"phone": chance.choice(PHONES[:-1]), "visits": n}
        found.append(make_event(timestamp=f"2026-03-{1 + n % 20:02}T10:00:00Z", **fields))
    return found


def rows_of(chance: random.Random, count: int) -> list[list[str]]:
    head = ["客户编号", "手机", "会员号", "等级", "更新时间"]
    body = [
        [
            f"C{chance.randrange(10)}",
            chance.choice(PHONES[:-1]),
            chance.choice([*MEMBERS[:-1], "", ""]),
            chance.choice("ABC"),
            f"2026/3/{chance.randrange(1, 20)} 12:00",
        ]
        for _ in range(count)
    ]
    return [head, *body]


def all_that_is_told(desk: Desk) -> list[Any]:
    """Of everybody that any identifier could name; the ids of persons go by who was met first, and so may differ."""
    told: list[Any] = []
    known: dict[str, Any] = {}
    values = [("phone", each) for each in PHONES] + [("member_id", each) for each in MEMBERS]
    values += [("anonymous_id", each) for each in VISITORS] + [("crm_id", f"C{n}") for n in range(10)]
    for kind, value in values:
        person = desk.lookup(kind, value)
        if person and person["id"] not in known:
            trail = desk.client.get(f"/persons/{person['id']}/trail")["events"]
            leads = desk.client.get(f"/persons/{person['id']}/leads")["leads"]
            kept = {name: each for name, each in person.items() if name != "id"}
            known[person["id"]] = (kept, [each["id"] for each in trail], [each["id"] for each in leads])
        told.append((kind, value, known[person["id"]] if person else None))
    leads = desk.client.all("/leads", "leads")
    frozen = [desk.client.get(f"/leads/{lead['id']}")["trail"]["events"] for lead in leads]
    return [*told, [lead["id"] for lead in leads], [[event["id"] for event in events] for events in frozen]]
