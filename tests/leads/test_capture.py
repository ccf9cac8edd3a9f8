"""A lead is captured once, with the trail as it was at that moment, and nothing personal lies about in clear."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from cdp.audit import audit_rows
from cdp.errors import NotFound, Refused
from cdp.model import Identifier, mask
from cdp.records import reading
from leads.lead import lead_id_of, lead_of_event
from leads.store import addition_rows, lead_rows
from tests.leads.conftest import DAY, HOUR, MINUTE, NOON, Person, World, identifier


def count(world: World, table: Any) -> int:
    with reading(world.records) as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def names(lead: dict[str, Any]) -> list[str]:
    return [event["name"] for event in lead["trail"]["events"]]


def added(world: World, lead: dict[str, Any]) -> list[tuple[str, str]]:
    additions = world.desk.lead(lead["id"])["trail"]["additions"]
    return [(addition["event"]["name"], addition["reason"]["code"]) for addition in additions]


def test_a_lead_carries_the_trail_of_all_ends_and_the_reasons_for_it(world: World, person: Person) -> None:
    world.visit(person.cookie, person.member, at=NOON - 3 * DAY, name="seat_viewed", title="后排空间")
    world.visit(person.openid, person.member, at=NOON - 2 * DAY, name="video_played", title="后排空间")
    world.visit(person.openid, at=NOON - HOUR, name="post_liked")

    lead, created = world.capture(person.body())

    assert created
    assert names(lead) == ["post_liked", "video_played", "seat_viewed"]
    assert lead["trail"] | {"events": []} == {
        "frozen_at": "2025-10-09T08:53:20.000Z",
        "graph_version": world.identity.version,
        "complete": True,
        "waited_ms": 12,
        "total": 3,
        "events": [],
        "additions": [],
    }
    assert lead["trail"]["events"][0]["occurred_at"] == "2025-10-09T07:53:20.000Z"
    assert lead["trail"]["events"][0]["subject"]["kind"] == "wx_openid"
    assert "set" not in lead["trail"]["events"][0]
    assert lead["interests"][0]["topic"] == "space"
    assert lead["interests"][0]["last_at"] == "2025-10-07T08:53:20.000Z"
    assert "内部空间" in lead["summary"]["zh"]
    assert lead["summary"]["en"].endswith("First seen 3 days ago, on shop.")
    told = {(reason["identifier"]["kind"], reason["linked_by"], reason["strength"]) for reason in lead["why"]}
    assert told == {("member_id", "login", 4), ("anonymous_id", "login", 4), ("wx_openid", "form", 2)}
    assert lead["person"] == lead["person_at_capture"] == world.identity.person_of(person.member)
    assert lead["stage"] == "new"
    assert lead["consent"] == person.body()["consent"] | {"at": "2025-10-09T08:53:20.000Z"}


def test_the_same_lead_again_answers_with_the_lead_that_is_there(world: World, person: Person) -> None:
    first, created = world.capture(person.body())
    world.now += MINUTE
    again, created_again = world.capture(person.body(contact={"phone": "13900001111"}))
    assert (created, created_again) == (True, False)
    assert again == first
    assert world.desk.existing("motor-show", person.body()["external_id"]) == first
    assert world.desk.existing("another-show", person.body()["external_id"]) is None
    assert count(world, lead_rows) == 1


def test_a_lead_sent_by_eight_at_the_same_moment_is_captured_once(world: World, person: Person) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.capture(person.body()), range(8)))
    assert [created for _, created in answers].count(True) == 1
    assert len({lead["id"] for lead, _ in answers}) == 1
    assert count(world, lead_rows) == 1


def test_leads_without_an_id_of_the_sender_are_different_leads(world: World, person: Person) -> None:
    body = {name: value for name, value in person.body().items() if name != "external_id"}
    first, _ = world.capture(body)
    second, created = world.capture(body)
    assert created
    assert first["id"] != second["id"]
    assert first["person"] == second["person"]


def test_a_refused_lead_leaves_nothing_behind(world: World, person: Person) -> None:
    with pytest.raises(Refused):
        world.capture(person.body(contact={"phone": "12345"}))
    assert count(world, lead_rows) == 0
    assert world.identity.version == 0


def test_later_events_do_not_change_a_frozen_trail(world: World, person: Person) -> None:
    world.visit(person.openid, at=NOON - HOUR, name="seat_viewed")
    lead, _ = world.capture(person.body())
    world.now += HOUR
    world.visit(person.openid, at=world.now, name="price_viewed")
    assert world.desk.lead(lead["id"]) == lead


def test_an_event_that_arrives_late_is_added_once(world: World, person: Person) -> None:
    world.visit(person.openid, at=NOON - HOUR, name="seat_viewed")
    lead, _ = world.capture(person.body(), complete=False)
    world.now += MINUTE
    batch = world.store(world.event(person.openid, at=NOON - MINUTE, name="video_played"))
    world.add(*batch)
    world.add(*batch)
    assert added(world, lead) == [("video_played", "arrived_late")]
    now = world.desk.lead(lead["id"])
    assert now["trail"]["additions"][0]["added_at"] == "2025-10-09T08:54:20.000Z"
    assert now["trail"]["additions"][0]["reason"].keys() == {"code", "zh", "en"}
    assert now["trail"]["complete"] is False
    assert now["trail"]["events"] == lead["trail"]["events"]


def test_a_late_event_with_identifiers_never_seen_together_is_added_too(world: World, person: Person) -> None:
    lead, _ = world.capture(person.body())
    world.now += MINUTE
    world.visit(person.openid, person.cookie, at=NOON - MINUTE, name="video_played")
    assert added(world, lead) == [("video_played", "arrived_late")]


def test_events_recognised_as_the_persons_later_are_added_once(world: World, person: Person) -> None:
    world.visit(person.cookie, at=NOON - DAY, name="seat_viewed")
    lead, _ = world.capture(person.body())
    assert names(lead) == []
    world.now += HOUR
    world.visit(person.cookie, person.openid, at=world.now, name="logged_in")
    world.visit(person.cookie, person.openid, at=world.now, name="logged_in")
    assert added(world, lead) == [("seat_viewed", "identified_later")]


def test_a_merge_into_an_older_person_adds_that_persons_events(world: World, person: Person) -> None:
    world.visit(person.member, person.cookie, at=NOON - DAY, name="seat_viewed")
    lead, _ = world.capture(person.body())
    assert lead["person"] != world.identity.person_of(person.member)
    world.now += HOUR
    world.visit(person.member, person.openid, at=world.now, name="logged_in")
    assert added(world, lead) == [("seat_viewed", "identified_later")]
    now = world.desk.lead(lead["id"])
    assert now["person"] == world.identity.person_of(person.member)
    assert now["person_at_capture"] == lead["person"]


def test_a_merge_by_another_lead_adds_events_as_well(world: World, person: Person) -> None:
    world.visit(person.cookie, at=NOON - DAY, name="seat_viewed")
    lead, _ = world.capture(person.body())
    both = [{"kind": each.kind, "value": each.value} for each in (person.cookie, person.openid)]
    world.capture(person.body(external_id=None, identifiers=both))
    assert added(world, lead) == [("seat_viewed", "identified_later")]


def test_additions_go_on_after_a_restart(world: World, person: Person) -> None:
    world.visit(person.cookie, at=NOON - DAY, name="seat_viewed")
    lead, _ = world.capture(person.body())
    world.now += HOUR
    # The evidence is durable and the process ends before the lead steps; nothing tells the next one that sets moved.
    world.store(world.event(person.cookie, person.openid, at=world.now))
    world.restart()
    world.add([], frozenset())
    world.visit(person.openid, at=NOON - MINUTE, name="video_played")
    assert added(world, lead) == [("video_played", "arrived_late"), ("seat_viewed", "identified_later")]


def test_the_leads_of_a_day_are_looked_at_bit_by_bit_after_a_restart(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leads.late.LEFT_AT_ONCE", 1)
    world.visit(person.cookie, at=NOON - DAY, name="seat_viewed")
    leads = [world.capture(person.body(external_id=None))[0] for _ in range(3)]
    world.store(world.event(person.cookie, person.openid, at=world.now))
    world.restart()
    done = []
    for _ in range(4):
        world.add([], frozenset())
        done.append(sum(bool(added(world, lead)) for lead in leads))
    assert done == [1, 2, 3, 3]


def test_what_the_trail_has_is_never_an_addition(world: World, person: Person) -> None:
    batch = world.store(world.event(person.openid, at=NOON - HOUR, name="seat_viewed"))
    lead, _ = world.capture(person.body())
    world.add(*batch)
    assert names(lead) == ["seat_viewed"]
    assert added(world, lead) == []


def test_an_event_stored_while_the_trail_is_read_is_not_lost(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = world.events.trail

    def read_before_another_arrives(*args: Any, **options: Any) -> list[dict[str, Any]]:
        monkeypatch.undo()
        events = read(*args, **options)
        world.visit(person.openid, at=NOON - HOUR, name="seat_viewed")
        return events

    monkeypatch.setattr(world.events, "trail", read_before_another_arrives)
    lead, _ = world.capture(person.body())
    assert names(lead) == []
    assert added(world, lead) == [("seat_viewed", "arrived_late")]


def test_additions_end_after_a_day(world: World, person: Person) -> None:
    lead, _ = world.capture(person.body())
    world.now += DAY
    world.visit(person.openid, at=NOON - HOUR, name="in_time")
    world.now += 1
    world.visit(person.openid, at=NOON - HOUR, name="too_late")
    assert added(world, lead) == [("in_time", "arrived_late")]


def test_strangers_add_nothing(world: World, person: Person) -> None:
    lead, _ = world.capture(person.body())
    world.visit(person.cookie, person.member, at=NOON - HOUR)
    assert added(world, lead) == []
    assert count(world, addition_rows) == 0


def test_a_contact_is_masked_unless_it_may_be_seen_and_then_that_is_noted(world: World, person: Person) -> None:
    contact = {"name": "李晓梅", "phone": person.phone, "email": "li@example.com", "wechat": "lixiaomei88"}
    note = f"先打 {person.phone} 找我先生"
    captured, _ = world.capture(person.body(contact=contact, interest={"note": note}))

    lead = world.desk.lead(captured["id"])
    masked_phone = f"{person.phone[:6]}****{person.phone[-4:]}"
    assert lead["contact"] == {
        "name": "李**",
        "phone": masked_phone,
        "email": "l****@example.com",
        "wechat": mask("lixiaomei88"),
    }
    assert lead["interest"]["note"] == f"先打 {masked_phone} 找我先生"
    assert person.phone not in repr(lead)
    assert count(world, audit_rows) == 0

    lead = world.desk.lead(captured["id"], reveal=True, actor="adviser-7")
    assert lead["contact"] == contact
    assert lead["interest"]["note"] == note
    with reading(world.records) as connection:
        seen = connection.execute(select(audit_rows)).all()
    assert {(row.actor, row.subject, row.at) for row in seen} == {("adviser-7", captured["id"], NOON)}
    assert {row.token for row in seen} >= {
        world.vault.token("phone", person.phone),
        world.vault.token("name", "李晓梅"),
    }
    assert len(seen) == 4


def test_no_clear_contact_lies_outside_the_vault(world: World, person: Person, tmp_path: Path) -> None:
    bare = person.phone[3:]
    contact = {"name": "李晓梅独", "phone": bare, "email": f"li{bare}@example.com", "wechat": f"wx{bare}"}
    body = person.body(
        source=f"agency {bare}",
        external_id=bare,
        contact=contact,
        channel=f"call {bare}",
        campaign={"term": bare, "number": int(bare)},
        interest={"note": f"{bare[:3]} {bare[3:7]} {bare[7:]}", "dealer": f"店 {bare}"},
        identifiers=[{"kind": "member_id", "value": bare}, {"kind": "phone", "value": person.phone}],
    )
    world.visit(identifier("phone", person.phone), person.cookie, at=NOON - HOUR, name="form_submitted", tel=bare)
    lead, created = world.capture(body)
    assert created
    assert not world.capture(body)[1]
    world.capture_event(world.event(person.cookie, at=NOON, name="lead_submitted", contact=contact, remark=bare))

    clear = [bare, f"{bare[:3]} {bare[3:7]} {bare[7:]}", "李晓梅独"]
    for store in ("records", "graph"):
        with sqlite3.connect(tmp_path / f"{store}.db") as connection:
            dump = "\n".join(connection.iterdump())
        connection.close()
        assert [value for value in clear if value in dump] == []
    trail = world.events.trail(world.identity.sets_of(lead["person"]), limit=10)
    assert bare not in repr([{**event, "properties": ""} for event in trail])
    assert bare not in repr(world.desk.lead(lead["id"]))


def test_a_placeholder_phone_captures_a_lead_and_joins_nobody(world: World, person: Person) -> None:
    contact = {"phone": "13800138000"}
    first, _ = world.capture(person.body(contact=contact))
    second, _ = world.capture(person.body(contact=contact, external_id="x", identifiers=[]))
    assert first["doubtful"] == second["doubtful"] == ["contact.phone"]
    assert first["person"] is not None
    assert second["person"] != first["person"]


def test_a_lead_with_nothing_but_a_wechat_number_is_somebodys(world: World, person: Person) -> None:
    body = person.body(contact={"wechat": f"wx-{person.number}"}, identifiers=[])
    lead, created = world.capture(body)
    assert created
    assert lead["person"] is not None
    assert lead["trail"]["events"] == []
    assert [each["id"] for each in world.desk.lookup("wechat", f"wx-{person.number}")] == [lead["id"]]


def test_a_tracked_event_captures_a_lead_whose_trail_includes_it(world: World, person: Person) -> None:
    phone = identifier("phone", person.phone)
    world.visit(person.cookie, at=NOON - HOUR, name="seat_viewed")
    event = world.event(
        person.cookie,
        phone,
        at=NOON,
        name="test_drive_requested",
        手机号=person.phone[3:],
        姓名="李晓梅",
        series="L7",
        city="上海",
        note=f"或 {person.phone[3:]}",
    )
    [lead_id] = world.capture_event(event)
    lead = world.desk.lead(lead_id)
    assert names(lead) == ["test_drive_requested", "seat_viewed"]
    assert lead["contact"].keys() == {"name", "phone"}
    assert lead["interest"]["series"] == "L7"
    assert lead["interest"]["note"].startswith("或 +86138****")
    assert lead["channel"] == "feed"
    assert lead["campaign"]["source"] == "douyin"
    assert (lead["source"], lead["external_id"]) == ("shop", f"event:{event.id}")
    assert lead["consent"] is None
    assert count(world, addition_rows) == 0


def test_the_id_of_an_events_lead_is_known_before_the_event_is_stored(world: World, person: Person) -> None:
    event = world.event(person.cookie, at=NOON, name="lead_submitted", mobile=person.phone)
    # A name with a phone in it is kept as a token, which whoever answers the form cannot make.
    event.source = f"stand of {person.phone}"
    [lead_id] = world.capture_event(event)
    assert lead_id == lead_id_of(event.source, lead_of_event(event.id))
    assert world.desk.lead(lead_id)["source"].startswith("stand of +86138****")


@pytest.mark.parametrize("redone", ["in this process", "after a restart"])
def test_a_batch_done_again_captures_nothing_twice(world: World, person: Person, redone: str) -> None:
    event = world.event(person.cookie, at=NOON, name="lead_submitted", mobile=person.phone)
    contact = {"phone": person.phone}
    [stored], changed = world.store(event)
    assert len(world.finish(stored, contact, changed)) == 1
    first = world.desk.lead(world.desk.lookup("phone", person.phone)[0]["id"])
    if redone == "after a restart":
        world.restart()
    world.now += MINUTE
    assert world.finish(stored, contact, changed) == []
    world.visit(person.cookie, at=NOON + MINUTE // 2, name="after_the_capture")
    assert world.desk.lead(first["id"]) == first
    assert count(world, lead_rows) == 1


def test_a_batch_that_failed_before_its_commit_is_done_again_whole(world: World, person: Person) -> None:
    event = world.event(person.cookie, at=NOON, name="lead_submitted", mobile=person.phone)
    [stored], changed = world.store(event)
    drafts = [world.desk.from_event(stored.event, {"phone": person.phone}, stored.set)]
    world.desk.freeze(drafts, at=world.now)
    world.desk.additions_for([stored], changed, at=world.now)
    [lead_id] = world.finish(stored, {"phone": person.phone}, changed)
    assert names(world.desk.lead(lead_id)) == ["lead_submitted"]
    assert added(world, {"id": lead_id}) == []


@pytest.mark.parametrize(
    ("typed", "doubtful"),
    [
        ({"phone": "不告诉你"}, ["contact.phone"]),
        ({"phone": "138"}, ["contact.phone"]),
        ({"phone": "13800138000"}, ["contact.phone"]),
        ({"email": "nobody", "wechat": "li-x"}, ["contact.email"]),
        ({"wechat": "li-x"}, []),
    ],
)
def test_a_tracked_event_with_an_odd_contact_captures_a_lead_all_the_same(
    world: World, person: Person, typed: dict[str, str], doubtful: list[str]
) -> None:
    [lead_id] = world.capture_event(world.event(person.cookie, at=NOON, name="lead_submitted", **typed))
    lead = world.desk.lead(lead_id, reveal=True, actor="adviser")
    assert lead["doubtful"] == doubtful
    assert {kind: value.removeprefix("+86") for kind, value in lead["contact"].items()} == typed
    assert lead["person"] == world.identity.person_of(person.cookie)


def test_a_tracked_event_without_identifiers_captures_a_lead_of_nobody(world: World, person: Person) -> None:
    [lead_id] = world.capture_event(world.event(at=NOON, name="lead_submitted", wechat=f"wx{person.number}"))
    world.visit(at=NOON - MINUTE, name="something_of_anybody")
    lead = world.desk.lead(lead_id)
    assert (lead["person"], lead["trail"]["events"], lead["why"]) == (None, [], [])
    assert lead["trail"]["additions"] == []


def test_the_newest_200_of_all_events_are_frozen(world: World, person: Person) -> None:
    visits = [world.event(person.openid, at=NOON - number * MINUTE, name=f"e{number}") for number in range(1, 231)]
    world.store(*visits)
    lead, _ = world.capture(person.body())
    assert lead["trail"]["total"] == 230
    assert names(lead) == [f"e{number}" for number in range(1, 201)]


def test_leads_are_paged_newest_first_without_a_gap_or_a_repeat(world: World, person: Person) -> None:
    ids = []
    for number in range(7):
        world.now = NOON + (number // 3) * MINUTE
        ids.append((-world.now, world.capture(person.body(external_id=f"n{number}"))[0]["id"]))
    seen, cursor = [], None
    while True:
        page, cursor = world.desk.leads(stage="new", limit=2, cursor=cursor)
        seen += [lead["id"] for lead in page]
        if cursor is None:
            break
    assert seen == [lead_id for _, lead_id in sorted(ids)]
    assert world.desk.leads(stage="won") == ([], None)
    assert world.desk.leads(owner="wang") == ([], None)
    of_person, cursor = world.desk.leads_of(page[0]["person"], limit=6)
    assert [lead["id"] for lead in of_person] == seen[:6]
    assert [lead["id"] for lead in world.desk.leads_of(page[0]["person"], limit=6, cursor=cursor)[0]] == seen[6:]
    assert "events" not in of_person[0]["trail"]


def test_leads_are_found_by_contact_and_by_any_identifier_of_the_person(world: World, person: Person) -> None:
    world.visit(person.openid, person.member, at=NOON - DAY)
    lead, _ = world.capture(person.body())
    for kind, value in [
        ("phone", person.phone),
        ("phone", f"{person.phone[3:6]}-{person.phone[6:]}"),
        ("member_id", person.member.value),
        ("name", "李晓梅"),
    ]:
        assert [each["id"] for each in world.desk.lookup(kind, value)] == [lead["id"]]
    assert world.desk.lookup("phone", "13711112222") == []
    assert world.desk.lookup("phone", "no phone") == []


def test_a_lead_that_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        world.desk.lead("ld_none")


def test_identifiers_of_others_in_the_trail_are_masked(world: World, person: Person) -> None:
    phone = Identifier("phone", person.phone)
    world.visit(phone, person.cookie, at=NOON - HOUR, name="form_submitted", message=f"call {person.phone}")
    lead, _ = world.capture(person.body())
    [event] = lead["trail"]["events"]
    masked_phone = f"{person.phone[:6]}****{person.phone[-4:]}"
    assert {each["kind"]: each["value"] for each in event["identifiers"]}["phone"] == masked_phone
    assert event["properties"] == {"message": f"call {masked_phone}"}
