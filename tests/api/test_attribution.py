"""Phones that are sold again and tablets that are shared: whose what happened is, asked of the running product.

Every answer must say the same: the trail, the profile with its counts and traits, the event, the lead and its trail.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.permissions import Role
from cdp.model import Identifier, Source
from cdp.wiring import System
from identity.resolve import State
from tests.api.conftest import ClientOf
from tests.api.test_persons import find
from tests.cdp.intake import Intake, make_event

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def minutes(n: float) -> str:
    return (NOON + timedelta(minutes=n)).isoformat()


def days(n: int) -> str:
    return (NOON + timedelta(days=n)).isoformat()


@dataclass
class Asking:
    """One person at a time, by all calls."""

    client: httpx.Client

    def trail(self, kind: str, value: str) -> list[str]:
        """The names of the events of whose this identifier is, oldest first; the other answers agree with it."""
        person = find(self.client, kind, value)
        events = self.client.get(f"/api/v1/persons/{person['id']}/trail").json()["events"]
        assert person == self.client.get(f"/api/v1/persons/{person['id']}").json()
        assert person["events"] == len(events)
        assert person["first_seen"] == min((each["occurred_at"] for each in events), default=None)
        assert person["last_seen"] == max((each["occurred_at"] for each in events), default=None)
        for each in events:
            assert self.client.get(f"/api/v1/events/{each['id']}").json()["person"] == person["id"]
        return [each["name"] for each in events][::-1]


@pytest.fixture
def asking(data: httpx.Client) -> Asking:
    return Asking(data)


@pytest.fixture
def sales(client_of: ClientOf) -> httpx.Client:
    return client_of(Role.SALES)


@pytest.fixture
def tablet(system: System, intake: Intake, source: Source, visitor: str) -> str:
    """A tablet that four customers have signed in on, weeks ago: more than a device of one person has."""
    device = f"tablet-of-{visitor}"
    for n in range(4):
        intake.take(source.id, signed_in(f"guest-{n}-{visitor}", device, days(-40 + n)))
    known = system.identity.standing_of(Identifier("device_id", device))
    assert known is not None
    assert known.state is State.HUB
    return device


def signed_in(member: str, device: str, at: str, **traits: Any) -> dict[str, Any]:
    context = {"device": {"id": device}}
    return make_event(type="identify", userId=member, anonymousId=None, traits=traits, timestamp=at, context=context)


def viewed(name: str, device: str, at: str) -> dict[str, Any]:
    return make_event(event=name, anonymousId=None, timestamp=at, context={"device": {"id": device}})


def test_a_recycled_phones_old_events_stay_with_the_old_owner_and_new_ones_go_to_the_new_one(
    asking: Asking, intake: Intake, source: Source, visitor: str, phone: str
) -> None:
    def said(at: str, city: str, **fields: Any) -> dict[str, Any]:
        traits = {"phone": phone, "city": city}
        return make_event(type="identify", anonymousId=None, traits=traits, timestamp=at, **fields)

    old, new = f"old-{visitor}", f"new-{visitor}"
    intake.take(
        source.id,
        said(days(-200), "苏州", userId=old),
        said(days(-190), "无锡"),
        said(days(-10), "上海"),
        said(days(-9), "杭州"),
    )
    assert find(asking.client, "phone", phone)["events"] == 4
    intake.take(source.id, said(days(-20), "北京", userId=new))
    before, after = find(asking.client, "member_id", old), find(asking.client, "member_id", new)
    assert before["id"] != after["id"]
    assert find(asking.client, "phone", phone) == after, "now it is the new owner's"
    assert [each["events"] for each in (before, after)] == [2, 3]
    assert [each["traits"]["city"]["value"] for each in (before, after)] == ["无锡", "杭州"]
    assert len(asking.trail("member_id", old)) == 2
    assert len(asking.trail("member_id", new)) == 3
    then = {"at": days(-9)}
    assert asking.client.get(f"/api/v1/persons/{after['id']}", params=then).json()["events"] == 3
    assert asking.client.get(f"/api/v1/persons/{before['id']}", params=then).json()["events"] == 2


def test_views_on_a_showroom_tablet_are_whoevers_signed_in_last(
    asking: Asking, intake: Intake, source: Source, tablet: str, visitor: str
) -> None:
    li, wang = f"li-{visitor}", f"wang-{visitor}"
    intake.take(
        source.id,
        signed_in(li, tablet, minutes(0), city="苏州"),
        viewed("rear_seat", tablet, minutes(5)),
        signed_in(wang, tablet, minutes(20), city="上海"),
        viewed("performance", tablet, minutes(25)),
        viewed("price_list", tablet, minutes(110)),
    )
    assert asking.trail("member_id", li) == ["identified", "rear_seat"]
    assert asking.trail("member_id", wang) == ["identified", "performance"]
    assert asking.trail("device_id", tablet) == ["price_list"], "an hour later it is the tablet's own"
    intake.take(source.id, viewed("steering_wheel", tablet, minutes(7)))
    assert asking.trail("member_id", li) == ["identified", "rear_seat", "steering_wheel"], "and no answer is an old one"


def test_a_login_that_arrives_late_moves_exactly_the_events_of_its_half_hours(
    asking: Asking, intake: Intake, source: Source, tablet: str, visitor: str
) -> None:
    li = f"li-{visitor}"
    intake.take(source.id, *(viewed(f"view_{n}", tablet, minutes(n)) for n in (-31, -30, -1, 29, 30, 31)))
    everything = ["view_-31", "view_-30", "view_-1", "view_29", "view_30", "view_31"]
    assert asking.trail("device_id", tablet) == everything
    intake.take(source.id, signed_in(li, tablet, minutes(0)))
    assert asking.trail("member_id", li) == ["view_-30", "view_-1", "identified", "view_29", "view_30"]
    assert asking.trail("device_id", tablet) == ["view_-31", "view_31"]


def test_a_lead_captured_on_a_shared_tablet_freezes_only_its_persons_session(
    asking: Asking, sales: httpx.Client, intake: Intake, source: Source, tablet: str, visitor: str, phone: str
) -> None:
    li, wang = f"li-{visitor}", f"wang-{visitor}"
    intake.take(
        source.id,
        signed_in(wang, tablet, minutes(-60)),
        viewed("performance", tablet, minutes(-55)),
        signed_in(li, tablet, minutes(0), phone=phone),
        viewed("rear_seat", tablet, minutes(5)),
    )
    body = {
        "source": "showroom",
        "contact": {"name": "李女士", "phone": phone},
        "identifiers": [{"kind": "device_id", "value": tablet}],
        "consent": {"purposes": ["contact"], "text_version": "v3", "at": days(0)},
    }
    lead = sales.post("/api/v1/leads", json=body).json()
    assert [each["name"] for each in lead["trail"]["events"]] == ["rear_seat", "identified"]
    assert lead["trail"]["total"] == 2
    person = find(asking.client, "member_id", li)["id"]
    assert lead["person"] == lead["person_at_capture"] == person
    of_li = sales.get(f"/api/v1/persons/{person}/leads").json()["leads"]
    assert [each["id"] for each in of_li] == [lead["id"]]
    tablets = find(asking.client, "device_id", tablet)["id"]
    assert sales.get(f"/api/v1/persons/{tablets}/leads").json()["leads"] == []
    intake.take(
        source.id,
        viewed("boot_space", tablet, minutes(6)),
        viewed("top_speed", tablet, minutes(-50)),
        viewed("price_list", tablet, minutes(90)),
    )
    later = sales.get(f"/api/v1/leads/{lead['id']}").json()["trail"]
    assert [each["event"]["name"] for each in later["additions"]] == ["boot_space"]
    intake.take(source.id, viewed("seat_heating", tablet, minutes(200)), signed_in(li, tablet, minutes(210)))
    later = sales.get(f"/api/v1/leads/{lead['id']}").json()["trail"]
    assert [each["event"]["name"] for each in later["additions"]] == ["identified", "seat_heating", "boot_space"]
