"""The PostHog dialect: paths, keys, packings, whose ids, times, answers, and every trap that real clients set."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.errors import MalformedHit, TooLarge
from cdp.model import Dropped, DropReason, Event, EventType, Fact
from collectors.dialect import MAX_EVENT_BYTES, Unreadable
from collectors.registry import DIALECTS, route
from tests.collectors.hits import CHROME, RECEIVED_AT, SOURCES, ids_of, make_request, outcomes_of, read

POSTHOG = DIALECTS["posthog"]
SENT = "2026-11-22T04:00:00.000Z"
"""RECEIVED_AT as text."""
DEVICE = "01a20148-e73b-7cf4-93ff-4f3084ad86f0"
AFTER_RESET = "01a20152-43e6-7fca-b758-7728fd1240f1"
NEW = "/i/v1/analytics/events"
BEARER = {"authorization": "Bearer site-key"}


def make_event(**fields: Any) -> dict[str, Any]:
    """As posthog-js sends it: `properties` are merged with those of a page, all others are fields."""
    properties = {"$lib": "web", "distinct_id": DEVICE, "$device_id": DEVICE, **fields.pop("properties", {})}
    return {"event": "car_viewed", "uuid": "e-1", "timestamp": SENT, "properties": properties, **fields}


def of_server(**fields: Any) -> dict[str, Any]:
    properties = {"$lib": "posthog-node", "$is_server": True, **fields.pop("properties", {})}
    return {
        "event": "order_paid",
        "uuid": "e-1",
        "timestamp": SENT,
        "distinct_id": "u1",
        "properties": properties,
        **fields,
    }


def batch_of(*events: Any, **fields: Any) -> dict[str, Any]:
    return {"api_key": "site-key", "batch": list(events), "sent_at": SENT, **fields}


def event_of(told: Any, *, target: str = "/e/", headers: dict[str, str] | None = None, **more: Any) -> Event:
    (event,) = outcomes_of(make_request(target, told, headers=headers), POSTHOG, **more)
    assert isinstance(event, Event), event
    return event


def dropped_of(told: Any, *, target: str = "/e/") -> Dropped:
    (dropped,) = outcomes_of(make_request(target, told), POSTHOG)
    assert isinstance(dropped, Dropped)
    return dropped


# Paths and what is no hit.


@pytest.mark.parametrize("path", ["/e", "/i/v0/e", "/capture", "/track", "/engage", "/batch"])
def test_old_paths_take_hits_by_post_and_get_with_and_without_a_slash(path: str) -> None:
    assert [route(method, each) for method in ("POST", "GET") for each in (path, path + "/")] == [POSTHOG] * 4


def test_the_new_path_takes_posts_only() -> None:
    assert route("POST", NEW) is POSTHOG
    assert route("GET", NEW) is None


def test_a_recording_of_a_session_is_answered_and_not_kept() -> None:
    assert route("POST", "/s/") is None
    answer = POSTHOG.config(make_request("/s/?compression=gzip-js", [{"event": "$snapshot"}]))
    assert answer is not None
    assert (answer.status, json.loads(answer.body)) == (200, {"status": 1})
    assert dropped_of(make_event(event="$snapshot")).reason is DropReason.MALFORMED_EVENT


def test_a_browser_is_told_to_capture_by_itself_and_to_pack_without_a_preflight() -> None:
    answer = POSTHOG.config(make_request("/array/site-key/config", method="GET"))
    assert answer is not None
    told = json.loads(answer.body)
    assert told["autocapture_opt_out"] is False
    assert "gzip-js" in told["supportedCompression"]
    assert told["sessionRecording"] is False


def test_the_settings_as_a_script_cannot_be_made_another_script() -> None:
    hostile = '</script><script>alert("x")//'
    request = make_request("/array/x/config.js", method="GET")
    request.path = f"/array/{hostile.replace('/', '_')}/config.js"
    answer = POSTHOG.config(request)
    assert answer is not None
    assert answer.content_type == "application/javascript"
    assert b"<" not in answer.body
    assert b'alert(\\"x\\")' in answer.body


@pytest.mark.parametrize("path", ["/flags/?v=2", "/decide/?v=3"])
def test_no_flag_is_known_and_old_browsers_learn_their_settings_beside_them(path: str) -> None:
    answer = POSTHOG.config(make_request(path, {"token": "site-key", "distinct_id": "u1"}))
    assert answer is not None
    told = json.loads(answer.body)
    assert (told["flags"], told["featureFlags"], told["errorsWhileComputingFlags"]) == ({}, {}, False)
    assert ("supportedCompression" in told) == path.startswith("/decide")


def test_scripts_of_the_sdk_are_not_here() -> None:
    answer = POSTHOG.config(make_request("/static/1.449.2/recorder.js?v=1", method="GET"))
    assert answer is not None
    assert answer.status == 404


# Keys.


def test_the_key_of_the_batch_decides_then_the_first_of_its_events() -> None:
    assert read(make_request("/batch/", batch_of()), POSTHOG).key == "site-key"
    assert read(make_request("/e/?token=site-key", {"event": "x", "distinct_id": "d"}), POSTHOG).key == "site-key"
    assert read(make_request("/batch/", {"token": "t", "batch": []}), POSTHOG).key == "t"
    assert read(make_request("/e/", [5, {}, make_event(properties={"token": "p"})]), POSTHOG).key == "p"
    assert read(make_request("/capture/", make_event(api_key="a")), POSTHOG).key == "a"
    assert read(make_request("/e/", [{"$token": "old"}]), POSTHOG).key == "old"
    assert read(make_request("/e/", [make_event()]), POSTHOG).key == ""


def test_the_new_protocol_has_its_key_in_a_header() -> None:
    assert read(make_request(NEW, {"batch": [of_server()]}, headers=BEARER), POSTHOG).key == "site-key"
    with pytest.raises(Unreadable) as unreadable:
        read(make_request(NEW, b"{", headers=BEARER), POSTHOG)
    assert unreadable.value.key == "site-key"
    assert read(make_request(NEW, batch_of(of_server())), POSTHOG).key == ""


def test_where_a_hit_mixes_keys_each_event_belongs_to_its_own() -> None:
    events = [make_event(uuid=key, properties={"token": key}) for key in ("site-key", "other-key", "nobody")]
    first, second, third = outcomes_of(make_request("/e/", events), POSTHOG)
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert isinstance(third, Dropped)
    assert (first.source, second.source) == ("site", "other")
    assert (third.reason, third.index) == (DropReason.UNKNOWN_KEY, 2)


def test_no_key_stays_in_the_properties() -> None:
    for told in (
        batch_of(make_event(properties={"token": "site-key"})),
        [make_event(properties={"token": "site-key"})],
    ):
        assert "site-key" not in event_of(told).properties.decode()


@pytest.mark.parametrize("target", ["/batch/", NEW])
def test_a_teams_own_property_named_token_is_no_key(target: str) -> None:
    told = batch_of(of_server(properties={"token": "coupon-7"}))
    if target == NEW:
        del told["api_key"]
    assert json.loads(event_of(told, target=target).properties)["token"] == "coupon-7"


# Packings.


def bare_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


def form(body: bytes) -> bytes:
    return b"data=" + quote(base64.b64encode(body), safe="").encode()


@pytest.mark.parametrize(
    ("target", "pack", "encoding"),
    [
        ("/e/", gzip.compress, ""),
        ("/e/?compression=gzip-js", gzip.compress, ""),
        ("/batch/", gzip.compress, "gzip"),
        ("/batch/", bytes, "gzip"),
        (NEW, zlib.compress, "deflate"),
        (NEW, bare_deflate, "deflate"),
        ("/e/?compression=base64", form, ""),
        ("/e/", lambda body: form(body) + b"&compression=base64", ""),
        ("/e/", lambda body: form(gzip.compress(body)), ""),
        ("/e/", lambda body: b"ver=1&data=" + quote(body).encode(), ""),
        ("/e/", lambda body: b"data=" + body.replace(b"&", b"%26").replace(b" ", b"+"), ""),
        ("/e/", base64.b64encode, ""),
    ],
)
def test_bodies_are_read_however_they_are_packed(target: str, pack: Callable[[bytes], bytes], encoding: str) -> None:
    told = batch_of(make_event(properties={"title": "a&b = 100% 看车"}), make_event(uuid="e-2"))
    request = make_request(target, pack(json.dumps(told).encode()), headers={**BEARER, "content-encoding": encoding})
    envelope = read(request, POSTHOG)
    assert (envelope.key, envelope.events) == ("site-key", 2)
    first, _ = outcomes_of(request, POSTHOG)
    assert isinstance(first, Event)
    assert json.loads(first.properties)["title"] == "a&b = 100% 看车"


def test_oldest_browsers_pack_with_lz_string() -> None:
    # What lz-string 1.5.0 makes of [{"event":"x","properties":{"title":"看车😀"}}].
    packed = b"NobwRApgbhB2AuYBcYAeYA0YAOAnA9thLvAJYQDOy4Z8ANhMmINDugZvGC8G4AB7YAvjwLpA"
    for body in (packed, b"data=" + packed):
        assert json.loads(event_of(body, target="/e/?compression=lz64").properties) == {"title": "看车😀"}


def test_an_event_comes_in_the_address_of_an_image_too() -> None:
    told = base64.b64encode(json.dumps(make_event(timestamp=None, properties={"token": "site-key"})).encode())
    request = make_request(f"/e/?data={quote(told)}&ip=1&_=1795319000000&ver=1.0", method="GET")
    assert read(request, POSTHOG).key == "site-key"
    assert len(outcomes_of(request, POSTHOG)) == 1


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{", b"data=", b"a=1&b=2", b'{"batch":5}', b"\x1f\x8bx", b"%7B", b"(\xb5"]
)
def test_an_unreadable_body_is_told_as_one(body: bytes) -> None:
    request = make_request(NEW, body, headers=BEARER)
    with pytest.raises(Unreadable):
        read(request, POSTHOG)
    with pytest.raises(MalformedHit):
        outcomes_of(request, POSTHOG)


def test_five_thousand_and_one_events_are_too_many() -> None:
    with pytest.raises(TooLarge):
        read(make_request("/batch/", b'{"api_key":"k","batch":[' + b"{}," * 5_000 + b"{}]}"), POSTHOG)


# Answers.


def test_a_hit_is_answered_with_a_status_of_one() -> None:
    request = make_request("/batch/", batch_of(make_event()))
    assert json.loads(POSTHOG.accepted(request, read(request, POSTHOG)).body) == {"status": 1}


def test_the_new_protocol_is_answered_event_by_event_and_one_bad_event_costs_no_other() -> None:
    events = [
        of_server(uuid="good"),
        of_server(uuid="nameless", event=""),
        of_server(uuid="large", properties={"x": "y" * MAX_EVENT_BYTES}),
        of_server(uuid="strange", api_key="nobody"),
        7,
    ]
    request = make_request(NEW, {"batch": events}, headers=BEARER)
    envelope = read(request, POSTHOG)
    assert envelope.results is not None
    envelope.results.check_keys(SOURCES.get)
    results = json.loads(POSTHOG.accepted(request, envelope).body)["results"]
    assert {uuid: result["result"] for uuid, result in results.items()} == {
        "good": "ok", "nameless": "drop", "large": "drop", "strange": "drop", "#4": "drop",
    }  # fmt: skip
    assert "`event`" in results["nameless"]["details"]
    kept = [outcome for outcome in outcomes_of(request, POSTHOG) if isinstance(outcome, Event)]
    assert [event.client_id for event in kept] == ["good"]


# Whose ids.


def test_before_identify_the_id_is_a_visitors() -> None:
    event = event_of(batch_of(make_event(properties={"$is_identified": False})))
    assert ids_of(event) == [f"anonymous_id:{DEVICE}"]
    assert event.fact is Fact.CO_OCCURRENCE


def test_identify_joins_the_visitor_and_the_contacts_to_the_member() -> None:
    told = make_event(
        event="$identify",
        properties={"distinct_id": "u1", "$user_id": "u1", "$anon_distinct_id": DEVICE, "$is_identified": True},
    )
    told["$set"] = {"email": "li@example.com", "phone": "13800138000", "gone": None}
    told["$set_once"] = {"first_seen": "2026-01-01", "$initial_gclid": None}
    event = event_of(batch_of(told))
    assert ids_of(event) == ["member_id:u1", "phone:13800138000", "email:li@example.com", f"anonymous_id:{DEVICE}"]
    assert (event.type, event.name, event.fact) == (EventType.IDENTIFY, "identified", Fact.LOGIN)
    assert [(change.operation, change.name) for change in event.traits] == [
        ("set_once", "first_seen"), ("set", "email"), ("set", "phone"), ("unset", "gone"),
    ]  # fmt: skip


def test_after_identify_the_id_is_the_members_and_what_the_device_says_proves_nothing() -> None:
    event = event_of(batch_of(make_event(properties={"distinct_id": "u1", "$is_identified": True})))
    assert ids_of(event) == ["member_id:u1", f"anonymous_id:{DEVICE}"]
    assert event.fact is Fact.CO_OCCURRENCE


def test_who_comes_after_reset_is_not_tied_to_the_device_of_who_was_there_before() -> None:
    for flag in ({"$is_identified": False}, {}):
        event = event_of(batch_of(make_event(properties={"distinct_id": AFTER_RESET, **flag})))
        assert ids_of(event) == [f"anonymous_id:{AFTER_RESET}"]
    identify = make_event(
        event="$identify", properties={"distinct_id": "u2", "$anon_distinct_id": AFTER_RESET, "$is_identified": True}
    )
    assert ids_of(event_of(batch_of(identify))) == ["member_id:u2", f"anonymous_id:{AFTER_RESET}"]


def test_a_contact_that_is_set_is_the_members_as_if_said_at_identify() -> None:
    told = make_event(event="$set", properties={"distinct_id": "u1", "$is_identified": True})
    told["$set"] = {"email": "li@example.com"}
    event = event_of(batch_of(told))
    assert (ids_of(event), event.fact) == (["member_id:u1", "email:li@example.com"], Fact.LOGIN)
    told["properties"] |= {"distinct_id": DEVICE, "$is_identified": False}
    assert event_of(batch_of(told)).fact is Fact.CO_OCCURRENCE
    told["properties"]["distinct_id"] = "undefined"
    assert ids_of(event_of(batch_of(told))) == ["email:li@example.com"]


@pytest.mark.parametrize(
    "nobody", ["$posthog_cookieless", "undefined", "null", '"Anonymous"', "[object Object]", "0", 0, " "]
)
def test_an_id_that_a_bug_sends_for_everybody_is_none(nobody: Any) -> None:
    told = make_event(event="$identify", properties={"distinct_id": nobody, "$device_id": None, "$user_id": nobody})
    assert ids_of(event_of(batch_of(told))) == []


def test_a_servers_id_is_a_members_but_for_what_the_browser_drew() -> None:
    assert ids_of(event_of(batch_of(of_server()))) == ["member_id:u1"]
    assert ids_of(event_of(batch_of(of_server(distinct_id=42)))) == ["member_id:42"]
    assert (
        ids_of(event_of(batch_of(of_server(distinct_id="386cdc8b-884f-4247-8d58-a4d6fe6f0e3e"))))[0][:9] == "member_id"
    )
    assert ids_of(event_of(batch_of(of_server(distinct_id=DEVICE)))) == [f"anonymous_id:{DEVICE}"]
    personless = of_server(distinct_id="visitor-7", properties={"$process_person_profile": False})
    assert ids_of(event_of(batch_of(personless))) == ["anonymous_id:visitor-7"]


def test_an_app_without_flags_is_told_by_the_shape_of_its_ids() -> None:
    drawn = "386CDC8B-884F-4247-8D58-A4D6FE6F0E3E"
    for told_id, expected in ((drawn, f"anonymous_id:{drawn}"), ("u1", "member_id:u1")):
        told = make_event(distinct_id=told_id, properties={"$lib": "posthog-ios", "$device_id": None})
        assert ids_of(event_of(batch_of(told))) == [expected]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            make_event(event="$create_alias", properties={"distinct_id": "u1", "$is_identified": True, "alias": "a2"}),
            ["member_id:u1", "anonymous_id:a2"],
        ),
        (make_event(event="$create_alias", properties={"alias": "u1"}), ["member_id:u1", f"anonymous_id:{DEVICE}"]),
        (of_server(event="$create_alias", properties={"alias": "old"}), ["member_id:u1", "anonymous_id:old"]),
        (of_server(event="$merge_dangerously", properties={"alias": "u2"}), ["member_id:u1", "anonymous_id:u2"]),
        (
            of_server(event="$create_alias", distinct_id="a1", properties={"alias": "u1", "$lib": "posthog-python"}),
            ["member_id:u1", "anonymous_id:a1"],
        ),
        (of_server(event="$create_alias", properties={"alias": "u1"}), ["member_id:u1"]),
    ],
)
def test_an_alias_names_one_member_and_never_two(told: dict[str, Any], expected: list[str]) -> None:
    event = event_of(batch_of(told))
    assert ids_of(event) == expected
    assert (event.type, event.name) == (EventType.ALIAS, "aliased")


def test_a_group_is_nobody_though_servers_make_up_an_id_for_it() -> None:
    for drawn in ("$company_g1", "57b752f3-7570-4196-b90e-bddedce5ff1b"):
        group = {"$group_type": "company", "$group_key": "g1", "$group_set": {"name": "Acme"}}
        event = event_of(batch_of(of_server(event="$groupidentify", distinct_id=drawn, properties=group)))
        assert (event.identifiers, event.type, event.name) == ((), EventType.GROUP, "grouped")
        properties = json.loads(event.properties)
        assert (properties["group_id"], properties["traits"]) == ("g1", {"name": "Acme"})


def test_who_wants_no_profile_gets_none() -> None:
    told = make_event(properties={"$process_person_profile": False, "$set": {"email": "li@example.com"}})
    event = event_of(batch_of(told))
    assert (event.traits, ids_of(event)) == ((), [f"anonymous_id:{DEVICE}"])


# Names, traits and properties.


@pytest.mark.parametrize(
    ("told", "kind", "name"),
    [
        ({"event": "$pageview"}, EventType.PAGE, "page_viewed"),
        ({"event": "$screen"}, EventType.PAGE, "page_viewed"),
        ({"event": "$pageleave"}, EventType.TRACK, "page_left"),
        ({"event": "$autocapture", "properties": {"$event_type": "click"}}, EventType.CLICK, "element_clicked"),
        ({"event": "$autocapture", "properties": {"$event_type": "submit"}}, EventType.TRACK, "form_submitted"),
        ({"event": "$autocapture", "properties": {"$event_type": "change"}}, EventType.TRACK, "$autocapture"),
        ({"event": "$rageclick"}, EventType.TRACK, "$rageclick"),
        ({"event": "$set"}, EventType.PROFILE, "profile_updated"),
        ({"event": "Application Opened"}, EventType.TRACK, "app_opened"),
        ({"event": "看车"}, EventType.TRACK, "看车"),
    ],
)
def test_what_the_sdk_collects_by_itself_has_our_names(told: dict[str, Any], kind: EventType, name: str) -> None:
    event = event_of(batch_of(make_event(**told)))
    assert (event.type, event.name, event.original_name) == (kind, name, told["event"])


def test_any_event_may_change_traits_which_are_no_properties_then() -> None:
    told = of_server(properties={"total": 99.5, "$set": {"plan": "a", "city": "上海"}, "$unset": ["old", 5]})
    told["$set"] = {"plan": "vip"}
    event = event_of(batch_of(told))
    changes = {change.name: (change.operation, change.value) for change in event.traits}
    assert changes == {"plan": ("set", '"vip"'), "city": ("set", '"上海"'), "old": ("unset", "null")}
    assert json.loads(event.properties) == {"$lib": "posthog-node", "$is_server": True, "total": 99.5}


def test_an_update_of_a_property_may_come_without_a_name_to_its_own_path_only() -> None:
    told = {"token": "site-key", "$distinct_id": DEVICE, "$set": {"city": "上海"}}
    event = event_of(told, target="/engage/")
    assert (event.original_name, ids_of(event), event.traits[0].name) == (
        "$identify",
        [f"anonymous_id:{DEVICE}"],
        "city",
    )
    assert dropped_of(told).reason is DropReason.MALFORMED_EVENT


def test_fields_of_an_unexpected_shape_are_left_out_and_the_event_stays() -> None:
    event = event_of(
        {"event": "x", "uuid": ["a"], "distinct_id": {"a": 1}, "timestamp": [], "offset": "9", "properties": [1, 2],
         "options": 5, "$set": 3, "$unset": "x", "session_id": {}}
    )  # fmt: skip
    assert (event.identifiers, event.occurred_at, event.traits) == ((), RECEIVED_AT, ())
    assert json.loads(event.properties) == {"value": [1, 2]}


def test_numbers_and_texts_of_properties_come_out_as_they_went_in() -> None:
    told = rb'{"event":"x","properties":{"big":123456789012345678901234567890,"f":0.1,"s":"\u4e2d\ud83d\ude00"}}'
    assert json.loads(event_of(told).properties) == {"big": 123456789012345678901234567890, "f": 0.1, "s": "中😀"}


# Page, campaign, device.


def test_page_device_session_and_app_are_read_from_the_preset_properties() -> None:
    page = {
        "$current_url": "https://shop.example/cars?utm_source=wechat&gclid=G1",
        "$pathname": "/cars",
        "$referrer": "$direct",
        "title": "看车",
        "$session_id": "s-1",
        "$raw_user_agent": CHROME,
        "$browser_language": "zh-CN",
        "$app_version": "5.1",
    }
    event = event_of(batch_of(make_event(event="$pageview", properties=page)))
    assert (event.page.path, event.page.title, event.page.referrer) == ("/cars", "看车", "")
    assert (event.campaign.source, event.campaign.click_ids) == ("wechat", {"gclid": "G1"})
    assert (event.device.kind, event.device.browser, event.device.os) == ("desktop", "Chrome", "Linux")
    assert (event.session, event.locale, event.app.version, event.platform) == ("s-1", "zh-CN", "5.1", "web")


def test_the_campaign_of_a_former_visit_is_not_that_of_this_one() -> None:
    kept = {"utm_source": "wechat", "gclid": "G1", "$current_url": "https://shop.example/cars"}
    assert event_of(batch_of(make_event(properties=kept))).campaign.source == "wechat"
    direct = {**kept, "$session_entry_url": "https://shop.example/"}
    assert event_of(batch_of(make_event(properties=direct))).campaign.source == ""
    paid = {**kept, "$session_entry_url": "https://shop.example/?utm_source=baidu&bd_vid=B1"}
    campaign = event_of(batch_of(make_event(properties=paid))).campaign
    assert (campaign.source, campaign.click_ids) == ("baidu", {"bd_vid": "B1"})


def test_a_server_is_no_device_and_has_no_address_of_a_person() -> None:
    event = event_of(batch_of(of_server(properties={"$os": "Linux"})), headers={"user-agent": "posthog-node/5.70.0"})
    assert (event.platform, event.device.os, event.ip) == ("server", "", "")
    assert event_of(batch_of(of_server(properties={"$ip": "1.2.3.4"}))).ip == "1.2.3.4"
    assert event_of(batch_of(make_event())).ip == "203.0.113.7"
    assert event_of(batch_of(make_event(properties={"$geoip_disable": True}))).ip == ""


def test_an_app_is_a_mobile_device_of_its_system() -> None:
    told = {"$lib": "posthog-react-native", "$os_name": "iOS", "$os_version": "18.1", "$device_model": "iPhone16,1"}
    event = event_of(batch_of(make_event(properties=told)), headers={"user-agent": "Shop/1 CFNetwork/1490"})
    assert (event.platform, event.device.kind, event.device.os, event.device.model) == (
        "ios",
        "mobile",
        "iOS",
        "iPhone16,1",
    )


# Time and repeats.

HOUR_MS = 3_600_000


def sent_late(**fields: Any) -> dict[str, Any]:
    """A batch of a clock that is two hours slow: captured at two, sent at two by that clock, received at four."""
    return batch_of(
        fields.pop("event", make_event(timestamp="2026-11-22T02:00:00Z")), sent_at="2026-11-22T02:00:00Z", **fields
    )


def test_a_wrong_clock_is_corrected_by_the_time_of_sending() -> None:
    assert event_of(sent_late()).occurred_at == RECEIVED_AT
    by_query = [make_event(timestamp="2026-11-22T02:00:00Z", properties={"token": "site-key"})]
    assert event_of(by_query, target=f"/e/?_={RECEIVED_AT - 2 * HOUR_MS}").occurred_at == RECEIVED_AT
    assert event_of(by_query, target=f"/e/?_={RECEIVED_AT // 1000}").occurred_at == RECEIVED_AT - 2 * HOUR_MS


@pytest.mark.parametrize(
    "told",
    [
        sent_late(event=of_server(timestamp="2026-11-22T02:00:00Z")),
        sent_late(event=make_event(timestamp="2026-11-22T02:00:00Z", properties={"$ignore_sent_at": True})),
        sent_late(historical_migration=True),
    ],
    ids=["a server", "told not to", "an import"],
)
def test_a_clock_that_is_right_is_not_corrected(told: dict[str, Any]) -> None:
    assert event_of(told).occurred_at == RECEIVED_AT - 2 * HOUR_MS


def test_the_new_protocols_time_of_sending_is_in_a_header() -> None:
    sent = make_event(timestamp="2026-11-22T02:00:00Z", properties={"$lib": ""})
    headers = {"posthog-request-timestamp": "2026-11-22T02:00:00Z", "posthog-sdk-info": "posthog-js-lite/4.0"}
    assert event_of({"batch": [sent]}, target=NEW, headers=headers).occurred_at == RECEIVED_AT
    sent["options"] = {"disable_skew_correction": True}
    event = event_of({"created_at": SENT, "batch": [sent]}, target=NEW, headers=headers)
    assert (event.occurred_at, event.platform) == (RECEIVED_AT - 2 * HOUR_MS, "web")


def test_an_offset_says_how_long_ago_it_was() -> None:
    assert event_of([make_event(timestamp="2000-01-01", offset=5_000)]).occurred_at == RECEIVED_AT - 5_000


def test_repeats_are_known_by_uuid_else_by_insert_id_else_by_content() -> None:
    assert event_of([make_event()]).client_id == "e-1"
    assert event_of([make_event(uuid="", properties={"$insert_id": "i-1"})]).client_id == "i-1"
    first, again, other = (
        event_of(make_event(uuid=None, event=name, sent_at=sent, offset=offset), hit_id=hit).client_id
        for name, sent, offset, hit in (("a", 1, None, "0-1"), ("a", 2, 9, "0-2"), ("b", 1, None, "0-1"))
    )
    assert first == again != other
    untimed = [event_of(make_event(uuid=None, timestamp=None), hit_id=hit).client_id for hit in ("0-1", "0-2")]
    assert untimed[0] != untimed[1]


# Whatever comes.

_PIECES = st.sampled_from(
    ["event", "$identify", "distinct_id", "properties", "token", "$set", "$set_once", "$unset", "batch", "site-key",
     "api_key", "alias", "$create_alias", "timestamp", "offset", "options", "$device_id", "uuid", SENT, "/engage/"]
)  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | _PIECES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_PIECES | st.text(max_size=3), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=80) | _VALUES.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(["/e/", "/engage/", NEW, "/e/?compression=lz64", "/e/?compression=base64&_=1"]),
    st.sampled_from([bytes, gzip.compress, form, base64.b64encode]),
)
def test_no_bytes_do_more_than_be_refused_in_words(body: bytes, target: str, pack: Callable[[bytes], bytes]) -> None:
    request = make_request(target, pack(body), headers=BEARER)
    try:
        envelope = read(request, POSTHOG)
    except (Unreadable, TooLarge):
        with pytest.raises(MalformedHit):
            outcomes_of(request, POSTHOG)
        return
    POSTHOG.accepted(request, envelope)
    assert len(outcomes_of(request, POSTHOG)) == envelope.events
