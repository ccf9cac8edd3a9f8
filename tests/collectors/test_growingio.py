"""The GrowingIO dialect: its many codecs, its user keys, and every trap that its clients set."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import quote

import cramjam
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from lzstring import LZString
from msgspec.structs import replace

from cdp.errors import MalformedHit, TooLarge, UnknownSource
from cdp.model import DAY_MS, Dropped, DropReason, Event, EventType, Fact, Operation
from collectors.dialect import MAX_BODY_BYTES, MAX_EVENTS, Request, Unreadable
from collectors.growingio_proto import EVENT, Message, json_of
from collectors.registry import DIALECTS
from tests.collectors.hits import CHROME, RECEIVED_AT, ids_of, make_request, outcomes_of, read

GROWINGIO = DIALECTS["growingio"]
STM = RECEIVED_AT - 100
TARGET = f"/v3/projects/site-key/collect?stm={STM}"
PROTOBUF = {"content-type": "application/protobuf"}


def make_record(**fields: Any) -> dict[str, Any]:
    return {
        "eventType": "CUSTOM",
        "eventName": "car_viewed",
        "timestamp": RECEIVED_AT - 1_000,
        "deviceId": "dev-1",
        "platform": "web",
        "domain": "shop.example",
        "path": "/suv",
        "attributes": {"k": "中文"},
        **fields,
    }


def event_of(record: dict[str, Any], *, target: str = TARGET, source: str = "site", **headers: str) -> Event:
    (event,) = outcomes_of(make_request(target, [record], headers=headers), GROWINGIO, source=source)
    assert isinstance(event, Event), event
    return event


# Bodies.


def packed(told: Any) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode()


def scrambled(body: bytes) -> bytes:
    return bytes(byte ^ STM & 0xFF for byte in body)


def words(text: str) -> bytes:
    return b"".join(ord(sign).to_bytes(2, "big") for sign in LZString().compress(text))


def make_every_form(told: list[Any]) -> dict[str, Request]:
    """The same records as each client sends them."""
    body = packed(told)
    snappy = bytes(cramjam.snappy.compress_raw(body))
    lz4 = bytes(cramjam.lz4.compress_block(body, store_size=False))
    uri = LZString().compressToEncodedURIComponent(body.decode())
    image = quote(body, safe=";/?:@&=+$,!*'()")
    return {
        "json": make_request(TARGET, body),
        "as text": make_request(f"{TARGET}&compress=0", body, headers={"content-type": "text/plain;charset=UTF-8"}),
        "gzip": make_request(TARGET, gzip.compress(body)),
        "browser": make_request(f"{TARGET}&compress=1", words(body.decode())),
        "mini-program": make_request(
            f"{TARGET}&compress=1",
            LZString().compressToUTF16(body.decode()).encode(),
            headers={"x-compress-codec": "1", "content-type": "application/json"},
        ),
        "snappy": make_request(TARGET, snappy, headers={"x-compress-codec": "2"}),
        "scrambled": make_request(TARGET, scrambled(snappy), headers={"x-compress-codec": "2", "x-crypt-codec": "1"}),
        "apple": make_request(TARGET, scrambled(lz4), headers={"x-compress-codec": "3", "x-crypt-codec": "1"}),
        "image": make_request(f"{TARGET}&compress=0&data={image}", method="GET"),
        "packed image": make_request(f"{TARGET}&compress=11&data={uri}", method="GET"),
    }


FORMS = list(make_every_form([]))


@pytest.mark.parametrize("form", FORMS)
def test_the_same_records_come_in_every_form(form: str) -> None:
    told = [make_record(query="a=1&stm=2&data=3"), make_record(eventName="看车", eventSequenceId=2)]
    request = make_every_form(told)[form]
    envelope = read(request, GROWINGIO)
    assert (envelope.key, envelope.events) == ("site-key", 2)
    plain = outcomes_of(make_every_form(told)["json"], GROWINGIO)
    assert outcomes_of(request, GROWINGIO) == plain
    assert [getattr(event, "name", None) for event in plain] == ["car_viewed", "看车"]


BROKEN = [
    (b"", {}),
    (b"[1,", {}),
    (b"hello", {}),
    (b"\n\x05ab", PROTOBUF),
    (b"\x0b", PROTOBUF),
    (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", {"x-compress-codec": "2"}),
    (b"\x05abc", {"x-compress-codec": "2"}),
    (b"\xf0", {"x-compress-codec": "3"}),
    (b"\xff\xfe", {"x-compress-codec": "1"}),
]


@pytest.mark.parametrize(("body", "headers"), BROKEN)
def test_an_unreadable_body_names_its_key_and_is_answered_as_taken(body: bytes, headers: dict[str, str]) -> None:
    request = make_request(TARGET, body, headers=headers)
    with pytest.raises(Unreadable) as unreadable:
        read(request, GROWINGIO)
    assert unreadable.value.key == "site-key"
    with pytest.raises(MalformedHit):
        outcomes_of(request, GROWINGIO)
    # The browser SDK would send it again.
    answer = GROWINGIO.refused(request, unreadable.value)
    assert answer is not None
    assert (answer.status, answer.body) == (204, b"")


def test_an_address_that_was_cut_at_a_pages_anchor_is_unreadable() -> None:
    image = make_every_form([make_record(path="/a.html#top")])["image"]
    with pytest.raises(Unreadable):
        read(make_request(image.target.partition("%23")[0], method="GET"), GROWINGIO)


def test_a_scrambled_body_without_its_send_time_is_unreadable() -> None:
    body = scrambled(packed([make_record()]))
    with pytest.raises(Unreadable):
        read(make_request("/v3/projects/k/collect", body, headers={"x-crypt-codec": "1"}), GROWINGIO)


def test_what_announces_too_much_is_refused_before_it_is_built() -> None:
    snappy = b"\xff\xff\xff\x0f" + b"\x00" * 9
    for request in (
        make_request(TARGET, snappy, headers={"x-compress-codec": "2"}),
        make_request(f"{TARGET}&compress=1", words("a" * (MAX_BODY_BYTES // 16))[:-4] * 2_000),
        make_request(TARGET, b"\n\x00" * (MAX_EVENTS + 1), headers=PROTOBUF),
        make_request(TARGET, b"[" + b"{}," * MAX_EVENTS + b"{}]"),
    ):
        with pytest.raises(TooLarge):
            read(request, GROWINGIO)


def test_half_an_emoji_does_not_cost_the_batch() -> None:
    text = '[{"eventType":"VIEW_CLICK","timestamp":1,"textValue":"go \ud83d"}]'
    (event,) = outcomes_of(make_request(f"{TARGET}&compress=1", words(text)), GROWINGIO)
    assert isinstance(event, Event)
    assert json.loads(event.properties) == {"textValue": "go \ufffd"}


# Answers and paths.


def test_a_hit_is_answered_204_and_a_strange_key_is_refused() -> None:
    request = make_request(TARGET, [make_record()])
    answer = GROWINGIO.accepted(request, read(request, GROWINGIO))
    assert (answer.status, answer.body) == (204, b"")
    assert GROWINGIO.refused(request, UnknownSource()) is None


@pytest.mark.parametrize(
    ("method", "path", "handled"),
    [
        ("POST", "/v3/projects/k/collect", True),
        ("POST", "/v3/projects/k/collect/", True),
        ("GET", "/v3/projects/k/collect", True),
        ("POST", "/projects/k/collect/item", True),
        ("POST", "/projects/k/collect/user-mapping", True),
        ("GET", "/projects/k/collect/item", False),
        ("POST", "/v3/projects//collect", False),
        ("POST", "/v3/projects/a/b/collect", False),
        ("POST", "/v1/projects/k/settings", False),
    ],
)
def test_only_its_own_paths_are_handled(method: str, path: str, handled: bool) -> None:
    assert GROWINGIO.handles(method, path) is handled


# Names and types.


@pytest.mark.parametrize(
    ("fields", "type_", "ours"),
    [
        ({"eventType": "VISIT"}, EventType.TRACK, "session_started"),
        ({"eventType": "PAGE"}, EventType.PAGE, "page_viewed"),
        ({"eventType": "VIEW_CLICK"}, EventType.CLICK, "element_clicked"),
        ({"eventType": "VIEW_CHANGE"}, EventType.TRACK, "VIEW_CHANGE"),
        ({"eventType": "FORM_SUBMIT"}, EventType.TRACK, "form_submitted"),
        ({"eventType": "APP_CLOSED"}, EventType.TRACK, "app_closed"),
        ({"eventType": "ACTIVATE"}, EventType.TRACK, "app_opened"),
        ({"eventType": "ACTIVATE", "eventName": "$app_reengage"}, EventType.TRACK, "app_opened"),
        ({"eventType": "ACTIVATE", "eventName": "$app_defer"}, EventType.TRACK, "$app_defer"),
        ({"eventType": "PAGE_ATTRIBUTES"}, EventType.TRACK, "PAGE_ATTRIBUTES"),
        ({"eventName": "$mp_on_share"}, EventType.TRACK, "shared"),
        ({"eventName": "PAGE"}, EventType.TRACK, "PAGE"),
        ({"eventType": "TOMORROW"}, EventType.TRACK, "TOMORROW"),
    ],
)
def test_what_the_sdks_collect_has_our_names_and_a_teams_own_stay(
    fields: dict[str, Any], type_: EventType, ours: str
) -> None:
    record = make_record(**fields) if "eventName" in fields else {**make_record(**fields), "eventName": None}
    event = event_of(record)
    assert (event.type, event.name) == (type_, ours)


def test_a_bad_record_is_dropped_alone() -> None:
    request = make_request(TARGET, ["x", make_record(), {"eventType": "CUSTOM"}, make_record(attributes={"n": 2.5})])
    outcomes = outcomes_of(request, GROWINGIO)
    assert [type(outcome) for outcome in outcomes] == [Dropped, Event, Dropped, Event]
    assert all(o.reason is DropReason.MALFORMED_EVENT for o in outcomes if isinstance(o, Dropped))


def test_fields_of_an_unexpected_shape_are_left_out_and_the_event_stays() -> None:
    event = event_of(make_record(userId=["u"], deviceId=7, path={}, index=[1], resourceItem=3, attributes=None))
    assert ids_of(event) == ["device_id:7"]
    assert event.properties == b"{}"


# Identity.


def test_a_visitor_is_a_device_and_the_last_user_of_it_is_nobody() -> None:
    event = event_of(make_record(gioId="u-before"))
    assert ids_of(event) == ["device_id:dev-1"]
    assert event.fact is Fact.CO_OCCURRENCE
    assert b"u-before" not in event.properties


@pytest.mark.parametrize(
    ("user_key", "expected"),
    [
        (None, "member_id:v"),
        ("", "member_id:v"),
        ("$basic_userId", "member_id:v"),
        ("userId", "member_id:v"),
        ("phone", "phone:v"),
        ("手机号", "phone:v"),
        ("E-Mail", "email:v"),
        ("unionId", "wx_unionid:v"),
        ("wx_openid", "wx_openid:wx12/v"),
        ("vin", "vin:v"),
        ("qq", "member_id:qq/v"),
        ("QQ", "member_id:QQ/v"),
        ("a/b%", "member_id:a%2Fb%25/v"),
    ],
)
def test_a_user_key_says_what_kind_of_id_the_user_id_is(user_key: str | None, expected: str) -> None:
    event = event_of(make_record(userId="v", userKey=user_key, platform="MinP", domain="wx12"))
    assert sorted(ids_of(event)) == sorted([expected, "device_id:dev-1"])
    assert event.fact is Fact.LOGIN


def test_an_openid_takes_the_appid_of_its_source_and_only_weixins_is_one() -> None:
    app = make_record(userId="oA", userKey="openid", platform="iOS")
    target = TARGET.replace("site-key", "mini-key")
    assert ids_of(event_of(app, target=target, source="mini"))[0] == "wx_openid:wxa1b2/oA"
    assert ids_of(event_of(app))[0] == "wx_openid:-/oA"
    assert ids_of(event_of({**app, "platform": "alip"}))[0] == "member_id:openid/oA"


def test_an_openid_in_the_place_of_a_mini_programs_device_id_is_one() -> None:
    openid = "oA1-" + "b_" * 12
    event = event_of(make_record(deviceId=openid, platform="MinP", domain="wx12"))
    assert ids_of(event) == [f"wx_openid:wx12/{openid}", f"device_id:{openid}"]
    assert event.fact is Fact.CO_OCCURRENCE
    assert ids_of(event_of(make_record(deviceId=openid))) == [f"device_id:{openid}"]


def test_a_user_mapping_joins_the_ids_of_one_user() -> None:
    target = "/projects/site-key/collect/user-mapping"
    mapping = {"identifies": {"phone": "13800138000", "$basic_userId": "u1", "email": ""}, "sendTime": RECEIVED_AT}
    (event,) = outcomes_of(make_request(target, [mapping]), GROWINGIO)
    assert isinstance(event, Event)
    assert ids_of(event) == ["member_id:u1", "phone:13800138000"]
    assert (event.type, event.name, event.fact) == (EventType.ALIAS, "aliased", Fact.LOGIN)


# Profiles and items.


def test_user_attributes_are_changes_of_traits_and_a_contact_among_them_is_an_id() -> None:
    event = event_of(
        make_record(eventType="LOGIN_USER_ATTRIBUTES", userId="u1", attributes={"level": "vip", "phone": "13800138000"})
    )
    assert (event.type, event.name, event.original_name) == (
        EventType.PROFILE,
        "profile_updated",
        "LOGIN_USER_ATTRIBUTES",
    )
    assert [(change.operation, change.name, change.value) for change in event.traits] == [
        (Operation.SET, "level", '"vip"'),
        (Operation.SET, "phone", '"13800138000"'),
    ]
    assert event.properties == b"{}"
    assert ids_of(event) == ["member_id:u1", "phone:13800138000", "device_id:dev-1"]


def test_an_item_is_about_no_person() -> None:
    item = {"key": "sku", "id": "p1", "attributes": {"name": "SUV"}, "dataSourceId": "ds"}
    (event,) = outcomes_of(make_request("/projects/site-key/collect/item?stm=1", [item]), GROWINGIO)
    assert isinstance(event, Event)
    assert (event.type, event.name, event.identifiers) == (EventType.ITEM, "item_updated", ())
    assert json.loads(event.properties) == {"name": "SUV", "item_type": "sku", "item_id": "p1"}


# Where it happened.


def test_a_page_is_put_together_from_its_parts_and_its_query_tells_the_campaign() -> None:
    event = event_of(make_record(path="/a#top", query="utm_source=wechat&gclid=G1"), referer="http://shop.example/")
    assert (event.page.url, event.page.path) == ("http://shop.example/a?utm_source=wechat&gclid=G1#top", "/a")
    assert (event.campaign.source, event.campaign.click_ids) == ("wechat", {"gclid": "G1"})
    assert event_of(make_record(protocolType="https"), referer="http://shop.example/").page.url.startswith("https:")


def test_a_mini_program_names_its_app_and_an_app_its_device() -> None:
    mini = event_of(
        make_record(platform="MinP", domain="wx12", operatingSystem="Weixin-iOS", appChannel="scn:1047", query="q=1")
    )
    assert (mini.platform, mini.app.id, mini.page.url, mini.device.os) == ("mini_program", "wx12", "/suv?q=1", "iOS")
    assert json.loads(mini.properties)["appChannel"] == "scn:1047"
    app = event_of(
        make_record(platform="Android", domain="com.x", platformVersion="Android 12", deviceType="PAD", deviceModel="M")
    )
    assert (app.platform, app.app.id, app.page.path, app.page.url) == ("android", "com.x", "/suv", "")
    assert (app.device.kind, app.device.os, app.device.os_version, app.device.model) == ("tablet", "Android", "12", "M")
    hybrid = event_of(make_record(platform="Android", domain="h5.example", protocolType="https"))
    assert (hybrid.app.id, hybrid.page.url) == ("", "https://h5.example/suv")


def test_a_server_has_neither_device_nor_address_of_the_person() -> None:
    for platform in ("python", None):
        event = event_of(make_record(platform=platform), **{"user-agent": CHROME})
        assert (event.platform, event.device.kind, event.ip) == ("server", "", "")
    assert event_of(make_record(), **{"user-agent": CHROME}).ip == "203.0.113.7"


def test_a_teams_attribute_stays_where_an_sdks_field_has_its_name() -> None:
    event = event_of(make_record(attributes={"index": "mine"}, index=3, xpath="/a"))
    assert json.loads(event.properties) == {"index": "mine", "xpath": "/a"}


# Time and ids.


def test_a_wrong_clock_is_corrected_by_the_send_time_and_never_a_servers() -> None:
    late = TARGET.replace(str(STM), str(RECEIVED_AT - 3_600_000))
    assert event_of(make_record(timestamp=RECEIVED_AT - 3_604_000), target=late).occurred_at == RECEIVED_AT - 4_000
    server = make_record(platform="python", timestamp=RECEIVED_AT - 3_604_000)
    assert event_of(server, target=late).occurred_at == RECEIVED_AT - 3_604_000


@pytest.mark.parametrize("other", [{"deviceId": "d-2"}, {"eventSequenceId": 2}, {"attributes": {"k": "v"}}, {"x": 1}])
def test_two_events_of_one_millisecond_have_two_ids(other: dict[str, Any]) -> None:
    assert event_of(make_record(**other)).id != event_of(make_record()).id


def test_the_campaign_of_a_page_in_an_app_is_read_from_its_query() -> None:
    event = event_of(make_record(platform="Android", domain="com.app", path="/s6", query="utm_source=qr&gclid=G1"))
    assert (event.page.url, event.page.path) == ("/s6?utm_source=qr&gclid=G1", "/s6")
    assert (event.campaign.source, event.campaign.click_ids) == ("qr", {"gclid": "G1"})


def test_a_record_without_a_time_is_told_by_when_it_was_sent() -> None:
    item = {"key": "sku", "id": "p1"}
    path = "/projects/site-key/collect/item"

    def id_of(target: str, hit_id: str, *, received_at: int = RECEIVED_AT) -> str:
        request = make_request(target, [item])
        (event,) = outcomes_of(request, GROWINGIO, hit_id=hit_id, received_at=received_at)
        assert isinstance(event, Event)
        return event.id

    assert id_of(f"{path}?stm=1", "0-1") == id_of(f"{path}?stm=1", "0-2") != id_of(f"{path}?stm=2", "0-3")
    # A client that heard no answer sends the same again; another day it is news.
    assert id_of(path, "0-1") == id_of(path, "0-2") != id_of(path, "0-3", received_at=RECEIVED_AT + DAY_MS)


# Protobuf, beside the official runtime.

_KINDS = descriptor_pb2.FieldDescriptorProto


def _described(message: Message, file: descriptor_pb2.FileDescriptorProto, name: str) -> None:
    told = file.message_type.add(name=name)
    for fields, kind in ((message.texts, "STRING"), (message.numbers, "INT64"), (message.doubles, "DOUBLE")):
        for number, field in fields.items():
            told.field.add(name=field, number=number, type=getattr(_KINDS, f"TYPE_{kind}"), label=1)
    for number, field in message.maps.items():
        entry = told.nested_type.add(name=f"{field[:1].upper()}{field[1:]}Entry")
        entry.options.map_entry = True
        for key in (1, 2):
            entry.field.add(name="key" if key == 1 else "value", number=key, type=_KINDS.TYPE_STRING, label=1)
        told.field.add(
            name=field, number=number, type=_KINDS.TYPE_MESSAGE, label=3, type_name=f".gio.{name}.{entry.name}"
        )
    for number, (field, inner) in message.messages.items():
        _described(inner, file, f"{name}{number}")
        told.field.add(name=field, number=number, type=_KINDS.TYPE_MESSAGE, label=1, type_name=f".gio.{name}{number}")
    for number, (field, _) in message.enums.items():
        told.field.add(name=field, number=number, type=_KINDS.TYPE_INT32, label=1)


def _official(message: Message) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="gio.proto", package="gio", syntax="proto3")
    _described(message, file, "Event")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("gio.Event"))


OFFICIAL = _official(EVENT)

_EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "deviceId": st.text(max_size=6),
        "userKey": st.text(max_size=200),
        "timezoneOffset": st.text(max_size=3),
        "timestamp": st.integers(-(2**63), 2**63 - 1),
        "index": st.integers(-1, 300),
        # Plus zero, since -0.0 is written by a runtime that writes no zeros.
        "latitude": st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0),
        "attributes": st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
        "resourceItem": st.fixed_dictionaries({"id": st.text(min_size=1)}),
    },
)


@settings(max_examples=120, deadline=None)
@given(told=_EVENTS)
def test_protobuf_says_what_its_official_runtime_wrote(told: dict[str, Any]) -> None:
    """Zeros and empty texts are not written."""
    message = OFFICIAL(**told, eventType=8)
    written = {name: value for name, value in told.items() if value or name == "resourceItem"}
    assert json.loads(json_of(message.SerializeToString(), EVENT)) == {**written, "eventType": "VIEW_CLICK"}


def test_a_list_in_protobuf_is_the_events_that_json_tells() -> None:
    record = make_record(platform="Android", eventSequenceId=300, screenWidth=1_080, attributes={"k": "v"})
    message = OFFICIAL(**{**record, "eventType": 1}).SerializeToString()
    body = b"".join(b"\n" + len(each).to_bytes(1, "little") + each for each in (message, b"\x08\xff"))
    # An unknown field, as later SDKs add them, and a field in a wire type that is not ours.
    body += b"\x9a\x06\x01x" + b"\x10\x07"
    for headers in (PROTOBUF, {}):
        event, broken = outcomes_of(make_request(TARGET, body, headers=headers), GROWINGIO)
        assert isinstance(event, Event)
        in_json = event_of(record)
        assert json.loads(event.properties) == json.loads(in_json.properties)
        assert replace(event, properties=b"") == replace(in_json, properties=b"")
        assert isinstance(broken, Dropped)


def test_in_protobuf_a_visit_is_the_type_that_is_not_written() -> None:
    assert json.loads(json_of(OFFICIAL(deviceId="d").SerializeToString(), EVENT))["eventType"] == "VISIT"


# Anything at all.

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = (
    "eventType", "eventName", "timestamp", "deviceId", "userId", "userKey", "platform", "domain", "path", "query",
    "attributes", "resourceItem", "extraSdk", "index", "identifies", "sendTime", "key", "id",
)  # fmt: skip
_RECORD = st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=8)
_TARGETS = st.sampled_from(
    [TARGET, f"{TARGET}&compress=1", "/projects/k/collect/item", "/projects/k/collect/user-mapping"]
)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "x-compress-codec": st.sampled_from("0123"),
        "x-crypt-codec": st.just("1"),
        "content-type": st.just("application/protobuf"),
    },
)


def _assert_sane(request: Request) -> None:
    try:
        outcomes = outcomes_of(request, GROWINGIO)
    except MalformedHit:
        with pytest.raises((Unreadable, TooLarge)):
            read(request, GROWINGIO)
        return
    assert len(outcomes) == read(request, GROWINGIO).events
    for outcome in outcomes:
        if isinstance(outcome, Event):
            assert isinstance(json.loads(outcome.properties), dict)
            assert outcome.name


@settings(max_examples=150, deadline=None)
@given(target=_TARGETS, told=_RECORD | _JSON | st.lists(_RECORD | _JSON, max_size=3))
def test_any_json_gives_events_or_drops_or_is_unreadable(target: str, told: Any) -> None:
    _assert_sane(make_request(target.replace("&compress=1", ""), told))


@settings(max_examples=300, deadline=None)
@given(target=_TARGETS, body=st.binary(max_size=60), headers=_HEADERS)
def test_any_bytes_give_events_or_drops_or_are_unreadable(target: str, body: bytes, headers: dict[str, str]) -> None:
    _assert_sane(make_request(target, body, headers=headers))
    _assert_sane(make_request(f"{TARGET}&data={quote(body)}", method="GET"))
    _assert_sane(make_request(TARGET, b"\n" + bytes([len(body)]) + body, headers=PROTOBUF))
