"""Hits, events and the account of both."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from api import shapes
from api.app import create_app
from api.permissions import Role
from cdp.audit import audit_rows
from cdp.model import Source
from cdp.records import reading
from cdp.wiring import System
from tests.api.conftest import ADMIN_KEY, ClientOf, Server, problem, shaped
from tests.cdp.intake import Intake, make_event


def events_of(client: httpx.Client, source: Source, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/v1/events", params={"source": source.id, **query}).json()["events"]
    return found


def test_an_event_has_just_the_fields_of_the_contract(
    data: httpx.Client, intake: Intake, source: Source, visitor: str
) -> None:
    event = make_event(anonymousId=visitor, userId="m-1", properties={"series": "L7"}, timestamp="2026-11-20T08:00:00Z")
    [position] = intake.take(source.id, event)
    page = data.get("/api/v1/events", params={"source": source.id}).json()
    shaped(page, shapes.Events)
    [shown] = page["events"]
    assert set(shown) == set(shapes.Event.__struct_fields__)
    assert (shown["client_id"], shown["name"], shown["hit"]) == (event["messageId"], "seat_viewed", position.hit_id)
    assert (shown["properties"], shown["source"], shown["type"]) == ({"series": "L7"}, source.id, "track")
    assert [each["kind"] for each in shown["identifiers"]] == ["member_id", "anonymous_id"]
    assert shown["subject"] == shown["identifiers"][0]


def test_one_event_says_what_became_of_it_and_how_often_it_came(
    data: httpx.Client, intake: Intake, source: Source, visitor: str
) -> None:
    event = make_event(anonymousId=visitor)
    for _ in range(3):
        intake.take(source.id, event)
    [listed] = events_of(data, source)
    shown = shaped(data.get(f"/api/v1/events/{listed['id']}").json(), shapes.FoundEvent)
    person = data.post("/api/v1/persons/lookup", json={"kind": "anonymous_id", "value": visitor}).json()
    assert shown == listed | {"outcome": "stored", "person": person["id"], "again": 2}


def test_an_event_of_nobody_is_not_found(data: httpx.Client) -> None:
    for name in ("0" * 32, "no-hex"):
        problem(data.get(f"/api/v1/events/{name}"), 404)


def test_an_event_on_which_we_failed_is_found_with_the_reason(
    data: httpx.Client, system: System, intake: Intake, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("on purpose")

    [position] = intake.append(source.id, make_event())
    monkeypatch.setattr(type(system.worker._tools.personal), "tokenise", fail)
    system.worker.drain()
    [of_hit] = data.get(f"/api/v1/hits/{position.hit_id}").json()["events"]
    shown = shaped(data.get(f"/api/v1/events/{of_hit['id']}").json(), shapes.RefusedEvent)
    assert (shown["outcome"], shown["reason"], shown["hit"]) == ("dropped", "INTERNAL", position.hit_id)
    assert of_hit["outcome"] == "dropped"


def test_pages_of_events_neither_skip_nor_repeat(data: httpx.Client, intake: Intake, source: Source) -> None:
    received = [1_790_000_000_000, 1_790_000_000_000, 1_790_000_000_001]
    for index in range(9):
        intake.append(source.id, make_event(), received_at=received[index % 3])
    intake.take(source.id)
    found, cursor = [], None
    while True:
        query = {"source": source.id, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = data.get("/api/v1/events", params=query).json()
        found += page["events"]
        cursor = page["next"]
        if cursor is None:
            break
        assert len(page["events"]) == 2
    assert len({event["id"] for event in found}) == len(found) == 9
    assert found == sorted(found, key=lambda each: (each["received_at"], each["id"]), reverse=True)


def test_from_and_to_are_of_receipt_and_name_filters(data: httpx.Client, intake: Intake, source: Source) -> None:
    for at in (1_790_000_000_000, 1_790_000_060_000):
        intake.take(source.id, make_event(event="seat_viewed"), make_event(event="price_viewed"), received_at=at)
    between = events_of(data, source, **{"from": "2026-09-21T14:13:20Z", "to": "2026-09-21T14:14:20Z"})
    assert {event["received_at"] for event in between} == {"2026-09-21T14:13:20.000Z"}
    assert len(between) == 2
    assert [event["name"] for event in events_of(data, source, name="price_viewed")] == ["price_viewed"] * 2
    zoned = events_of(data, source, **{"from": "2026-09-21T22:14:20+08:00"})
    assert {event["received_at"] for event in zoned} == {"2026-09-21T14:14:20.000Z"}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=x", "from=yesterday", "to=2026-09-21"])
def test_a_parameter_that_cannot_be_is_named(data: httpx.Client, query: str) -> None:
    [wrong] = problem(data.get(f"/api/v1/events?{query}"), 422)["errors"]
    assert wrong["path"] == query.partition("=")[0]


def test_a_hit_is_seen_masked_or_clear_as_the_key_may(
    data: httpx.Client, admin: httpx.Client, system: System, intake: Intake, source: Source, phone: str
) -> None:
    event = make_event(properties={"note": f"call {phone}"}, userId=phone)
    [position] = intake.take(source.id, event)
    masked = shaped(data.get(f"/api/v1/hits/{position.hit_id}").json(), shapes.Hit)
    assert phone[3:] not in json.dumps(masked)
    assert f"call {phone[:6]}****{phone[-4:]}" in masked["body"]
    [of_hit] = masked["events"]
    assert (of_hit["outcome"], of_hit["index"], masked["state"]) == ("stored", 0, "translated")
    assert of_hit["id"] == events_of(data, source)[0]["id"]
    assert shown_to(system, "admin", f"hit {position.hit_id}") == 0
    clear = shaped(admin.get(f"/api/v1/hits/{position.hit_id}").json(), shapes.Hit)
    assert json.loads(clear["body"]) == event
    assert (clear["method"], clear["target"], clear["dialect"]) == ("POST", "/v1/track", "segment")
    assert shown_to(system, "admin", f"hit {position.hit_id}") >= 1


def test_a_number_in_any_field_of_an_event_is_a_token_like_any_other(
    data: httpx.Client, intake: Intake, source: Source, phone: str
) -> None:
    context = {
        "campaign": {"name": phone},
        "app": {"name": phone},
        "locale": phone,
        "os": {"name": "x", "version": phone},
    }
    intake.take(source.id, make_event(event=f"call {phone}", messageId=f"{phone}-1", context=context))
    [event] = events_of(data, source)
    assert phone[3:] not in json.dumps(event)
    masked = f"{phone[:6]}****{phone[-4:]}"
    assert (event["name"], event["campaign"]["name"], event["app"]["name"]) == (f"call {masked}", masked, masked)


def test_digits_in_an_id_that_a_program_made_are_no_phone(data: httpx.Client, intake: Intake, source: Source) -> None:
    made = "4c586422-b0fb-4c76-b6e5-a19271794886"
    intake.take(source.id, make_event(messageId=made, context={"sessionId": made}))
    [event] = events_of(data, source)
    assert (event["client_id"], event["session"]) == (made, made)


def test_the_name_in_an_enquiry_is_a_token_however_it_is_called(
    data: httpx.Client, intake: Intake, source: Source, phone: str
) -> None:
    said = {"姓名": "韩梅梅", "mobile": phone, "also": {"wechat": "hanmeimei_88"}, "note": "红色"}
    intake.take(source.id, make_event(event="lead_submitted", properties=said, traits={phone: 1}))
    [event] = events_of(data, source)
    text = json.dumps(event, ensure_ascii=False)
    assert not any(word in text for word in ("韩梅梅", "hanmeimei_88", phone[3:]))
    assert event["properties"]["note"] == "红色"


def shown_to(system: System, actor: str, subject: str) -> int:
    """How many audit rows there are."""
    with reading(system.records) as connection:
        asked = (audit_rows.c.actor == actor) & (audit_rows.c.subject == subject)
        return len(connection.execute(select(audit_rows).where(asked)).all())


def test_a_body_that_cannot_be_masked_is_withheld(
    data: httpx.Client, admin: httpx.Client, intake: Intake, source: Source, phone: str
) -> None:
    packed = gzip.compress(json.dumps(make_event(userId=phone)).encode())
    [position] = intake.take(source.id, packed)
    masked = data.get(f"/api/v1/hits/{position.hit_id}").json()
    assert (masked["body"], masked["events"][0]["outcome"]) == (None, "stored")
    assert masked["withheld"]
    clear = admin.get(f"/api/v1/hits/{position.hit_id}").json()
    assert (base64.b64decode(clear["body"]), clear["encoding"]) == (packed, "base64")


def test_a_hit_with_a_number_that_no_log_reaches_is_not_found(data: httpx.Client) -> None:
    for offset in (2**63 - 1, 2**63, 10**30):
        problem(data.get(f"/api/v1/hits/0-{offset}"), 404)


def test_a_hit_that_cannot_be_read_says_why(data: httpx.Client, intake: Intake, source: Source) -> None:
    [position] = intake.take(source.id, b"broken")
    shown = shaped(data.get(f"/api/v1/hits/{position.hit_id}").json(), shapes.Hit)
    assert (shown["state"], shown["events"]) == ("unreadable", [])
    assert shown["problem"]


def test_a_repeat_points_at_the_hit_that_was_first(data: httpx.Client, intake: Intake, source: Source) -> None:
    event = make_event()
    [first], [second] = intake.take(source.id, event), intake.take(source.id, event)
    [of_hit] = data.get(f"/api/v1/hits/{second.hit_id}").json()["events"]
    assert (of_hit["outcome"], of_hit["first_hit"]) == ("duplicate", first.hit_id)


def test_a_hit_that_waits_is_pending(data: httpx.Client, system: System, intake: Intake, source: Source) -> None:
    [position] = intake.append(source.id, make_event())
    waiting = data.get(f"/api/v1/hits/{position.hit_id}").json()
    assert (waiting["state"], waiting["events"][0]["outcome"]) == ("pending", "pending")
    system.worker.drain()


@pytest.mark.parametrize("name", ["nonsense", "0-999999999", "77-0"])
def test_a_hit_of_nobody_is_not_found(data: httpx.Client, name: str) -> None:
    problem(data.get(f"/api/v1/hits/{name}"), 404)


def test_the_account_balances_and_shows_what_waits(
    data: httpx.Client, system: System, intake: Intake, source: Source
) -> None:
    intake.take(source.id, make_event(), make_event(), b"broken")
    intake.append(source.id, make_event())
    shown = shaped(data.get("/api/v1/accounting", params={"source": source.id}).json(), shapes.Account)
    [row] = shown["rows"]
    assert (row["hits"], row["source"]) == ({"translated": 2, "unreadable": 1}, source.id)
    assert row["events"] == {"found": 2, "stored": 2, "duplicate": 0, "quarantined": 0, "dropped": {}}
    [partition] = shown["partitions"]
    assert partition["accepted"] == partition["processed"] + partition["pending"]
    assert (partition["pending"], shown["balanced"]) == (1, True)
    system.worker.drain()
    assert data.get("/api/v1/accounting?from=2000-01-01T00:00:00Z&to=2000-01-02T00:00:00Z").json()["rows"] == []


def test_a_replay_looks_at_kept_hits_and_changes_nothing(
    client_of: ClientOf, data: httpx.Client, system: System, intake: Intake, source: Source
) -> None:
    intake.take(source.id, make_event(), make_event())
    # What other tests asked for.
    system.replaying.drain()
    before = data.get("/api/v1/accounting").json()
    asked = data.post("/api/v1/log/replays", json={"source": source.id})
    assert asked.status_code == 202
    started = shaped(asked.json(), shapes.Replay)
    system.replaying.drain()
    ended = data.get(f"/api/v1/log/replays/{started['id']}").json()
    assert (ended["done"], ended["hits"], ended["changed"]) == (True, ended["total"], 0)
    assert ended["hits"] >= 2
    assert data.get("/api/v1/accounting").json() == before
    problem(data.post("/api/v1/log/replays", json={"source": "nobody"}), 404)
    problem(data.post("/api/v1/log/replays", json={"from": "now"}), 422)
    problem(data.get("/api/v1/log/replays/none"), 404)
    problem(client_of(Role.TESTER).post("/api/v1/log/replays", json={}), 403)


def test_events_are_told_as_they_get_their_outcome(intake: Intake, app: FastAPI, source: Source) -> None:
    event = make_event()
    with (
        Server(app) as server,
        httpx.stream(
            "GET",
            f"http://127.0.0.1:{server.port}/api/v1/events/live",
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
            timeout=30,
        ) as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines).startswith(":")
        intake.take(source.id, event)
        intake.take(source.id, event, b"broken")
        told = [json.loads(line.removeprefix("data: ")) for line in take_data(lines, 3)]
    assert [each["outcome"] for each in told] == ["stored", "duplicate", "dropped"]
    assert (told[0]["source"], told[2]["reason"]) == (source.id, "UNREADABLE")


def test_who_enters_a_segment_is_told_only_to_those_who_may_read_segments(system: System, client_of: ClientOf) -> None:
    event, entered = {"id": "e"}, {"id": "s"}
    with Server(create_app(system)) as server:
        url = f"http://127.0.0.1:{server.port}/api/v1/events/live"
        for role, wanted in ((Role.TESTER, [event]), (Role.MARKETER, [entered, event])):
            headers = {"Authorization": client_of(role).headers["Authorization"]}
            with httpx.stream("GET", url, headers=headers, timeout=30) as stream:
                lines = stream.iter_lines()
                next(lines)
                system.live.tell("segment", [entered])
                system.live.tell("", [event])
                told = [json.loads(line.removeprefix("data: ")) for line in take_data(lines, len(wanted))]
            assert told == wanted


def take_data(lines: Any, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        line = next(lines)
        if line.startswith("data: "):
            found.append(line)
    return found


def test_an_endless_answer_ends_when_the_server_does(system: System) -> None:
    server = Server(create_app(system))
    ended = threading.Event()
    with server:
        url = f"http://127.0.0.1:{server.port}/api/v1/events/live"
        stream = httpx.Client(timeout=30, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        listening = threading.Event()

        def listen() -> None:
            with stream.stream("GET", url) as answer:
                for line in answer.iter_lines():
                    if line:
                        listening.set()
            ended.set()

        thread = threading.Thread(target=listen)
        thread.start()
        assert listening.wait(30)
    assert ended.wait(30)
    thread.join(30)
    stream.close()
