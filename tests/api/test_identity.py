"""Why two are one person, a steward's word and its undoing, and what other rules would change."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from api import identity_shapes as shapes
from api.app import create_app
from api.permissions import Role
from api.shapes import History
from cdp.audit import audit_rows
from cdp.model import Identifier, PersonId, Source
from cdp.moments import now_ms, parse_rfc3339
from cdp.outgoing import outbox_rows
from cdp.records import reading
from cdp.wiring import System
from identity.kinds import BUILT_IN
from identity.policy_file import as_table
from identity.reviews import Band, Candidate, Reason, Reviews, review_id
from tests.api.conftest import ADMIN_KEY, ClientOf, Server, problem, shaped
from tests.cdp.intake import Intake, make_event

API = "/api/v1/identity"
CONSENT = {"purposes": ["sales_contact"], "text_version": "1", "at": "2026-11-22T10:00:00Z"}

Couple = tuple[dict[str, str], dict[str, str], dict[str, str]]


def anonymous(value: str) -> dict[str, str]:
    return {"kind": "anonymous_id", "value": value}


def masked(phone: str) -> str:
    return f"{phone[:6]}****{phone[-4:]}"


def find(client: httpx.Client, identifier: dict[str, str]) -> dict[str, Any]:
    found = client.post("/api/v1/persons/lookup", json=identifier)
    assert found.status_code == 200, found.text
    return found.json()  # type: ignore[no-any-return]


def explain(client: httpx.Client, a: dict[str, str], b: dict[str, str]) -> dict[str, Any]:
    found = client.post(f"{API}/explain", json={"a": a, "b": b})
    assert found.status_code == 200, found.text
    return shaped(found.json(), shapes.Explanation)  # type: ignore[no-any-return]


def decide(client: httpx.Client, verdict: str, a: dict[str, str], b: dict[str, str], **more: Any) -> dict[str, Any]:
    body = {"verdict": verdict, "a": a, "b": b, "reason": "they told us"} | more
    answer = client.post(f"{API}/decisions", json=body)
    assert answer.status_code == 201, answer.text
    return shaped(answer.json(), shapes.Decision)  # type: ignore[no-any-return]


def leave_lead(client: httpx.Client, phone: str, visitor: str) -> str:
    body = {
        "source": "dealer",
        "contact": {"phone": phone},
        "identifiers": [anonymous(visitor)],
        "consent": CONSENT,
    }
    answer = client.post("/api/v1/leads", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def couple(admin: httpx.Client, intake: Intake, source: Source, visitor: str, phone: str) -> Couple:
    """Two browsers with a visit each, and the phone number that both left, which makes them one person."""
    his, hers = f"{visitor}-his", f"{visitor}-hers"
    intake.take(source.id, make_event(anonymousId=his, event="his"), make_event(anonymousId=hers, event="hers"))
    leave_lead(admin, phone, his)
    leave_lead(admin, phone, hers)
    return anonymous(his), anonymous(hers), {"kind": "phone", "value": phone}


# Why


def test_the_path_leads_from_the_one_to_the_other_with_its_evidence(data: httpx.Client, couple: Couple) -> None:
    his, hers, phone = couple
    found = explain(data, his, hers)
    assert (found["same"], found["refusals"]) == (True, [])
    first, second = found["path"]
    assert first["b"] == second["a"] == {"kind": "phone", "value": masked(phone["value"])}
    assert (first["a"]["kind"], second["b"]["kind"]) == ("anonymous_id", "anonymous_id")
    for step in (first, second):
        assert step["strength"] == 2
        [evidence] = step["evidence"]
        assert step["observations"] == [evidence["id"]]
        assert set(evidence) == {"id", "source", "strength", "at"}
        assert (evidence["source"], evidence["strength"]) == ("dealer", 2)
    back = explain(data, hers, his)
    assert back["path"] == [second | {"a": second["b"], "b": second["a"]}, first | {"a": first["b"], "b": first["a"]}]


def test_evidence_is_newest_first(data: httpx.Client, intake: Intake, source: Source, visitor: str) -> None:
    for day in (18, 20, 19):
        event = make_event(anonymousId=visitor, userId=f"m-{visitor}", timestamp=f"2026-11-{day}T08:00:00Z")
        intake.take(source.id, event)
    [step] = explain(data, anonymous(visitor), {"kind": "member_id", "value": f"m-{visitor}"})["path"]
    assert [each["at"][:10] for each in step["evidence"]] == ["2026-11-20", "2026-11-19", "2026-11-18"]
    assert step["observations"] == [each["id"] for each in step["evidence"]]


def test_an_identifier_is_its_own_person(data: httpx.Client, couple: Couple) -> None:
    assert explain(data, couple[2], couple[2]) == {"same": True, "path": [], "refusals": []}


def test_what_keeps_two_apart_is_told_in_two_languages(data: httpx.Client, couple: Couple, phone: str) -> None:
    stranger = {"kind": "phone", "value": f"{phone[:4]}9{phone[5:]}"}
    found = explain(data, couple[0], stranger)
    assert (found["same"], found["path"]) == (False, [])
    [refusal] = found["refusals"]
    assert refusal["rule"] == "unknown"
    assert refusal["a"] == {"kind": "phone", "value": masked(stranger["value"])}
    assert masked(stranger["value"]) in refusal["sentence"]["zh"]
    assert masked(stranger["value"]) in refusal["sentence"]["en"]
    assert stranger["value"] not in str(found)


def test_a_hub_is_named_as_what_links_nobody(
    data: httpx.Client, intake: Intake, source: Source, visitor: str, phone: str
) -> None:
    members = [f"m-{visitor}-{n}" for n in range(4)]
    events = [
        make_event(type="identify", anonymousId=f"{visitor}-{m}", userId=m, traits={"phone": phone}) for m in members
    ]
    intake.take(source.id, *events)
    found = explain(data, *({"kind": "member_id", "value": member} for member in members[:2]))
    assert not found["same"]
    said = [each["sentence"]["en"] for each in found["refusals"]]
    assert any(masked(phone) in each and "links nobody" in each for each in said), said
    assert phone not in str(found)


def test_who_may_see_clear_values_reads_them_and_leaves_an_audit_row(
    client_of: ClientOf, data: httpx.Client, system: System, couple: Couple
) -> None:
    his, hers, phone = couple

    def shown() -> list[Any]:
        token = system.vault.token("phone", phone["value"])
        with reading(system.records) as connection:
            rows = connection.execute(select(audit_rows).where(audit_rows.c.token == token)).all()
        return [row for row in rows if row.actor == "privacy-key"]

    assert phone["value"] not in str(explain(data, his, hers))
    assert shown() == []
    assert explain(client_of(Role.PRIVACY), his, hers)["path"][0]["b"] == phone
    assert len(shown()) == 1


@pytest.mark.parametrize(
    ("a", "path"),
    [
        ({"kind": "shoe_size", "value": "42"}, "a.kind"),
        ({"kind": "phone", "value": "no phone"}, "a.value"),
        ({"kind": "phone"}, "a.value"),
        ({"kind": "phone", "value": "13700010003", "colour": "red"}, "a.colour"),
    ],
)
def test_a_wrong_identifier_is_refused_with_its_field(data: httpx.Client, a: dict[str, str], path: str) -> None:
    for call, more in (("explain", {}), ("decisions", {"verdict": "same", "reason": "so"})):
        body = {"a": a, "b": anonymous("b")} | more
        [wrong] = problem(data.post(f"{API}/{call}", json=body), 422)["errors"]
        assert wrong["path"] == path


# A steward's word


def test_different_parts_two_persons_at_once_with_their_trails(data: httpx.Client, couple: Couple) -> None:
    his, hers, phone = couple
    before = find(data, phone)
    made = decide(data, "different", his, hers)
    assert (made["verdict"], made["by"], made["reason"]) == ("different", "data-key", "they told us")
    assert "undone" not in made
    one, other = find(data, his), find(data, hers)
    assert len({one["id"], other["id"]}) == 2
    assert before["id"] in (one["id"], other["id"])
    assert find(data, phone) == other  # whose form is newer
    trails = [data.get(f"/api/v1/persons/{each['id']}/trail").json()["events"] for each in (one, other)]
    assert [[event["name"] for event in trail] for trail in trails] == [["his"], ["hers"]]
    assert [one["events"], other["events"]] == [1, 1]
    apart = explain(data, his, hers)
    assert not apart["same"]
    assert "called different" in {each["rule"] for each in apart["refusals"]}


def test_undoing_is_exact_and_harmless_twice(data: httpx.Client, client_of: ClientOf, couple: Couple) -> None:
    his, hers, _ = couple
    before = [data.post("/api/v1/persons/lookup", json=each).content for each in couple]
    made = decide(data, "different", his, hers)
    undone = client_of(Role.PRIVACY).delete(f"{API}/decisions/{made['id']}")
    assert undone.status_code == 200
    body = shaped(undone.json(), shapes.Decision)
    assert (body["undone"]["by"], body["undone"]["reason"]) == ("privacy-key", "taken back")
    assert {name: body[name] for name in ("id", "verdict", "reason", "by", "at")} == {
        name: made[name] for name in ("id", "verdict", "reason", "by", "at")
    }
    assert [data.post("/api/v1/persons/lookup", json=each).content for each in couple] == before
    assert data.delete(f"{API}/decisions/{made['id']}").json()["undone"] == body["undone"]
    assert [data.post("/api/v1/persons/lookup", json=each).content for each in couple] == before


def test_same_joins_two_who_never_met(data: httpx.Client, intake: Intake, source: Source, visitor: str) -> None:
    one, other = anonymous(f"{visitor}-1"), anonymous(f"{visitor}-2")
    intake.take(source.id, *(make_event(anonymousId=each["value"]) for each in (one, other)))
    assert find(data, one)["id"] != find(data, other)["id"]
    made = decide(data, "same", one, other)
    assert find(data, one) == find(data, other)
    [step] = explain(data, one, other)["path"]
    assert step["strength"] == 9
    [evidence] = step["evidence"]
    assert evidence["note"] == {"reason": "they told us", "by": "data-key", "at": made["at"]}
    data.delete(f"{API}/decisions/{made['id']}")
    assert find(data, one)["id"] != find(data, other)["id"]


def test_decisions_are_listed_newest_first_in_pages(data: httpx.Client, client_of: ClientOf, couple: Couple) -> None:
    his, hers, phone = couple
    made = [
        decide(data, "different", his, hers),
        decide(data, "different", his, phone),
        decide(data, "same", his, phone),
    ]
    data.delete(f"{API}/decisions/{made[1]['id']}")
    reader = client_of(Role.MARKETER)
    found, cursor = [], None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = shaped(reader.get(f"{API}/decisions", params=query).json(), shapes.Decisions)
        found += page["decisions"]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == reader.get(f"{API}/decisions").json()["decisions"]
    assert found == sorted(found, key=lambda each: (each["at"], -int(each["id"])), reverse=True)
    mine = {each["id"]: each for each in found}
    assert {each["id"] for each in made} <= set(mine)
    assert ["undone" in mine[each["id"]] for each in made] == [False, True, False]


def test_a_phone_in_a_reason_is_masked_and_stored_nowhere_clear(
    admin: httpx.Client, data: httpx.Client, system: System, couple: Couple, capsys: pytest.CaptureFixture[str]
) -> None:
    his, hers, phone = couple
    other = phone["value"].replace("61789", "61780")
    made = decide(data, "different", his, hers, reason=f"she has {other}")
    assert made["reason"] == f"she has {masked(other)}"
    listed = {each["id"]: each for each in admin.get(f"{API}/decisions").json()["decisions"]}
    assert listed[made["id"]]["reason"] == f"she has {other}"
    [(said, _)] = system.graph.observations([int(made["id"])])  # type: ignore[list-item]
    assert other[3:] not in said.note
    assert other[3:] not in "".join(capsys.readouterr())


def test_two_that_can_never_be_one_are_refused(
    data: httpx.Client, intake: Intake, source: Source, visitor: str
) -> None:
    members = [{"kind": "member_id", "value": f"m-{visitor}-{n}"} for n in range(2)]
    intake.take(source.id, *(make_event(anonymousId="", userId=each["value"]) for each in members))
    body = {"verdict": "same", "a": members[0], "b": members[1], "reason": "no"}
    assert "two values of member_id" in problem(data.post(f"{API}/decisions", json=body), 422)["detail"]
    body |= {"b": members[0]}
    problem(data.post(f"{API}/decisions", json=body), 422)


def test_a_decision_on_who_never_came_is_not_found(data: httpx.Client, couple: Couple) -> None:
    body = {"verdict": "same", "a": couple[0], "b": anonymous("nobody-at-all"), "reason": "no"}
    problem(data.post(f"{API}/decisions", json=body), 404)


@pytest.mark.parametrize("decision", ["1", "x", "0x1", "9" * 40, "-1", "01", "²"])
def test_a_decision_that_is_none_is_not_found(data: httpx.Client, decision: str) -> None:
    problem(data.delete(f"{API}/decisions/{decision}"), 404)
    problem(data.post(f"{API}/retractions", json={"observation": decision, "reason": "no"}), 404)


@pytest.mark.parametrize(
    ("field", "value"),
    [("verdict", "maybe"), ("reason", ""), ("reason", 7), ("reason", "x" * 1_001), ("colour", "red")],
)
def test_a_wrong_field_of_a_decision_is_named(data: httpx.Client, couple: Couple, field: str, value: Any) -> None:
    body = {"verdict": "same", "a": couple[0], "b": couple[1], "reason": "so", field: value}
    [wrong] = problem(data.post(f"{API}/decisions", json=body), 422)["errors"]
    assert wrong["path"] == field


def test_a_decision_sent_twice_with_one_key_is_one(data: httpx.Client, couple: Couple) -> None:
    body = {"verdict": "different", "a": couple[0], "b": couple[1], "reason": "so"}
    headers = {"Idempotency-Key": f"decision-{couple[0]['value']}"}
    first, again = (data.post(f"{API}/decisions", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    every = data.get(f"{API}/decisions").json()["decisions"]
    assert sum(each["id"] == first.json()["id"] for each in every) == 1


def test_a_recent_lead_learns_of_visits_that_a_decision_makes_hers(
    admin: httpx.Client, data: httpx.Client, intake: Intake, source: Source, visitor: str, phone: str
) -> None:
    lead = leave_lead(admin, phone, visitor)
    other = anonymous(f"{visitor}-old")
    intake.take(source.id, make_event(anonymousId=other["value"], event="long_ago", timestamp="2026-11-01T08:00:00Z"))
    decide(data, "same", anonymous(visitor), other)
    [addition] = data.get(f"/api/v1/leads/{lead}").json()["trail"]["additions"]
    assert addition["event"]["name"] == "long_ago"


def test_the_list_outlives_an_erasure_and_a_source_that_is_called_steward(
    data: httpx.Client, system: System, intake: Intake, couple: Couple, visitor: str
) -> None:
    steward = intake.source("steward")
    intake.take(steward.id, make_event(anonymousId=f"{visitor}-said", userId=f"m-{visitor}"))
    his, hers, _ = couple
    made = decide(data, "same", his, hers)
    system.identity.erase(PersonId(find(data, his)["id"]), "erasure of a test")
    listed = {each["id"]: each for each in data.get(f"{API}/decisions").json()["decisions"]}
    gone = listed[made["id"]]
    assert gone["undone"] == {"reason": "erasure of a test", "by": "", "at": None}
    assert visitor not in str(gone)


# Evidence taken away


def test_a_retraction_takes_one_observation_away(data: httpx.Client, couple: Couple) -> None:
    his, hers, phone = couple
    [step] = explain(data, his, phone)["path"]
    body = {"observation": step["observations"][0], "reason": "typed at the fair"}
    answer = data.post(f"{API}/retractions", json=body)
    assert answer.status_code == 201
    said = shaped(answer.json(), shapes.Retraction)
    assert (said["observation"], said["reason"], said["by"]) == (body["observation"], body["reason"], "data-key")
    assert not explain(data, his, phone)["same"]
    assert explain(data, hers, phone)["same"]
    again = data.post(f"{API}/retractions", json=body | {"reason": "once more"})
    assert (again.status_code, again.json()) == (200, said)


def test_a_retraction_of_a_decision_undoes_it_with_a_reason(data: httpx.Client, couple: Couple) -> None:
    his, hers, _ = couple
    made = decide(data, "different", his, hers)
    data.post(f"{API}/retractions", json={"observation": made["id"], "reason": "a mistake"})
    assert find(data, his) == find(data, hers)
    listed = {each["id"]: each for each in data.get(f"{API}/decisions").json()["decisions"]}
    assert listed[made["id"]]["undone"]["reason"] == "a mistake"


# Likely matches


@pytest.fixture
def review(system: System, intake: Intake, source: Source, visitor: str) -> str:
    ends = [Identifier("anonymous_id", f"{visitor}-{n}") for n in range(2)]
    intake.take(source.id, *(make_event(anonymousId=each.value) for each in ends))
    Reviews(system.records).offer([Candidate(*ends, 0.93, Band.LOOSE, (Reason("姓名相同", "the same name"),))])
    return review_id(*ends)


def test_a_likely_match_waits_and_a_verdict_decides_it(data: httpx.Client, review: str, visitor: str) -> None:
    waiting = shaped(data.get(f"{API}/reviews").json(), shapes.Reviews)["reviews"]
    [found] = [each for each in waiting if each["id"] == review]
    assert (found["score"], found["band"], found["state"], found["decision"]) == (0.93, "loose", "open", None)
    assert found["reasons"] == [{"zh": "姓名相同", "en": "the same name"}]
    assert found["a"]["person"] != found["b"]["person"]
    assert visitor not in found["a"]["value"]
    decided = data.post(f"{API}/reviews/{review}", json={"verdict": "same", "reason": "the same voice"})
    assert decided.status_code == 200
    body = shaped(decided.json(), shapes.Review)
    assert (body["state"], body["a"]["person"]) == ("same", body["b"]["person"])
    assert review not in {each["id"] for each in data.get(f"{API}/reviews").json()["reviews"]}
    assert review in {each["id"] for each in data.get(f"{API}/reviews?state=same").json()["reviews"]}
    assert review in {each["id"] for each in data.get(f"{API}/reviews?state=all").json()["reviews"]}
    # Once more is the same decision; the other verdict needs an undoing first.
    assert data.post(f"{API}/reviews/{review}", json={"verdict": "same"}).json() == body
    problem(data.post(f"{API}/reviews/{review}", json={"verdict": "different"}), 409)
    data.delete(f"{API}/decisions/{body['decision']}")
    assert data.get(f"{API}/reviews").json()["reviews"][0] == found
    assert data.post(f"{API}/reviews/{review}", json={"verdict": "different"}).json()["state"] == "different"


def test_wrong_calls_on_reviews_are_refused(data: httpx.Client, review: str) -> None:
    problem(data.post(f"{API}/reviews/rv_none", json={"verdict": "same"}), 404)
    assert problem(data.get(f"{API}/reviews?state=odd"), 422)["errors"][0]["path"] == "state"
    assert problem(data.post(f"{API}/reviews/{review}", json={"verdict": "odd"}), 422)["errors"][0]["path"] == "verdict"
    problem(data.get(f"{API}/reviews?cursor=x"), 422)


def test_pages_of_reviews_neither_skip_nor_repeat(data: httpx.Client, system: System, visitor: str) -> None:
    ends = [Identifier("crm_id", f"{visitor}-{n}") for n in range(6)]
    Reviews(system.records).offer(Candidate(ends[0], each, 0.9, Band.STRICT) for each in ends[1:])
    whole = data.get(f"{API}/reviews").json()["reviews"]
    found: list[Any] = []
    cursor = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = data.get(f"{API}/reviews", params=query).json()
        found += page["reviews"]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == whole


# Rules


def test_the_policy_in_force_reads_as_its_file(data: httpx.Client) -> None:
    body = shaped(data.get(f"{API}/policy").json(), shapes.PolicyInForce)
    assert body["name"] == BUILT_IN.name
    assert body["policy"]["kinds"]["phone"]["gap_days"] == 60
    found = data.post(f"{API}/what-if", json={"policy": body["policy"]}).json()
    persons = found.pop("persons_now")
    assert found == {"persons_then": persons, "merged": 0, "split": 0, "examples": []}


def test_what_if_tells_who_would_be_split_and_changes_nothing(
    data: httpx.Client, system: System, couple: Couple
) -> None:
    phone = couple[2]
    before, version = find(data, phone), system.identity.version
    other = as_table(BUILT_IN)
    other["kinds"]["phone"] = {"evidence_only": True}
    body = shaped(data.post(f"{API}/what-if", json={"policy": other}).json(), shapes.WhatIf)
    assert body["split"] >= 1
    assert all(each["what"] in ("merged", "split") for each in body["examples"])
    assert phone["value"] not in str(body)
    assert (find(data, phone), system.identity.version) == (before, version)


def test_what_if_judges_clear_values_by_the_vault(data: httpx.Client, couple: Couple) -> None:
    other = as_table(BUILT_IN)
    other["kinds"]["phone"] |= {"blocked": [couple[2]["value"]]}
    body = data.post(f"{API}/what-if", json={"policy": other}).json()
    assert (body["merged"], body["split"]) == (0, 1)
    [example] = body["examples"]
    [[*_, last]] = example["now"]
    assert last == {"kind": "phone", "value": masked(couple[2]["value"])}
    assert len(example["then"]) == 2


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ({}, "policy.kinds"),
        ({"kinds": {"phone": {"max_per_person": 0}}}, "policy.kinds.phone.max_per_person"),
        ({"kinds": {"phone": {"colour": 1}}}, "policy.kinds.phone.colour"),
        ({"kinds": {"phone": {"blocked": ["/(/"]}}}, "policy.kinds.phone.blocked[0]"),
        ({"kinds": {"phone": {}}, "owner_strength": "high"}, "policy.owner_strength"),
    ],
)
def test_a_policy_that_is_none_is_refused_with_its_field(data: httpx.Client, policy: Any, path: str) -> None:
    [wrong] = problem(data.post(f"{API}/what-if", json={"policy": policy}), 422)["errors"]
    assert wrong["path"] == path


def test_one_at_a_time_goes_through_the_whole_graph(app: FastAPI, data: httpx.Client, admin: httpx.Client) -> None:
    with app.state.services.whole_graph:
        problem(data.post(f"{API}/what-if", json={"policy": as_table(BUILT_IN)}), 409)
        problem(admin.post(f"{API}/rebuild", json={"check": True}), 409)


def test_a_rebuild_finds_that_everything_follows_from_the_evidence(admin: httpx.Client, couple: Couple) -> None:
    decide(admin, "different", couple[0], couple[1])
    for check in (True, False):
        body = shaped(admin.post(f"{API}/rebuild", json={"check": check}).json(), shapes.Rebuilt)
        assert body == {"checked": check, "equal": True, "values": 0, "pairs": 0, "refusals": 0, "examples": []}


# The past, and whoever follows


def history_of(client: httpx.Client, person: str) -> list[dict[str, Any]]:
    found = shaped(client.get(f"/api/v1/persons/{person}/history").json(), History)["history"]
    assert isinstance(found, list)
    return found


def test_history_tells_what_a_decision_did_and_who_took_it(data: httpx.Client, couple: Couple) -> None:
    his, hers, phone = couple
    made = decide(data, "different", his, hers)
    data.delete(f"{API}/decisions/{made['id']}")
    found = history_of(data, find(data, phone)["id"])
    assert [each["kind"] for each in found] == ["merged", "split", "merged"]
    assert [each["version"] for each in found] == sorted((each["version"] for each in found), reverse=True)
    assert found[1]["cause"] == found[1]["evidence"]["id"] == made["id"]
    assert found[1]["evidence"]["note"] == {"reason": "they told us", "by": "data-key", "at": made["at"]}
    assert (found[2]["evidence"]["source"], found[2]["evidence"]["strength"]) == ("dealer", 2)
    assert "note" not in found[2]["evidence"]
    assert (found[1]["evidence"]["retracted"]["reason"], "retracted" in found[2]["evidence"]) == ("taken back", False)


def test_who_it_was_then_is_told_by_our_own_clock(data: httpx.Client, couple: Couple) -> None:
    his, hers, phone = couple
    whole = find(data, phone)
    joined = history_of(data, whole["id"])[0]["at"]
    while now_ms() <= parse_rfc3339(joined):
        # What we decide in the same millisecond would be of the same moment.
        pass
    made = decide(data, "different", his, hers)
    one, other = find(data, his), find(data, hers)

    def then(person: str, at: str) -> dict[str, Any]:
        return data.get(f"/api/v1/persons/{person}", params={"at": at}).json()  # type: ignore[no-any-return]

    # Before the decision both ids meant the one person, with all its identifiers and events.
    for each in (one, other):
        assert then(each["id"], joined) == whole
    now = "2100-01-01T00:00:00Z"
    assert (then(one["id"], now), then(other["id"], now)) == (one, other)
    data.delete(f"{API}/decisions/{made['id']}")
    assert then(other["id"], now) == whole


def test_a_merge_is_in_the_outbox_and_is_heard_live(
    app: FastAPI, data: httpx.Client, system: System, couple: Couple
) -> None:
    his, hers, _ = couple
    with system.live.listening() as listener:
        made = decide(data, "different", his, hers)
        message = listener.next(10)
    assert message is not None
    assert (message.kind, message.body.kind, message.body.causes) == ("person", "person.split", (made["id"],))
    with reading(system.records) as connection:
        newest = connection.execute(select(outbox_rows).order_by(outbox_rows.c.n.desc()).limit(1)).one()
    assert (newest.kind, newest.id) == ("person.split", message.body.id)


def test_a_merge_that_events_bring_is_heard_as_a_server_sent_event(
    system: System, intake: Intake, source: Source, data: httpx.Client, visitor: str
) -> None:
    with (
        Server(create_app(system)) as server,
        httpx.stream(
            "GET",
            f"http://127.0.0.1:{server.port}/api/v1/events/live",
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
            timeout=30,
        ) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith(":")
        member = f"m-{visitor}"
        intake.take(source.id, make_event(anonymousId=f"{visitor}-1"), make_event(anonymousId=f"{visitor}-2"))
        for n in (1, 2):
            intake.take(source.id, make_event(anonymousId=f"{visitor}-{n}", userId=member))
        while next(lines) != "event: person":
            pass
        told = json.loads(next(lines).removeprefix("data: "))
    person = find(data, {"kind": "member_id", "value": member})["id"]
    assert set(told) == {"id", "kind", "at", "person", "others", "causes", "graph_version"}
    assert (told["kind"], told["person"], len(told["others"])) == ("person.merged", person, 1)
    assert told["causes"] == [history_of(data, person)[0]["cause"]]


def test_nothing_that_the_steward_sends_or_reads_is_logged_clear(
    data: httpx.Client, couple: Couple, capsys: pytest.CaptureFixture[str]
) -> None:
    his, hers, phone = couple
    capsys.readouterr()
    for a, b in ((his, hers), (his, phone), (phone, hers)):
        explain(data, a, b)
    made = decide(data, "different", his, phone)
    data.delete(f"{API}/decisions/{made['id']}")
    problem(
        data.post(f"{API}/explain", json={"a": phone, "b": {"kind": "phone", "value": f"{phone['value']}0000"}}), 422
    )
    assert phone["value"][3:] not in "".join(capsys.readouterr())
