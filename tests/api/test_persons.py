"""Persons: who, what is known, how much of it is seen, and what they did."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api import shapes
from api.permissions import Role
from cdp.audit import audit_rows
from cdp.model import Source
from cdp.records import reading
from cdp.wiring import System
from tests.api.conftest import ClientOf, problem, shaped
from tests.cdp.intake import Intake, make_event


def find(client: httpx.Client, kind: str, value: str) -> dict[str, Any]:
    found = client.post("/api/v1/persons/lookup", json={"kind": kind, "value": value})
    assert found.status_code == 200, found.text
    return shaped(found.json(), shapes.Person)  # type: ignore[no-any-return]


def identify(visitor: str, member: str, at: str, **traits: Any) -> dict[str, Any]:
    return make_event(type="identify", anonymousId=visitor, userId=member, traits=traits, timestamp=at)


def masked(phone: str) -> str:
    return f"{phone[:6]}****{phone[-4:]}"


def test_a_person_is_found_by_any_identifier_however_it_is_written(
    data: httpx.Client, intake: Intake, source: Source, visitor: str, phone: str
) -> None:
    intake.take(source.id, identify(visitor, f"m-{visitor}", "2026-11-20T08:00:00Z", phone=phone))
    one = find(data, "member_id", f"m-{visitor}")
    assert find(data, "anonymous_id", visitor) == one
    assert find(data, "phone", f"{phone[3:6]} {phone[6:10]} {phone[10:]}") == one
    assert data.get(f"/api/v1/persons/{one['id']}").json() == one


def test_a_person_has_identifiers_traits_and_times(
    data: httpx.Client, intake: Intake, source: Source, visitor: str, phone: str
) -> None:
    member = f"m-{visitor}"
    intake.take(source.id, make_event(anonymousId=visitor, timestamp="2026-11-18T08:00:00Z"))
    intake.take(source.id, identify(visitor, member, "2026-11-20T08:00:00Z", city="苏州", phone=phone))
    intake.take(source.id, make_event(anonymousId=visitor, userId=member, timestamp="2026-11-21T08:00:00.500Z"))
    person = find(data, "member_id", member)
    assert [(each["kind"], each["first_seen"], each["last_seen"]) for each in person["identifiers"]] == [
        ("anonymous_id", "2026-11-18T08:00:00.000Z", "2026-11-21T08:00:00.500Z"),
        ("member_id", "2026-11-20T08:00:00.000Z", "2026-11-21T08:00:00.500Z"),
        ("phone", "2026-11-20T08:00:00.000Z", "2026-11-20T08:00:00.000Z"),
    ]
    assert person["identifiers"][2]["value"] == masked(phone)
    assert member not in str(person["identifiers"])
    assert person["traits"]["city"] == {"value": "苏州", "source": source.id, "at": "2026-11-20T08:00:00.000Z"}
    assert person["traits"]["phone"]["value"] == masked(phone)
    assert (person["first_seen"], person["last_seen"], person["events"], person["segments"]) == (
        "2026-11-18T08:00:00.000Z",
        "2026-11-21T08:00:00.500Z",
        3,
        [],
    )


def test_a_new_event_is_seen_at_once(data: httpx.Client, intake: Intake, source: Source, visitor: str) -> None:
    for count in (1, 2, 3):
        intake.take(source.id, make_event(anonymousId=visitor))
        assert find(data, "anonymous_id", visitor)["events"] == count


def test_clear_values_are_shown_to_those_who_may_and_leave_an_audit_row(
    client_of: ClientOf, system: System, intake: Intake, source: Source, visitor: str, phone: str
) -> None:
    intake.take(source.id, identify(visitor, phone, "2026-11-20T08:00:00Z", phone=phone, note=f"ring {phone}"))
    seen = find(client_of(Role.SALES), "phone", phone)
    assert {each["kind"]: each["value"] for each in seen["identifiers"]} == {
        "anonymous_id": visitor,
        "member_id": phone,
        "phone": phone,
    }
    assert seen["traits"]["note"]["value"] == f"ring {phone}"
    with reading(system.records) as connection:
        rows = connection.execute(select(audit_rows).where(audit_rows.c.subject == seen["id"])).all()
    assert {(row.actor, row.action, row.token) for row in rows} == {
        ("sales-key", "show", system.vault.token("phone", phone))
    }
    hidden = find(client_of(Role.MARKETER), "phone", phone)
    assert phone[3:] not in str(hidden)
    assert hidden["traits"]["note"]["value"] == f"ring {masked(phone)}"
    with reading(system.records) as connection:
        assert len(connection.execute(select(audit_rows).where(audit_rows.c.subject == seen["id"])).all()) == len(rows)


def test_a_login_name_that_is_a_phone_is_found_by_it(
    data: httpx.Client, intake: Intake, source: Source, visitor: str, phone: str
) -> None:
    intake.take(source.id, identify(visitor, phone, "2026-11-20T08:00:00Z"))
    assert find(data, "member_id", phone) == find(data, "anonymous_id", visitor)


def test_who_is_unknown_is_not_found(data: httpx.Client) -> None:
    for kind, value in (("phone", "+8613899990000"), ("phone", "no phone"), ("member_id", "nobody"), ("city", "苏州")):
        problem(data.post("/api/v1/persons/lookup", json={"kind": kind, "value": value}), 404)
    for path in ("", "/trail", "/leads", "/history"):
        problem(data.get(f"/api/v1/persons/00000000-0000-0000-0000-000000000000{path}"), 404)


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do(data: httpx.Client) -> None:
    [wrong] = problem(data.post("/api/v1/persons/lookup", json={"kind": "shoe_size", "value": "42"}), 422)["errors"]
    assert wrong["path"] == "kind"
    assert "member_id" in wrong["expected"]


def test_an_id_that_was_merged_away_answers_with_the_person_it_now_is(
    data: httpx.Client, intake: Intake, source: Source, visitor: str
) -> None:
    other, member = f"{visitor}-phone", f"m-{visitor}"
    intake.take(source.id, make_event(anonymousId=visitor), make_event(anonymousId=other))
    before = {find(data, "anonymous_id", each)["id"] for each in (visitor, other)}
    assert len(before) == 2
    intake.take(source.id, identify(visitor, member, "2026-11-20T08:00:00Z"))
    intake.take(source.id, identify(other, member, "2026-11-21T08:00:00Z"))
    merged = find(data, "member_id", member)
    assert merged["id"] in before
    for each in before:
        assert data.get(f"/api/v1/persons/{each}").json() == merged
        assert len(data.get(f"/api/v1/persons/{each}/trail").json()["events"]) == 4
    history = shaped(data.get(f"/api/v1/persons/{merged['id']}/history").json(), shapes.History)
    [newest, *_] = history["history"]
    assert (newest["kind"], newest["person"], newest["others"]) == (
        "merged",
        merged["id"],
        [*(before - {merged["id"]})],
    )
    assert newest["cause"]


def test_pages_of_a_trail_neither_skip_nor_repeat(
    data: httpx.Client, intake: Intake, source: Source, visitor: str
) -> None:
    times = ["2026-11-18T08:00:00Z", "2026-11-18T08:00:00Z", "2026-11-19T08:00:00Z"] * 3
    for at in times:
        intake.append(source.id, make_event(anonymousId=visitor, timestamp=at))
    intake.take(source.id)
    person = find(data, "anonymous_id", visitor)["id"]
    found, cursor = [], None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = shaped(data.get(f"/api/v1/persons/{person}/trail", params=query).json(), shapes.Events)
        found += page["events"]
        cursor = page["next"]
        if cursor is None:
            break
    assert len({event["id"] for event in found}) == len(found) == 9
    assert found == sorted(found, key=lambda each: (each["occurred_at"], each["id"]), reverse=True)
    assert found == data.get(f"/api/v1/persons/{person}/trail").json()["events"]


def test_what_was_known_then_leaves_out_what_came_later(
    data: httpx.Client, intake: Intake, source: Source, visitor: str
) -> None:
    member = f"m-{visitor}"
    intake.take(source.id, make_event(anonymousId=visitor, timestamp="2026-11-18T08:00:00Z"))
    intake.take(source.id, identify(visitor, member, "2026-11-20T08:00:00Z", city="苏州"))
    intake.take(source.id, identify(visitor, member, "2026-11-21T08:00:00Z", city="上海"))
    person = find(data, "member_id", member)["id"]

    def then(at: str) -> dict[str, Any]:
        return shaped(data.get(f"/api/v1/persons/{person}", params={"at": at}).json(), shapes.Person)  # type: ignore[no-any-return]

    assert then("2026-11-17T00:00:00Z") | {"id": ""} == {
        "id": "",
        "identifiers": [],
        "traits": {},
        "first_seen": None,
        "last_seen": None,
        "events": 0,
        "segments": [],
    }
    early = then("2026-11-19T00:00:00Z")
    assert ([each["kind"] for each in early["identifiers"]], early["traits"], early["events"]) == (
        ["anonymous_id"],
        {},
        1,
    )
    assert then("2026-11-20T08:00:00Z")["traits"]["city"]["value"] == "苏州"
    assert then("2026-11-30T00:00:00Z") == data.get(f"/api/v1/persons/{person}").json()
    problem(data.get(f"/api/v1/persons/{person}?at=then"), 422)


@pytest.mark.parametrize(
    "body", [{"kind": "phone"}, {"kind": "phone", "value": 13812345678}, {"kind": "", "value": "x"}]
)
def test_a_lookup_needs_a_kind_and_a_text(data: httpx.Client, body: dict[str, Any]) -> None:
    problem(data.post("/api/v1/persons/lookup", json=body), 422)


def test_a_name_among_the_traits_is_masked_like_the_name_on_a_lead(
    client_of: ClientOf, intake: Intake, source: Source
) -> None:
    event = make_event(type="identify", userId="member-named", traits={"name": "李娜", "city": "上海"})
    intake.take(source.id, event)
    body = {"kind": "member_id", "value": "member-named"}
    shown = {
        role: client_of(role).post("/api/v1/persons/lookup", json=body).json()["traits"]["name"]["value"]
        for role in (Role.ADMIN, Role.MARKETER)
    }
    assert shown == {Role.ADMIN: "李娜", Role.MARKETER: "李**"}
