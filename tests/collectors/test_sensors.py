"""The Sensors Analytics dialect: its many bodies, its identities, and every trap that real clients set."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.errors import MalformedHit, Rejected, TooLarge, TooManyRequests, UnknownSource
from cdp.model import Dropped, DropReason, Event, EventType, Fact, Operation
from collectors.campaign import CLICK_IDS, may_hold_click_ids
from collectors.dialect import MAX_EVENT_BYTES, Request, Unreadable
from collectors.placeholders import PLACEHOLDERS
from collectors.registry import DIALECTS
from tests.collectors.hits import CHROME, RECEIVED_AT, ids_of, make_request, outcomes_of, read

SENSORS = DIALECTS["sensors"]
TARGET = "/sa?project=site-key"


def make_record(**fields: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "car_viewed",
        "time": RECEIVED_AT - 1_000,
        "distinct_id": "cookie-1",
        "_track_id": 123,
        "lib": {"$lib": "js"},
        "properties": {},
        **fields,
    }


def packed(told: Any) -> str:
    return base64.b64encode(json.dumps(told, ensure_ascii=False).encode()).decode()


def make_post(told: Any, *, target: str = TARGET, **headers: str) -> Request:
    field = "data_list" if isinstance(told, list) else "data"
    return make_request(target, f"{field}={quote(packed(told))}&ext=crc%3D1".encode(), headers=headers)


def event_of(record: dict[str, Any], *, target: str = TARGET, source: str = "site", **more: Any) -> Event:
    (event,) = outcomes_of(make_post(record, target=target), SENSORS, source=source, **more)
    assert isinstance(event, Event), event
    return event


# Bodies.


def test_one_record_comes_as_image_form_beacon_gzip_or_bare_json() -> None:
    record = make_record()
    text = packed(record)
    zipped = base64.b64encode(gzip.compress(json.dumps(record).encode())).decode()
    same = [
        make_request(f"/sa.gif?project=site-key&data={quote(text)}&ext=crc%3D1", method="GET"),
        make_request(TARGET, f"data={quote(text)}&ext=crc%3D1".encode()),
        make_request(TARGET, f"data={text}".encode(), headers={"content-type": "application/json"}),
        make_request(TARGET, f"data={text}".encode(), headers={"content-type": "text/plain"}),
        make_request(TARGET, f"gzip=1&data_list={quote(zipped)}".encode()),
        make_request(TARGET, f"data_list={quote(zipped)}".encode()),
        make_request(TARGET, gzip.compress(f"data={quote(text)}".encode())),
        make_request(TARGET, record),
        make_request(TARGET, [record]),
    ]
    for request in same:
        assert read(request, SENSORS).events == 1
        (event,) = outcomes_of(request, SENSORS)
        assert isinstance(event, Event)
        assert (event.name, event.occurred_at) == ("car_viewed", RECEIVED_AT - 1_000)


def test_a_plus_that_became_a_space_is_a_plus_again() -> None:
    record = make_record(properties={"k": "~~~>>>???中文中文"})
    text = packed(record)
    assert "+" in text
    (event,) = outcomes_of(make_request(TARGET, f"data={text.replace('+', ' ')}".encode()), SENSORS)
    assert isinstance(event, Event)
    assert json.loads(event.properties) == record["properties"]


def test_a_wrong_crc_costs_no_event() -> None:
    request = make_request(TARGET, f"data={quote(packed(make_record()))}&ext=crc%3D999".encode())
    assert isinstance(outcomes_of(request, SENSORS)[0], Event)


@pytest.mark.parametrize(
    "body", [b"", b"data=", b"data=!!!", b"x=1", b"data=AAAA", b"data=H4sIAAAA", b"{", b"data=" + b"A" * 4_001, b"[1,"]
)
def test_an_unreadable_body_names_its_key(body: bytes) -> None:
    with pytest.raises(Unreadable) as unreadable:
        read(make_request(TARGET, body), SENSORS)
    assert unreadable.value.key == "site-key"
    with pytest.raises(MalformedHit):
        outcomes_of(make_request(TARGET, body), SENSORS)


def test_a_cut_image_address_is_unreadable() -> None:
    whole = f"/sa.gif?project=site-key&data={quote(packed(make_record()))}"
    with pytest.raises(Unreadable):
        read(make_request(whole[:-30], method="GET"), SENSORS)


def test_a_truncated_emoji_does_not_cost_the_batch() -> None:
    text = base64.b64encode(rb'[{"type":"track","event":"$WebClick","properties":{"$element_content":"go \ud83d"}}]')
    (event,) = outcomes_of(make_request(TARGET, b"data_list=" + text), SENSORS)
    assert isinstance(event, Event)
    assert json.loads(event.properties) == {"$element_content": "go \ufffd"}


def test_a_hit_over_the_limits_is_kept_as_a_sentence_that_says_so() -> None:
    with pytest.raises(Unreadable) as unreadable:
        read(make_request(TARGET, b"[" + b"{}," * 5_000 + b"{}]"), SENSORS)
    assert b"over 5,000 events" in (unreadable.value.instead or b"")
    with pytest.raises(MalformedHit):
        outcomes_of(make_request(TARGET, unreadable.value.instead), SENSORS)


def test_a_mini_program_that_asks_for_its_openid_goes_on_without_one() -> None:
    answer = SENSORS.config(make_request("/mp_login?project=site-key&code=c&appid=wx1", method="GET"))
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"{}")


# Answers.


@pytest.mark.parametrize("error", [UnknownSource(), TooLarge("It", limit=1, unit="bytes"), Unreadable("k", "no JSON")])
def test_every_refusal_is_answered_200_because_the_web_sdk_sends_again_for_ever(error: Rejected) -> None:
    answer = SENSORS.refused(make_post(make_record()), error)
    assert answer is not None
    assert answer.status == 200


def test_only_a_rate_limit_is_said() -> None:
    assert SENSORS.refused(make_post(make_record()), TooManyRequests(1)) is None


def test_an_image_is_answered_with_an_image_and_a_post_with_nothing() -> None:
    image = make_request(f"/sa.gif?project=site-key&data={packed(make_record())}", method="GET")
    post = make_post(make_record(), target="/sa.gif?project=site-key")
    assert SENSORS.accepted(image, read(image, SENSORS)).body.startswith(b"GIF89a")
    assert SENSORS.accepted(post, read(post, SENSORS)).body == b""


def test_a_dry_run_is_read_and_brings_no_event() -> None:
    dry = make_post(make_record(), target="/debug?project=site-key", **{"dry-run": "true"})
    assert read(dry, SENSORS).events == 0
    assert outcomes_of(dry, SENSORS) == []
    wet = make_post(make_record(), target="/debug?project=site-key")
    assert read(wet, SENSORS).events == len(outcomes_of(wet, SENSORS)) == 1


# Keys.


def test_a_token_is_the_key_before_the_project() -> None:
    assert read(make_post(make_record(), target="/sa?project=p&token=t"), SENSORS).key == "t"
    assert read(make_post(make_record(), target="/sa?project=p"), SENSORS).key == "p"
    assert read(make_post([{}, make_record(project="own")], target="/sa"), SENSORS).key == "own"
    assert read(make_post(make_record(project="own", token="tok"), target="/sa"), SENSORS).key == "tok"
    assert read(make_post(make_record(), target="/sa"), SENSORS).key == "default"


def test_a_record_with_a_key_of_its_own_belongs_to_that_source() -> None:
    batch = [make_record(project="other-key"), make_record(), make_record(token="nobody")]
    first, second, third = outcomes_of(make_post(batch), SENSORS)
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert isinstance(third, Dropped)
    assert (first.source, second.source, third.source) == ("other", "site", "")
    assert third.reason is DropReason.UNKNOWN_KEY


def test_the_project_of_the_address_beside_a_token_is_no_other_key() -> None:
    event = event_of(make_record(project="other-key"), target="/sa?project=other-key&token=site-key")
    assert event.source == "site"


# Names and types.


@pytest.mark.parametrize(
    ("theirs", "type_", "ours"),
    [
        ("$pageview", EventType.PAGE, "page_viewed"),
        ("$MPViewScreen", EventType.PAGE, "page_viewed"),
        ("$AppViewScreen", EventType.PAGE, "page_viewed"),
        ("$WebClick", EventType.CLICK, "element_clicked"),
        ("$MPClick", EventType.CLICK, "element_clicked"),
        ("$MPPageLeave", EventType.TRACK, "page_left"),
        ("$MPLaunch", EventType.TRACK, "app_opened"),
        ("$MPShow", EventType.TRACK, "session_started"),
        ("$MPHide", EventType.TRACK, "app_closed"),
        ("$MPShare", EventType.TRACK, "shared"),
        ("看车", EventType.TRACK, "看车"),
    ],
)
def test_what_the_sdks_collect_has_our_names_and_a_teams_own_stay(theirs: str, type_: EventType, ours: str) -> None:
    event = event_of(make_record(event=theirs))
    assert (event.type, event.name, event.original_name) == (type_, ours, theirs)


def test_an_item_is_about_no_person() -> None:
    record = {"type": "item_set", "item_type": "sku", "item_id": "p1", "properties": {"n": 1}, "time": RECEIVED_AT}
    event = event_of(record)
    assert (event.type, event.name, event.original_name) == (EventType.ITEM, "item_updated", "item_set")
    assert event.identifiers == ()
    assert json.loads(event.properties) == {"n": 1, "item_type": "sku", "item_id": "p1"}


def test_a_type_that_nobody_knows_is_kept_as_an_event_of_that_name() -> None:
    event = event_of({"type": "hover", "distinct_id": "c"})
    assert (event.type, event.name) == (EventType.TRACK, "hover")


def test_a_bad_record_is_dropped_alone() -> None:
    batch = ["x", make_record(), {"type": "track"}, make_record(properties={"x": "y" * MAX_EVENT_BYTES})]
    outcomes = outcomes_of(make_post(batch), SENSORS)
    assert [type(outcome) for outcome in outcomes] == [Dropped, Event, Dropped, Dropped]
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Dropped)]
    assert reasons == [DropReason.MALFORMED_EVENT, DropReason.MALFORMED_EVENT, DropReason.EVENT_TOO_LARGE]


def test_fields_of_an_unexpected_shape_are_left_out_and_the_event_stays() -> None:
    event = event_of(
        make_record(lib=[], identities={"$identity_login_id": ["u1"]}, properties={"$url": {}}, login_id=7)
    )
    assert ids_of(event) == ["member_id:7", "anonymous_id:cookie-1"]


# Identity.


def test_a_visitor_is_an_anonymous_id_once() -> None:
    identities = {"$identity_cookie_id": "cookie-1", "$identity_anonymous_id": "cookie-1"}
    event = event_of(make_record(identities=identities, anonymous_id="cookie-1"))
    assert ids_of(event) == ["anonymous_id:cookie-1"]
    assert event.fact is Fact.CO_OCCURRENCE


def test_after_login_the_login_id_is_the_member_id() -> None:
    identities = {"$identity_cookie_id": "cookie-1", "$identity_login_id": "u1"}
    event = event_of(make_record(identities=identities, distinct_id="u1", login_id="u1", anonymous_id="cookie-1"))
    assert ids_of(event) == ["member_id:u1", "anonymous_id:cookie-1"]
    assert event.fact is Fact.LOGIN


def test_a_sign_up_joins_what_the_person_was_called_before() -> None:
    event = event_of(make_record(type="track_signup", event="$SignUp", distinct_id="u1", original_id="anon-1"))
    assert ids_of(event) == ["member_id:u1", "anonymous_id:anon-1"]
    assert (event.type, event.name, event.fact) == (EventType.IDENTIFY, "identified", Fact.LOGIN)


def test_a_mini_program_names_openid_with_its_appid_and_unionid() -> None:
    identities = {
        "$identity_mp_id": "mp-1",
        "$identity_mp_wx12_openid": "oA",
        "$identity_mp_unionid": "uU",
        "$identity_mobile": "13800138000",
        "$identity_email": "li@example.com",
    }
    event = event_of(make_record(lib={"$lib": "MiniProgram"}, distinct_id="mp-1", identities=identities))
    assert ids_of(event) == [
        "phone:13800138000",
        "email:li@example.com",
        "wx_unionid:uU",
        "wx_openid:wx12/oA",
        "anonymous_id:mp-1",
    ]
    assert event.platform == "mini_program"


def test_an_openid_without_appid_takes_the_sources_else_a_dash() -> None:
    record = make_record(identities={"$identity_mp_openid": "oA"}, distinct_id=None)
    assert ids_of(event_of(record, target="/sa?project=mini-key", source="mini")) == ["wx_openid:wxa1b2/oA"]
    assert ids_of(event_of(record)) == ["wx_openid:-/oA"]


def test_an_id_may_be_spelled_with_its_key() -> None:
    event = event_of(make_record(distinct_id="$identity_mobile+13800138000", lib={"$lib": "python"}))
    assert ids_of(event) == ["phone:13800138000"]
    login = event_of(make_record(distinct_id="x", login_id="$identity_email+li@example.com"))
    assert ids_of(login) == ["email:li@example.com", "anonymous_id:x"]


def test_a_server_says_whether_an_id_is_a_login() -> None:
    server = {"$lib": "python"}
    known = make_record(distinct_id="u1", lib=server, properties={"$is_login_id": True})
    assert ids_of(event_of(known)) == ["member_id:u1"]
    assert ids_of(event_of(make_record(distinct_id="u1", lib=server))) == ["anonymous_id:u1"]


def test_the_anonymous_id_of_an_app_is_its_device() -> None:
    identities = {"$identity_android_id": "dev-1"}
    event = event_of(make_record(lib={"$lib": "Android"}, distinct_id="dev-1", identities=identities))
    assert ids_of(event) == ["device_id:dev-1"]
    assert (event.platform, event.device.kind) == ("android", "mobile")


def test_a_teams_own_key_counts_where_it_is_a_kind_of_ours() -> None:
    identities = {"$identity_vin": "LSV000", "$identity_shop_card": "9", "$identity_name": "李", "crm_id": "c-1"}
    event = event_of(make_record(identities=identities))
    assert ids_of(event) == ["vin:LSV000", "crm_id:c-1", "anonymous_id:cookie-1"]


def test_binding_joins_and_unbinding_does_not() -> None:
    identities = {"$identity_login_id": "u1", "$identity_mobile": "13800138000"}
    bound = event_of(make_record(type="track_id_bind", event="$BindID", identities=identities, distinct_id="u1"))
    assert ids_of(bound) == ["member_id:u1", "phone:13800138000"]
    assert (bound.name, bound.fact) == ("aliased", Fact.LOGIN)
    unbound = event_of(make_record(type="track_id_unbind", event="$UnbindID", identities=identities, distinct_id="u1"))
    assert ids_of(unbound) == ["member_id:u1"]
    assert (unbound.name, unbound.fact) == ("$UnbindID", Fact.CO_OCCURRENCE)


# Profiles.


@pytest.mark.parametrize(
    ("type_", "properties", "changes"),
    [
        ("profile_set", {"name": "李", "gone": None}, [(Operation.SET, "name", '"李"')]),
        ("profile_set_once", {"first": 1}, [(Operation.SET_ONCE, "first", "1")]),
        ("profile_increment", {"n": 2.5}, [(Operation.INCREMENT, "n", "2.5")]),
        ("profile_append", {"t": ["a", "b"]}, [(Operation.APPEND, "t", '"a"'), (Operation.APPEND, "t", '"b"')]),
        ("profile_unset", {"age": True, "$is_login_id": True}, [(Operation.UNSET, "age", "null")]),
        ("profile_delete", {"$is_login_id": True}, [(Operation.DELETE, "", "null")]),
        ("profile_set_once", {"$first_referrer": "取值异常", "$first_referrer_host": "url的domain解析失败"}, []),
        ("profile_set", "nonsense", [(Operation.SET, "value", '"nonsense"')]),
    ],
)
def test_a_profile_record_is_changes_of_traits(type_: str, properties: Any, changes: list[Any]) -> None:
    event = event_of(make_record(type=type_, event=None, properties=properties))
    assert (event.type, event.name, event.original_name) == (EventType.PROFILE, "profile_updated", type_)
    assert [(change.operation, change.name, change.value) for change in event.traits] == changes
    assert event.properties == b"{}"


def test_only_profile_records_change_traits() -> None:
    assert event_of(make_record(properties={"name": "李"})).traits == ()


# Properties.


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_in_a_preset_property_is_null(placeholder: str) -> None:
    event = event_of(
        make_record(properties={"$referrer": placeholder, "$latest_referrer": placeholder, "said": placeholder})
    )
    assert json.loads(event.properties) == {"$referrer": None, "$latest_referrer": None, "said": placeholder}
    assert event.page.referrer == ""
    assert ids_of(event_of(make_record(distinct_id=placeholder, anonymous_id=placeholder))) == []


@pytest.mark.parametrize(
    ("told", "source", "name"),
    [
        ({"$utm_source": "wechat", "$latest_utm_source": "baidu", "$latest_utm_campaign": "old"}, "wechat", ""),
        ({"$url": "https://a.example/?utm_source=qr", "$latest_utm_source": "baidu"}, "qr", ""),
        ({"$utm_source": "qr", "$latest_utm_source": "qr", "$latest_utm_campaign": "618"}, "qr", "618"),
        ({"$latest_utm_source": "baidu", "$latest_utm_campaign": "取值异常"}, "baidu", ""),
        ({"$latest_utm_source": "取值异常"}, "", ""),
    ],
)
def test_the_latest_campaign_counts_where_the_page_tells_of_no_other(
    told: dict[str, str], source: str, name: str
) -> None:
    campaign = event_of(make_record(properties=told)).campaign
    assert (campaign.source, campaign.name) == (source, name)


def test_click_ids_among_the_properties_are_read() -> None:
    told = {"gclid": "G1", "_latest_gclid": "G0", "_latest_bd_vid": "B0", "_latest_msclkid": "取值异常"}
    assert event_of(make_record(properties=told)).campaign.click_ids == {"gclid": "G1", "bd_vid": "B0"}
    assert all(may_hold_click_ids(name.encode()) for name in CLICK_IDS)


def test_page_campaign_app_and_device_are_found_in_the_presets() -> None:
    properties = {
        "$url": "https://a.example/x?bd_vid=B1",
        "$url_path": "/x",
        "$title": "商品",
        "$utm_source": "wechat",
        "$app_id": "wx12",
        "$app_version": "1.2.3",
        "$os": "iOS",
        "$os_version": "17.0",
        "$model": "iPhone 15",
        "$event_session_id": "s-1",
    }
    event = event_of(make_record(lib={"$lib": "MiniProgram"}, properties=properties))
    assert (event.page.url, event.page.path, event.page.title) == (properties["$url"], "/x", "商品")
    assert (event.campaign.source, event.campaign.click_ids) == ("wechat", {"bd_vid": "B1"})
    assert (event.app.id, event.app.version, event.session) == ("wx12", "1.2.3", "s-1")
    assert (event.device.kind, event.device.os, event.device.model) == ("mobile", "iOS", "iPhone 15")


def test_a_site_has_the_device_of_its_header_and_the_address_of_its_peer() -> None:
    (event,) = outcomes_of(make_post(make_record(), **{"user-agent": CHROME}), SENSORS)
    assert isinstance(event, Event)
    assert (event.platform, event.device.browser, event.ip) == ("web", "Chrome", "203.0.113.7")


def test_a_server_names_the_address_itself() -> None:
    server = {"$lib": "python"}
    assert event_of(make_record(lib=server, properties={"$ip": "1.2.3.4"})).ip == "1.2.3.4"
    assert event_of(make_record(lib=server)).ip == ""


# Time and ids.


def test_a_wrong_clock_is_corrected_by_the_flush_time() -> None:
    assert event_of(make_record(time=5_000, _flush_time=9_000)).occurred_at == RECEIVED_AT - 4_000


def test_a_server_is_never_corrected() -> None:
    record = make_record(lib={"$lib": "python"}, time=RECEIVED_AT - 7_200_000, _flush_time=RECEIVED_AT - 3_600_000)
    assert event_of(record).occurred_at == RECEIVED_AT - 7_200_000


def test_a_retry_with_another_flush_time_is_the_same_event() -> None:
    for record in (make_record(), make_record(_track_id=None, type="profile_set", event=None)):
        first = event_of({**record, "_flush_time": RECEIVED_AT}, hit_id="0-1")
        second = event_of({**record, "_flush_time": RECEIVED_AT + 6_000}, hit_id="0-2")
        assert first.id == second.id


@pytest.mark.parametrize(
    "other", [{"distinct_id": "c-2"}, {"event": "x"}, {"time": RECEIVED_AT - 2_000}, {"_track_id": 124}, {"type": "x"}]
)
def test_a_track_id_counts_only_with_all_that_names_the_event(other: dict[str, Any]) -> None:
    assert event_of(make_record(**other)).id != event_of(make_record()).id


# Anything at all.

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = (
    "event", "time", "distinct_id", "anonymous_id", "login_id", "original_id", "identities", "properties", "lib",
    "project", "item_type", "item_id", "_track_id", "_flush_time",
)  # fmt: skip
_IDS = st.dictionaries(
    st.sampled_from(["$identity_login_id", "$identity_mp_openid", "$identity_mp_x_openid", "$identity_", "vin"]), _JSON
)
_PROPERTIES = st.dictionaries(st.sampled_from(["$url", "$os", "$is_login_id", "$ip", "$title", "a"]), _JSON, max_size=4)
_TYPES = st.sampled_from(["track", "profile_set", "profile_append", "profile_unset", "item_set", "track_signup", "x"])
_RECORD = st.builds(
    lambda fields, type_, ids, properties: {**fields, "type": type_, "identities": ids, "properties": properties},
    st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=6),
    _TYPES,
    _IDS | _JSON,
    _PROPERTIES | _JSON,
)


def _assert_sane(request: Request) -> None:
    try:
        outcomes = outcomes_of(request, SENSORS)
    except MalformedHit:
        with pytest.raises(Unreadable):
            read(request, SENSORS)
        return
    assert len(outcomes) == read(request, SENSORS).events
    for outcome in outcomes:
        if isinstance(outcome, Event):
            assert isinstance(json.loads(outcome.properties), dict)
            assert outcome.name


@settings(max_examples=150, deadline=None)
@given(told=_RECORD | _JSON | st.lists(_RECORD | _JSON, max_size=3))
def test_any_json_gives_events_or_drops_or_is_unreadable(told: Any) -> None:
    _assert_sane(make_post(told))


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=80))
def test_any_bytes_give_events_or_drops_or_are_unreadable(body: bytes) -> None:
    _assert_sane(make_request(TARGET, body))
    _assert_sane(make_request(TARGET, b"data=" + base64.b64encode(body)))
