"""The Snowplow dialect: payloads, pixels, names by schema, entities, and every trap that real trackers set."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.errors import MalformedHit, TooLarge, UnknownSource
from cdp.model import Dropped, DropReason, Event, EventType, Fact
from collectors.dialect import MAX_EVENT_BYTES, Request, Unreadable
from collectors.registry import DIALECTS, route
from tests.collectors.hits import CHROME, RECEIVED_AT, ids_of, make_request, outcomes_of, read

SNOWPLOW = DIALECTS["snowplow"]
TARGET = "/com.snowplowanalytics.snowplow/tp2"
SCHEMA = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
NOBODY = "00000000-0000-0000-0000-000000000000"


def make_event(**fields: Any) -> dict[str, Any]:
    return {
        "e": "pv",
        "eid": "e-1",
        "aid": "site-key",
        "p": "web",
        "tv": "js-4.10.1",
        "dtm": str(RECEIVED_AT - 1_000),
        "duid": "d-1",
        **fields,
    }


def make_self_described(schema: str, data: Any, *, packed: bool = False, **fields: Any) -> dict[str, Any]:
    return make_event(e="ue", **described("ue_px" if packed else "ue_pr", {"schema": schema, "data": data}), **fields)


def make_entities(*entities: tuple[str, Any], packed: bool = False) -> dict[str, str]:
    told = [{"schema": f"iglu:{name}/jsonschema/1-0-0", "data": data} for name, data in entities]
    return described("cx" if packed else "co", told)


def described(field: str, data: Any) -> dict[str, str]:
    text = json.dumps({"schema": "iglu:com.snowplowanalytics.snowplow/x/jsonschema/1-0-0", "data": data})
    if field.endswith("x"):
        text = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return {field: text}


def make_post(*events: Any, target: str = TARGET, **headers: str) -> Request:
    return make_request(target, {"schema": SCHEMA, "data": list(events)}, headers=headers)


def make_pixel(**fields: str) -> Request:
    return make_request("/i?" + urlencode(fields), method="GET")


def event_of(told: Any, **headers: str) -> Event:
    (event,) = outcomes_of(make_post(told, **headers), SNOWPLOW)
    assert isinstance(event, Event), event
    return event


def properties_of(event: Event) -> Any:
    return json.loads(event.properties)


# Requests.


def test_a_pixel_and_a_post_tell_the_same_event() -> None:
    told = make_self_described("iglu:com.acme/order/jsonschema/1-0-0", {"id": "o1"}, packed=True)
    pixel = make_pixel(**told)
    assert read(pixel, SNOWPLOW) == read(make_post(told), SNOWPLOW)
    assert outcomes_of(pixel, SNOWPLOW) == outcomes_of(make_post(told), SNOWPLOW)
    assert SNOWPLOW.accepted(pixel, read(pixel, SNOWPLOW)).body.startswith(b"GIF89a")
    assert SNOWPLOW.accepted(make_post(told), read(make_post(told), SNOWPLOW)).body == b"ok"


def test_a_pixel_that_is_refused_is_an_image_too() -> None:
    answer = SNOWPLOW.refused(make_pixel(e="pv"), UnknownSource())
    assert answer is not None
    assert (answer.status, answer.content_type) == (401, "image/gif")


def test_any_address_of_two_segments_takes_payloads_and_tells_others_that_nobody_is_there() -> None:
    payload = make_post(make_event(aid="nobody"), target="/collect/tp2x")
    assert route("POST", "/collect/tp2x") is SNOWPLOW
    assert read(payload, SNOWPLOW).key == "nobody"
    assert SNOWPLOW.refused(payload, UnknownSource()) is None
    for body in ({"batch": [{"type": "track"}]}, {"data": [{"e": "pv"}]}, b"data=e30%3D", b"{", b""):
        other = make_request("/api/trakc", body)
        with pytest.raises(Unreadable) as unreadable:
            read(other, SNOWPLOW)
        assert unreadable.value.key == ""
        answer = SNOWPLOW.refused(other, UnknownSource())
        assert answer is not None
        assert answer.status == 404


@pytest.mark.parametrize("path", ["/v1/m", "/v1/track", "/v1/trakc", "/g/collect", "/mp/collect", "/one", "/a/b/c"])
def test_addresses_of_others_stay_theirs(path: str) -> None:
    assert route("POST", path) is not SNOWPLOW


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"schema":"x"}', b'{"data":{}}', b"\x1f\x8bxx"])
def test_an_unreadable_payload_without_a_key_is_told_so(body: bytes) -> None:
    request = make_request(TARGET, body)
    with pytest.raises(Unreadable) as unreadable:
        read(request, SNOWPLOW)
    assert unreadable.value.key == ""
    answer = SNOWPLOW.refused(request, UnknownSource())
    assert answer is not None
    assert answer.status == 400
    with pytest.raises(MalformedHit):
        outcomes_of(request, SNOWPLOW)


@pytest.mark.parametrize("target", [TARGET, "/collect/tp2x"])
def test_a_payload_that_was_cut_still_names_its_key(target: str) -> None:
    whole = make_post(make_event(), make_event(), target=target)
    with pytest.raises(Unreadable) as unreadable:
        read(make_request(target, whole.body[:-40]), SNOWPLOW)
    assert unreadable.value.key == "site-key"


def test_five_thousand_and_one_events_are_too_many() -> None:
    with pytest.raises(TooLarge):
        read(make_request(TARGET, b'{"data":[' + b"{}," * 5_000 + b"{}]}"), SNOWPLOW)


def test_each_event_belongs_to_its_own_key() -> None:
    first, second, third, fourth = outcomes_of(
        make_post({"e": "pv"}, make_event(aid="other-key"), make_event(aid="nobody"), make_event()), SNOWPLOW
    )
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert isinstance(third, Dropped)
    assert isinstance(fourth, Event)
    assert [first.source, second.source, third.source, fourth.source] == ["site", "other", "", "site"]
    assert third.reason is DropReason.UNKNOWN_KEY


def test_a_bad_event_is_dropped_alone() -> None:
    bad: list[Any] = [
        "x",
        {},
        make_event(e="ue"),
        make_event(e="ue", ue_px="!!!"),
        make_self_described("no schema", {}),
        make_event(e="se"),
        make_event(page="y" * MAX_EVENT_BYTES),
    ]
    *dropped, kept = outcomes_of(make_post(*bad, make_event()), SNOWPLOW)
    assert isinstance(kept, Event)
    reasons = [outcome.reason for outcome in dropped if isinstance(outcome, Dropped)]
    assert reasons == [DropReason.MALFORMED_EVENT] * 6 + [DropReason.EVENT_TOO_LARGE]


# Names and properties.


@pytest.mark.parametrize(
    ("schema", "type_", "ours"),
    [
        ("com.snowplowanalytics.snowplow/link_click", EventType.CLICK, "element_clicked"),
        ("com.snowplowanalytics.snowplow/submit_form", EventType.TRACK, "form_submitted"),
        ("com.snowplowanalytics.snowplow/change_form", EventType.TRACK, "change_form"),
        ("com.snowplowanalytics.mobile/screen_view", EventType.PAGE, "page_viewed"),
        ("com.snowplowanalytics.snowplow/application_background", EventType.TRACK, "app_closed"),
        ("com.snowplowanalytics.mobile/application_install", EventType.TRACK, "application_install"),
        ("com.acme/link_click", EventType.TRACK, "link_click"),
    ],
)
def test_a_self_describing_event_is_named_by_its_schema(schema: str, type_: EventType, ours: str) -> None:
    for packed in (False, True):
        event = event_of(make_self_described(f"iglu:{schema}/jsonschema/1-0-2", {"n": 1}, packed=packed))
        assert (event.type, event.name, event.original_name) == (type_, ours, schema.partition("/")[2])
        assert properties_of(event) == {
            "n": 1, "$schema": f"iglu:{schema}/jsonschema/1-0-2", "$tv": "js-4.10.1"
        }  # fmt: skip


def test_a_structured_event_is_named_by_its_action() -> None:
    told = make_event(e="se", se_ca="shop", se_ac="page_view", se_la="p1", se_pr="007", se_va="2.50", tv=None)
    event = event_of(told)
    assert (event.type, event.name) == (EventType.TRACK, "page_view")
    assert properties_of(event) == {
        "category": "shop", "action": "page_view", "label": "p1", "property": "007", "value": 2.5
    }  # fmt: skip


def test_a_page_ping_and_an_order_keep_their_names() -> None:
    ping = event_of(make_event(e="pp", pp_mix="0", pp_may="1200", tv=None))
    assert (ping.name, properties_of(ping)) == ("page_ping", {"min_x": 0, "max_y": 1200})
    order = event_of(make_event(e="tr", tr_id="007", tr_tt="99.5", tv=None))
    assert (order.name, properties_of(order)) == ("transaction", {"order_id": "007", "total": 99.5})
    item = event_of(make_event(e="ti", ti_id="007", ti_sk="x7", ti_qu="1", tv=None))
    assert (item.name, properties_of(item)) == ("transaction_item", {"order_id": "007", "sku": "x7", "quantity": 1})


def test_what_the_tracker_adds_is_kept_with_a_dollar_and_the_key_is_not() -> None:
    event = event_of(make_event(res="1280x720", tz="Asia/Shanghai", vid="3", lang="zh-CN", url="https://a.example/x?y"))
    assert properties_of(event) == {"$tv": "js-4.10.1", "$res": "1280x720", "$tz": "Asia/Shanghai", "$vid": "3"}
    assert (event.locale, event.page.path) == ("zh-CN", "/x")
    assert b"site-key" not in event.properties


def test_entities_stay_as_they_came_and_what_is_no_json_stays_text() -> None:
    for packed in (False, True):
        event = event_of(make_event(**make_entities(("com.acme/car", {"series": "X7"}), packed=packed)))
        (entity,) = properties_of(event)["$entities"]
        assert entity == {"schema": "iglu:com.acme/car/jsonschema/1-0-0", "data": {"series": "X7"}}
    assert properties_of(event_of(make_event(co="{cut")))["$co"] == "{cut"


def test_half_an_emoji_in_a_nested_text_does_not_cost_the_event() -> None:
    inner = r'{"schema":"x","data":{"schema":"iglu:a/note/jsonschema/1-0-0","data":{"text":"go \ud83d"}}}'
    event = event_of(make_event(e="ue", ue_pr=inner))
    assert properties_of(event)["text"] == "go \ufffd"


# Who and where.


def test_a_login_is_a_user_beside_a_visitor() -> None:
    event = event_of(make_event(uid="u1", tnuid="n-1"))
    assert ids_of(event) == ["member_id:u1", "anonymous_id:d-1", "anonymous_id:n-1"]
    assert event.fact is Fact.LOGIN
    assert event_of(make_event(tnuid="n-1")).fact is Fact.CO_OCCURRENCE
    assert event_of(make_event(uid="u1", duid=None)).fact is Fact.CO_OCCURRENCE


def test_snowplows_own_identify_event_tells_a_person_and_a_teams_of_that_name_does_not() -> None:
    data = {"id": "u1", "email": "li@example.com"}
    event = event_of(make_self_described("iglu:com.snowplowanalytics.snowplow/identify/jsonschema/1-0-0", data))
    assert (event.type, event.name, event.fact) == (EventType.IDENTIFY, "identified", Fact.LOGIN)
    assert ids_of(event) == ["member_id:u1", "email:li@example.com", "anonymous_id:d-1"]
    assert [(change.name, change.value) for change in event.traits] == [("email", '"li@example.com"')]
    theirs = event_of(make_self_described("iglu:com.acme/identify/jsonschema/1-0-0", data))
    assert (theirs.type, ids_of(theirs), theirs.traits) == (EventType.TRACK, ["anonymous_id:d-1"], ())


def test_a_mobile_app_is_read_from_its_entities() -> None:
    entities = make_entities(
        ("com.snowplowanalytics.snowplow/client_session", {"userId": "install-1", "sessionId": "s-1"}),
        (
            "com.snowplowanalytics.snowplow/mobile_context",
            {
                "osType": "ios",
                "osVersion": "17.1",
                "deviceModel": "iPad13,1",
                "appleIdfv": "v-1",
                "appleIdfa": NOBODY,
                "language": "zh",
            },
        ),
        ("com.snowplowanalytics.mobile/application", {"version": "2.3.0", "build": "99"}),
        ("com.snowplowanalytics.mobile/screen", {"name": "车型页"}),
        ("com.snowplowanalytics.mobile/deep_link", {"url": "acme://x?utm_source=weibo"}),
        ("com.acme/client_session", {"userId": "not-ours"}),
    )
    event = event_of(make_event(e="pp", p="mob", tv="ios-6.0.0", duid=None, **entities))
    assert ids_of(event) == ["device_id:v-1", "anonymous_id:install-1"]
    assert (event.platform, event.session, event.app.version, event.locale) == ("ios", "s-1", "2.3.0", "zh")
    assert (event.page.title, event.campaign.source) == ("车型页", "weibo")
    device = event.device
    assert (device.kind, device.os, device.os_version, device.model) == ("tablet", "iOS", "17.1", "iPad13,1")


def test_who_denied_an_id_is_not_joined_with_everybody_who_did() -> None:
    entities = make_entities(("com.snowplowanalytics.snowplow/client_session", {"userId": NOBODY}))
    assert ids_of(event_of(make_event(duid=NOBODY, tnuid=NOBODY, **entities))) == []


def test_a_screen_view_is_a_page_with_a_name() -> None:
    told = make_self_described("iglu:com.snowplowanalytics.mobile/screen_view/jsonschema/1-0-0", {"name": "首页"})
    assert event_of(told).page.title == "首页"
    unnamed = make_self_described("iglu:com.snowplowanalytics.mobile/screen_view/jsonschema/1-0-0", {"name": [1]})
    assert event_of(unnamed).page.title == ""


def test_an_anonymous_tracker_gives_neither_address_nor_network_id() -> None:
    told = make_event(tnuid="n-1", ip="1.2.3.4")
    event = event_of(told, **{"sp-anonymous": "*"})
    assert (event.ip, ids_of(event)) == ("", ["anonymous_id:d-1"])
    assert event_of(told).ip == "1.2.3.4"


def test_a_browser_has_its_header_and_peer_and_a_server_what_it_tells() -> None:
    browser = event_of(make_event(), **{"user-agent": CHROME})
    assert (browser.platform, browser.device.browser, browser.ip) == ("web", "Chrome", "203.0.113.7")
    silent = event_of(make_event(tv="py-1.1.0", p="pc"), **{"user-agent": "python-requests/2.34"})
    assert (silent.platform, silent.device.browser, silent.ip) == ("server", "", "")
    telling = event_of(make_event(tv="node-4.8.0", ua=CHROME, ip="1.2.3.4"))
    assert (telling.platform, telling.device.browser, telling.ip) == ("web", "Chrome", "1.2.3.4")


@pytest.mark.parametrize(
    ("p", "tv", "platform"),
    [("srv", "rb-0.8", "server"), ("mob", "andr-6.1", "android"), ("mob", "rn-2", ""), ("tv", "roku-1", "tv"),
     ("pc", "cpp-2", "desktop"), ("iot", "js-4", "iot"), ("app", "js-4", "")],
)  # fmt: skip
def test_platforms(p: str, tv: str, platform: str) -> None:
    assert event_of(make_event(p=p, tv=tv)).platform == platform


# Time and ids.


def test_a_wrong_clock_is_corrected_by_the_time_of_sending_unless_it_is_a_servers() -> None:
    late = {"dtm": str(RECEIVED_AT - 7_200_000), "stm": str(RECEIVED_AT - 7_199_000)}
    assert event_of(make_event(**late)).occurred_at == RECEIVED_AT - 1_000
    assert event_of(make_event(tv="py-1.1.0", **late)).occurred_at == RECEIVED_AT - 7_200_000


def test_a_true_time_goes_before_the_devices_and_is_not_corrected() -> None:
    told = make_event(ttm=str(RECEIVED_AT - 86_400_000), stm=str(RECEIVED_AT - 7_200_000))
    assert event_of(told).occurred_at == RECEIVED_AT - 86_400_000


def test_milliseconds_that_look_like_a_calendar_date_are_milliseconds() -> None:
    # 1795-12-15 at 20:00, to a reader of ISO 8601.
    (event,) = outcomes_of(make_post(make_event(dtm="1795121512000")), SNOWPLOW)
    assert isinstance(event, Event)
    assert event.occurred_at == 1_795_121_512_000


def test_the_trackers_id_is_the_events_else_its_content_is() -> None:
    assert event_of(make_event()).client_id == "e-1"
    untold = make_event(eid=None)
    (first,) = outcomes_of(make_post({**untold, "stm": "1"}), SNOWPLOW, hit_id="0-1")
    (again,) = outcomes_of(make_post({**untold, "stm": "2"}), SNOWPLOW, hit_id="0-2")
    assert isinstance(first, Event)
    assert isinstance(again, Event)
    assert first.id == again.id
    timeless = make_post({**untold, "dtm": None})
    (one,), (other,) = (outcomes_of(timeless, SNOWPLOW, hit_id=hit) for hit in ("0-1", "0-2"))
    assert isinstance(one, Event)
    assert isinstance(other, Event)
    assert one.id != other.id


def test_fields_of_an_unexpected_shape_are_left_out_and_the_event_stays() -> None:
    told = make_event(uid=["u1"], url={}, dtm="soon", co={"data": [1]}, page=7, stm="9" * 400)
    event = event_of(told)
    assert (ids_of(event), event.page.title, event.occurred_at) == (["anonymous_id:d-1"], "7", RECEIVED_AT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["e", "eid", "aid", "dtm", "ttm", "stm", "ue_pr", "ue_px", "co", "cx", "se_ac", "tv", "p"])


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=60)
    | st.lists(JSON | st.dictionaries(FIELDS, JSON | JSON.map(json.dumps), max_size=6), max_size=3).map(
        lambda data: json.dumps({"schema": SCHEMA, "data": data}).encode()
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
)
def test_no_bytes_make_it_fail_otherwise_than_in_words(body: bytes, query: str) -> None:
    for request in (make_request(TARGET, body), make_request("/i?" + query, method="GET")):
        try:
            envelope = SNOWPLOW.read(request)
        except (Unreadable, TooLarge):
            with pytest.raises(MalformedHit):
                outcomes_of(request, SNOWPLOW)
        else:
            assert len(outcomes_of(request, SNOWPLOW)) == envelope.events
