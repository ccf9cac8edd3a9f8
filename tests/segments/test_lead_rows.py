"""Leads beside the events: every one, as it is now, and nothing of what was erased."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, update

from cdp.records import writing
from cdp.segment_work import Moved, due
from leads.store import Card, lead_rows
from profiles.store import LeadRow
from segments import lead_rows as module
from segments.lead_rows import LeadRows
from tests.contracts.events_contract import emptied
from tests.segments.live_world import CONSENT, World

OF_SEDANS = {"attr": "interest.series", "op": "=", "value": "S7"}


@pytest.fixture
def rows(world: World) -> LeadRows:
    return LeadRows(world.system.records, world.system.segment_work, world.system.events.leads)


def captured(world: World, phone: str = "13812345678", **interest: str) -> str:
    body = {"source": "dealer", "contact": {"phone": phone}, "interest": interest, "consent": CONSENT}
    return world.capture(body | {"campaign": {"source": "baidu"}})


def mirrored(world: World) -> dict[str, LeadRow]:
    """The rows that are true, by lead."""
    asked = "SELECT id, version, subject, created_at, toJSONString(fields) FROM leads FINAL"
    found = world.system.events.ask(asked, {})
    return {id_: LeadRow(id_, version, of, at, msgspec.json.decode(told)) for id_, version, of, at, told in found}


def changed(world: World, lead: str, **columns: Any) -> None:
    with writing(world.system.records) as connection:
        connection.execute(update(lead_rows).where(lead_rows.c.id == lead).values(columns))


def filled(world: World) -> bool:
    """Whether another process brings all, and says that everybody is to be looked at."""
    before = due(world.system.records, world.now, 100)
    LeadRows(world.system.records, world.system.segment_work, world.system.events.leads).follow([])
    news = due(world.system.records, world.now, 100)[len(before) :]
    assert [each.work for each in news] in ([], [Moved([])])
    return bool(news)


def test_a_captured_lead_is_in_segments_of_leads_within_one_round(world: World) -> None:
    sedans = world.segment("sedans", OF_SEDANS, entity="lead")
    lead = captured(world, series="S7")
    captured(world, series="X9")
    world.round()
    assert world.members(sedans) == {lead}


def test_a_lead_is_mirrored_with_what_segments_ask_for_and_no_contact(world: World, rows: LeadRows) -> None:
    lead = captured(world, series="S7", city="上海")
    rows.follow([lead, "ld_nobody"])
    [row] = mirrored(world).values()

    assert row.subject
    assert row.id == lead
    assert row.fields == {
        "source": "dealer",
        "stage": "new",
        "campaign": {"source": "baidu"},
        "interest": {"series": "S7", "city": "上海"},
        "contact": {"phone": True},
    }


def test_what_became_of_a_lead_last_is_true_whatever_the_clock_says(world: World, rows: LeadRows) -> None:
    lead = captured(world)
    rows.follow([lead])
    before = mirrored(world)[lead]
    world.system.events.leads.write([before._replace(version=2**62)])
    changed(world, lead, stage="won", owner="wang")
    for _ in range(2):
        rows.follow([lead])
    assert mirrored(world)[lead].fields == {**before.fields, "stage": "won", "owner": "wang"}


def test_leads_that_were_there_before_are_all_mirrored_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    leads = {captured(world, f"1381234567{n}") for n in range(5)}
    assert [filled(world) for _ in range(2)] == [True, False]
    assert mirrored(world).keys() == leads
    emptied(world.system.events)  # type: ignore[arg-type]
    assert filled(world)
    assert mirrored(world).keys() == leads


def test_of_an_erased_lead_nothing_is_left_but_its_shell(world: World, rows: LeadRows) -> None:
    lead, other = captured(world, city="上海"), captured(world, "13912345678", city="上海")
    rows.follow([lead, other])
    shell = Card(**(empty_card()), erased=True)
    changed(world, lead, subject=0, owner=None, card=msgspec.json.encode(shell).decode())
    for _ in range(2):
        rows.follow([lead])
    assert mirrored(world)[lead].fields == {"source": "dealer", "stage": "new"}
    assert world.system.events.ask("SELECT DISTINCT id FROM leads WHERE fields.interest.city = '上海'", {}) == [[other]]


def empty_card() -> dict[str, Any]:
    return {
        "contact": {},
        "channel": None,
        "consent": None,
        "doubtful": (),
        "campaign": {},
        "interest": {},
        "interests": [],
        "summary": {},
        "why": [],
    }


def test_a_lead_that_is_gone_leaves_nothing(world: World, rows: LeadRows) -> None:
    lead, other = captured(world), captured(world, "13912345678")
    rows.follow([lead, other])
    with writing(world.system.records) as connection:
        connection.execute(delete(lead_rows).where(lead_rows.c.id == lead))
    rows.follow([lead])
    assert world.system.events.ask("SELECT DISTINCT id FROM leads", {}) == [[other]]
    assert mirrored(world).keys() == {other}
