"""The Segment and RudderStack dialect: paths, keys, answers, and every trap that real clients set."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.errors import MalformedHit, TooLarge, UnknownSource
from cdp.model import Dropped, DropReason, Event, EventType, Fact, Operation
from collectors.dialect import MAX_EVENT_BYTES, Request, Unreadable
from collectors.record import MAX_DEPTH
from collectors.registry import DIALECTS, route
from tests.collectors.hits import CHROME, RECEIVED_AT, basic, ids_of, make_request, outcomes_of, read

SEGMENT = DIALECTS["segment"]
SENT = "2026-11-22T04:00:00.000Z"
"""RECEIVED_AT as text."""
KEYED = {"authorization": basic("site-key")}


def make_call(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "test_drive_requested", "messageId": "m-1", "userId": "u1", **fields}


def event_of(call: Any, *, target: str = "/v1/track", headers: dict[str, str] | None = None, **more: Any) -> Event:
    (event,) = outcomes_of(make_request(target, call, headers=headers), SEGMENT, **more)
    assert isinstance(event, Event)
    return event


def dropped_of(call: Any, *, target: str = "/v1/track") -> Dropped:
    (dropped,) = outcomes_of(make_request(target, call), SEGMENT)
    assert isinstance(dropped, Dropped)
    return dropped


# Paths and answers.


@pytest.mark.parametrize("call", ["track", "identify", "page", "screen", "group", "alias", "merge", "batch", "import"])
def test_every_documented_path_takes_hits(call: str) -> None:
    assert SEGMENT.handles("POST", f"/v1/{call}")
    assert not SEGMENT.handles("GET", f"/v1/{call}")


@pytest.mark.parametrize("letter", "tipsgab")
def test_one_letter_paths_of_analytics_js_take_hits_with_and_without_v1(letter: str) -> None:
    assert SEGMENT.handles("POST", f"/v1/{letter}")
    assert SEGMENT.handles("POST", f"/{letter}")


def test_one_letter_and_a_slash_is_another_vendors_path() -> None:
    paths = ("/s/", "/e/", "/e", "/track", "/batch/", "/pixel/v1/track")
    assert not any(SEGMENT.handles("POST", path) for path in paths)


@pytest.mark.parametrize("path", ["/api/s/track", "/api/s/s2s/track"])
def test_jitsu_has_paths_a_header_and_an_answer_of_its_own(path: str) -> None:
    request = make_request(path, make_call(writeKey="site-key:***"), headers={"x-write-key": "site-key:secret"})
    envelope = read(request, SEGMENT)
    assert (envelope.key, envelope.other_key) == ("site-key:secret", "site-key")
    assert json.loads(SEGMENT.accepted(request, envelope).body) == {"ok": True}
    (event,) = outcomes_of(request, SEGMENT)
    assert isinstance(event, Event)
    assert event.source == "site"


def test_metrics_are_answered_and_are_no_hit() -> None:
    for path in ("/v1/m", "/m", "/rsaMetrics"):
        assert route("POST", path) is None
        answer = SEGMENT.config(make_request(path, {"series": []}))
        assert answer is not None
        assert answer.status == 200


def test_health_is_no_hit() -> None:
    assert route("GET", "/health") is None
    answer = SEGMENT.config(make_request("/health", method="GET"))
    assert answer is not None
    assert answer.status == 200


def test_settings_point_the_browser_at_us_and_switch_its_metrics_off() -> None:
    request = make_request("/v1/projects/site-key/settings", method="GET", headers={"host": "collect.example.com"})
    answer = SEGMENT.config(request)
    assert answer is not None
    assert json.loads(answer.body) == {
        "integrations": {"Segment.io": {"apiKey": "site-key", "apiHost": "collect.example.com/v1"}},
        "metrics": {"sampleRate": 0},
    }


def test_settings_say_http_on_loopback_only() -> None:
    request = make_request("/v1/projects/k/settings", method="GET", headers={"host": "127.0.0.1:8001"})
    answer = SEGMENT.config(request)
    assert answer is not None
    assert json.loads(answer.body)["integrations"]["Segment.io"]["protocol"] == "http"


def test_settings_without_a_host_are_refused_since_the_sdk_would_send_to_segment() -> None:
    for host in ("", "evil host", 'a"b'):
        answer = SEGMENT.config(make_request("/v1/projects/k/settings", method="GET", headers={"host": host}))
        assert answer is not None
        assert answer.status == 400


def test_rudderstack_gets_a_configuration_that_sends_no_statistics() -> None:
    answer = SEGMENT.config(make_request("/sourceConfig/?p=npm&writeKey=RWK", method="GET"))
    assert answer is not None
    source = json.loads(answer.body)["source"]
    assert source["id"] == "RWK"
    assert source["destinations"] == []
    assert source["config"]["statsCollection"] == {"errors": {"enabled": False}, "metrics": {"enabled": False}}


def test_a_hit_is_answered_200_and_success() -> None:
    request = make_request("/v1/track", make_call(), headers=KEYED)
    answer = SEGMENT.accepted(request, read(request, SEGMENT))
    assert (answer.status, json.loads(answer.body)) == (200, {"success": True})
    assert SEGMENT.refused(request, UnknownSource()) is None


def test_a_pixel_is_answered_with_an_image_whatever_becomes_of_it() -> None:
    request = make_request("/pixel/v1/track?writeKey=site-key&event=x", method="GET")
    assert SEGMENT.accepted(request, read(request, SEGMENT)).content_type == "image/gif"
    refusal = SEGMENT.refused(request, UnknownSource())
    assert refusal is not None
    assert refusal.content_type == "image/gif"


# Keys.


def test_the_key_of_the_header_decides() -> None:
    request = make_request("/v1/track?writeKey=query-key", make_call(writeKey="body-key"), headers=KEYED)
    assert read(request, SEGMENT).key == "site-key"


def test_then_the_key_of_the_query_then_the_first_of_the_body() -> None:
    assert read(make_request("/beacon/v1/batch?writeKey=q", {"writeKey": "b", "batch": []}), SEGMENT).key == "q"
    assert read(make_request("/v1/track", make_call(writeKey="b")), SEGMENT).key == "b"
    assert read(make_request("/v1/batch", {"batch": [5, {}, make_call(writeKey="c")]}), SEGMENT).key == "c"
    assert read(make_request("/v1/track", make_call()), SEGMENT).key == ""


@pytest.mark.parametrize("header", ["Bearer x.y", "Basic !", "Basic", "basic /////w==", "x" * 5000])
def test_a_header_without_a_key_leaves_it_to_the_body(header: str) -> None:
    request = make_request("/v1/track", make_call(writeKey="b"), headers={"authorization": header})
    assert read(request, SEGMENT).key == "b"


def test_where_a_hit_mixes_keys_each_event_belongs_to_its_own() -> None:
    batch = [make_call(writeKey=key, messageId=key) for key in ("site-key", "other-key", "nobody")]
    first, second, third = outcomes_of(make_request("/v1/batch", {"batch": batch}), SEGMENT)
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert isinstance(third, Dropped)
    assert (first.source, second.source) == ("site", "other")
    assert (third.source, third.reason, third.index) == ("", DropReason.UNKNOWN_KEY, 2)


def test_an_event_whose_key_was_taken_out_of_use_since_stays_with_its_source() -> None:
    assert event_of(make_call(writeKey="rotated-away"), source="site").source == "site"


# Reading.


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "image/png", ""])
def test_the_content_type_is_never_believed(content_type: str) -> None:
    body = gzip.compress(json.dumps({"batch": [make_call()]}).encode())
    request = make_request("/v1/batch", body, headers={**KEYED, "content-type": content_type})
    assert read(request, SEGMENT).events == 1
    assert len(outcomes_of(request, SEGMENT)) == 1


def test_a_content_encoding_that_a_proxy_left_behind_does_no_harm() -> None:
    request = make_request("/v1/track", make_call(), headers={**KEYED, "content-encoding": "gzip"})
    assert read(request, SEGMENT).events == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"5", b'"x"', b"{", b'{"event":"x"', b'{"event":"\xff"}', b'{"batch":5}', b"\x1f\x8bx", b"a=1&b=2"],
)
def test_an_unreadable_body_names_its_key(body: bytes) -> None:
    request = make_request("/v1/track", body, headers=KEYED)
    with pytest.raises(Unreadable) as unreadable:
        read(request, SEGMENT)
    assert unreadable.value.key == "site-key"
    with pytest.raises(MalformedHit):
        outcomes_of(request, SEGMENT)


def test_five_thousand_and_one_events_are_too_many() -> None:
    with pytest.raises(TooLarge):
        read(make_request("/v1/batch", b'{"batch":[' + b"{}," * 5_000 + b"{}]}"), SEGMENT)


def test_an_empty_batch_holds_nothing_and_is_no_error() -> None:
    request = make_request("/v1/batch", {"batch": []}, headers=KEYED)
    assert read(request, SEGMENT).events == 0
    assert outcomes_of(request, SEGMENT) == []


def test_a_bare_array_is_a_batch() -> None:
    assert len(outcomes_of(make_request("/v1/batch", [make_call(), make_call(messageId="m-2")]), SEGMENT)) == 2


# Single records.


def test_a_bad_record_is_dropped_alone_with_its_index_and_without_its_values() -> None:
    batch = [make_call(), "13800138000", make_call(messageId="m-2")]
    outcomes = outcomes_of(make_request("/v1/batch", {"batch": batch}), SEGMENT)
    assert [type(outcome) for outcome in outcomes] == [Event, Dropped, Event]
    dropped = outcomes[1]
    assert isinstance(dropped, Dropped)
    assert (dropped.reason, dropped.index, dropped.source) == (DropReason.MALFORMED_EVENT, 1, "site")
    assert dropped.hit == "0-7"
    assert "138" not in dropped.detail


def test_an_event_over_a_megabyte_is_dropped_and_the_others_of_its_hit_go_on() -> None:
    large = make_call(properties={"x": "y" * MAX_EVENT_BYTES})
    first, second = outcomes_of(make_request("/v1/batch", {"batch": [large, make_call()]}), SEGMENT)
    assert isinstance(first, Dropped)
    assert first.reason is DropReason.EVENT_TOO_LARGE
    assert isinstance(second, Event)


def test_a_track_call_without_a_name_is_no_event() -> None:
    assert dropped_of({"type": "track", "userId": "u1"}).reason is DropReason.MALFORMED_EVENT
    assert dropped_of({"userId": "u1"}, target="/v1/batch").reason is DropReason.MALFORMED_EVENT


def test_a_number_that_nobody_can_decode_drops_its_event() -> None:
    assert dropped_of(b'{"type":"track","event":"x","properties":{"n":1e999}}').reason is DropReason.MALFORMED_EVENT


def test_properties_that_nest_without_end_drop_their_event() -> None:
    def nested(depth: int) -> bytes:
        return b'{"event":"x","properties":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"

    assert event_of(nested(MAX_DEPTH)).name == "x"
    assert dropped_of(nested(MAX_DEPTH + 1)).reason is DropReason.MALFORMED_EVENT


def test_half_an_emoji_and_a_nan_do_not_cost_the_event() -> None:
    event = event_of(rb'{"event":"x","properties":{"title":"cut \ud83d","price":NaN}}')
    assert json.loads(event.properties) == {"title": "cut \ufffd", "price": None}


def test_fields_of_an_unexpected_shape_are_left_out_and_the_event_stays() -> None:
    event = event_of(
        make_call(
            userId=12345,
            anonymousId=["a"],
            timestamp={"at": 1},
            context={"page": [], "locale": 7, "campaign": {"name": 618, "source": {}}, "app": "x"},
            properties=[1, 2],
        )
    )
    assert ids_of(event) == ["member_id:12345"]
    assert event.occurred_at == RECEIVED_AT
    assert event.locale == "7"
    assert (event.campaign.name, event.campaign.source) == ("618", "")
    assert json.loads(event.properties) == {"value": [1, 2]}


def test_a_type_that_nobody_knows_is_kept_as_an_event_of_that_name() -> None:
    event = event_of({"type": "hover", "userId": "u1"}, target="/v1/batch")
    assert (event.type, event.name, event.original_name) == (EventType.TRACK, "hover", "hover")


def test_an_event_without_identifiers_is_an_event() -> None:
    assert event_of({"type": "track", "event": "x"}).identifiers == ()


def test_the_path_says_what_a_call_is_where_the_call_does_not() -> None:
    assert event_of({"userId": "u1", "traits": {}}, target="/v1/identify").type is EventType.IDENTIFY
    assert event_of({"userId": "u1"}, target="/v1/p").name == "page_viewed"


def test_python_sends_explicit_nulls() -> None:
    event = event_of(make_call(userId=None, anonymousId="a-1", properties=None, context=None))
    assert ids_of(event) == ["anonymous_id:a-1"]
    assert event.properties == b"{}"


# Names, pages, campaigns, devices.


@pytest.mark.parametrize("call", ["page", "screen"])
def test_every_page_and_screen_call_is_page_viewed(call: str) -> None:
    event = event_of({"type": call, "name": "Home", "category": "Docs", "userId": "u1"})
    assert (event.type, event.name, event.original_name) == (EventType.PAGE, "page_viewed", call)
    assert json.loads(event.properties) == {"name": "Home", "category": "Docs"}
    assert event.page.title == "Home"


def test_the_page_of_a_server_call_is_in_its_properties() -> None:
    event = event_of({"type": "page", "userId": "u1", "properties": {"url": "https://shop.example/cars/x?a=1#b"}})
    assert (event.page.url, event.page.path) == ("https://shop.example/cars/x?a=1#b", "/cars/x")


def test_names_that_a_team_chose_stay_as_they_are() -> None:
    event = event_of(make_call(event="看车 / Test Drive"))
    assert event.name == event.original_name == "看车 / Test Drive"


def test_what_mobile_sdks_collect_by_themselves_has_our_names() -> None:
    event = event_of(make_call(event="Application Opened"))
    assert (event.name, event.original_name) == ("app_opened", "Application Opened")


def test_click_ids_and_missing_campaign_fields_are_read_from_the_page_address() -> None:
    url = "https://shop.example/?utm_source=wechat&utm_campaign=%E6%98%A5+1&gclid=G1&gdt_vid=T%2B1&bd_vid=B1&xgclid=no#gclid=no"
    event = event_of(make_call(context={"page": {"url": url}, "campaign": {"source": "told"}}))
    assert (event.campaign.source, event.campaign.name) == ("told", "春 1")
    assert event.campaign.click_ids == {"gclid": "G1", "gdt_vid": "T+1", "bd_vid": "B1"}


@pytest.mark.parametrize(
    ("context", "clicks"),
    [
        ({"referrer": {"type": "millennial-media", "id": "M1"}}, {"millennial-media": "M1"}),
        ({"clientIds": {"fbc": "fb.1.1554763741205.F1", "fbp": "fb.1.1.2", "ga4": {}}}, {"fbclid": "F1"}),
        ({"clientIds": {"gclid": "old"}, "page": {"url": "https://a.example/?gclid=new"}}, {"gclid": "new"}),
        ({"campaign": {"click_ids": {"gclid": "G1"}}}, {"gclid": "G1"}),
        ({"referrer": "https://a.example", "clientIds": [], "campaign": {}}, {}),
    ],
)
def test_click_ids_are_read_from_what_cookies_and_old_apps_kept(context: Any, clicks: dict[str, str]) -> None:
    assert event_of(make_call(context=context)).campaign.click_ids == clicks


def test_the_device_is_that_of_the_context_else_that_of_the_header() -> None:
    by_header = event_of(make_call(channel="web"), headers={"user-agent": CHROME})
    assert (by_header.device.kind, by_header.device.browser, by_header.device.os) == ("desktop", "Chrome", "Linux")
    phone = {"device": {"id": "d-1", "type": "ios", "model": "iPhone16,1"}, "os": {"name": "iOS", "version": "17.0"}}
    by_context = event_of(make_call(context=phone), headers={"user-agent": "Shop/1 CFNetwork/1490"})
    assert (by_context.platform, by_context.device.kind, by_context.device.model) == ("ios", "mobile", "iPhone16,1")
    assert "device_id:d-1" in ids_of(by_context)


def test_a_server_is_no_device_and_has_no_address_of_a_person() -> None:
    context = {"library": {"name": "analytics-python"}}
    event = event_of(make_call(context=context), headers={"user-agent": "analytics-python/2.2.2"})
    assert (event.platform, event.device.os, event.ip) == ("server", "", "")
    assert event_of(make_call(context={**context, "ip": "1.2.3.4"})).ip == "1.2.3.4"


def test_a_browser_does_not_choose_its_address() -> None:
    assert event_of(make_call(channel="web", context={"ip": "1.2.3.4"})).ip == "203.0.113.7"


def test_rudderstacks_sdk_is_not_the_app() -> None:
    app = {"name": "RudderLabs JavaScript SDK", "namespace": "com.rudderlabs.javascript", "version": "3.34.1"}
    assert event_of(make_call(context={"app": app})).app.name == ""
    own = {"name": "MyCar", "namespace": "com.mycar", "version": "5.1"}
    assert event_of(make_call(context={"app": own})).app.version == "5.1"


def test_the_session_is_rudderstacks_number_as_text() -> None:
    assert event_of(make_call(context={"sessionId": 1795317431334})).session == "1795317431334"


def test_context_of_the_batch_fills_what_the_event_leaves_out() -> None:
    batch = {
        "context": {"locale": "zh-CN", "page": {"url": "https://a.example/x"}},
        "batch": [make_call(context={"locale": "en"}), make_call(messageId="m-2")],
    }
    first, second = outcomes_of(make_request("/v1/batch", batch), SEGMENT)
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert (first.locale, first.page.url) == ("en", "https://a.example/x")
    assert second.locale == "zh-CN"


def test_a_batch_context_of_an_unexpected_shape_is_left_out() -> None:
    assert event_of({"batch": [make_call()], "context": [1]}, target="/v1/batch").locale == ""


# Identity.


def test_an_empty_user_id_is_none() -> None:
    assert ids_of(event_of(make_call(userId="", anonymousId=" a-1 "))) == ["anonymous_id:a-1"]


def test_identify_tells_traits_contacts_and_a_login() -> None:
    event = event_of(
        {
            "type": "identify",
            "userId": "u1",
            "anonymousId": "a-1",
            "traits": {"email": "li@example.com", "mobile": 13800138000, "city": "上海", "gone": None},
            "context": {"proof": "abc"},
        }
    )
    assert ids_of(event) == ["member_id:u1", "phone:13800138000", "email:li@example.com", "anonymous_id:a-1"]
    assert (event.type, event.name, event.fact, event.proof) == (EventType.IDENTIFY, "identified", Fact.LOGIN, "abc")
    traits = {change.name: (change.operation, change.value) for change in event.traits}
    assert traits["city"] == (Operation.SET, '"上海"')
    assert traits["gone"] == (Operation.UNSET, "null")
    assert event.properties == b"{}"


def test_rudderstacks_browser_puts_traits_into_the_context() -> None:
    event = event_of({"type": "identify", "userId": "u1", "context": {"traits": {"email": "li@example.com"}}})
    assert "email:li@example.com" in ids_of(event)
    assert [change.name for change in event.traits] == ["email"]


def test_only_identify_tells_traits() -> None:
    event = event_of(make_call(context={"traits": {"email": "li@example.com"}, "proof": "abc"}))
    assert (event.traits, event.proof) == ((), "")
    assert ids_of(event) == ["member_id:u1"]


def test_an_alias_joins_the_previous_id() -> None:
    event = event_of({"type": "alias", "userId": "u2", "previousId": "a-1"})
    assert ids_of(event) == ["member_id:u2", "anonymous_id:a-1"]
    assert (event.name, event.fact) == ("aliased", Fact.LOGIN)


def test_the_browsers_alias_with_twice_the_same_id_says_nothing() -> None:
    event = event_of({"type": "alias", "userId": "u1", "previousId": "u1"})
    assert ids_of(event) == ["member_id:u1"]
    assert event.fact is Fact.CO_OCCURRENCE


def test_a_merge_names_its_ids_itself() -> None:
    merged = [
        {"type": "email", "value": "li@example.com"},
        {"type": "user_id", "value": "u1"},
        {"type": "x", "value": "y"},
    ]
    event = event_of({"mergeProperties": merged}, target="/v1/merge")
    assert ids_of(event) == ["member_id:u1", "email:li@example.com"]
    assert event.type is EventType.ALIAS


def test_a_body_that_was_cut_still_says_whose_it_is() -> None:
    with pytest.raises(Unreadable) as caught:
        read(make_request("/v1/batch", b'{"writeKey": "site-key", "batch": [{"type": "tra'), SEGMENT)
    assert caught.value.key == "site-key"


def test_a_context_shared_by_many_events_counts_once_for_each() -> None:
    body = {"batch": [{"type": "page", "anonymousId": "a"}] * 5_000, "context": {"page": {"title": "x" * 5_000}}}
    with pytest.raises(TooLarge):
        read(make_request("/v1/batch", body), SEGMENT)


def test_a_browser_that_a_program_drives_is_a_bot() -> None:
    event = event_of(make_call(context={"bot": True, "userAgent": CHROME, "os": {"name": "Linux"}}))
    assert (event.device.kind, event.device.os) == ("bot", "Linux")


def test_our_own_trackers_name_identifiers_of_other_kinds() -> None:
    given = [
        {"kind": "wx_openid", "value": "wxa1b2/oAbc"},
        {"kind": "wx_unionid"},
        {"kind": "shoe_size", "value": "39"},
    ]
    event = event_of({"type": "identify", "anonymousId": "a-1", "identifiers": given})
    assert ids_of(event) == ["wx_openid:wxa1b2/oAbc", "anonymous_id:a-1"]
    assert event.fact is Fact.LOGIN


def test_a_group_keeps_its_id_and_its_traits_apart_from_the_persons() -> None:
    event = event_of({"type": "group", "userId": "u1", "groupId": "g1", "traits": {"name": "Acme"}})
    assert json.loads(event.properties) == {"group_id": "g1", "traits": {"name": "Acme"}}
    assert event.traits == ()


def test_a_login_proves_more_than_a_cookie() -> None:
    assert event_of(make_call(anonymousId="a-1")).fact is Fact.LOGIN
    assert event_of(make_call()).fact is Fact.CO_OCCURRENCE
    context = {"device": {"id": "d-1"}}
    assert event_of(make_call(userId=None, anonymousId="a-1", context=context)).fact is Fact.CO_OCCURRENCE


def test_a_zero_byte_never_gets_into_an_id() -> None:
    assert ids_of(event_of(make_call(userId="u\0001"))) == ["member_id:u1"]


# Time and ids.


def test_a_browser_whose_clock_is_wrong_is_corrected() -> None:
    event = event_of(make_call(timestamp="2020-01-01T00:00:00Z", sentAt="2020-01-01T00:00:05Z"))
    assert event.occurred_at == RECEIVED_AT - 5_000


def test_the_send_time_may_be_that_of_the_batch() -> None:
    batch = {"batch": [make_call(timestamp="2020-01-01T00:00:00Z")], "sentAt": "2020-01-01T00:00:05Z"}
    assert event_of(batch, target="/v1/batch").occurred_at == RECEIVED_AT - 5_000


def test_jitsus_library_runs_in_pages_and_on_servers() -> None:
    for env, platform in (("browser", "web"), ("node", "server")):
        library = {"name": "@jitsu/js", "env": env}
        assert event_of(make_call(context={"library": library}), target="/api/s/track").platform == platform


@pytest.mark.parametrize("library", ["analytics-node", "@segment/analytics-node", "analytics-python", "analytics-java"])
def test_a_server_that_sends_its_queue_hours_later_keeps_its_times(library: str) -> None:
    call = make_call(
        timestamp="2026-11-21T20:00:00Z",
        sentAt="2026-11-21T20:00:01Z",
        context={"library": {"name": library}},
    )
    assert event_of(call).occurred_at == RECEIVED_AT - 8 * 3_600_000


def test_rudderstack_keeps_a_time_that_the_caller_gave() -> None:
    call = make_call(
        channel="web", timestamp="2026-11-01T00:00:00Z", originalTimestamp=SENT, sentAt="2020-01-01T00:00:00Z"
    )
    assert event_of(call).occurred_at == RECEIVED_AT - 21 * 86_400_000 - 4 * 3_600_000


def test_rudderstacks_own_time_is_corrected() -> None:
    call = make_call(channel="web", originalTimestamp="2020-01-01T00:00:00Z", sentAt="2020-01-01T00:00:02Z")
    assert event_of(call).occurred_at == RECEIVED_AT - 2_000


def test_the_message_id_is_the_client_id() -> None:
    first, other = event_of(make_call()), event_of(make_call(), source="other")
    assert first.client_id == other.client_id == "m-1"
    assert first.id != other.id


def test_a_retry_of_an_event_without_an_id_is_the_same_event() -> None:
    call = {"type": "track", "event": "x", "userId": "u1", "timestamp": SENT}
    first = event_of({**call, "sentAt": SENT}, hit_id="0-1")
    second = event_of({"sentAt": "2026-11-22T04:00:05Z", **call}, hit_id="0-2")
    assert first.id == second.id
    assert first.id != event_of({**call, "event": "y"}).id


def test_two_events_without_id_and_time_are_two_events() -> None:
    call = {"type": "track", "event": "logged_in", "userId": "u1"}
    assert event_of(call, hit_id="0-1").id != event_of(call, hit_id="0-2").id
    assert event_of(call, hit_id="0-1").id == event_of(call, hit_id="0-1").id


# The pixel.


def test_a_pixel_spells_its_call_with_dots() -> None:
    target = (
        "/pixel/v1/page?writeKey=site-key&anonymousId=a-1&name=Home&context.page.url=https%3A%2F%2Fa.example%2Fx"
        "&context.page.title=%E5%95%86%E5%93%81&properties.k=1&context.page=bad"
    )
    (event,) = outcomes_of(make_request(target, method="GET", headers={"user-agent": CHROME}), SEGMENT)
    assert isinstance(event, Event)
    assert (event.name, event.page.url, event.page.title) == ("page_viewed", "https://a.example/x", "商品")
    assert json.loads(event.properties) == {"k": "1", "name": "Home"}
    assert ids_of(event) == ["anonymous_id:a-1"]


def test_a_pixel_with_a_thousand_fields_is_unreadable() -> None:
    request = make_request("/pixel/v1/page?writeKey=site-key&" + "&".join(f"p{i}=1" for i in range(1000)), method="GET")
    with pytest.raises(Unreadable):
        read(request, SEGMENT)


# Anything at all.

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = (
    "type", "event", "name", "category", "userId", "anonymousId", "previousId", "groupId", "messageId", "timestamp",
    "originalTimestamp", "sentAt", "channel", "writeKey", "context", "properties", "traits", "mergeProperties",
)  # fmt: skip
_CONTEXT_FIELDS = (
    "page",
    "campaign",
    "library",
    "app",
    "device",
    "os",
    "userAgent",
    "locale",
    "ip",
    "sessionId",
    "traits",
)
_CONTEXT = st.dictionaries(st.sampled_from(_CONTEXT_FIELDS), _JSON, max_size=5)
_TYPES = st.sampled_from(["track", "page", "screen", "identify", "group", "alias", "merge", "x"])
_CALL = st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=6).flatmap(
    lambda call: st.builds(lambda type_, context: {**call, "type": type_, "context": context}, _TYPES, _CONTEXT | _JSON)
)
_BATCH = st.builds(
    lambda batch, key, context, sent: {"batch": batch, "writeKey": key, "context": context, "sentAt": sent},
    st.lists(_CALL | _JSON, max_size=3),
    _JSON,
    _CONTEXT | _JSON,
    _JSON,
)
_BODY = _CALL | _JSON | _BATCH


def _assert_sane(request: Request) -> None:
    try:
        outcomes = outcomes_of(request, SEGMENT)
    except MalformedHit:
        with pytest.raises(Unreadable):
            read(request, SEGMENT)
        return
    assert len(outcomes) == read(request, SEGMENT).events
    for outcome in outcomes:
        if isinstance(outcome, Event):
            assert isinstance(json.loads(outcome.properties), dict)
            assert outcome.name


@settings(max_examples=150, deadline=None)
@given(body=_BODY, path=st.sampled_from(["/v1/track", "/v1/i", "/v1/batch", "/beacon/v1/batch"]))
def test_any_json_gives_events_or_drops_or_is_unreadable(body: Any, path: str) -> None:
    _assert_sane(make_request(path, body))


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=80))
def test_any_bytes_give_events_or_drops_or_are_unreadable(body: bytes) -> None:
    _assert_sane(make_request("/v1/batch", body))


@settings(max_examples=100, deadline=None)
@given(query=st.text(alphabet='ab.=&%20+[]{}"writeKeycontxpg', max_size=60))
def test_any_pixel_gives_an_event_or_a_drop(query: str) -> None:
    _assert_sane(make_request(f"/pixel/v1/track?{query}", method="GET"))
