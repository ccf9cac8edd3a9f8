"""Segments over HTTP: checked, previewed, made, followed, explained, exported, for those who may."""

from __future__ import annotations

import csv
import io
import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import openpyxl
import pytest
from sqlalchemy import select

from api import segment_shapes as shapes
from api.permissions import Role
from cdp.audit import audit_rows
from cdp.model import Source
from cdp.moments import now_ms, rfc3339
from cdp.records import reading
from cdp.wiring import System
from tests.api.conftest import ClientOf, problem, shaped
from tests.cdp.intake import Intake, make_event

URL = "/api/v1/segments"
HOUR_MS = 3_600_000

_numbers = itertools.count(1)


@pytest.fixture
def marketer(client_of: ClientOf) -> httpx.Client:
    """Makes segments, and sees personal values masked."""
    return client_of(Role.MARKETER)


@pytest.fixture
def sales(client_of: ClientOf) -> httpx.Client:
    """Reads segments, and may see clear values."""
    return client_of(Role.SALES)


@pytest.fixture
def name() -> str:
    """Of an event that nobody else sends."""
    return f"looked_{next(_numbers)}"


@pytest.fixture(scope="module", autouse=True)
def _kept(system: System) -> Iterator[None]:
    """Who is in segments is kept up to date meanwhile."""
    live = system.live_segments
    thread = threading.Thread(target=live.run)
    thread.start()
    yield
    live.stop()
    thread.join()


def did(name: str, **more: Any) -> dict[str, Any]:
    return {"v": 1, "entity": "person", "where": {"did": name} | more}


def made(client: httpx.Client, definition: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(URL, json={"name": f"segment {uuid.uuid4()}", "definition": definition})
    assert answer.status_code == 201, answer.text
    return dict(shaped(answer.json(), shapes.Segment))


def person_of(client: httpx.Client, visitor: str) -> str:
    found = client.post("/api/v1/persons/lookup", json={"kind": "anonymous_id", "value": visitor})
    return str(found.json()["id"])


def members(client: httpx.Client, segment: str, **query: Any) -> list[str]:
    answer = client.get(f"{URL}/{segment}/members", params=query)
    assert answer.status_code == 200, answer.text
    return [each["person"] for each in answer.json()["members"]]


def until(look: Any, wanted: Any) -> None:
    """Wait for something that comes by itself."""
    deadline = time.monotonic() + 30
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, (found, wanted)
        time.sleep(0.02)


# A definition


def test_a_definition_is_read_aloud_and_each_condition_told(marketer: httpx.Client, name: str) -> None:
    found = marketer.post(f"{URL}/check", json={"definition": did(name, window={"last": "P7D"})})
    told = shaped(found.json(), shapes.SegmentCheck)
    assert (told["valid"], told["errors"]) == (True, [])
    assert name in told["sentence"]["zh"]
    assert name in told["sentence"]["en"]
    assert [(each["path"], each["mode"]) for each in told["leaves"]] == [("where", "real-time")]
    summed = did(name, window={"last": "P7D"}, agg={"fn": "sum", "of": "seconds"}, op=">", value=60)
    [leaf] = marketer.post(f"{URL}/check", json={"definition": summed}).json()["leaves"]
    assert (leaf["mode"], leaf["hourly_above"]) == ("hourly", 500)
    # Nobody ever sent it: tracking may follow.
    assert [each["path"] for each in told["warnings"]] == ["where.did"]


def test_what_is_wrong_is_told_by_check_and_refused_by_what_would_use_it(marketer: httpx.Client, name: str) -> None:
    definition = did(name, windw={"last": "P7D"}, op=">=", value="2")
    found = marketer.post(f"{URL}/check", json={"definition": definition})
    assert found.status_code == 200
    told = shaped(found.json(), shapes.SegmentCheck)
    assert (told["valid"], told["sentence"], told["leaves"]) == (False, None, [])
    assert {each["path"] for each in told["errors"]} == {"where.windw", "where.value"}
    assert any("window" in each["help"] for each in told["errors"])
    for path, body in (("/preview", {}), ("", {"name": "broken"})):
        refused = problem(marketer.post(URL + path, json={"definition": definition} | body), 422)
        assert refused["errors"] == told["errors"]
    wrong = problem(marketer.post(f"{URL}/overlap", json={"segments": [did(name), definition]}), 422)["errors"]
    assert {each["path"] for each in wrong} == {"segments[1].where.windw", "segments[1].where.value"}


@pytest.mark.parametrize("definition", [None, [], "all", 7, {}, {"v": 2}])
def test_what_is_no_definition_at_all_is_told_too(marketer: httpx.Client, definition: Any) -> None:
    found = marketer.post(f"{URL}/check", json={"definition": definition})
    assert found.status_code == 200
    assert found.json()["valid"] is False


def test_unknown_fields_and_moments_to_come_are_refused(marketer: httpx.Client, name: str) -> None:
    [wrong] = problem(marketer.post(f"{URL}/check", json={"definition": did(name), "at": "now"}), 422)["errors"]
    assert wrong["path"] == "at"
    tomorrow = rfc3339(now_ms() + 24 * HOUR_MS)
    segment = made(marketer, did(name))["id"]
    for answer in (
        marketer.post(f"{URL}/preview", json={"definition": did(name), "at": tomorrow}),
        marketer.get(f"{URL}/{segment}/members", params={"at": tomorrow}),
        marketer.get(f"{URL}/{segment}/explain", params={"person": "x", "at": tomorrow}),
    ):
        assert [each["path"] for each in problem(answer, 422)["errors"]] == ["at"]
    problem(marketer.get(f"{URL}/{segment}/members", params={"limit": 1_001}), 422)


def test_the_schema_and_templates_that_are_right_are_there(marketer: httpx.Client) -> None:
    assert marketer.get(f"{URL}/schema").json()["title"]
    found = shaped(marketer.get(f"{URL}/templates").json(), shapes.SegmentTemplates)["templates"]
    assert len(found) == 6
    for each in found:
        checked = marketer.post(f"{URL}/check", json={"definition": each["definition"]}).json()
        assert checked["sentence"] == each["sentence"]


# What is personal, and what is lost in reading


def told_of(client: httpx.Client, where: Any) -> dict[str, Any]:
    answer = client.post(f"{URL}/check", json={"definition": {"v": 1, "entity": "person", "where": where}})
    return dict(shaped(answer.json(), shapes.SegmentCheck))


def test_names_and_tokens_are_not_told_as_values_to_choose_from(
    marketer: httpx.Client, intake: Intake, source: Source, visitor: str, name: str
) -> None:
    traits = {"name": "欧阳修文", f"note_{name}": "call 13912340001", f"city_{name}": "成都"}
    intake.take(source.id, make_event(type="identify", anonymousId=visitor, userId=visitor, traits=traits))
    city = {"attr": f"city_{name}", "op": "=", "value": "北京"}
    until(lambda: [each["help"] for each in told_of(marketer, city)["warnings"]], ["So far there are: 成都."])
    for attribute in ("name", f"note_{name}"):
        found = told_of(marketer, {"attr": attribute, "op": "=", "value": "欧阳修武"})
        assert (found["valid"], found["warnings"]) == (True, [])


def test_a_definition_holds_no_personal_value(marketer: httpx.Client, system: System, name: str) -> None:
    where = {"all": [{"did": name}, {"attr": "city", "op": "not_in", "value": ["北京", "13912340002"]}]}
    definition = {"v": 1, "entity": "person", "where": where}
    answers = [marketer.post(f"{URL}/check", json={"definition": definition})]
    answers += [marketer.post(f"{URL}/preview", json={"definition": definition})]
    answers += [marketer.post(URL, json={"name": name, "definition": definition})]
    assert [each.status_code for each in answers] == [200, 422, 422]
    for each in answers:
        [wrong] = each.json()["errors"]
        assert (wrong["path"], wrong["got"]) == ("where.all[1].value[1]", "a value of the kind phone")
        assert "13912340002" not in each.text
    called = {"name": f"{name} 13912340002", "definition": did(name)}
    assert "13912340002" not in marketer.post(URL, json=called).text
    assert marketer.post(URL, json=called).status_code == 422
    assert name not in [each["name"] for each in marketer.get(URL).json()["segments"]]


def test_what_came_this_moment_is_known(
    marketer: httpx.Client, intake: Intake, source: Source, visitor: str, name: str
) -> None:
    intake.take(
        source.id, make_event(type="identify", anonymousId=visitor, userId=visitor, traits={f"hue_of_{name}": "red"})
    )
    until(lambda: told_of(marketer, {"attr": f"hue_of_{name}", "op": "present"})["warnings"], [])
    intake.take(
        source.id, make_event(type="identify", anonymousId=visitor, userId=visitor, traits={f"hue_fo_{name}": "red"})
    )
    person_of(marketer, visitor)
    assert told_of(marketer, {"attr": f"hue_fo_{name}", "op": "present"})["errors"] == []


def test_membership_at_a_moment_to_come_is_refused(marketer: httpx.Client, name: str) -> None:
    inner = made(marketer, did(name))["id"]
    then = {"in": inner, "as_of": rfc3339(now_ms() + HOUR_MS)}
    assert [each["path"] for each in told_of(marketer, {"not": then})["errors"]] == ["where.not.as_of"]
    assert told_of(marketer, then | {"as_of": rfc3339(now_ms() - HOUR_MS)})["valid"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"definition": {"v": 1, "entity": "person", "where": {"did": "e", "did": "f"}}}', "did twice"),
        (b'{"definition": ' + b'{"not": ' * 20_000 + b"0" + b"}" * 20_001, "levels of brackets"),
        (b'{"definition": ' + b"9" * 5_000 + b"}", "whole numbers of at most"),
    ],
)
def test_what_reading_would_lose_is_refused_for_its_own_reason(marketer: httpx.Client, body: bytes, says: str) -> None:
    headers = {"content-type": "application/json"}
    [wrong] = problem(marketer.post(f"{URL}/check", content=body, headers=headers), 422)["errors"]
    assert says in wrong["expected"] + wrong["got"]


def test_what_is_no_json_is_still_told_so(marketer: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    assert "no JSON" in problem(marketer.post(f"{URL}/check", content=b"{", headers=headers), 400)["detail"]


def test_nothing_is_coerced_or_passed_over_in_a_body(marketer: httpx.Client, name: str) -> None:
    problem(marketer.post(f"{URL}/preview", json={"definition": did(name), "estimate": "yes"}), 422)
    path = f"{URL}/{made(marketer, did(name))['id']}"
    for body in ({"definition": None}, {"name": None}, {"name": " "}):
        [wrong] = problem(marketer.patch(path, json=body), 422)["errors"]
        assert wrong["path"] in body


def test_names_that_look_the_same_are_one(marketer: httpx.Client, name: str) -> None:
    definition = did(name)
    first = marketer.post(URL, json={"name": f"caf\u00e9 {name}", "definition": definition})
    again = marketer.post(URL, json={"name": f" cafe\u0301 {name}", "definition": definition})
    assert (first.status_code, again.status_code) == (201, 200)


# Whom it means


def test_a_preview_counts_and_says_why(
    marketer: httpx.Client, sales: httpx.Client, intake: Intake, source: Source, visitor: str, phone: str, name: str
) -> None:
    two_hours_ago = rfc3339(now_ms() - 2 * HOUR_MS)
    intake.take(source.id, make_event(event=name, anonymousId=visitor, timestamp=two_hours_ago))
    form = {"phone": phone}
    intake.take(source.id, make_event(event="lead_submitted", anonymousId=visitor, properties=form))

    def look() -> dict[str, Any]:
        answer = marketer.post(f"{URL}/preview", json={"definition": did(name)})
        return dict(shaped(answer.json(), shapes.SegmentPreview))

    until(lambda: look()["reach"]["phone"], 1)
    found = look()
    assert (found["count"], found["estimate"]) == (1, None)
    [one] = found["sample"]
    assert one["person"] == person_of(marketer, visitor)
    assert {each["value"] for each in one["identifiers"] if each["kind"] == "phone"} == {f"{phone[:6]}****{phone[-4:]}"}
    assert [name in each["zh"] for each in one["why"]] == [True]
    [counted] = found["missing"]
    assert counted["path"] == "where"
    assert counted["zero"] >= 0
    # For those who may see clear values too.
    assert phone not in sales.post(f"{URL}/preview", json={"definition": did(name)}).text
    then = {"definition": did(name), "at": rfc3339(now_ms() - 3 * HOUR_MS)}
    assert marketer.post(f"{URL}/preview", json=then).json()["count"] == 0


def test_an_estimate_is_an_interval_and_nothing_else(marketer: httpx.Client, name: str) -> None:
    asked = {"definition": did(name, op="=", value=0), "estimate": True}
    found = shaped(marketer.post(f"{URL}/preview", json=asked).json(), shapes.SegmentPreview)
    assert found["estimate"]["low"] <= found["count"] <= found["estimate"]["high"]
    assert (found["sample"], found["reach"], found["channels"], found["missing"]) == ([], {}, {}, [])
    everybody = {"v": 1, "entity": "person", "where": {"all": []}}
    exact = marketer.post(f"{URL}/preview", json={"definition": everybody}).json()["count"]
    assert found["estimate"]["high"] <= exact


def test_an_overlap_has_the_size_of_each_region(
    marketer: httpx.Client, intake: Intake, source: Source, name: str
) -> None:
    other = f"{name}_too"
    for visitor, names in (("a", [name]), ("b", [name, other]), ("c", [name, other]), ("d", [other])):
        events = [make_event(event=each, anonymousId=f"{name}-{visitor}") for each in names]
        intake.take(source.id, *events)
    segment = made(marketer, did(name))["id"]
    answer = marketer.post(f"{URL}/overlap", json={"segments": [segment, did(other)]})
    found = shaped(answer.json(), shapes.SegmentOverlap)
    assert found["sizes"] == [3, 3]
    assert [(each["segments"], each["size"]) for each in found["regions"]] == [([0], 1), ([1], 1), ([0, 1], 2)]
    problem(marketer.post(f"{URL}/overlap", json={"segments": [did(name)]}), 422)
    problem(marketer.post(f"{URL}/overlap", json={"segments": [did(name)] * 5}), 422)
    problem(marketer.post(f"{URL}/overlap", json={"segments": ["sg_none", did(name)]}), 404)
    of_leads = {"v": 1, "entity": "lead", "where": {"all": []}}
    problem(marketer.post(f"{URL}/overlap", json={"segments": [did(name), of_leads]}), 422)


# Segments


def test_a_segment_is_filled_when_it_is_made_and_changes_as_events_come(
    marketer: httpx.Client, intake: Intake, source: Source, visitor: str, name: str
) -> None:
    other = f"{name}_too"
    intake.take(source.id, make_event(event=name, anonymousId=visitor))
    intake.take(source.id, make_event(event=other, anonymousId=f"{visitor}-2"))
    first, second = person_of(marketer, visitor), person_of(marketer, f"{visitor}-2")
    known = made(marketer, did(other))
    until(lambda: members(marketer, known["id"]), [second])
    segment = made(marketer, did(name))
    assert (segment["size"], segment["state"], segment["version"]) == (1, "live", 1)
    assert segment["fresh_at"] is not None
    assert members(marketer, segment["id"]) == [first]
    intake.take(source.id, make_event(event=name, anonymousId=f"{visitor}-2"))
    until(lambda: members(marketer, segment["id"]), [second, first])
    found = shaped(marketer.get(f"{URL}/{segment['id']}/changes").json(), shapes.SegmentChanges)
    told = [(each["person"], each["change"], each["reason"]) for each in found["changes"]]
    assert told == [(second, "entered", "event"), (first, "entered", "backfill")]
    cause = marketer.get(f"/api/v1/events/{found['changes'][0]['cause_event']}").json()
    assert cause["name"] == name
    listed = shaped(marketer.get(URL, params={"limit": 1}).json(), shapes.Segments)
    assert [each["id"] for each in listed["segments"]] == [segment["id"]]
    assert listed["segments"][0]["size"] == 2


def test_a_person_is_shown_with_the_segments_that_it_is_in_now(
    marketer: httpx.Client, intake: Intake, source: Source, visitor: str, name: str
) -> None:
    intake.take(source.id, make_event(event=name, anonymousId=visitor))
    path = f"/api/v1/persons/{person_of(marketer, visitor)}"

    def segments() -> list[str]:
        return list(marketer.get(path).json()["segments"])

    assert segments() == []
    short = made(marketer, did(name, window={"last": "PT2S"}))["id"]
    segment = made(marketer, did(name))["id"]
    assert segment in segments()
    until(segments, [segment])
    marketer.delete(f"{URL}/{segment}")
    assert segments() == []
    assert [each["reason"] for each in marketer.get(f"{URL}/{short}/changes").json()["changes"]][:1] == ["timer"]


def test_the_same_segment_again_is_the_one_that_is_there(marketer: httpx.Client, name: str) -> None:
    body = {"name": f"segment {name}", "definition": did(name)}
    first = marketer.post(URL, json=body)
    nested = did(name)
    nested["where"] = {"all": [{"any": [nested["where"]]}]}
    again = marketer.post(URL, json=body | {"definition": nested})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    problem(marketer.post(URL, json=body | {"definition": did(f"{name}_too")}), 409)
    key = {"Idempotency-Key": name}
    body = {"name": f"once {name}", "definition": did(name)}
    once, twice = (marketer.post(URL, json=body, headers=key) for _ in range(2))
    assert (once.json(), twice.headers["idempotency-replayed"]) == (twice.json(), "true")


def test_a_segment_is_renamed_and_defined_anew(
    marketer: httpx.Client, intake: Intake, source: Source, visitor: str, name: str
) -> None:
    intake.take(source.id, make_event(event=name, anonymousId=visitor))
    segment = made(marketer, did(name))
    path = f"{URL}/{segment['id']}"
    renamed = shaped(marketer.patch(path, json={"name": f"new {name}"}).json(), shapes.Segment)
    assert (renamed["name"], renamed["version"], renamed["size"]) == (f"new {name}", 1, 1)
    changed = marketer.patch(path, json={"definition": did(name, op="=", value=7)}).json()
    assert (changed["version"], changed["size"], changed["name"]) == (2, 0, f"new {name}")
    newest = marketer.get(f"{path}/changes").json()["changes"][0]
    assert (newest["change"], newest["reason"], newest["cause_event"]) == ("exited", "definition", None)
    own = did(name)
    own["where"] = {"in": segment["id"]}
    refused = problem(marketer.patch(path, json={"definition": own}), 422)
    assert refused["errors"][0]["path"] == "where.in"
    problem(marketer.patch(f"{URL}/sg_none", json={"name": "x"}), 404)
    of_leads = {"v": 1, "entity": "lead", "where": {"did": name}}
    assert "about a person" in problem(marketer.patch(path, json={"definition": of_leads}), 422)["detail"]
    assert marketer.get(path).json()["entity"] == "person"


def test_a_segment_that_another_names_is_not_deleted(marketer: httpx.Client, name: str) -> None:
    inner = made(marketer, did(name))
    outer = made(marketer, {"v": 1, "entity": "person", "where": {"not": {"in": inner["id"]}}})
    assert inner["name"] in outer["sentence"]["zh"]
    refused = problem(marketer.delete(f"{URL}/{inner['id']}"), 409)
    assert outer["name"] in refused["detail"]
    assert [(each["path"], each["got"]) for each in refused["errors"]] == [(outer["id"], outer["name"])]
    for each in (outer, inner):
        assert marketer.delete(f"{URL}/{each['id']}").json()["id"] == each["id"]
        problem(marketer.get(f"{URL}/{each['id']}"), 404)


def test_pages_of_members_neither_skip_nor_repeat(
    marketer: httpx.Client, intake: Intake, source: Source, name: str
) -> None:
    intake.take(source.id, *(make_event(event=name, anonymousId=f"{name}-{n}") for n in range(7)))
    segment = made(marketer, did(name))["id"]
    hour_ago = rfc3339(now_ms() - HOUR_MS)
    for query in ({}, {"at": rfc3339(now_ms())}):
        found: list[str] = []
        cursor = None
        for _ in range(10):
            asked = query | {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = shaped(marketer.get(f"{URL}/{segment}/members", params=asked).json(), shapes.SegmentMembers)
            found += [each["person"] for each in page["members"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert len(found) == len(set(found)) == 7
    assert members(marketer, segment, at=hour_ago) == []


def test_the_end_of_a_page_is_no_place_in_another_list(
    marketer: httpx.Client, intake: Intake, source: Source, name: str
) -> None:
    intake.take(source.id, *(make_event(event=name, anonymousId=f"{name}-{n}") for n in range(2)))
    segment = made(marketer, did(name))["id"]
    cursor = marketer.get(f"{URL}/{segment}/members", params={"limit": 1}).json()["next"]
    assert len(members(marketer, segment, cursor=cursor)) == 1
    for path in ("/changes", ""):
        other = f"{URL}/{segment}{path}" if path else URL
        [wrong] = problem(marketer.get(other, params={"cursor": cursor}), 422)["errors"]
        assert wrong["path"] == "cursor"


def test_whatever_personal_value_a_caller_sends_is_not_in_what_is_answered(
    marketer: httpx.Client, phone: str, name: str
) -> None:
    sent = [
        marketer.post(f"{URL}/overlap", json={"segments": [phone, "li.wei@example.com"]}),
        marketer.post(f"{URL}/check", json={phone: 1, "definition": did(name)}),
        marketer.post(f"{URL}/preview", json={"definition": did(name), "estimate": "li.wei@example.com"}),
        marketer.get(f"{URL}/{phone}/members"),
    ]
    for each in sent:
        problem(each, each.status_code)
        assert each.status_code in (404, 422)
        assert phone.removeprefix("+86") not in each.text
        assert "li.wei" not in each.text


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "1900-12-31T23:59:59Z"])
def test_a_moment_of_before_everything_is_refused(marketer: httpx.Client, name: str, at: str) -> None:
    definition = did(name, window={"calendar": "year", "back": 100})
    segment = made(marketer, definition)["id"]
    person = {"person": str(uuid.uuid4())}
    for answer in (
        marketer.post(f"{URL}/preview", json={"definition": definition, "at": at}),
        marketer.get(f"{URL}/{segment}/members", params={"at": at}),
        marketer.get(f"{URL}/{segment}/explain", params={"at": at} | person),
    ):
        assert [each["path"] for each in problem(answer, 422)["errors"]] == ["at"]
    members(marketer, segment, at="1901-01-01T00:00:00Z")


def test_members_of_yesterday_are_those_it_would_have_meant_before_it_was_made(
    marketer: httpx.Client, intake: Intake, source: Source, visitor: str, name: str
) -> None:
    day_ago = rfc3339(now_ms() - 24 * HOUR_MS)
    intake.take(source.id, make_event(event=name, anonymousId=visitor, timestamp=rfc3339(now_ms() - 25 * HOUR_MS)))
    segment = made(marketer, did(name, window={"last": "PT2H"}))["id"]
    assert members(marketer, segment) == []
    found = shaped(marketer.get(f"{URL}/{segment}/members", params={"at": day_ago}).json(), shapes.SegmentMembers)
    assert found == {"members": [{"person": person_of(marketer, visitor), "since": None}], "next": None}


# Why


def test_somebody_is_explained_condition_by_condition(
    marketer: httpx.Client, intake: Intake, source: Source, visitor: str, name: str
) -> None:
    at = now_ms() - HOUR_MS
    intake.take(source.id, make_event(event=name, anonymousId=visitor, timestamp=rfc3339(at)))
    person = person_of(marketer, visitor)
    both = did(name)
    both["where"] = {"all": [{"did": name, "window": {"last": "PT2H"}}, {"not": {"did": f"{name}_too"}}]}
    path = f"{URL}/{made(marketer, both)['id']}/explain"
    found = shaped(marketer.get(path, params={"person": person}).json(), shapes.SegmentExplanation)
    assert (found["person"], found["member"]) == (person, True)
    seen, other = found["leaves"]
    assert (seen["path"], seen["truth"], seen["next"]) == ("where.all[0]", True, rfc3339(at + 2 * HOUR_MS))
    assert [(each["name"], each["occurred_at"]) for each in seen["events"]] == [(name, rfc3339(at))]
    assert (other["path"], other["truth"], other["next"], other["events"]) == ("where.all[1].not", False, None, [])
    assert (found["recorded"], seen["leaves"]) == (True, [])
    then = marketer.get(path, params={"person": person, "at": rfc3339(at - 1)}).json()
    assert then["recorded"] is None
    assert (then["member"], [each["truth"] for each in then["leaves"]]) == (False, [False, False])
    problem(marketer.get(path, params={"person": str(uuid.uuid4())}), 404)
    problem(marketer.get(path), 422)
    problem(marketer.get(path, params={"person": person, "lead": "ld_1"}), 422)


def test_everybody_is_in_a_segment_without_a_condition(
    marketer: httpx.Client, intake: Intake, source: Source, visitor: str, name: str
) -> None:
    intake.take(source.id, make_event(event=name, anonymousId=visitor))
    person = person_of(marketer, visitor)
    everybody = made(marketer, {"v": 1, "entity": "person", "where": {"all": []}})["id"]
    explain = f"{URL}/{everybody}/explain"
    told = marketer.get(explain, params={"person": person}).json()
    assert (told["member"], told["recorded"], told["leaves"]) == (True, True, [])
    then = "2001-01-01T00:00:00Z"
    before = marketer.get(explain, params={"person": person, "at": then}).json()
    assert before["member"] is (person in members(marketer, everybody, at=then))


def test_the_segments_that_a_condition_names_are_explained_inside_it(
    marketer: httpx.Client, intake: Intake, source: Source, visitor: str, name: str
) -> None:
    intake.take(source.id, make_event(event=name, anonymousId=visitor, timestamp=rfc3339(now_ms() - HOUR_MS)))
    person = person_of(marketer, visitor)
    inner = made(marketer, did(name))["id"]
    middle = made(marketer, {"v": 1, "entity": "person", "where": {"not": {"in": inner}}})["id"]
    both = {"any": [{"in": middle}, {"in": inner, "as_of": rfc3339(now_ms() - 2 * HOUR_MS)}]}
    outer = made(marketer, {"v": 1, "entity": "person", "where": both})["id"]
    answer = marketer.get(f"{URL}/{outer}/explain", params={"person": person})
    found = shaped(answer.json(), shapes.SegmentExplanation)
    assert (found["member"], found["recorded"]) == (False, False)
    now, then = found["leaves"]
    [through] = now["leaves"]
    [reason] = through["leaves"]
    assert (now["truth"], through["path"], through["truth"]) == (False, "where.not", True)
    assert [each["name"] for each in reason["events"]] == [name]
    # Of somebody who had not come yet nothing is told, or that it was not so.
    assert not then["truth"]
    assert not any(each["truth"] for each in then["leaves"])


def test_a_segment_of_leads_names_leads(marketer: httpx.Client, sales: httpx.Client, phone: str, name: str) -> None:
    consent = {"purposes": ["contact"], "text_version": "v3", "at": "2026-11-22T03:00:00Z"}
    enquiry = {"source": name, "contact": {"phone": phone}, "consent": consent}
    lead = sales.post("/api/v1/leads", json=enquiry).json()["id"]
    of_source = {"v": 1, "entity": "lead", "where": {"attr": "source", "op": "=", "value": name}}
    segment = made(marketer, of_source)["id"]
    found = shaped(marketer.get(f"{URL}/{segment}/members").json(), shapes.SegmentMembers)
    assert [each["lead"] for each in found["members"]] == [lead]
    told = marketer.get(f"{URL}/{segment}/explain", params={"lead": lead}).json()
    assert (told["lead"], told["member"]) == (lead, True)
    problem(marketer.get(f"{URL}/{segment}/explain", params={"lead": "ld_none"}), 404)
    problem(marketer.get(f"{URL}/{segment}/explain", params={"person": lead}), 422)
    header, row = exported(marketer, segment)
    assert header[:2] == ["lead", "since"]
    assert (row[0], row[header.index("phone")]) == (lead, f"'{phone[:6]}****{phone[-4:]}")


# The list


def exported(client: httpx.Client, segment: str, **query: Any) -> list[list[str]]:
    answer = client.get(f"{URL}/{segment}/export", params=query)
    assert answer.status_code == 200, answer.text
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


@pytest.fixture
def reachable(marketer: httpx.Client, intake: Intake, source: Source, visitor: str, phone: str, name: str) -> str:
    """A segment of one person who left a phone number and has a name that a spreadsheet would run."""
    form = {"phone": phone}
    intake.take(source.id, make_event(event="lead_submitted", anonymousId=visitor, properties=form))
    intake.take(source.id, make_event(event=name, anonymousId=visitor, userId=f"=1+1-{name}"))
    return str(made(marketer, did(name))["id"])


def audited(system: System, segment: str) -> list[tuple[str, str, bool]]:
    wanted = select(audit_rows).where(audit_rows.c.subject == segment).order_by(audit_rows.c.id)
    with reading(system.records) as connection:
        return [(row.actor, row.action, bool(row.token)) for row in connection.execute(wanted)]


def test_members_are_exported_masked(
    marketer: httpx.Client, sales: httpx.Client, system: System, reachable: str, phone: str
) -> None:
    for client in (marketer, sales):
        header, row = exported(client, reachable)
        assert header == ["person", "since", *header[2:]]
        assert row[header.index("phone")] == f"'{phone[:6]}****{phone[-4:]}"
        assert row[header.index("member_id")].startswith("'=")
    assert audited(system, reachable) == []


def test_clear_values_are_exported_for_those_who_may_see_them_and_noted(
    marketer: httpx.Client, sales: httpx.Client, system: System, reachable: str, phone: str
) -> None:
    problem(marketer.get(f"{URL}/{reachable}/export", params={"clear": "true"}), 403)
    assert audited(system, reachable) == []
    header, row = exported(sales, reachable, clear="true")
    assert row[header.index("phone")] == f"'{phone}"
    assert audited(system, reachable) == [("sales-key", "export_segment", False), ("sales-key", "show", True)]


def test_a_workbook_holds_the_same_and_runs_nothing(sales: httpx.Client, reachable: str, phone: str) -> None:
    answer = sales.get(f"{URL}/{reachable}/export", params={"format": "xlsx", "clear": "true"})
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    header, row = ([cell.value for cell in each] for each in book["1"].iter_rows())
    assert row[header.index("phone")] == phone
    assert str(row[header.index("member_id")]).startswith("=1+1")
    assert {cell.data_type for each in book["1"].iter_rows() for cell in each} <= {"s", "n"}
    problem(sales.get(f"{URL}/{reachable}/export", params={"format": "pdf"}), 422)
    problem(sales.get(f"{URL}/sg_none/export"), 404)
