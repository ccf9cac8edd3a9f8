"""Ms. Li's journey as the product's own dialects read it, and her card."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from rich.console import Console

from cdp.card import lead_card
from cdp.demo_journey import Journey
from cdp.model import DAY_MS, Event, Fact, Hit, Source, SourceKind
from cdp.moments import rfc3339
from collectors.registry import DIALECTS
from identity.kinds import blocked
from identity.normalise import normalise
from profiles.interests import interests, load_topics

NOW = int(datetime(2026, 11, 22, 2, 10, tzinfo=UTC).timestamp() * 1000)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def told(now: int = NOW, zone: str = "Asia/Shanghai") -> list[Event]:
    """The events of the whole journey, as they come out of the dialects."""
    journey = Journey(now=now, zone=ZoneInfo(zone))
    sources = {
        f"key-of-{end}": Source(id=made["name"], kind=SourceKind(made["kind"]), keys=(f"key-of-{end}",))
        for end, made in journey.sources().items()
    }
    events: list[Event] = []
    for number, visit in enumerate([*journey.visits(), journey.form()]):
        key = f"key-of-{visit.end}"
        sent = journey.hit(visit, key)
        hit = Hit(
            received_at=now,
            source=sources[key].id,
            dialect="segment" if visit.end == "site" else "sensors",
            method="POST",
            target=sent.target,
            headers={name.lower(): value for name, value in sent.headers.items()},
            client_ip="203.0.113.7",
            body=sent.body,
        )
        for event in DIALECTS[hit.dialect].translate(hit, f"0-{number}", sources.get):
            assert isinstance(event, Event)
            events.append(event)
    return events


def about(event: Event) -> str:
    return f"{event.page.url} {event.page.path} {event.page.title} {event.properties.decode()}"


def test_she_watches_the_rear_seat_video_four_times_and_likes_two_posts() -> None:
    names = [event.name for event in told()]
    assert names.count("video_played") == 4
    assert names.count("post_liked") == 2
    assert names.count("lead_submitted") == 1
    assert names[-1] == "lead_submitted"


def test_she_cares_about_space_looks_at_charging_once_and_never_at_performance() -> None:
    shown = [
        {
            "id": event.id,
            "name": event.name,
            "occurred_at": event.occurred_at,
            "properties": msgspec.json.decode(event.properties),
            "page": {"url": event.page.url, "path": event.page.path, "title": event.page.title},
        }
        for event in told()
    ]
    found = {each["topic"]: each["events"] for each in interests(shown, load_topics(), NOW)}
    assert next(iter(found)) == "space"
    assert found["charging"] == 1
    assert found["family"] >= 2
    assert "performance" not in found


def test_the_visits_are_three_weeks_in_order_on_both_ends() -> None:
    events = told()
    times = [event.occurred_at for event in events]
    assert times == sorted(times)
    assert 20 * DAY_MS < NOW - times[0] < 22 * DAY_MS
    assert {event.source for event in events} == {"demo-site", "demo-mini-program"}


@pytest.mark.parametrize("hour", range(0, 24, 3))
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Los_Angeles", "Pacific/Kiritimati"])
def test_nothing_of_it_lies_in_the_future(hour: int, zone: str) -> None:
    now = NOW + hour * 3_600_000
    assert max(event.occurred_at for event in told(now, zone)) <= now


def test_a_login_on_each_end_ties_them_together() -> None:
    logins = [event for event in told() if event.name == "identified"]
    assert {event.source for event in logins} == {"demo-site", "demo-mini-program"}
    assert {event.fact for event in logins} == {Fact.LOGIN}
    assert len({event.identifiers[0] for event in logins}) == 1
    assert logins[0].identifiers[0].kind == "member_id"


def test_before_her_login_she_is_nobody_known() -> None:
    for source in ("demo-site", "demo-mini-program"):
        events = [event for event in told() if event.source == source]
        login = next(index for index, event in enumerate(events) if event.name == "identified")
        known = ["member_id" in {each.kind for each in event.identifiers} for event in events]
        assert known == [index >= login for index in range(len(events))]


def test_her_identifiers_are_no_placeholders() -> None:
    phone = Journey(now=NOW, zone=SHANGHAI).li["phone"]
    assert normalise("phone", phone) == phone
    assert blocked("phone", phone) is None
    for event in told():
        assert [each for each in event.identifiers if blocked(each.kind, each.value)] == []


def test_event_ids_are_unique() -> None:
    ids = [event.id for event in told()]
    assert len(set(ids)) == len(ids)


def lead(**changes: Any) -> dict[str, Any]:
    """A lead as the API gives it."""
    at = rfc3339(NOW)
    event = {"occurred_at": at, "source": "demo-site", "name": "page_viewed", "properties": {}}
    return {
        "id": "ld_1",
        "source": "demo-site",
        "person": "p_1",
        "created_at": at,
        "contact": {"name": "李女士", "phone": "+8613812345678"},
        "channel": "auto_show",
        "campaign": {"name": "国际车展"},
        "interest": {"series": "远栖 S6"},
        "trail": {"complete": True, "total": 30, "events": [event | {"page": {"title": "后排空间"}}], "additions": []},
        "interests": [
            {"topic": "space", "label": {"zh": "内部空间", "en": "space"}, "score": 8.69, "events": 15, "last_at": at}
        ],
        "summary": {"zh": "最关注内部空间。", "en": "Cares most about space."},
        "why": [
            {
                "identifier": {"kind": "anonymous_id", "value": "a1"},
                "with": {"kind": "member_id", "value": "m1"},
                "linked_by": "login",
                "strength": 4,
                "since": at,
            }
        ],
    } | changes


def printed(found: dict[str, Any], width: int = 100) -> str:
    out = StringIO()
    Console(file=out, width=width, emoji=False).print(lead_card(found, SHANGHAI))
    return out.getvalue()


def test_a_card_in_a_pipe_is_plain_text_with_all_that_the_adviser_needs() -> None:
    text = printed(lead())
    assert "\x1b" not in text
    for part in (
        "李女士",
        "+8613812345678",
        "最关注内部空间",
        "Cares most about space",
        "8.69",
        "后排空间",
        "login 登录",
    ):
        assert part in text
    assert "✓ complete" in text
    assert "2026-11-22 10:10" in text


def test_a_card_says_when_the_trail_is_not_whole() -> None:
    late = {"event": lead()["trail"]["events"][0] | {"page": {"title": "迟到的一页"}}}
    text = printed(lead(trail=lead()["trail"] | {"complete": False, "additions": [late]}))
    assert "incomplete" in text
    assert "complete 轨迹完整" not in text
    assert "迟到的一页" in text


def test_a_card_of_a_stranger_has_no_empty_tables() -> None:
    text = printed(
        lead(person=None, trail={"complete": True, "total": 0, "events": [], "additions": []}, interests=[], why=[])
    )
    assert "cares about" not in text
    assert "why we believe" not in text


def test_what_came_from_outside_cannot_paint_the_card() -> None:
    nasty = "[bold red]free[/] [link=https://evil.example]cars[/link]"
    event = lead()["trail"]["events"][0] | {"name": nasty, "source": nasty, "page": {"title": nasty}}
    text = printed(lead(contact={"name": nasty}, channel=nasty, trail=lead()["trail"] | {"events": [event]}), width=400)
    assert text.count(nasty) == 5


def test_control_characters_of_outsiders_do_not_reach_the_terminal() -> None:
    text = printed(lead(contact={"name": "李\x1b[2J\x07女士"}))
    assert "\x1b" not in text
    assert "\x07" not in text
