"""Leads: captured with the trail, found again, and seen as the key may."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from api import lead_shapes as shapes
from api.permissions import Role
from cdp.log_notes import SILENT_MS, spool_rows
from cdp.model import Source
from cdp.records import CLOCK, writing
from cdp.wiring import System
from tests.api.conftest import ClientOf, problem, shaped
from tests.cdp.intake import Intake, make_event


@pytest.fixture
def sales(client_of: ClientOf) -> httpx.Client:
    return client_of(Role.SALES)


@pytest.fixture
def developer(client_of: ClientOf) -> httpx.Client:
    """Sends leads and reads none."""
    return client_of(Role.DEVELOPER)


def enquiry(phone: str, **fields: Any) -> dict[str, Any]:
    return {
        "source": "motor show",
        "contact": {"name": "李女士", "phone": phone},
        "consent": {"purposes": ["contact"], "text_version": "v3", "at": "2026-11-22T03:00:00Z"},
    } | fields


def masked(phone: str) -> str:
    return f"{phone[:6]}****{phone[-4:]}"


def test_a_lead_carries_the_trail_of_its_person(
    sales: httpx.Client, intake: Intake, source: Source, visitor: str, phone: str
) -> None:
    intake.take(source.id, make_event(anonymousId=visitor), make_event(anonymousId=visitor))
    visitor_of_form = [{"kind": "anonymous_id", "value": visitor}]
    made = sales.post("/api/v1/leads", json=enquiry(phone, identifiers=visitor_of_form))
    assert made.status_code == 201
    lead = shaped(made.json(), shapes.Lead)
    assert lead["contact"] == {"name": "李女士", "phone": phone}
    assert (lead["trail"]["total"], lead["trail"]["complete"], len(lead["trail"]["events"])) == (2, True, 2)
    assert lead["person"] == lead["person_at_capture"]
    assert sales.get(f"/api/v1/leads/{lead['id']}").json() == lead
    person = sales.post("/api/v1/persons/lookup", json={"kind": "phone", "value": phone}).json()
    assert person["id"] == lead["person"]
    of_person = shaped(sales.get(f"/api/v1/persons/{person['id']}/leads").json(), shapes.Leads)
    assert [each["id"] for each in of_person["leads"]] == [lead["id"]]


def test_the_same_lead_again_answers_200_with_the_lead_that_is_there(sales: httpx.Client, phone: str) -> None:
    body = enquiry(phone, external_id=f"crm-{phone}")
    first, again = sales.post("/api/v1/leads", json=body), sales.post("/api/v1/leads", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()


def test_contact_is_masked_for_those_who_may_not_see_it(
    sales: httpx.Client, developer: httpx.Client, data: httpx.Client, phone: str
) -> None:
    made = developer.post("/api/v1/leads", json=enquiry(phone))
    assert made.json()["contact"] == {"name": "李**", "phone": masked(phone)}
    path = f"/api/v1/leads/{made.json()['id']}"
    problem(developer.get(path), 403)
    assert data.get(path).json()["contact"]["phone"] == masked(phone)
    assert sales.get(path).json()["contact"]["phone"] == phone


def test_leads_are_found_by_contact(sales: httpx.Client, phone: str) -> None:
    made = sales.post("/api/v1/leads", json=enquiry(phone)).json()
    found = sales.post("/api/v1/leads/lookup", json={"kind": "phone", "value": phone.removeprefix("+86")})
    [lead] = shaped(found.json(), shapes.Leads)["leads"]
    assert lead["id"] == made["id"]
    assert sales.post("/api/v1/leads/lookup", json={"kind": "phone", "value": "13800001111"}).json()["leads"] == []
    problem(sales.post("/api/v1/leads/lookup", json={"kind": "shoe_size", "value": "42"}), 422)


def test_pages_of_leads_neither_skip_nor_repeat(sales: httpx.Client, phone: str) -> None:
    made = [sales.post("/api/v1/leads", json=enquiry(phone)).json()["id"] for _ in range(5)]
    found, cursor = [], None
    while True:
        query = {"limit": "2", "stage": "new"} | ({"cursor": cursor} if cursor else {})
        page = shaped(sales.get("/api/v1/leads", params=query).json(), shapes.Leads)
        found += [each["id"] for each in page["leads"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(set(found)) == len(found)
    assert set(made) <= set(found)
    assert sales.get("/api/v1/leads", params={"owner": "nobody"}).json() == {"leads": [], "next": None}


def test_what_is_wrong_in_a_lead_is_named(sales: httpx.Client, phone: str) -> None:
    found = problem(sales.post("/api/v1/leads", json=enquiry("12")), 422)["errors"]
    assert [each["path"] for each in found] == ["contact.phone"]
    [wrong] = problem(sales.post("/api/v1/leads", json=enquiry(phone, colour="red")), 422)["errors"]
    assert wrong["path"] == "colour"
    problem(sales.get("/api/v1/leads/none"), 404)


def test_a_lead_does_not_wait_for_ever_for_events_that_come_late(
    sales: httpx.Client, intake: Intake, source: Source, visitor: str, phone: str
) -> None:
    intake.append(source.id, make_event(anonymousId=visitor))
    lead = sales.post("/api/v1/leads", json=enquiry(phone)).json()
    assert lead["trail"]["complete"] is False
    assert lead["trail"]["waited_ms"] > 0
    intake.take(source.id)


def test_a_lead_is_not_complete_while_a_collector_has_hits_to_come_but_a_lost_machine_is_not_waited_for(
    sales: httpx.Client, system: System, phone: str, visitor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complete(form: str) -> bool:
        lead = sales.post("/api/v1/leads", json=enquiry(phone, external_id=f"{form} of {visitor}")).json()
        return bool(lead["trail"]["complete"])

    monkeypatch.setattr("api.leads.is_kafka", lambda url: True)
    try:
        with writing(system.records) as db:
            db.execute(spool_rows.insert().values(name="host-7/0", waiting=3, at=CLOCK[db.dialect.name]))
        assert not complete("first")
        with writing(system.records) as db:
            db.execute(spool_rows.update().values(at=spool_rows.c.at - SILENT_MS))
        assert complete("second")
    finally:
        with writing(system.records) as db:
            db.execute(spool_rows.delete())


def test_a_lead_and_a_decision_wait_for_an_erasure_no_longer_than_a_request_may(
    sales: httpx.Client,
    client_of: ClientOf,
    system: System,
    visitor: str,
    phone: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("leads.capture.REQUEST_S", 0.01)
    monkeypatch.setattr("api.decisions.REQUEST_S", 0.01)
    body = enquiry(phone, external_id=visitor)
    ends = {"a": {"kind": "phone", "value": phone}, "b": {"kind": "anonymous_id", "value": visitor}}
    decision = {"verdict": "same", "reason": "they said so", **ends}
    with system.gate.alone():
        for sent in (
            sales.post("/api/v1/leads", json=body),
            client_of(Role.DATA).post("/api/v1/identity/decisions", json=decision),
        ):
            assert "Other work goes first: an erasure" in problem(sent, 503)["detail"]
            assert sent.headers["Retry-After"] == "5"
    assert sales.post("/api/v1/leads", json=body).status_code == 201
